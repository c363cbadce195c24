//! Names for nodes that were given none.

use std::hash::{BuildHasher, RandomState};

/// A name of `role-` and a random suffix, so that two nodes do not evict each other: of 64 bits,
/// with which two among a million of one Router are alike once in forty million times.
pub(crate) fn made_up(role: &str) -> String {
    format!("{role}-{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_names_differ() {
        let mut names: Vec<_> = (0..100_000).map(|_| made_up("client")).collect();
        assert!(names.iter().all(|name| name.len() == "client-".len() + 16), "{}", names[0]);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
