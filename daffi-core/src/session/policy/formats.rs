//! Which formats somebody may send.

use daffi_wire::FormatId;

/// A set of formats. Users' own formats are in it together or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FormatRights(u8);

/// The bit of users' own formats, and of those that have no name yet.
const OTHER: u8 = 1 << 5;

impl FormatRights {
    /// None.
    pub(super) const NONE: Self = Self(0);
    /// All that there are.
    pub(super) const ALL: Self = Self(0b11_1111);
    /// All but PICKLE, which runs code where a node of daffi 3.0.1 reads it.
    pub(super) const SAFE: Self = Self::ALL.without(FormatId::PICKLE);

    const fn bit(format: FormatId) -> u8 {
        match format {
            FormatId::OPAQUE => 1,
            FormatId::JSON => 1 << 1,
            FormatId::PICKLE => 1 << 2,
            FormatId::MSGPACK => 1 << 3,
            FormatId::POSTCARD => 1 << 4,
            _ => OTHER,
        }
    }

    /// Whether this one is in it.
    pub(super) const fn has(self, format: FormatId) -> bool {
        self.0 & Self::bit(format) != 0
    }

    /// The same set with this one.
    pub(super) const fn with(self, format: FormatId) -> Self {
        Self(self.0 | Self::bit(format))
    }

    /// The same set without this one.
    pub(super) const fn without(self, format: FormatId) -> Self {
        Self(self.0 & !Self::bit(format))
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<FormatId> for FormatRights {
    fn from_iter<I: IntoIterator<Item = FormatId>>(formats: I) -> Self {
        formats.into_iter().fold(Self::NONE, Self::with)
    }
}
