//! Numbers that a library gives as maps: `serde_json` does once any crate of a build turns on its
//! feature `arbitrary_precision`, for all numbers but integers of 64 bits.

use std::{any::TypeId, marker::PhantomData, sync::OnceLock};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor, value::BorrowedStrDeserializer},
    forward_to_deserialize_any,
};

use super::{
    Rules,
    visitor::{Asked, Watched},
};
use crate::value::{Number, tag};

impl<'de, R: Rules, V: Visitor<'de>> Watched<'_, R, V> {
    /// A map that may be a number.
    pub(super) fn visit_map_or_number<A: MapAccess<'de>>(self, mut inner: A) -> Result<V::Value, A::Error> {
        if self.watch.numbers_as_maps() != Some(typeid::of::<A>()) {
            return self.visit_entries(inner);
        }
        let _one_for_all: Option<IgnoredAny> = inner.next_key()?;
        let digits: String = inner.next_value()?;
        self.visit_number(digits)
    }

    /// A number with the digits that it has in the payload: to whoever does not know such maps what
    /// it is without the feature.
    fn visit_number<E: Error>(self, digits: String) -> Result<V::Value, E> {
        if self.asked != Asked::Value && !is_kept_by_serde::<V::Value>() {
            // Who asks for whatever is there may be one of those for whom the feature was made, and
            // keep all digits.
            return self.visitor.visit_map(NumberEntry { digits: Some(digits), error: PhantomData });
        }
        match Number::parse(&digits) {
            Some(Number::Float(float)) => self.visitor.visit_f64(float),
            Some(_) => self.wide_integer(&digits),
            None => Err(E::custom("number out of range")),
        }
    }
}

/// The entry that a number is, as the library gave it.
struct NumberEntry<E> {
    digits: Option<String>,
    error: PhantomData<E>,
}

impl<'de, E: Error> MapAccess<'de> for NumberEntry<E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, E> {
        match self.digits {
            Some(_) => seed.deserialize(BorrowedStrDeserializer::new(tag::NUMBER)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, E> {
        let digits = self.digits.take().ok_or_else(|| E::custom("a value was asked for before its key"))?;
        seed.deserialize(digits.into_deserializer())
    }
}

/// Whether `T` is what serde keeps until it knows the type, which no number is read from when it
/// came as a map. serde does not name it, so it is found by a type that is kept so.
fn is_kept_by_serde<T>() -> bool {
    static KEPT: OnceLock<Option<TypeId>> = OnceLock::new();
    let kept = KEPT.get_or_init(|| {
        let mut kept = None;
        let _refused = KeptFirst::deserialize(WhoAsks(&mut kept));
        kept
    });
    *kept == Some(typeid::of::<T>())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum KeptFirst {
    Nothing,
}

struct WhoAsks<'a>(&'a mut Option<TypeId>);

impl<'de> Deserializer<'de> for WhoAsks<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        *self.0 = Some(typeid::of::<V::Value>());
        Err(Error::custom("nothing"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
