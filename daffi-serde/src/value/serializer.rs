//! Any serialisable value as a [`Value`].

use serde::{
    Serialize, Serializer,
    de::value::Error,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{StructOrNumber, Value, tag};

/// Makes a [`Value`] of anything serialisable: structs become maps, enums text or a map of one, as
/// in JSON.
///
/// ```
/// use daffi_serde::{Value, value::to_value};
/// let pair = to_value(&(1, "two"))?;
/// assert_eq!(pair, Value::Tuple(vec![Value::Int(1), Value::Str("two".into())].into()));
/// # Ok::<(), serde::de::value::Error>(())
/// ```
///
/// # Errors
/// The errors that the value itself makes; and one for a number that came with all its digits
/// ([`tag::NUMBER`]) and is beyond the largest float.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Error> {
    value.serialize(ValueSerializer::new())
}

/// The [`Serializer`] behind [`to_value`].
#[derive(Clone, Copy, Debug)]
pub struct ValueSerializer {
    human_readable: bool,
}

impl ValueSerializer {
    /// A serializer in which types that write themselves as text in some formats (addresses, UUIDs)
    /// do so.
    #[must_use]
    pub const fn new() -> Self {
        Self { human_readable: true }
    }

    /// A serializer in which types that have a binary form write that one.
    pub(super) const fn exact() -> Self {
        Self { human_readable: false }
    }
}

impl Default for ValueSerializer {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! as_int {
    ($($method:ident: $ty:ty),*) => {$(
        fn $method(self, value: $ty) -> Result<Value, Error> {
            Ok(value.into())
        }
    )*};
}

impl Serializer for ValueSerializer {
    type Ok = Value;
    type Error = Error;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = StructOrNumber<Self, Entries>;
    type SerializeStructVariant = Entries;

    as_int! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_bool(self, value: bool) -> Result<Value, Error> {
        Ok(Value::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Value, Error> {
        Ok(Value::Float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Error> {
        Ok(Value::Float(value))
    }

    fn serialize_char(self, value: char) -> Result<Value, Error> {
        Ok(value.into())
    }

    fn serialize_str(self, value: &str) -> Result<Value, Error> {
        Ok(Value::Str(value.into()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, Error> {
        Ok(Value::Bytes(value.into()))
    }

    fn serialize_none(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Error> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<Value, Error> {
        if let Some(special) = tag::special(name, value) {
            return Ok(special);
        }
        Ok(match (name, value.serialize(self)?) {
            (tag::SET, Value::List(items)) => Value::Set(items),
            (tag::FROZEN_SET, Value::List(items)) => Value::FrozenSet(items),
            (_, value) => value,
        })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Error> {
        Ok(variant_of(variant, value.serialize(self)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items, Error> {
        Ok(Items { serializer: self, items: Vec::with_capacity(len.unwrap_or(0)), made: Made::List })
    }

    fn serialize_tuple(self, len: usize) -> Result<Items, Error> {
        Ok(Items { serializer: self, items: Vec::with_capacity(len), made: Made::Tuple })
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Items, Error> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items, Error> {
        Ok(Items { serializer: self, items: Vec::with_capacity(len), made: Made::Variant(variant) })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Entries, Error> {
        Ok(Entries { serializer: self, entries: Vec::with_capacity(len.unwrap_or(0)), key: None, variant: None })
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, Error> {
        StructOrNumber::new(self, name, |serializer| serializer.serialize_map(Some(len)))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Entries, Error> {
        Ok(Entries { variant: Some(variant), ..self.serialize_map(Some(len))? })
    }

    fn is_human_readable(&self) -> bool {
        self.human_readable
    }
}

fn variant_of(variant: &str, content: Value) -> Value {
    Value::Map(Box::new([(variant.into(), content)]))
}

enum Made {
    List,
    Tuple,
    Variant(&'static str),
}

/// A list, tuple or tuple variant being made.
#[expect(missing_debug_implementations, reason = "lives within one call")]
#[expect(unnameable_types, reason = "only the serializer makes it")]
pub struct Items {
    serializer: ValueSerializer,
    items: Vec<Value>,
    made: Made,
}

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.items.push(value.serialize(self.serializer)?);
        Ok(())
    }

    fn finish(self) -> Value {
        match self.made {
            Made::List => Value::List(self.items.into()),
            Made::Tuple => Value::Tuple(self.items.into()),
            Made::Variant(variant) => variant_of(variant, Value::Tuple(self.items.into())),
        }
    }
}

macro_rules! items {
    ($($of:ident $method:ident),*) => {$(
        impl $of for Items {
            type Ok = Value;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.push(value)
            }

            fn end(self) -> Result<Value, Error> {
                Ok(self.finish())
            }
        }
    )*};
}

items! {
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

/// A map, struct or struct variant being made.
#[expect(missing_debug_implementations, reason = "lives within one call")]
#[expect(unnameable_types, reason = "only the serializer makes it")]
pub struct Entries {
    serializer: ValueSerializer,
    entries: Vec<(Value, Value)>,
    key: Option<Value>,
    variant: Option<&'static str>,
}

impl SerializeMap for Entries {
    type Ok = Value;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = Some(key.serialize(self.serializer)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = self.key.take().ok_or_else(|| Error::custom("a map's value was written before its key"))?;
        self.entries.push((key, value.serialize(self.serializer)?));
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(Value::Map(self.entries.into()))
    }
}

macro_rules! fields {
    ($($of:ident),*) => {$(
        impl $of for Entries {
            type Ok = Value;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
                self.entries.push((key.into(), value.serialize(self.serializer)?));
                Ok(())
            }

            fn end(self) -> Result<Value, Error> {
                let map = Value::Map(self.entries.into());
                Ok(match self.variant {
                    Some(variant) => variant_of(variant, map),
                    None => map,
                })
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);
