use std::{any::TypeId, fmt};

/// A payload in which is looked up what the format's library does not say of what it read.
///
/// A codec whose library leaves something unsaid gives one to
/// [`Watch::with_source`](super::Watch::with_source).
pub trait Source: fmt::Debug {
    /// The digits of the number that was read last, with its sign, if it is an integer.
    ///
    /// It is asked where the library gave a float of 2^63 or more to a type that takes what is
    /// there, so that an integer beyond 64 bits is not taken for the float next to it.
    fn rounded_integer(&self) -> Option<&str> {
        None
    }

    /// The type of the library that is the [`MapAccess`](serde::de::MapAccess) of numbers, if it
    /// gives some as maps of one entry: a key of its own, and their digits.
    ///
    /// By its type a number is told from a map of the payload that has that key, before any key is
    /// read: those are for the type that asked for the map.
    fn numbers_as_maps(&self) -> Option<TypeId> {
        None
    }

    /// Whether `bytes`, a part of the payload, stand there as text. It is asked before they are
    /// given to a type that did not ask for bytes; what is not UTF-8 then is an error.
    fn is_text(&self, bytes: &[u8]) -> bool {
        let _all_are_bytes = bytes;
        false
    }
}
