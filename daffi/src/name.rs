//! Names for nodes that were given none.

use std::hash::{BuildHasher, RandomState};

/// A name of `role-` and a random suffix, so that two nodes do not evict each other.
pub(crate) fn made_up(role: &str) -> String {
    format!("{role}-{:08x}", RandomState::new().hash_one(std::process::id()) & 0xffff_ffff)
}
