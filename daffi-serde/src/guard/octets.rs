use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible},
};

/// The `u8` that `value` is, if it writes itself as one.
pub(crate) fn as_octet<T: Serialize + ?Sized>(value: &T) -> Option<u8> {
    value.serialize(OnlyOctet).ok()
}

struct OnlyOctet;

/// An error that carries no text, so that refusing costs nothing.
#[derive(Debug)]
pub(crate) struct NoOctet;

impl fmt::Display for NoOctet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a u8")
    }
}

impl std::error::Error for NoOctet {}

impl Error for NoOctet {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! refuse {
    ($($method:ident($($ty:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $ty),*) -> Result<$ok, NoOctet> {
            Err(NoOctet)
        }
    )*};
}

impl Serializer for OnlyOctet {
    type Ok = u8;
    type Error = NoOctet;
    type SerializeSeq = Impossible<u8, NoOctet>;
    type SerializeTuple = Impossible<u8, NoOctet>;
    type SerializeTupleStruct = Impossible<u8, NoOctet>;
    type SerializeTupleVariant = Impossible<u8, NoOctet>;
    type SerializeMap = Impossible<u8, NoOctet>;
    type SerializeStruct = Impossible<u8, NoOctet>;
    type SerializeStructVariant = Impossible<u8, NoOctet>;

    fn serialize_u8(self, value: u8) -> Result<u8, NoOctet> {
        Ok(value)
    }

    refuse! {
        serialize_bool(bool) -> u8;
        serialize_i8(i8) -> u8;
        serialize_i16(i16) -> u8;
        serialize_i32(i32) -> u8;
        serialize_i64(i64) -> u8;
        serialize_u16(u16) -> u8;
        serialize_u32(u32) -> u8;
        serialize_u64(u64) -> u8;
        serialize_f32(f32) -> u8;
        serialize_f64(f64) -> u8;
        serialize_char(char) -> u8;
        serialize_str(&str) -> u8;
        serialize_bytes(&[u8]) -> u8;
        serialize_none() -> u8;
        serialize_unit() -> u8;
        serialize_unit_struct(&'static str) -> u8;
        serialize_unit_variant(&'static str, u32, &'static str) -> u8;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<u8, NoOctet> {
        Err(NoOctet)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<u8, NoOctet> {
        Err(NoOctet)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<u8, NoOctet> {
        Err(NoOctet)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<u8, NoOctet> {
        Err(NoOctet)
    }
}
