//! Where the bytes lie of a payload that is read in pieces.

use bytes::Bytes;

/// Where the one large string of bytes lies in a payload that has little beside it: so it can be
/// read while it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesWithin {
    /// Bytes of the payload before it.
    pub before: usize,
    /// Its own bytes.
    pub len: u64,
    /// The payload as it is with an empty string in its place.
    pub rest: Bytes,
}

impl BytesWithin {
    /// A payload of `total` bytes that is nothing else.
    #[must_use]
    pub const fn all(total: u64) -> Self {
        Self { before: 0, len: total, rest: Bytes::new() }
    }
}
