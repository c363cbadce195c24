//! What lies in the slots of a machine that runs.

use std::borrow::Cow;

use super::{
    arena::{Items, Kind, Owned},
    machine::Machine,
    scalar::{self, Scalar},
    slot::{Place, Slot},
    work::note_steps,
};
use crate::{known::Known, opcode as op};

impl<'a> Machine<'a> {
    /// The opcode that makes a value which the input holds in one piece.
    pub(super) fn opcode_of(&self, slot: Slot) -> Option<u8> {
        match slot.place() {
            Place::Input(at) => self.input.bytes().get(at).copied(),
            Place::Node(_) => None,
        }
    }

    pub(super) fn kind_of(&self, slot: Slot) -> Option<Kind> {
        match slot.place() {
            Place::Node(node) => Some(self.arena.kind(node)),
            Place::Input(_) => None,
        }
    }

    /// The constructor that a slot names.
    pub(super) fn name_of(&self, slot: Slot) -> Option<Known> {
        match slot.place() {
            Place::Node(node) if self.arena.kind(node) == Kind::Name => Some(self.arena.name(node)),
            _ => None,
        }
    }

    pub(super) fn owned(&self, slot: Slot) -> Option<&Owned> {
        match slot.place() {
            Place::Node(node) if self.arena.kind(node) == Kind::Owned => Some(self.arena.owned(node)),
            _ => None,
        }
    }

    /// What an opcode of the input makes by itself; `None` for anything else, and for what is
    /// broken.
    pub(super) fn scalar(&self, slot: Slot) -> Option<Scalar<'a>> {
        match slot.place() {
            Place::Input(at) => scalar::read(self.input.bytes(), at, &self.work).ok(),
            Place::Node(_) => None,
        }
    }

    pub(super) fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        match self.scalar(slot)? {
            Scalar::Utf8(bytes) => {
                self.work.take(bytes.len()).ok()?;
                note_steps(bytes.len());
                std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
            }
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self, slot: Slot) -> Option<i64> {
        match self.scalar(slot)? {
            Scalar::Int(int) => Some(int),
            _ => None,
        }
    }

    /// The elements of a tuple or a list.
    pub(super) fn sequence(&self, slot: Slot) -> Option<Items<'_>> {
        match slot.place() {
            Place::Node(node) if matches!(self.arena.kind(node), Kind::Tuple | Kind::List) => {
                Some(self.arena.items(node, self.input.bytes()))
            }
            Place::Node(_) => None,
            Place::Input(_) => matches!(self.opcode_of(slot)?, op::EMPTY_TUPLE | op::EMPTY_LIST)
                .then(|| Items::none(self.input.bytes())),
        }
    }

    /// The keys and values of a dict, in turn.
    pub(super) fn dict(&self, slot: Slot) -> Option<Items<'_>> {
        match slot.place() {
            Place::Node(node) if self.arena.kind(node) == Kind::Dict => {
                Some(self.arena.items(node, self.input.bytes()))
            }
            Place::Node(_) => None,
            Place::Input(_) => (self.opcode_of(slot)? == op::EMPTY_DICT).then(|| Items::none(self.input.bytes())),
        }
    }
}
