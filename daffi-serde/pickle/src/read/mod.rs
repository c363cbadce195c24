//! Reading, in two steps: a [`Machine`] runs the opcodes and notes what they build, a
//! [`SlotDeserializer`] visits that with the types that were asked for. Text and bytes stay in the
//! input until then.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use bytes::Bytes;
use daffi_serde::{ValueLimits, envelope::lossy_text};

use crate::{ReadError, opcode as op};

mod access;
mod arena;
mod calendar;
mod call;
mod deserialize;
mod input;
mod int;
mod look;
mod machine;
mod memo;
mod scalar;
mod sharing;
mod slot;
#[cfg(test)]
mod tests;
mod text;
mod walk;
mod work;
mod zone;

pub(crate) use self::{arena::Items, deserialize::SlotDeserializer, machine::Unknown, slot::Slot, walk::Walk};
use self::{
    arena::{Arena, Kind},
    machine::Machine,
    scalar::Scalar,
    sharing::Weights,
    slot::Place,
    work::Work,
};

/// Bytes of this length or more are shared with the input rather than copied.
pub(crate) const SHARED_FROM: usize = 4096;

/// What one value may take when nothing is known of its type but that it has one.
const TYPED_COST: usize = 16;
/// What one [`Value`](daffi_serde::Value) takes.
const VALUE_COST: usize = size_of::<daffi_serde::Value>();

const NO_KEYWORD: ReadError = ReadError::Envelope("arguments: a keyword is not text");

/// A pickle that was run to its end.
#[derive(Debug)]
pub(crate) struct Loaded<'a> {
    input: &'a [u8],
    arena: Arena,
    /// What the pickle stands for.
    pub(crate) root: Slot,
    limits: ValueLimits,
    values_left: Cell<usize>,
    /// Bytes that values may still take, text and bytes within them included.
    room: Cell<usize>,
    weights: RefCell<Weights>,
    work: Work,
}

impl<'a> Loaded<'a> {
    /// Runs `bytes`.
    pub(crate) fn new(bytes: &'a [u8], limits: ValueLimits, unknown: Unknown) -> Result<Self, ReadError> {
        let (mut arena, root, work) = Machine::new(bytes, limits.decode_bound(bytes.len()), unknown)?.run()?;
        let room = Cell::new(arena.settle());
        let values_left = Cell::new(limits.max_values);
        Ok(Self { input: bytes, arena, root, limits, values_left, room, weights: RefCell::default(), work })
    }

    /// What reads the value of a slot.
    pub(crate) const fn at(&self, slot: Slot) -> SlotDeserializer<'_, 'a> {
        SlotDeserializer::new(self, slot)
    }

    /// Counts arguments.
    pub(crate) fn count(&self, values: usize) -> Result<(), ReadError> {
        self.count_at(values, VALUE_COST)
    }

    /// Counts values that are about to be read, and what each is taken to hold.
    fn count_at(&self, values: usize, cost: usize) -> Result<(), ReadError> {
        let left = self.values_left.get().checked_sub(values);
        self.values_left.set(left.ok_or(ReadError::Values { limit: self.limits.max_values })?);
        self.take_room(values.saturating_mul(cost))
    }

    /// Counts one of the elements that bytes become, which may be as large as any value.
    fn count_octet(&self) -> Result<(), ReadError> {
        self.count_at(1, TYPED_COST).map_err(|error| match error {
            ReadError::Values { limit } => ReadError::Octets { limit },
            other => other,
        })
    }

    fn take_room(&self, bytes: usize) -> Result<(), ReadError> {
        let limit = self.limits.decode_bound(self.input.len());
        self.room.set(self.room.get().checked_sub(bytes).ok_or(ReadError::Memory { limit })?);
        Ok(())
    }

    fn kind(&self, slot: Slot) -> Option<Kind> {
        match slot.place() {
            Place::Node(node) => Some(self.arena.kind(node)),
            Place::Input(_) => None,
        }
    }

    fn scalar(&self, slot: Slot) -> Option<Scalar<'a>> {
        match slot.place() {
            Place::Input(at) => scalar::read(self.input, at, &self.work).ok(),
            Place::Node(_) => None,
        }
    }

    /// The opcode that makes a value which the input holds in one piece.
    fn opcode(&self, slot: Slot) -> Option<u8> {
        match slot.place() {
            Place::Input(at) => self.input.get(at).copied(),
            Place::Node(_) => None,
        }
    }

    /// The elements of a tuple or a list.
    pub(crate) fn sequence(&self, slot: Slot) -> Option<Items<'_>> {
        match (slot.place(), self.kind(slot)) {
            (Place::Node(node), Some(Kind::Tuple | Kind::List)) => Some(self.arena.items(node, self.input)),
            (Place::Input(_), _) => {
                matches!(self.opcode(slot)?, op::EMPTY_TUPLE | op::EMPTY_LIST).then(|| Items::none(self.input))
            }
            _ => None,
        }
    }

    /// The keys and values of a dict, in turn.
    pub(crate) fn dict(&self, slot: Slot) -> Option<Items<'_>> {
        match (slot.place(), self.kind(slot)) {
            (Place::Node(node), Some(Kind::Dict)) => Some(self.arena.items(node, self.input)),
            (Place::Input(_), _) => (self.opcode(slot)? == op::EMPTY_DICT).then(|| Items::none(self.input)),
            _ => None,
        }
    }

    /// Text, in which a lone surrogate stands as a replacement character.
    pub(crate) fn lossy_text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        match self.scalar(slot)? {
            Scalar::Utf8(bytes) => Some(lossy_text(bytes)),
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The name of a keyword argument, counted as what a callback keeps of it.
    pub(crate) fn keyword(&self, slot: Slot) -> Result<Cow<'a, str>, ReadError> {
        let text = match self.scalar(slot) {
            Some(Scalar::Utf8(bytes)) => {
                self.take_room(bytes.len())?;
                return std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| NO_KEYWORD);
            }
            Some(Scalar::Text(text)) => text,
            _ => return Err(self.work.check().err().unwrap_or(NO_KEYWORD)),
        };
        self.take_room(text.len())?;
        Ok(text)
    }

    /// Large bytes that can be shared with `input`, which is what was run.
    pub(crate) fn shared_bytes(&self, slot: Slot, input: &Bytes) -> Option<Bytes> {
        match self.scalar(slot)? {
            Scalar::Data(data) if data.len() >= SHARED_FROM => Some(input.slice_ref(data)),
            _ => None,
        }
    }

    /// Whether these are bytes, and none.
    pub(crate) fn is_empty_data(&self, slot: Slot) -> bool {
        matches!(self.scalar(slot), Some(Scalar::Data(data)) if data.is_empty())
    }
}
