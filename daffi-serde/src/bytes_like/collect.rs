//! The octets behind a reference in a generic value, which cannot be looked through without
//! `unsafe` but serialised.

use serde::{
    Serialize, Serializer,
    ser::{Impossible, SerializeSeq},
};

use crate::guard::octets::{NoOctet, as_octet};

/// Takes a sequence of octets and refuses everything else.
pub(super) struct Collect;

/// The octets so far.
pub(super) struct Collected(Vec<u8>);

impl SerializeSeq for Collected {
    type Ok = Vec<u8>;
    type Error = NoOctet;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoOctet> {
        self.0.push(as_octet(value).ok_or(NoOctet)?);
        Ok(())
    }

    fn end(self) -> Result<Vec<u8>, NoOctet> {
        Ok(self.0)
    }
}

type Refused = Impossible<Vec<u8>, NoOctet>;

macro_rules! refuse {
    ($($method:ident($($ty:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $ty),*) -> Result<$ok, NoOctet> {
            Err(NoOctet)
        }
    )*};
}

impl Serializer for Collect {
    type Ok = Vec<u8>;
    type Error = NoOctet;
    type SerializeSeq = Collected;
    type SerializeTuple = Refused;
    type SerializeTupleStruct = Refused;
    type SerializeTupleVariant = Refused;
    type SerializeMap = Refused;
    type SerializeStruct = Refused;
    type SerializeStructVariant = Refused;

    fn serialize_seq(self, len: Option<usize>) -> Result<Collected, NoOctet> {
        Ok(Collected(Vec::with_capacity(len.unwrap_or_default())))
    }

    refuse! {
        serialize_bool(bool) -> Vec<u8>;
        serialize_i8(i8) -> Vec<u8>;
        serialize_i16(i16) -> Vec<u8>;
        serialize_i32(i32) -> Vec<u8>;
        serialize_i64(i64) -> Vec<u8>;
        serialize_u8(u8) -> Vec<u8>;
        serialize_u16(u16) -> Vec<u8>;
        serialize_u32(u32) -> Vec<u8>;
        serialize_u64(u64) -> Vec<u8>;
        serialize_f32(f32) -> Vec<u8>;
        serialize_f64(f64) -> Vec<u8>;
        serialize_char(char) -> Vec<u8>;
        serialize_str(&str) -> Vec<u8>;
        serialize_bytes(&[u8]) -> Vec<u8>;
        serialize_none() -> Vec<u8>;
        serialize_unit() -> Vec<u8>;
        serialize_unit_struct(&'static str) -> Vec<u8>;
        serialize_unit_variant(&'static str, u32, &'static str) -> Vec<u8>;
        serialize_tuple(usize) -> Refused;
        serialize_tuple_struct(&'static str, usize) -> Refused;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Refused;
        serialize_map(Option<usize>) -> Refused;
        serialize_struct(&'static str, usize) -> Refused;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Refused;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Vec<u8>, NoOctet> {
        Err(NoOctet)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<Vec<u8>, NoOctet> {
        Err(NoOctet)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Vec<u8>, NoOctet> {
        Err(NoOctet)
    }
}
