//! A [`Value`] as an enum, for formats whose bytes do not say what they are.
//!
//! A format such as postcard cannot read "whatever is there". Its codec hands what [`tag::VALUE`]
//! announces to [`ExactSerializer`], which puts the kind of every value before it, as the index of
//! an enum variant. When it reads, the codec answers `deserialize_newtype_struct` of that name by
//! `deserialize_enum` with [`NAME`] and [`VARIANTS`]. Nothing is lost on the way: a set stays a
//! set, a date a date.

use serde::{
    Serialize, Serializer,
    ser::{Impossible, SerializeMap, SerializeSeq, SerializeTuple, SerializeTupleVariant},
};

use super::{Value, tag};

/// The name of the enum.
pub const NAME: &str = "Value";

macro_rules! kinds {
    ($($kind:ident = $index:literal,)*) => {
        /// The names of its variants.
        pub const VARIANTS: &[&str] = &[$(stringify!($kind)),*];

        /// A variant. Its number is what is written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($kind,)*
        }

        impl Kind {
            pub(super) const fn index(self) -> u32 {
                match self {
                    $(Self::$kind => $index,)*
                }
            }

            const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }

            pub(super) const fn from_index(index: u64) -> Option<Self> {
                match index {
                    $($index => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    Null = 0, Bool = 1, Int = 2, BigInt = 3, Float = 4, Str = 5, Bytes = 6, List = 7, Tuple = 8, Set = 9,
    FrozenSet = 10, Map = 11, Complex = 12, Date = 13, Time = 14, DateTime = 15, TimeDelta = 16, Decimal = 17, Uuid = 18,
}

/// The index of [`Value::Tuple`], for deserializers that answer with the enum where serde has no
/// method.
pub const TUPLE: u32 = Kind::Tuple.index();
/// The index of [`Value::Set`].
pub const SET: u32 = Kind::Set.index();
/// The index of [`Value::FrozenSet`].
pub const FROZEN_SET: u32 = Kind::FrozenSet.index();

/// Writes a [`Value`] as an enum. Refuses what no value writes itself as.
#[derive(Clone, Copy, Debug)]
pub struct ExactSerializer<S> {
    inner: S,
    list: Kind,
}

impl<S: Serializer> ExactSerializer<S> {
    /// Writes to `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner, list: Kind::List }
    }

    fn one<T: Serialize + ?Sized>(self, kind: Kind, content: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_variant(NAME, kind.index(), kind.name(), content)
    }

    fn many(self, kind: Kind, len: usize, fields: usize) -> Result<Fields<S::SerializeTupleVariant>, S::Error> {
        let mut fields = self.inner.serialize_tuple_variant(NAME, kind.index(), kind.name(), fields)?;
        // What a format that does not describe itself writes before the elements of a sequence.
        fields.serialize_field(&(len as u64))?;
        Ok(Fields(fields))
    }

    fn special(self, value: &Value) -> Result<S::Ok, S::Error> {
        match value {
            Value::BigInt(big) => self.one(Kind::BigInt, &Octets(&big.to_signed_bytes_le())),
            Value::Complex(real, imaginary) => self.one(Kind::Complex, &(real, imaginary)),
            Value::Date(date) => self.one(Kind::Date, &date.to_string()),
            Value::Time(time) => self.one(Kind::Time, &time.to_string()),
            Value::DateTime(moment) => self.one(Kind::DateTime, &moment.to_string()),
            Value::TimeDelta(d) => self.one(Kind::TimeDelta, &(d.days, d.seconds, d.microseconds)),
            Value::Decimal(text) => self.one(Kind::Decimal, text),
            Value::Uuid(uuid) => self.one(Kind::Uuid, &**uuid),
            _ => Err(no_value()),
        }
    }
}

fn no_value<E: serde::ser::Error>() -> E {
    E::custom("not the form of any Value")
}

impl<S: Serializer> Serializer for ExactSerializer<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Fields<S::SerializeTupleVariant>;
    type SerializeTuple = Fields<S::SerializeTupleVariant>;
    type SerializeTupleStruct = Impossible<S::Ok, S::Error>;
    type SerializeTupleVariant = Impossible<S::Ok, S::Error>;
    type SerializeMap = Fields<S::SerializeTupleVariant>;
    type SerializeStruct = Impossible<S::Ok, S::Error>;
    type SerializeStructVariant = Impossible<S::Ok, S::Error>;

    fn serialize_bool(self, value: bool) -> Result<S::Ok, S::Error> {
        self.one(Kind::Bool, &value)
    }

    fn serialize_i64(self, value: i64) -> Result<S::Ok, S::Error> {
        self.serialize_i128(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<S::Ok, S::Error> {
        self.serialize_i128(value.into())
    }

    fn serialize_i128(self, value: i128) -> Result<S::Ok, S::Error> {
        self.one(Kind::Int, &value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        self.one(Kind::Float, &value)
    }

    fn serialize_str(self, value: &str) -> Result<S::Ok, S::Error> {
        self.one(Kind::Str, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, S::Error> {
        self.one(Kind::Bytes, &Octets(value))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(NAME, Kind::Null.index(), Kind::Null.name())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        content: &T,
    ) -> Result<S::Ok, S::Error> {
        match name {
            tag::VALUE => content.serialize(Self::new(self.inner)),
            tag::SET => content.serialize(Self { list: Kind::Set, ..self }),
            tag::FROZEN_SET => content.serialize(Self { list: Kind::FrozenSet, ..self }),
            name => match tag::special(name, content) {
                Some(value) => self.special(&value),
                None => Err(no_value()),
            },
        }
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        let len = len.ok_or_else(no_value)?;
        let kind = self.list;
        self.many(kind, len, len.saturating_add(1))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.many(Kind::Tuple, len, len.saturating_add(1))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let len = len.ok_or_else(no_value)?;
        self.many(Kind::Map, len, len.saturating_mul(2).saturating_add(1))
    }

    refuse_rest! {
        Err(no_value());
        i8 i16 i32 u8 u16 u32 u128 f32 char none some unit_struct unit_variant newtype_variant tuple_struct tuple_variant
        struct struct_variant
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// The elements of a list or the entries of a map being written.
#[expect(missing_debug_implementations, reason = "lives within one call")]
pub struct Fields<S>(S);

/// An element, written as the enum too.
struct Exact<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Exact<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(ExactSerializer::new(serializer))
    }
}

struct Octets<'a>(&'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<S: SerializeTupleVariant> SerializeSeq for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), S::Error> {
        self.0.serialize_field(&Exact(item))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

impl<S: SerializeTupleVariant> SerializeTuple for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), S::Error> {
        self.0.serialize_field(&Exact(item))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

impl<S: SerializeTupleVariant> SerializeMap for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_field(&Exact(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_field(&Exact(value))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}
