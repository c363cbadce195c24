//! Bytes in what serde keeps until it knows the type: tagged and untagged enums, `flatten`.
//!
//! What serde keeps as bytes it gives to nobody who asks for a list, as `Vec<u8>` does, so bytes
//! are a list of integers there. For a [`Value`](crate::Value) they are to be bytes again. So the
//! integers are given in widths that no format gives in this order, which serde keeps, and all who
//! ask for integers take any width.

use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error, IntoDeserializer, SeqAccess, Visitor};

/// As how wide an integer an octet is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    I16,
    I32,
}

impl Width {
    /// The width of the octet at a place.
    pub(crate) const fn at(place: usize) -> Self {
        if place.is_multiple_of(2) { Self::I16 } else { Self::I32 }
    }
}

/// Visits bytes as the list of integers that they are to whoever keeps what is there until it knows
/// the type: for the `deserialize_any` of a format. A [`Value`](crate::Value) that is made of what
/// was kept is those bytes again, unless there are none: then it is an empty list.
///
/// # Errors
/// What the visitor says, and that it left some of the bytes.
pub fn visit_kept_bytes<'de, V: Visitor<'de>, E: Error>(bytes: &[u8], visitor: V) -> Result<V::Value, E> {
    let mut octets = Octets { bytes, place: 0, error: PhantomData };
    let made = visitor.visit_seq(&mut octets)?;
    if octets.place < bytes.len() {
        return Err(E::invalid_length(bytes.len(), &"fewer bytes"));
    }
    Ok(made)
}

struct Octets<'a, E> {
    bytes: &'a [u8],
    place: usize,
    error: PhantomData<E>,
}

impl<'de, E: Error> SeqAccess<'de> for Octets<'_, E> {
    type Error = E;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, E> {
        let Some(octet) = self.bytes.get(self.place) else { return Ok(None) };
        let width = Width::at(self.place);
        self.place += 1;
        match width {
            Width::I16 => seed.deserialize(i16::from(*octet).into_deserializer()),
            Width::I32 => seed.deserialize(i32::from(*octet).into_deserializer()),
        }
        .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len() - self.place)
    }
}
