//! Bytes as elements: of a list that was asked for, and in what serde keeps until it knows the
//! type, for tagged and untagged enums and `flatten`. Elements larger than a byte are counted.
//!
//! What serde keeps as bytes it gives to nobody who asks for a list, as `Vec<u8>` does, so bytes
//! are a list of integers there. For a [`Value`](crate::Value) they are to be bytes again. So the
//! integers are given in widths that no format gives in this order, which serde keeps, and all who
//! ask for integers take any width.

use std::{fmt, marker::PhantomData};

use serde::de::{DeserializeSeed, Error, Expected, IntoDeserializer, SeqAccess, Visitor};

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

/// Visits bytes as the list of `u8` that they are to whoever asks a format for a list.
///
/// `count` is asked before each element that takes another size than a byte, and stops the reading
/// with its error: what a peer sends as bytes is worth no more than the same numbers in a list,
/// once it is made as large as they are. A `Vec<u8>` is no larger than what was sent.
///
/// # Errors
/// What the visitor and `count` say, and that the visitor left some of the bytes.
pub fn visit_octets<'de, V: Visitor<'de>, E: Error>(
    bytes: &[u8],
    visitor: V,
    count: impl FnMut() -> Result<(), E>,
) -> Result<V::Value, E> {
    Octets::<false, _, E> { bytes, place: 0, count, error: PhantomData }.visit(visitor)
}

/// Visits bytes as the list of integers that they are to whoever keeps what is there until it knows
/// the type: for the `deserialize_any` of a format. A [`Value`](crate::Value) that is made of what
/// was kept is those bytes again, unless there are none: then it is an empty list.
///
/// `count` is asked as by [`visit_octets`]; serde keeps an octet in 32 bytes.
///
/// # Errors
/// The errors of [`visit_octets`].
pub fn visit_kept_bytes<'de, V: Visitor<'de>, E: Error>(
    bytes: &[u8],
    visitor: V,
    count: impl FnMut() -> Result<(), E>,
) -> Result<V::Value, E> {
    Octets::<true, _, E> { bytes, place: 0, count, error: PhantomData }.visit(visitor)
}

/// No more places than this are announced: whoever believes it makes room for elements of any size
/// before the first is counted.
const MOST_ANNOUNCED: usize = 1 << 20;

/// The elements, `KEPT` in the widths by which a value knows them again, or as the `u8` they are.
struct Octets<'a, const KEPT: bool, C, E> {
    bytes: &'a [u8],
    place: usize,
    count: C,
    error: PhantomData<E>,
}

impl<const KEPT: bool, C: FnMut() -> Result<(), E>, E: Error> Octets<'_, KEPT, C, E> {
    fn visit<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, E> {
        let made = visitor.visit_seq(&mut self)?;
        match self.place {
            taken if taken < self.bytes.len() => Err(E::invalid_length(self.bytes.len(), &Taken(taken))),
            _ => Ok(made),
        }
    }
}

struct Taken(usize);

impl Expected for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl<'de, const KEPT: bool, C: FnMut() -> Result<(), E>, E: Error> SeqAccess<'de> for Octets<'_, KEPT, C, E> {
    type Error = E;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, E> {
        let Some(octet) = self.bytes.get(self.place) else { return Ok(None) };
        // What takes no byte at all may be kept elsewhere, as arguments are by the seed that reads
        // them.
        if size_of::<T::Value>() != 1 {
            (self.count)()?;
        }
        let width = Width::at(self.place);
        self.place += 1;
        match width {
            _ if !KEPT => seed.deserialize(octet.into_deserializer()),
            Width::I16 => seed.deserialize(i16::from(*octet).into_deserializer()),
            Width::I32 => seed.deserialize(i32::from(*octet).into_deserializer()),
        }
        .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some((self.bytes.len() - self.place).min(MOST_ANNOUNCED))
    }
}

/// Bytes became as many elements as a payload may have values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooManyOctets(pub(crate) usize);

impl fmt::Display for TooManyOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "more than {} values (max_values), each of them one byte of bytes: read those as Bytes, Vec<u8> or daffi's Value, \
             which count as one",
            self.0
        )
    }
}
