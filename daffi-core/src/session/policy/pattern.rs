//! Names with wildcards.

use std::fmt;

use wildmatch::WildMatch;

/// Characters of a pattern. A name is compared with it in a time of both lengths multiplied, at
/// most.
const MOST: usize = 256;

/// A name, in which `*` stands for any characters and `?` for one.
#[derive(Clone)]
pub(super) struct Pattern(WildMatch);

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is empty, which would match nothing.
    #[error("a pattern is empty; \"*\" is any name")]
    Empty,
    /// It is too long.
    #[error("a pattern has {size} characters; {MOST} are the most")]
    TooLong {
        /// Its characters.
        size: usize,
    },
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        match text.chars().count() {
            0 => Err(PatternError::Empty),
            size if size > MOST => Err(PatternError::TooLong { size }),
            _ => Ok(Self(WildMatch::new(text))),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.0.matches(name)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.to_string())
    }
}
