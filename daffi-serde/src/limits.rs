/// What a payload may make a reader hold, in every format. The user sets it.
///
/// ```
/// use daffi_serde::ValueLimits;
///
/// let limits = ValueLimits::default().max_depth(64).max_values(100_000);
/// assert_eq!(limits.max_depth, 64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValueLimits {
    /// Containers inside containers. Default: 256, which needs up to 256 KiB of the reading
    /// thread's stack, and 1.25 MiB in a debug build: lower it where threads have less than tokio's
    /// 2 MiB.
    pub max_depth: usize,
    /// Values in one payload, each element of a container counted. Default: 4 194 304, which take
    /// at most 96 MiB. Bytes are one value where they stay bytes, or become a list whose elements
    /// take a byte each (`Vec<u8>`); otherwise they are as many as they have elements: in a
    /// `Vec<f64>`, in `serde_json::Value`, in what serde keeps for tagged and untagged enums and
    /// `flatten`.
    pub max_values: usize,
}

/// Bytes that every decode may hold, however short its payload is.
const ALWAYS: usize = 64 << 10;
/// Bytes that a decode may hold for each byte of its payload: the smallest value takes one there,
/// and 24 as a
/// [`Value`](crate::Value).
const PER_BYTE: usize = 24;

impl ValueLimits {
    /// The default limits, for use in constants.
    pub const DEFAULT: Self = Self { max_depth: 256, max_values: 1 << 22 };

    /// The same limits with another depth.
    #[must_use]
    pub const fn max_depth(mut self, levels: usize) -> Self {
        self.max_depth = levels;
        self
    }

    /// The same limits with another number of values.
    #[must_use]
    pub const fn max_values(mut self, values: usize) -> Self {
        self.max_values = values;
        self
    }

    /// The most bytes that reading a payload of `len` bytes as [`Value`](crate::Value)s holds at
    /// one time, beside the payload itself: 64 KiB, 24 bytes for each value the payload can have,
    /// and its text and bytes. What a payload refers to more than once, as a pickle can, counts
    /// each time. A node takes them from its budget before it reads. Types of the user may be
    /// larger than the values they are made of: serde keeps a value that waits for its type in 32
    /// bytes, in lists that grow by doubling, and a linked list of octets takes a place for each
    /// that is not counted.
    #[must_use]
    pub const fn decode_bound(&self, len: usize) -> usize {
        // A list whose length is not announced grows by halves, so its places may be half as many
        // again.
        let places = self.max_values.saturating_add(self.max_values / 2);
        let most = if len < places { len } else { places };
        let text = len.saturating_sub(places);
        ALWAYS.saturating_add(most.saturating_mul(PER_BYTE)).saturating_add(text)
    }
}

impl Default for ValueLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
