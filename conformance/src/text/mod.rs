//! Sessions as text that a person reads in a diff.
//!
//! The crate's documentation shows one. Lines that begin with `#`, and blank ones, say nothing: a
//! blank line stands before what comes from outside, and behind a binary payload what it holds.
//!
//! A header shows `parts N` and `big-endian` when they are not as 3.0.1 writes them, and no
//! lengths: they follow from names and payload.

pub(crate) mod payload;
mod read;
pub(crate) mod write;

pub use read::ParseError;
