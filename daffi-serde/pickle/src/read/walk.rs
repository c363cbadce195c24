//! Goes through the beginning of a pickle without building anything.

use super::{input::Input, scalar};
use crate::opcode as op;

/// A string of bytes that begins in what is here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteString {
    /// Where its opcode stands.
    pub(crate) head: usize,
    /// Where its bytes begin.
    pub(crate) begin: usize,
    pub(crate) len: u64,
}

/// A walk from opcode to opcode, as far as they make plain data.
pub(crate) struct Walk<'a>(Input<'a>);

impl<'a> Walk<'a> {
    pub(crate) const fn new(pickle: &'a [u8]) -> Self {
        Self(Input::new(pickle))
    }

    /// The next string of bytes, of which the walk stands before the first. `None`: there is none,
    /// or what is before it is not all here, or no plain data.
    pub(crate) fn next_string(&mut self) -> Option<ByteString> {
        let input = &mut self.0;
        loop {
            let opcode = input.opcode().ok()?;
            let len = match opcode {
                op::BINBYTES => input.u32().ok()?.into(),
                op::BINBYTES8 | op::BYTEARRAY8 => input.u64().ok()?,
                _ if scalar::skip(opcode, input).ok()? => continue,
                _ => {
                    input.take(argument(opcode)?).ok()?;
                    continue;
                }
            };
            return Some(ByteString { head: input.op_at(), begin: input.at(), len });
        }
    }

    /// Goes behind so many bytes, which have to be here.
    pub(crate) fn pass(&mut self, len: u64) -> Option<()> {
        self.0.take(len).ok().map(drop)
    }
}

/// Bytes of the argument of an opcode that makes a container, or remembers and recalls.
const fn argument(opcode: u8) -> Option<u64> {
    match opcode {
        op::MARK | op::TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 | op::LIST | op::DICT | op::FROZENSET => Some(0),
        op::APPEND | op::APPENDS | op::SETITEM | op::SETITEMS | op::ADDITEMS | op::MEMOIZE => Some(0),
        op::PROTO | op::BINGET | op::BINPUT => Some(1),
        op::LONG_BINGET | op::LONG_BINPUT => Some(4),
        op::FRAME => Some(8),
        _ => None,
    }
}
