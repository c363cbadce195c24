//! How the members of a Router are remembered and told of each other.

pub(crate) mod announcing;
pub(crate) mod senders;
pub(crate) mod suspects;
pub(crate) mod telling;
pub(crate) mod watching;
