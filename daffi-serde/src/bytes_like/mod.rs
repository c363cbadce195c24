//! `Bytes`, `Vec<u8>` and `&[u8]` as bytes: serde alone takes a slice element by element.

mod collect;

use std::any::{Any, TypeId};

use bytes::{Bytes, BytesMut};
use serde::{
    Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Visitor},
};

use self::collect::Collect;
use crate::value::{Value, tag};

/// A value that is written as it is, except that a `Vec<u8>` and a `&[u8]` are written as bytes.
///
/// Arguments are written so; [`Codec::encode_return`](crate::Codec::encode_return) writes results
/// so. Within a structure a `Vec<u8>` is what its format makes of it, and [`Bytes`] are bytes
/// everywhere.
#[derive(Clone, Copy, Debug)]
pub struct BytesLike<'a, T: ?Sized>(pub &'a T);

impl<T: Serialize> Serialize for BytesLike<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(octets) = castaway::cast!(self.0, &Vec<u8>) {
            return serializer.serialize_newtype_struct(tag::OCTETS, &Octets(octets));
        }
        if is_borrowed_octets::<T>() {
            let octets = self.0.serialize(Collect).map_err(serde::ser::Error::custom)?;
            return serializer.serialize_newtype_struct(tag::OCTETS, &Octets(&octets));
        }
        self.0.serialize(serializer)
    }
}

/// Whether `T` is a reference to octets, of any lifetime.
fn is_borrowed_octets<T>() -> bool {
    let id = typeid::of::<T>();
    id == typeid::of::<&[u8]>() || id == typeid::of::<&Vec<u8>>()
}

struct Octets<'a>(&'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// The bytes that `value` shares, if it is [`Bytes`].
#[must_use]
pub(crate) fn as_bytes<T: 'static>(value: &T) -> Option<&Bytes> {
    let value: &dyn Any = value;
    value.downcast_ref()
}

/// Reads a `T`. A `Vec<u8>` is read in one piece when the format has bytes.
///
/// # Errors
/// When the payload is not a `T`.
pub(crate) fn read<'de, T: DeserializeOwned + 'static, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    if TypeId::of::<T>() != TypeId::of::<Vec<u8>>() {
        return T::deserialize(deserializer);
    }
    let mut read = Some(deserializer.deserialize_byte_buf(OctetsVisitor)?);
    let slot: &mut dyn Any = &mut read;
    let slot: &mut Option<T> = slot.downcast_mut().expect("T was compared with Vec<u8> above");
    Ok(slot.take().expect("it was filled above"))
}

/// Whether bytes that are read as a `T` stay as many, or are no `T`.
#[must_use]
pub(crate) fn keeps_bytes<T: 'static>() -> bool {
    macro_rules! is_one_of {
        ($($ty:ty),*) => {
            [$(TypeId::of::<$ty>(), TypeId::of::<Option<$ty>>()),*].contains(&TypeId::of::<T>())
        };
    }
    is_one_of!(
        Bytes,
        BytesMut,
        Vec<u8>,
        String,
        Box<str>,
        Value,
        (),
        bool,
        char,
        i8,
        i16,
        i32,
        i64,
        i128,
        u8,
        u16,
        u32,
        u64,
        u128,
        f32,
        f64
    )
}

/// `bytes` as a `T` when that is [`Bytes`].
#[must_use]
pub(crate) fn from_shared<T: 'static>(bytes: &Bytes) -> Option<T> {
    let mut slot: Option<T> = None;
    let place: &mut dyn Any = &mut slot;
    *place.downcast_mut::<Option<Bytes>>()? = Some(bytes.clone());
    slot
}

struct OctetsVisitor;

impl<'de> Visitor<'de> for OctetsVisitor {
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

    // Text is the bytes of its UTF-8 here, as it is for `Bytes`.
    fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_string<E>(self, text: String) -> Result<Vec<u8>, E> {
        Ok(text.into_bytes())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        // A length that a peer announces reserves at most 4 KiB.
        let mut bytes = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
