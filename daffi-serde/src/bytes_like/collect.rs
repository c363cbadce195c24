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

    refuse_rest! {
        Err(NoOctet);
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str bytes none some unit unit_struct unit_variant newtype_struct
        newtype_variant tuple tuple_struct tuple_variant map struct struct_variant collect_str
    }
}
