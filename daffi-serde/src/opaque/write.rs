use std::fmt::{Display, Write};

use bytes::BytesMut;
use serde::{
    Serialize, Serializer,
    de::value::Error,
    ser::{Error as _, Impossible},
};

use crate::value::{PythonFloat, StructOrNumber};

/// Writes one value, and tells whether it is text.
pub(super) struct OpaqueSerializer<'a>(pub(super) &'a mut BytesMut);

impl OpaqueSerializer<'_> {
    fn text(self, text: impl Display) -> Result<bool, Error> {
        write!(self.0, "{text}").map_err(Error::custom)?;
        Ok(true)
    }
}

fn refuse(what: &str) -> Error {
    Error::custom(format_args!("{what} has no OPAQUE form; JSON, MSGPACK and PICKLE carry it"))
}

macro_rules! numbers {
    ($($method:ident: $ty:ty),*) => {$(
        fn $method(self, value: $ty) -> Result<bool, Error> {
            self.text(value)
        }
    )*};
}

impl Serializer for OpaqueSerializer<'_> {
    type Ok = bool;
    type Error = Error;
    type SerializeSeq = Impossible<bool, Error>;
    type SerializeTuple = Impossible<bool, Error>;
    type SerializeTupleStruct = Impossible<bool, Error>;
    type SerializeTupleVariant = Impossible<bool, Error>;
    type SerializeMap = Impossible<bool, Error>;
    type SerializeStruct = StructOrNumber<Self, Impossible<bool, Error>>;
    type SerializeStructVariant = Impossible<bool, Error>;

    numbers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_char: char
    }

    refuse_rest!(Err(refuse("a list")); seq);
    refuse_rest!(Err(refuse("a tuple")); tuple tuple_struct);
    refuse_rest!(Err(refuse("a map")); map);
    refuse_rest!(Err(refuse("a variant with content")); newtype_variant tuple_variant struct_variant);

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeStruct, Error> {
        StructOrNumber::new(self, name, |_| Err(refuse("a struct")))
    }

    fn serialize_bool(self, value: bool) -> Result<bool, Error> {
        self.text(if value { "True" } else { "False" })
    }

    fn serialize_f32(self, value: f32) -> Result<bool, Error> {
        self.text(PythonFloat(value))
    }

    fn serialize_f64(self, value: f64) -> Result<bool, Error> {
        self.text(PythonFloat(value))
    }

    fn serialize_str(self, value: &str) -> Result<bool, Error> {
        self.0.extend_from_slice(value.as_bytes());
        Ok(true)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<bool, Error> {
        self.0.extend_from_slice(value);
        Ok(false)
    }

    fn serialize_none(self) -> Result<bool, Error> {
        self.text("None")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<bool, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<bool, Error> {
        self.text("None")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<bool, Error> {
        self.text("None")
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<bool, Error> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<bool, Error> {
        value.serialize(self)
    }
}
