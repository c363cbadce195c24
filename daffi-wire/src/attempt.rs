//! Which of a client's attempts to connect a HANDSHAKE belongs to.

use std::fmt;

use crate::Handshake;

/// One attempt of a client to connect, as it stands in the function section of its HANDSHAKEs
/// ([level 4](crate::level_four#attempts)).
///
/// ```
/// use daffi_wire::Attempt;
/// let (first, second) = (Attempt { client: 7, number: 1 }, Attempt { client: 7, number: 2 });
/// let section = format!("watch:none,{second}");
/// assert_eq!(section, "watch:none,attempt:0000000000000007.2");
/// assert_eq!(Attempt::read(&section), Some(second));
/// assert!(first.is_before(second) && !second.is_before(second));
/// assert!(!first.is_before(Attempt { client: 8, number: 2 }), "of another client");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Drawn by chance by each client when it begins.
    pub client: u64,
    /// Counts its attempts.
    pub number: u64,
}

impl Attempt {
    /// The one that a function section names. Other words may stand beside it, with a comma
    /// between them.
    #[must_use]
    pub fn read(section: &str) -> Option<Self> {
        let said = section.split(',').find_map(|word| word.strip_prefix(Handshake::ATTEMPT))?;
        let (client, number) = said.split_once('.')?;
        let is_written_so = client.len() == 16 && !client.starts_with('+') && !number.starts_with('+');
        let client = u64::from_str_radix(client, 16).ok().filter(|_| is_written_so)?;
        Some(Self { client, number: number.parse().ok()? })
    }

    /// Whether the same client made that one later.
    #[must_use]
    pub const fn is_before(self, that: Self) -> bool {
        self.client == that.client && self.number < that.number
    }
}

/// The word that [`read`](Attempt::read) takes.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:016x}.{}", Handshake::ATTEMPT, self.client, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_otherwise_is_none() {
        for section in ["", "attempt:known", "attempt:7.1", "attempt:+000000000000007.1", "attempt:0000000000000007.+1"]
        {
            assert_eq!(Attempt::read(section), None, "{section}");
        }
        let largest = Attempt { client: u64::MAX, number: u64::MAX };
        assert_eq!(Attempt::read(&largest.to_string()), Some(largest));
    }
}
