//! `Bytes` and `Vec<u8>` as bytes: serde alone reads a `Vec<u8>` element by element.

use std::any::{Any, TypeId};

use bytes::Bytes;
use serde::{Deserializer, de::DeserializeOwned};

/// Reads a `T`; a `Vec<u8>` in one piece when the format has bytes.
///
/// # Errors
/// When the payload is not a `T`.
pub(crate) fn read<'de, T: DeserializeOwned + 'static, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    if TypeId::of::<T>() != TypeId::of::<Vec<u8>>() {
        return T::deserialize(deserializer);
    }
    let mut read = Some(deserializer.deserialize_byte_buf(Octets)?);
    let slot: &mut dyn Any = &mut read;
    let slot: &mut Option<T> = slot.downcast_mut().expect("T was compared with Vec<u8> above");
    Ok(slot.take().expect("it was filled above"))
}

/// `bytes` as a `T` when that is [`Bytes`].
#[must_use]
pub(crate) fn from_shared<T: 'static>(bytes: &Bytes) -> Option<T> {
    if TypeId::of::<T>() != TypeId::of::<Bytes>() {
        return None;
    }
    let mut shared = Some(bytes.clone());
    let slot: &mut dyn Any = &mut shared;
    slot.downcast_mut::<Option<T>>().and_then(Option::take)
}

struct Octets;

impl<'de> serde::de::Visitor<'de> for Octets {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        // A peer's word on the length buys at most 4 KiB.
        let mut bytes = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
