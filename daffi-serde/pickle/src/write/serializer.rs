use std::any::type_name;

use daffi_serde::{
    Value,
    value::{StructOrNumber, ValueSerializer, tag},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{
    Sequence, Writer,
    compound::{DictWriter, SequenceWriter, TupleWriter, close_variant, open_variant},
};
use crate::{WriteError, opcode as op};

macro_rules! ints {
    ($($method:ident: $ty:ty),*) => {$(
        fn $method(self, value: $ty) -> Result<(), WriteError> {
            self.int(value.into());
            Ok(())
        }
    )*};
}

impl<'a, 'b> Serializer for &'a mut Writer<'b> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = SequenceWriter<'a, 'b>;
    type SerializeTuple = TupleWriter<'a, 'b>;
    type SerializeTupleStruct = TupleWriter<'a, 'b>;
    type SerializeTupleVariant = TupleWriter<'a, 'b>;
    type SerializeMap = DictWriter<'a, 'b>;
    type SerializeStruct = StructOrNumber<Self, DictWriter<'a, 'b>>;
    type SerializeStructVariant = DictWriter<'a, 'b>;

    ints! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32
    }

    fn serialize_u64(self, value: u64) -> Result<(), WriteError> {
        self.serialize_u128(value.into())
    }

    fn serialize_i128(self, value: i128) -> Result<(), WriteError> {
        match i64::try_from(value) {
            Ok(value) => self.int(value),
            Err(_) => self.long(&value.to_le_bytes(), value < 0),
        }
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), WriteError> {
        match i64::try_from(value) {
            Ok(value) => self.int(value),
            Err(_) => {
                let mut signed = [0; 17];
                signed[..16].copy_from_slice(&value.to_le_bytes());
                self.long(&signed, false);
            }
        }
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<(), WriteError> {
        self.op(if value { op::NEWTRUE } else { op::NEWFALSE });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), WriteError> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), WriteError> {
        self.float(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), WriteError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), WriteError> {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), WriteError> {
        self.data(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WriteError> {
        self.op(op::NONE);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), WriteError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), WriteError> {
        if let Some(special) = tag::special(name, value) {
            return self.special(&special);
        }
        self.next_sequence = match name {
            tag::SET => Sequence::Set,
            tag::FROZEN_SET => Sequence::FrozenSet,
            _ => Sequence::List,
        };
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        open_variant(self, variant)?;
        value.serialize(&mut *self)?;
        close_variant(self);
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, WriteError> {
        SequenceWriter::new(self)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, WriteError> {
        TupleWriter::new(self, len)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, WriteError> {
        TupleWriter::new(self, len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, WriteError> {
        TupleWriter::of_variant(self, variant, len)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, WriteError> {
        DictWriter::new(self)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeStruct, WriteError> {
        StructOrNumber::new(self, name, DictWriter::new)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, WriteError> {
        DictWriter::of_variant(self, variant)
    }

    /// Does what [`Serializer::collect_seq`] does, but writes octets in a row as bytes.
    fn collect_seq<I>(self, items: I) -> Result<(), WriteError>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        if is_octets::<I>() && self.next_sequence == Sequence::List {
            return write_octets(self, items);
        }
        let mut sequence = self.serialize_seq(None)?;
        items.into_iter().try_for_each(|item| sequence.serialize_element(&item))?;
        sequence.end()
    }
}

/// Whether serde writes a `Vec<u8>` or a slice of `u8`, of which it tells a serializer only that it
/// is a sequence.
///
/// It looks at the name of the type, which may hold references and so has no `TypeId`. Should a
/// compiler name it otherwise, a test says so, and such a value is a list of numbers as in other
/// formats.
fn is_octets<I>() -> bool {
    matches!(type_name::<I>(), "&[u8]" | "&alloc::vec::Vec<u8>")
}

fn write_octets<I>(writer: &mut Writer<'_>, items: I) -> Result<(), WriteError>
where
    I: IntoIterator,
    I::Item: Serialize,
{
    let items = items.into_iter();
    let (announced, _) = items.size_hint();
    writer.data_header(announced);
    let start = writer.out.len();
    writer.out.resize(start + announced, 0);
    let mut written = 0;
    for (place, item) in writer.out[start..].iter_mut().zip(items) {
        // serde shows an element only to a serializer.
        *place = match item.serialize(ValueSerializer::new()) {
            Ok(Value::Int(octet)) => u8::try_from(octet).map_err(serde::ser::Error::custom)?,
            other => return Err(WriteError::Value(format!("{other:?} is no octet"))),
        };
        written += 1;
    }
    if written == announced { Ok(()) } else { Err(WriteError::Length { announced, written }) }
}
