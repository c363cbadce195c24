//! A [`Value`] as any type.

use std::marker::PhantomData;

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, Error, Expected, IntoDeserializer, Unexpected, VariantAccess,
        Visitor,
        value::{MapDeserializer, SeqDeserializer, U32Deserializer},
    },
    forward_to_deserialize_any,
};

use super::{Value, exact::Kind, serialize::hyphenate, tag};
use crate::buffered::{visit_kept_bytes, visit_octets};

/// A value as a `T`. [`Value::into_typed`] is the same as a method.
///
/// ```
/// use daffi_serde::value::{Value, from_value};
/// let value = Value::List(vec![1.into(), "two".into()].into());
/// assert_eq!(from_value(value), Ok((1_u8, "two".to_owned())));
/// ```
///
/// # Errors
/// When it is not one; the text names what it is and what was asked for.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, serde::de::value::Error> {
    T::deserialize(ValueDeserializer::new(value))
}

/// The [`Deserializer`] behind [`from_value`], with an error type of its user's choice.
///
/// A type that reads itself as text in some formats (an address, a UUID) does so here. Dates and
/// their like are visited as text, a [`TimeDelta`](super::TimeDelta) as a number of seconds. A
/// [`Value`] read from it is the same value.
///
/// It has no limits. Bytes that came as one value become as many elements as a type asks for: 8
/// times their size in a `Vec<f64>`, 32 times in what serde keeps. A format that reads through it
/// what a stranger sent wraps it in a guard ([`Watch::guard`](crate::guard::Watch::guard)).
#[derive(Clone, Debug)]
pub struct ValueDeserializer<E = serde::de::value::Error> {
    value: Value,
    error: PhantomData<fn() -> E>,
}

impl<E> ValueDeserializer<E> {
    /// Reads `value`.
    #[must_use]
    pub const fn new(value: Value) -> Self {
        Self { value, error: PhantomData }
    }
}

impl<'de, E: Error> IntoDeserializer<'de, E> for Value {
    type Deserializer = ValueDeserializer<E>;

    fn into_deserializer(self) -> ValueDeserializer<E> {
        ValueDeserializer::new(self)
    }
}

impl<'de, E: Error> Deserializer<'de> for ValueDeserializer<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        // Only containers are visited here, because this frame is on the stack once per level of
        // nesting.
        match self.value {
            Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
                visit_items(items, visitor)
            }
            Value::Map(entries) => visit_entries(entries, visitor),
            // Whoever keeps what is there may be asked for a list later, as with payloads.
            Value::Bytes(bytes) => visit_kept_bytes(&bytes, visitor, || Ok(())),
            single => visit_single(single, visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "as serde does with smaller integers")]
        match self.value {
            Value::Int(value) => visitor.visit_f64(value as f64),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.value {
            // Otherwise a String would take bytes that happen to be UTF-8.
            Value::Bytes(_) => Err(E::invalid_type(Unexpected::Other("bytes"), &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.value {
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes.into()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.value {
            Value::Bytes(bytes) => visit_octets(&bytes, visitor, || Ok(())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, E> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, E> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, E> {
        match name {
            tag::VALUE => visitor.visit_enum(ExactAccess(self)),
            tag::RAW_JSON => Err(E::custom(tag::RAW_JSON_UNREAD)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        let (variant, content) = match self.value {
            Value::Str(_) => (self.value, None),
            Value::Map(entries) => match <Box<[_; 1]>>::try_from(entries).map(|one| *one) {
                Ok([(variant, content)]) => (variant, Some(content)),
                Err(entries) => return Err(E::invalid_length(entries.len(), &"a map of one entry: a variant")),
            },
            other => return Err(E::invalid_type(Unexpected::Other(other.kind()), &"the name of a variant, or a map")),
        };
        visitor.visit_enum(Variant { variant, content, error: PhantomData })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 unit unit_struct map struct
    }
}

/// Visits what is no container.
fn visit_single<'de, V: Visitor<'de>, E: Error>(value: Value, visitor: V) -> Result<V::Value, E> {
    match value {
        Value::Null => visitor.visit_unit(),
        Value::Bool(value) => visitor.visit_bool(value),
        Value::Int(value) => visitor.visit_i64(value),
        Value::BigInt(big) => match (i128::try_from(&*big), u128::try_from(&*big)) {
            (Ok(value), _) => visit_int(value, visitor),
            (_, Ok(value)) => visitor.visit_u128(value),
            _ => Err(E::invalid_type(Unexpected::Other("an integer beyond 128 bits"), &visitor)),
        },
        Value::Float(value) => visitor.visit_f64(value),
        Value::Str(text) => visitor.visit_string(text.into()),
        Value::Bytes(bytes) => visitor.visit_byte_buf(bytes.into()),
        Value::Complex(real, imaginary) => visit_items(Box::new([real.into(), imaginary.into()]), visitor),
        Value::Date(date) => visitor.visit_string(date.to_string()),
        Value::Time(time) => visitor.visit_string(time.to_string()),
        Value::DateTime(moment) => visitor.visit_string(moment.iso()),
        Value::TimeDelta(delta) => visitor.visit_f64(delta.as_secs_f64()),
        Value::Decimal(text) => visitor.visit_string(text.into()),
        Value::Uuid(uuid) => visitor.visit_string(hyphenate(*uuid)),
        Value::List(_) | Value::Tuple(_) | Value::Set(_) | Value::FrozenSet(_) | Value::Map(_) => {
            ValueDeserializer::new(value).deserialize_any(visitor)
        }
    }
}

fn visit_int<'de, V: Visitor<'de>, E: Error>(value: i128, visitor: V) -> Result<V::Value, E> {
    if let Ok(value) = u64::try_from(value) { visitor.visit_u64(value) } else { visitor.visit_i128(value) }
}

fn visit_items<'de, V: Visitor<'de>, E: Error>(items: Box<[Value]>, visitor: V) -> Result<V::Value, E> {
    let mut items = SeqDeserializer::new(items.into_iter());
    let made = visitor.visit_seq(&mut items)?;
    items.end().map(|()| made)
}

fn visit_entries<'de, V: Visitor<'de>, E: Error>(entries: Box<[(Value, Value)]>, visitor: V) -> Result<V::Value, E> {
    let mut entries = MapDeserializer::new(entries.into_iter());
    let made = visitor.visit_map(&mut entries)?;
    entries.end().map(|()| made)
}

/// An enum as serde knows it: a variant, and what it holds.
struct Variant<E> {
    variant: Value,
    content: Option<Value>,
    error: PhantomData<fn() -> E>,
}

impl<'de, E: Error> EnumAccess<'de> for Variant<E> {
    type Error = E;
    type Variant = Content<E>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<E>), E> {
        let content = self.content.map(ValueDeserializer::new);
        Ok((seed.deserialize(ValueDeserializer::new(self.variant))?, Content(content)))
    }
}

/// A value as the enum of [`exact`](super::exact).
struct ExactAccess<E>(ValueDeserializer<E>);

impl<'de, E: Error> EnumAccess<'de> for ExactAccess<E> {
    type Error = E;
    type Variant = Content<E>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<E>), E> {
        let (kind, content) = exactly(self.0.value);
        let index: U32Deserializer<E> = kind.index().into_deserializer();
        Ok((seed.deserialize(index)?, Content(Some(ValueDeserializer::new(content)))))
    }
}

/// A value's kind, and what the enum holds for it.
fn exactly(value: Value) -> (Kind, Value) {
    match value {
        Value::Null => (Kind::Null, Value::Null),
        Value::Bool(_) => (Kind::Bool, value),
        Value::Int(_) => (Kind::Int, value),
        Value::BigInt(big) => (Kind::BigInt, Value::Bytes(big.to_signed_bytes_le().into())),
        Value::Float(_) => (Kind::Float, value),
        Value::Str(_) => (Kind::Str, value),
        Value::Bytes(_) => (Kind::Bytes, value),
        Value::List(_) => (Kind::List, value),
        Value::Tuple(_) => (Kind::Tuple, value),
        Value::Set(_) => (Kind::Set, value),
        Value::FrozenSet(_) => (Kind::FrozenSet, value),
        Value::Map(_) => (Kind::Map, value),
        Value::Complex(..) => (Kind::Complex, value),
        Value::Date(_) => (Kind::Date, value),
        Value::Time(_) => (Kind::Time, value),
        Value::DateTime(moment) => (Kind::DateTime, moment.to_string().into()),
        Value::TimeDelta(delta) => {
            (Kind::TimeDelta, Value::from(vec![i64::from(delta.days), delta.seconds.into(), delta.microseconds.into()]))
        }
        Value::Decimal(_) => (Kind::Decimal, value),
        Value::Uuid(uuid) => (Kind::Uuid, (*uuid).into()),
    }
}

/// What a variant holds.
struct Content<E>(Option<ValueDeserializer<E>>);

impl<E: Error> Content<E> {
    fn some(self, expected: &dyn Expected) -> Result<ValueDeserializer<E>, E> {
        self.0.ok_or_else(|| E::invalid_type(Unexpected::UnitVariant, expected))
    }
}

impl<'de, E: Error> VariantAccess<'de> for Content<E> {
    type Error = E;

    fn unit_variant(self) -> Result<(), E> {
        match self.0 {
            None | Some(ValueDeserializer { value: Value::Null, .. }) => Ok(()),
            Some(content) => Err(E::invalid_type(Unexpected::Other(content.value.kind()), &"unit variant")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, E> {
        seed.deserialize(self.some(&"newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, E> {
        self.some(&"tuple variant")?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, E> {
        self.some(&"struct variant")?.deserialize_any(visitor)
    }
}
