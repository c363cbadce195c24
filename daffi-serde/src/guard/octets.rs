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

    refuse_rest! {
        Err(NoOctet);
        bool i8 i16 i32 i64 u16 u32 u64 f32 f64 char str bytes none some unit unit_struct unit_variant newtype_struct
        newtype_variant seq tuple tuple_struct tuple_variant map struct struct_variant collect_str
    }
}
