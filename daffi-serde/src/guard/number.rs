//! Numbers that a library gives as maps: `serde_json` does once any crate of a build turns on its
//! feature `arbitrary_precision`, for all numbers but integers of 64 bits.

use std::{any::TypeId, fmt, marker::PhantomData, sync::OnceLock};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor,
        value::{BorrowedStrDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    Rules,
    visitor::{Asked, Watched},
};
use crate::value::Number;

impl<'de, R: Rules, V: Visitor<'de>> Watched<'_, R, V> {
    /// A map that may be a number.
    pub(super) fn visit_map_or_number<A: MapAccess<'de>>(self, mut inner: A) -> Result<V::Value, A::Error> {
        match inner.next_key_seed(ReadKey)? {
            Some(Key::Lent(key)) if self.watch.is_number(key) => {
                let digits: String = inner.next_value()?;
                self.visit_number(key, digits)
            }
            first => self.visit_entries(WithFirst { first, inner }),
        }
    }

    /// A number with the digits that it has in the payload: to whoever does not know such maps what
    /// it is without the feature.
    fn visit_number<E: Error>(self, key: &'de str, digits: String) -> Result<V::Value, E> {
        if self.asked != Asked::Value && !is_kept_by_serde::<V::Value>() {
            // Who asks for whatever is there may be one of those for whom the feature was made, and
            // keep all digits.
            let entry = NumberEntry { key, digits: Some(digits), error: PhantomData };
            return self.visitor.visit_map(entry);
        }
        match Number::parse(&digits) {
            Some(Number::Float(float)) => self.visitor.visit_f64(float),
            Some(_) => self.wide_integer(&digits),
            None => Err(E::custom("number out of range")),
        }
    }
}

/// The entry that a number is, as the library gave it.
struct NumberEntry<'de, E> {
    key: &'de str,
    digits: Option<String>,
    error: PhantomData<E>,
}

impl<'de, E: Error> MapAccess<'de> for NumberEntry<'de, E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, E> {
        match self.digits {
            Some(_) => seed.deserialize(BorrowedStrDeserializer::new(self.key)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, E> {
        let digits = self.digits.take().ok_or_else(|| E::custom("a value was asked for before its key"))?;
        seed.deserialize(digits.into_deserializer())
    }
}

/// A key of a map in a format where all are text.
enum Key<'de> {
    Lent(&'de str),
    Own(String),
}

struct ReadKey;

impl<'de> DeserializeSeed<'de> for ReadKey {
    type Value = Key<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for ReadKey {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of text")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key::Lent(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key::Own(key.to_owned()))
    }
}

/// A map whose first key was read already.
struct WithFirst<'de, A> {
    first: Option<Key<'de>>,
    inner: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithFirst<'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(Key::Lent(key)) => seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some),
            Some(Key::Own(key)) => seed.deserialize(StrDeserializer::new(&key)).map(Some),
            None => self.inner.next_key_seed(seed),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
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
