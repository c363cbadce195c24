//! Sessions as text that a person reads in a diff.
//!
//! A file begins with a head, one `word value` per line; `difference` has lines of its own below it. Steps follow, each
//! one line and the lines indented below it. Lines that begin with `#`, and blank ones, say nothing: the recorder puts a
//! blank line before what comes from outside, and behind a binary payload what it holds.
//!
//! ```text
//! 1 connects cli
//! 1 > SYN
//! 1 > HANDSHAKE uuid 1 JSON text wants-reply
//!     names "cli" "" ""
//!     text {"meta":{"type":"client","error":null},"members":[{"name":"cli","methods":null}]}
//!
//! cli does 1 rpc add
//!     args [3, 4]
//!     serde "JSON"
//! ```
//!
//! `1 >` is connection 1, client to server; `1 <` is server to client. A header shows `parts N` and `big-endian` when they
//! are not as 3.0.1 writes them, and no lengths: they follow from names and payload.

pub(crate) mod payload;
mod read;
pub(crate) mod write;

pub use read::ParseError;
