use std::fmt;

use crate::{Level, header::Decoder};

/// The number of a payload format on the wire ([protocol, 2](crate::protocol#2) and
/// [protocol, 12](crate::protocol#12)).
///
/// 3.0.1 knows four, named by the two decoder bits. Between level 4 nodes more are told apart by
/// `msg_parts` of an OPAQUE payload.
///
/// ```
/// use daffi_wire::FormatId;
/// assert_eq!(FormatId::PICKLE.to_string(), "PICKLE");
/// const CBOR: FormatId = FormatId::user(64).expect("64 is free");
/// assert_eq!(CBOR.min_level(), daffi_wire::Level::FOUR);
/// assert!(FormatId::user(63).is_none(), "kept for formats of this project");
/// assert!(CBOR.is_user() && !FormatId::POSTCARD.is_user() && !FormatId::MSGPACK.is_user());
/// assert_eq!(FormatId::POSTCARD.min_level(), daffi_wire::Level::FOUR);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FormatId(u8);

/// Marks a number that travels in `msg_parts`; the rest are values of the decoder bits.
const EXTENDED: u8 = 0x80;

impl FormatId {
    /// Bytes or text, as they are.
    pub const OPAQUE: Self = Self(0);
    /// JSON.
    pub const JSON: Self = Self(1);
    /// Python's pickle, as plain data.
    pub const PICKLE: Self = Self(2);
    /// MessagePack.
    pub const MSGPACK: Self = Self(3);
    /// postcard, between level 4 nodes.
    pub const POSTCARD: Self = Self(EXTENDED | 2);

    /// A number for a user's own format; `None` unless `number` is in 64..=127, which are kept for
    /// users.
    ///
    /// An `Option`, so that a constant can unwrap it and a number that is not free does not
    /// compile.
    #[must_use]
    pub const fn user(number: u8) -> Option<Self> {
        match number {
            64..=127 => Some(Self(EXTENDED | number)),
            _ => None,
        }
    }

    /// Whether it is one for a user's own format, as [`user`](Self::user) gives them.
    #[must_use]
    pub const fn is_user(self) -> bool {
        self.0 >= EXTENDED | 64
    }

    /// The level a receiver must have shown before this format may be sent to it.
    #[must_use]
    pub const fn min_level(self) -> Level {
        if self.0 & EXTENDED == 0 { Level::THREE } else { Level::FOUR }
    }

    pub(crate) const fn decoder(self) -> Decoder {
        match self.0 {
            1 => Decoder::Json,
            2 => Decoder::Pickle,
            3 => Decoder::Msgpack,
            _ => Decoder::Opaque,
        }
    }

    /// `msg_parts` that stands for this format; 1 is the decoder's own.
    pub(crate) const fn parts(self) -> u8 {
        if self.0 & EXTENDED == 0 { 1 } else { self.0 & !EXTENDED }
    }

    pub(crate) const fn from_wire(decoder: Decoder, is_bytes: bool, parts: u8, level: Level) -> Self {
        match decoder {
            Decoder::Json => Self::JSON,
            Decoder::Pickle => Self::PICKLE,
            Decoder::Msgpack => Self::MSGPACK,
            Decoder::Opaque if is_bytes && parts >= 2 && level.at_least(Level::FOUR) => Self(EXTENDED | parts),
            Decoder::Opaque => Self::OPAQUE,
        }
    }
}

impl fmt::Display for FormatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OPAQUE => f.write_str("OPAQUE"),
            Self::JSON => f.write_str("JSON"),
            Self::PICKLE => f.write_str("PICKLE"),
            Self::MSGPACK => f.write_str("MSGPACK"),
            Self::POSTCARD => f.write_str("POSTCARD"),
            Self(n) => write!(f, "format {}", n & !EXTENDED),
        }
    }
}

impl fmt::Debug for FormatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
