//! The parts of containers and enums, one after another.

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor, value::U32Deserializer,
    },
};

use super::{
    arena::Items,
    deserialize::{Content, Path, SlotDeserializer},
    scalar::Scalar,
};
use crate::ReadError;

/// The elements of a sequence.
pub(super) struct ElementAccess<'p, 'a> {
    around: SlotDeserializer<'p, 'a>,
    items: Items<'p>,
    path: &'p Path<'p>,
    total: usize,
}

impl<'p, 'a> ElementAccess<'p, 'a> {
    pub(super) const fn new(around: SlotDeserializer<'p, 'a>, items: Items<'p>, path: &'p Path<'p>) -> Self {
        let total = items.len();
        Self { around, items, path, total }
    }

    /// Checks that nothing is left, for a tuple takes no more than it has places.
    pub(super) fn end(&self) -> Result<(), ReadError> {
        match self.items.len() {
            0 => Ok(()),
            left => Err(ReadError::invalid_length(self.total, &ExpectedLength(self.total - left))),
        }
    }
}

impl<'a> SeqAccess<'a> for ElementAccess<'_, 'a> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(slot) = self.items.next() else { return Ok(None) };
        seed.deserialize(self.around.element(slot, self.path)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of a dict.
pub(super) struct EntryAccess<'p, 'a> {
    around: SlotDeserializer<'p, 'a>,
    items: Items<'p>,
    path: &'p Path<'p>,
    total: usize,
}

impl<'p, 'a> EntryAccess<'p, 'a> {
    pub(super) const fn new(around: SlotDeserializer<'p, 'a>, items: Items<'p>, path: &'p Path<'p>) -> Self {
        let total = items.len();
        Self { around, items, path, total }
    }

    pub(super) fn end(&self) -> Result<(), ReadError> {
        match self.items.len() {
            0 => Ok(()),
            left => Err(ReadError::invalid_length(self.total / 2, &ExpectedLength((self.total - left) / 2))),
        }
    }
}

impl<'a> MapAccess<'a> for EntryAccess<'_, 'a> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(slot) = self.items.next() else { return Ok(None) };
        seed.deserialize(self.around.element(slot, self.path)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let slot = self.items.next().ok_or_else(|| ReadError::custom("a value was asked for before its key"))?;
        seed.deserialize(self.around.element(slot, self.path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() / 2)
    }
}

struct ExpectedLength(usize);

impl Expected for ExpectedLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} elements", self.0)
    }
}

/// An enum as serde knows it: the name of a variant, and what it holds.
pub(super) struct Variant<'p, 'a> {
    variant: SlotDeserializer<'p, 'a>,
    content: Option<SlotDeserializer<'p, 'a>>,
}

impl<'p, 'a> Variant<'p, 'a> {
    pub(super) const fn new(variant: SlotDeserializer<'p, 'a>, content: Option<SlotDeserializer<'p, 'a>>) -> Self {
        Self { variant, content }
    }
}

impl<'p, 'a> EnumAccess<'a> for Variant<'p, 'a> {
    type Error = ReadError;
    type Variant = VariantContent<'p, 'a>;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self::Variant), ReadError> {
        Ok((seed.deserialize(self.variant)?, VariantContent(self.content)))
    }
}

/// What a variant holds.
pub(super) struct VariantContent<'p, 'a>(Option<SlotDeserializer<'p, 'a>>);

impl<'p, 'a> VariantContent<'p, 'a> {
    fn some(self, expected: &dyn Expected) -> Result<SlotDeserializer<'p, 'a>, ReadError> {
        self.0.ok_or_else(|| ReadError::invalid_type(Unexpected::UnitVariant, expected))
    }
}

impl<'a> VariantAccess<'a> for VariantContent<'_, 'a> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.0.map(|content| content.content()).transpose()? {
            None | Some(Content::Scalar(Scalar::Null)) => Ok(()),
            Some(_) => {
                Err(ReadError::invalid_type(Unexpected::Other("a variant that holds something"), &"unit variant"))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(self.some(&"newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.some(&"tuple variant")?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, ReadError> {
        self.some(&"struct variant")?.deserialize_any(visitor)
    }
}

/// A tuple or set as a variant of the enum that a [`Value`](daffi_serde::Value) is read by.
pub(super) struct Exact<'p, 'a> {
    content: SlotDeserializer<'p, 'a>,
    index: u32,
}

impl<'p, 'a> Exact<'p, 'a> {
    pub(super) const fn new(content: SlotDeserializer<'p, 'a>, index: u32) -> Self {
        Self { content, index }
    }
}

impl<'p, 'a> EnumAccess<'a> for Exact<'p, 'a> {
    type Error = ReadError;
    type Variant = VariantContent<'p, 'a>;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self::Variant), ReadError> {
        let index: U32Deserializer<ReadError> = self.index.into_deserializer();
        Ok((seed.deserialize(index)?, VariantContent(Some(self.content))))
    }
}
