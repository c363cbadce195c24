//! Containers being written.

use serde::{
    Serialize,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};

use super::{Sequence, Writer};
use crate::{WriteError, opcode as op};

/// A list, set or frozen set.
#[derive(Debug)]
pub(crate) struct SequenceWriter<'a, 'b> {
    writer: &'a mut Writer<'b>,
    sequence: Sequence,
    empty: bool,
}

impl<'a, 'b> SequenceWriter<'a, 'b> {
    pub(super) fn new(writer: &'a mut Writer<'b>) -> Result<Self, WriteError> {
        let sequence = std::mem::take(&mut writer.next_sequence);
        match sequence {
            Sequence::List => writer.check_hashable("a list")?,
            Sequence::Set => writer.check_hashable("a set")?,
            Sequence::FrozenSet => {}
        }
        writer.enter()?;
        match sequence {
            Sequence::List => writer.op(op::EMPTY_LIST),
            Sequence::Set => writer.op(op::EMPTY_SET),
            // A frozen set cannot be added to later: its opcode takes all from the mark.
            Sequence::FrozenSet => writer.op(op::MARK),
        }
        Ok(Self { writer, sequence, empty: true })
    }
}

impl SerializeSeq for SequenceWriter<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), WriteError> {
        if self.empty && self.sequence != Sequence::FrozenSet {
            self.writer.op(op::MARK);
        }
        self.empty = false;
        match self.sequence {
            Sequence::List => item.serialize(&mut *self.writer),
            Sequence::Set | Sequence::FrozenSet => self.writer.key(item),
        }
    }

    fn end(self) -> Result<(), WriteError> {
        match self.sequence {
            Sequence::FrozenSet => self.writer.op(op::FROZENSET),
            _ if self.empty => {}
            Sequence::List => self.writer.op(op::APPENDS),
            Sequence::Set => self.writer.op(op::ADDITEMS),
        }
        self.writer.leave();
        Ok(())
    }
}

/// A tuple, or the tuple that a variant holds.
#[derive(Debug)]
pub(crate) struct TupleWriter<'a, 'b> {
    writer: &'a mut Writer<'b>,
    announced: usize,
    written: usize,
    variant: bool,
}

impl<'a, 'b> TupleWriter<'a, 'b> {
    pub(super) fn new(writer: &'a mut Writer<'b>, announced: usize) -> Result<Self, WriteError> {
        writer.enter()?;
        if announced > 3 {
            writer.op(op::MARK);
        }
        Ok(Self { writer, announced, written: 0, variant: false })
    }

    pub(super) fn of_variant(writer: &'a mut Writer<'b>, variant: &str, announced: usize) -> Result<Self, WriteError> {
        open_variant(writer, variant)?;
        Ok(Self { variant: true, ..Self::new(writer, announced)? })
    }
}

impl SerializeTuple for TupleWriter<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), WriteError> {
        self.written += 1;
        item.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), WriteError> {
        let Self { writer, announced, written, variant } = self;
        // Short tuples have no mark: their opcode tells how many elements it takes.
        if announced != written {
            return Err(WriteError::Length { announced, written });
        }
        close_tuple(writer, announced);
        writer.leave();
        if variant {
            close_variant(writer);
        }
        Ok(())
    }
}

/// A dict, or the dict that a variant holds.
#[derive(Debug)]
pub(crate) struct DictWriter<'a, 'b> {
    writer: &'a mut Writer<'b>,
    keys: usize,
    values: usize,
    variant: bool,
}

impl<'a, 'b> DictWriter<'a, 'b> {
    pub(super) fn new(writer: &'a mut Writer<'b>) -> Result<Self, WriteError> {
        writer.check_hashable("a map")?;
        writer.enter()?;
        writer.op(op::EMPTY_DICT);
        Ok(Self { writer, keys: 0, values: 0, variant: false })
    }

    pub(super) fn of_variant(writer: &'a mut Writer<'b>, variant: &str) -> Result<Self, WriteError> {
        open_variant(writer, variant)?;
        Ok(Self { variant: true, ..Self::new(writer)? })
    }

    fn begin_key(&mut self) {
        if self.keys == 0 {
            self.writer.op(op::MARK);
        }
        self.keys += 1;
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), WriteError> {
        self.begin_key();
        self.writer.text(name);
        self.serialize_value(value)
    }
}

impl SerializeMap for DictWriter<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WriteError> {
        self.begin_key();
        self.writer.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.values += 1;
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), WriteError> {
        let Self { writer, keys, values, variant } = self;
        if keys != values {
            return Err(WriteError::Length { announced: keys, written: values });
        }
        if keys > 0 {
            writer.op(op::SETITEMS);
        }
        writer.leave();
        if variant {
            close_variant(writer);
        }
        Ok(())
    }
}

macro_rules! fields {
    ($($trait:ident for $writer:ident;)*) => {$(
        impl $trait for $writer<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &T) -> Result<(), WriteError> {
                self.serialize_element(field)
            }

            fn end(self) -> Result<(), WriteError> {
                SerializeTuple::end(self)
            }
        }
    )*};
    (named: $($trait:ident for $writer:ident;)*) => {$(
        impl $trait for $writer<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                field: &T,
            ) -> Result<(), WriteError> {
                self.field(name, field)
            }

            fn end(self) -> Result<(), WriteError> {
                SerializeMap::end(self)
            }
        }
    )*};
}

fields! {
    SerializeTupleStruct for TupleWriter;
    SerializeTupleVariant for TupleWriter;
}

fields! {
    named:
    SerializeStruct for DictWriter;
    SerializeStructVariant for DictWriter;
}

/// Makes a tuple of the `len` topmost values; of all from the mark when there are more than three.
pub(super) fn close_tuple(writer: &mut Writer<'_>, len: usize) {
    writer.op(match len {
        0 => op::EMPTY_TUPLE,
        1 => op::TUPLE1,
        2 => op::TUPLE2,
        3 => op::TUPLE3,
        _ => op::TUPLE,
    });
}

/// Begins `{variant: ..}`.
pub(super) fn open_variant(writer: &mut Writer<'_>, variant: &str) -> Result<(), WriteError> {
    writer.check_hashable("a variant that holds something, which is a map,")?;
    writer.enter()?;
    writer.op(op::EMPTY_DICT);
    writer.text(variant);
    Ok(())
}

/// Ends `{variant: ..}`.
pub(super) fn close_variant(writer: &mut Writer<'_>) {
    writer.op(op::SETITEM);
    writer.leave();
}
