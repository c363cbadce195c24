//! Writing: pickle protocol 4, which every Python since 3.4 reads. It writes no frames and, but for
//! names, no memo: both are optional, and small messages are shorter without them.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use crate::{WriteError, known::Known, opcode as op};

mod args;
mod compound;
mod serializer;
mod special;
#[cfg(test)]
mod tests;

pub(crate) use self::args::ArgsWriter;

/// The protocol that is announced. Only opcodes of it and earlier ones are written.
const PROTOCOL: u8 = 4;

/// Writes one pickle to the end of a buffer. `&mut Writer` is the [`serde::Serializer`].
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    out: &'b mut BytesMut,
    max_depth: usize,
    depth: usize,
    /// Whether what is written is, or is part of, a key of a dict or an element of a set, which
    /// Python must hash.
    hashed: bool,
    /// Which kind of sequence a tag announced: only the very next one is of it.
    next_sequence: Sequence,
    /// Under which number of the memo each name is found, once it was written.
    names: [Option<u8>; Known::COUNT],
    memoized: u8,
}

/// What a sequence is for Python.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    List,
    Set,
    FrozenSet,
}

impl<'b> Writer<'b> {
    /// Begins a pickle.
    pub(crate) fn new(out: &'b mut BytesMut, max_depth: usize) -> Self {
        out.put_slice(&[op::PROTO, PROTOCOL]);
        Self {
            out,
            max_depth,
            depth: 0,
            hashed: false,
            next_sequence: Sequence::default(),
            names: [None; Known::COUNT],
            memoized: 0,
        }
    }

    /// Ends the pickle.
    pub(crate) fn stop(&mut self) {
        self.op(op::STOP);
    }

    /// Writes `((value,), {})` and ends the pickle.
    pub(crate) fn result<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        value.serialize(&mut *self)?;
        self.out.put_slice(&[op::TUPLE1, op::EMPTY_DICT, op::TUPLE2, op::STOP]);
        Ok(())
    }

    fn op(&mut self, opcode: u8) {
        self.out.put_u8(opcode);
    }

    fn int(&mut self, value: i64) {
        if let Ok(value) = u8::try_from(value) {
            self.out.put_slice(&[op::BININT1, value]);
        } else if let Ok(value) = u16::try_from(value) {
            self.op(op::BININT2);
            self.out.put_u16_le(value);
        } else if let Ok(value) = i32::try_from(value) {
            self.op(op::BININT);
            self.out.put_i32_le(value);
        } else {
            self.long(&value.to_le_bytes(), value < 0);
        }
    }

    /// Writes an integer of at most 17 bytes, in two's complement, without the bytes that only
    /// repeat its sign.
    fn long(&mut self, bytes: &[u8], negative: bool) {
        let filler = if negative { 0xff } else { 0 };
        let mut bytes = bytes;
        while let [shorter @ .., last] = bytes
            && *last == filler
            && shorter.last().is_some_and(|next| (*next >= 0x80) == negative)
        {
            bytes = shorter;
        }
        let len = u8::try_from(bytes.len()).expect("the widest integer has 17 bytes");
        self.out.put_slice(&[op::LONG1, len]);
        self.out.put_slice(bytes);
    }

    fn float(&mut self, value: f64) {
        self.op(op::BINFLOAT);
        self.out.put_f64(value);
    }

    fn text(&mut self, text: &str) {
        self.put_len(text.len(), [op::SHORT_BINUNICODE, op::BINUNICODE, op::BINUNICODE8]);
        self.out.put_slice(text.as_bytes());
    }

    fn data(&mut self, data: &[u8]) {
        self.data_header(data.len());
        self.out.put_slice(data);
    }

    fn data_header(&mut self, len: usize) {
        self.put_len(len, [op::SHORT_BINBYTES, op::BINBYTES, op::BINBYTES8]);
    }

    /// Writes the shortest of three opcodes with a length of one, four or eight bytes.
    fn put_len(&mut self, len: usize, [short, medium, long]: [u8; 3]) {
        // This makes room for what follows as well, so that large payloads grow the buffer once.
        self.out.reserve(len.saturating_add(9));
        if let Ok(len) = u8::try_from(len) {
            self.out.put_slice(&[short, len]);
        } else if let Ok(len) = u32::try_from(len) {
            self.op(medium);
            self.out.put_u32_le(len);
        } else {
            self.op(long);
            self.out.put_u64_le(len as u64);
        }
    }

    /// Writes a name, and the second time only its number in the memo.
    fn name(&mut self, name: Known) {
        let place = &mut self.names[name as usize];
        if let Some(index) = *place {
            self.out.put_slice(&[op::BINGET, index]);
            return;
        }
        *place = Some(self.memoized);
        self.memoized += 1;
        let (module, name) = name.parts();
        self.text(module);
        self.text(name);
        self.out.put_slice(&[op::STACK_GLOBAL, op::MEMOIZE]);
    }

    /// Writes what Python must hash: a key of a dict, or an element of a set.
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WriteError> {
        let outer = std::mem::replace(&mut self.hashed, true);
        let written = key.serialize(&mut *self);
        self.hashed = outer;
        match written {
            // The outermost key says what it is.
            Err(WriteError::Unhashable { kind, key: None }) if !outer => {
                Err(WriteError::Unhashable { kind, key: Some(daffi_serde::value::show(key)) })
            }
            other => other,
        }
    }

    /// Refuses what Python cannot hash, where it must.
    const fn check_hashable(&self, kind: &'static str) -> Result<(), WriteError> {
        if self.hashed { Err(WriteError::Unhashable { kind, key: None }) } else { Ok(()) }
    }

    fn enter(&mut self) -> Result<(), WriteError> {
        if self.depth >= self.max_depth {
            return Err(WriteError::Depth { limit: self.max_depth });
        }
        self.depth += 1;
        Ok(())
    }

    const fn leave(&mut self) {
        self.depth -= 1;
    }
}
