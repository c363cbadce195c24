use std::fmt;

/// What two nodes may use with each other ([protocol, 12](crate::protocol#12)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// What daffi 3.0.1 speaks.
    pub const THREE: Self = Self(3);
    /// What two nodes of this project speak.
    pub const FOUR: Self = Self(4);
    /// The highest this crate speaks.
    pub const HIGHEST: Self = Self::FOUR;

    /// The number as it stands in `meta.type`.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether this level includes `other`.
    #[must_use]
    pub const fn at_least(self, other: Self) -> bool {
        self.0 >= other.0
    }

    /// A level both sides speak, given what the peer offers.
    #[must_use]
    pub fn agree(offered: Self) -> Self {
        Self::at_most(offered.0)
    }

    /// That level, or the nearest that this crate speaks.
    pub(crate) fn at_most(number: u8) -> Self {
        Self(number.clamp(Self::THREE.0, Self::HIGHEST.0))
    }
}

/// What a node is on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Connects; may call, expose callbacks, or both.
    Client,
    /// Listens and exposes callbacks.
    Service,
    /// Listens and forwards.
    Router,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Service => "service",
            Self::Router => "router",
        }
    }
}

/// The text of `meta.type`: a role, and from level 4 on a level.
///
/// ```
/// use daffi_wire::{Level, NodeType, Role};
/// assert_eq!(NodeType::new(Role::Client, Level::FOUR).to_string(), "client/4");
/// assert_eq!(NodeType::new(Role::Service, Level::THREE).to_string(), "service");
/// let seen = NodeType::parse("router/4");
/// assert_eq!((seen.role(), seen.level()), (Some(Role::Router), Level::FOUR));
/// assert_eq!(NodeType::parse("worker/9").role(), None, "3.0.1 lets any text through");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeType {
    role: Option<Role>,
    level: Level,
}

impl NodeType {
    /// The type a node of this role announces at this level.
    #[must_use]
    pub const fn new(role: Role, level: Level) -> Self {
        Self { role: Some(role), level }
    }

    /// Reads any text. An unknown role is none, and anything but `role/N` with N of at least 4 is
    /// level 3.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (name, level) = match text.split_once('/') {
            None => (text, Level::THREE),
            Some((name, number)) => match number.parse::<u8>() {
                Ok(n) if n >= 4 => (name, Level(n)),
                _ => (name, Level::THREE),
            },
        };
        match name {
            "client" => Self { role: Some(Role::Client), level },
            "service" => Self { role: Some(Role::Service), level },
            "router" => Self { role: Some(Role::Router), level },
            _ => Self { role: None, level: Level::THREE },
        }
    }

    /// The role, when it is one that the protocol defines.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        self.role
    }

    /// The level offered or answered. It may be higher than [`Level::HIGHEST`].
    #[must_use]
    pub const fn level(self) -> Level {
        self.level
    }
}

impl fmt::Display for NodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.map_or("unknown", Role::as_str))?;
        if self.level.at_least(Level::FOUR) { write!(f, "/{}", self.level.0) } else { Ok(()) }
    }
}
