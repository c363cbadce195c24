//! How a [`Value`] is read: whatever a format finds, or the enum of [`exact`](super::exact).

use std::{any::type_name, cell::Cell, fmt, marker::PhantomData, str::FromStr};

use bytes::Bytes;
use num_bigint::BigInt;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor},
};

use crate::buffered::Width;

use super::{DateTime, Time, TimeDelta, Value, decimal::is_decimal, exact::Kind, number::Number, tag};

/// No more places than this are made on a format's word alone; later ones are at most as many as
/// are filled already.
const MAX_PLACES_AHEAD: usize = 1024;

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The name lets a format that tells more kinds apart, or fewer, answer with the enum.
        deserializer.deserialize_newtype_struct(tag::VALUE, ValueVisitor)
    }
}

thread_local! {
    /// How wide the integer was that was read last, if it may be an octet of bytes. Whoever wants
    /// to know of one item clears it before. It stands beside the visitors, because one more word
    /// in each of them is paid for by every value.
    static WIDTH: Cell<Option<Width>> = const { Cell::new(None) };
}

struct ValueVisitor;

macro_rules! visit {
    ($($method:ident: $ty:ty),*) => {$(
        fn $method<E>(self, value: $ty) -> Result<Value, E> {
            Ok(value.into())
        }
    )*};
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    visit! {
        visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64,
        visit_str: &str, visit_string: String
    }

    fn visit_i16<E>(self, value: i16) -> Result<Value, E> {
        WIDTH.set(Some(Width::I16));
        Ok(value.into())
    }

    fn visit_i32<E>(self, value: i32) -> Result<Value, E> {
        WIDTH.set(Some(Width::I32));
        Ok(value.into())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.into()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.into()))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        WIDTH.set(None);
        let Some(first) = seq.next_element::<Value>()? else { return Ok(Value::List([].into())) };
        if WIDTH.get() == Some(Width::at(0)) && first.as_i128().is_some() {
            return perhaps_bytes(first, seq);
        }
        let mut items = Vec::new();
        make_room(&mut items, || seq.size_hint());
        items.push(first);
        read_items(items, seq).map(Value::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        if type_name::<A>() == NUMBER_OF_SERDE_JSON {
            return read_number(map);
        }
        ReadEntries.visit_map(map).map(Value::Map)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        // Only containers are read here, because this frame is on the stack once per level of
        // nesting.
        let (kind, content) = data.variant::<Kind>()?;
        match kind {
            Kind::List | Kind::Tuple | Kind::Set | Kind::FrozenSet => {
                let items = content.newtype_variant_seed(ReadItems)?;
                Ok(match kind {
                    Kind::Tuple => Value::Tuple(items),
                    Kind::Set => Value::Set(items),
                    Kind::FrozenSet => Value::FrozenSet(items),
                    _ => Value::List(items),
                })
            }
            Kind::Map => content.newtype_variant_seed(ReadEntries).map(Value::Map),
            _ => read_single(kind, content),
        }
    }
}

/// What `serde_json` hands over in the place of most numbers where its feature
/// `arbitrary_precision` is on, and where none of this project's formats stands between. It is told
/// by its type: a map with the same key is a map, whoever sends it. Its library exports no such
/// type, and a test in a build with the feature holds its name.
const NUMBER_OF_SERDE_JSON: &str = "serde_json::number::NumberDeserializer";

/// The number of which all digits stand in a map of one key.
#[cold]
fn read_number<'de, A: MapAccess<'de>>(mut map: A) -> Result<Value, A::Error> {
    let entry = map.next_entry::<IgnoredAny, String>()?;
    let number = entry.and_then(|(_, digits)| Number::parse(&digits));
    Ok(match number.ok_or_else(|| A::Error::custom("a number beyond what a float holds (1.8e308)"))? {
        Number::Unsigned(integer) => integer.into(),
        Number::Signed(integer) => integer.into(),
        Number::Big(integer) => integer.into(),
        Number::Float(float) => float.into(),
    })
}

/// Bytes that serde kept as a list, if all items are what [`buffered`](crate::buffered) makes of
/// them.
#[cold]
fn perhaps_bytes<'de, A: SeqAccess<'de>>(first: Value, mut seq: A) -> Result<Value, A::Error> {
    let mut items = vec![first];
    let mut are_octets = true;
    WIDTH.set(None);
    while let Some(item) = seq.next_element()? {
        are_octets &= WIDTH.take() == Some(Width::at(items.len()));
        make_room(&mut items, || seq.size_hint());
        items.push(item);
    }
    let octet = |item: &Value| item.as_i128().and_then(|integer| u8::try_from(integer).ok());
    match items.iter().map(octet).collect::<Option<Vec<u8>>>() {
        Some(bytes) if are_octets => Ok(Value::Bytes(bytes.into())),
        _ => Ok(Value::List(items.into())),
    }
}

/// What a variant holds that is no container.
fn read_single<'de, A: VariantAccess<'de>>(kind: Kind, content: A) -> Result<Value, A::Error> {
    Ok(match kind {
        Kind::Null => content.unit_variant()?.into(),
        Kind::Bool => Value::Bool(content.newtype_variant()?),
        Kind::Int => content.newtype_variant::<i128>()?.into(),
        // It travels as bytes, for decimal digits take a time that grows with the square of their
        // number.
        Kind::BigInt => BigInt::from_signed_bytes_le(&content.newtype_variant::<Bytes>()?).into(),
        Kind::Float => Value::Float(content.newtype_variant()?),
        Kind::Str => Value::Str(content.newtype_variant()?),
        Kind::Bytes => content.newtype_variant::<Bytes>()?.into(),
        Kind::Complex => {
            let (real, imaginary) = content.newtype_variant()?;
            Value::Complex(real, imaginary)
        }
        Kind::Date => Value::Date(content.newtype_variant_seed(ReadText::new("a date"))?),
        Kind::Time => content.newtype_variant_seed(ReadText::<Time>::new("a time"))?.into(),
        Kind::DateTime => content.newtype_variant_seed(ReadText::<DateTime>::new("a date and time"))?.into(),
        Kind::TimeDelta => {
            let (days, seconds, microseconds) = content.newtype_variant()?;
            let delta = TimeDelta::new(days, seconds, microseconds);
            Value::TimeDelta(delta.ok_or_else(|| A::Error::custom("a length of time out of range"))?)
        }
        Kind::Decimal => {
            let text: Box<str> = content.newtype_variant()?;
            if !is_decimal(&text) {
                return Err(A::Error::invalid_value(Unexpected::Str(&text), &"a decimal number as Python prints it"));
            }
            Value::Decimal(text)
        }
        Kind::Uuid => Value::Uuid(Box::new(content.newtype_variant()?)),
        Kind::List | Kind::Tuple | Kind::Set | Kind::FrozenSet => Value::List(content.newtype_variant_seed(ReadItems)?),
        Kind::Map => Value::Map(content.newtype_variant_seed(ReadEntries)?),
    })
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Index;
        impl Visitor<'_> for Index {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the index of a variant of Value")
            }

            fn visit_u64<E: Error>(self, index: u64) -> Result<Kind, E> {
                Kind::from_index(index).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(index), &self))
            }
        }
        deserializer.deserialize_identifier(Index)
    }
}

/// Makes room for one more. With a format that knows how many follow, the last place made is the
/// last one needed.
fn make_room<T>(items: &mut Vec<T>, following: impl FnOnce() -> Option<usize>) {
    if items.len() < items.capacity() {
        return;
    }
    let most = items.len().max(MAX_PLACES_AHEAD);
    match following() {
        Some(more) if more > 0 || items.is_empty() => items.reserve_exact(more.saturating_add(1).min(most)),
        // Few lists are long, and what grows by halves is never far too large.
        _ => items.reserve_exact((items.len() / 2).max(2)),
    }
}

/// The elements of a list.
struct ReadItems;

impl<'de> Visitor<'de> for ReadItems {
    type Value = Box<[Value]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Box<[Value]>, A::Error> {
        read_items(Vec::new(), seq)
    }
}

fn read_items<'de, A: SeqAccess<'de>>(mut items: Vec<Value>, mut seq: A) -> Result<Box<[Value]>, A::Error> {
    while let Some(item) = seq.next_element()? {
        make_room(&mut items, || seq.size_hint());
        items.push(item);
    }
    Ok(items.into())
}

impl<'de> DeserializeSeed<'de> for ReadItems {
    type Value = Box<[Value]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Box<[Value]>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

/// The entries of a map.
struct ReadEntries;

impl<'de> Visitor<'de> for ReadEntries {
    type Value = Box<[(Value, Value)]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Box<[(Value, Value)]>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            make_room(&mut entries, || map.size_hint());
            entries.push(entry);
        }
        Ok(entries.into())
    }
}

impl<'de> DeserializeSeed<'de> for ReadEntries {
    type Value = Box<[(Value, Value)]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Box<[(Value, Value)]>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// Text that is parsed.
struct ReadText<T> {
    expected: &'static str,
    made: PhantomData<T>,
}

impl<T> ReadText<T> {
    const fn new(expected: &'static str) -> Self {
        Self { expected, made: PhantomData }
    }
}

impl<T: FromStr> Visitor<'_> for ReadText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de, T: FromStr> DeserializeSeed<'de> for ReadText<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}
