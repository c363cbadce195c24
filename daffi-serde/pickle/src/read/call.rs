//! The constructors of plain data, called as Python's pickles call them.

use std::borrow::Cow;

use daffi_serde::{Value, value::TimeDelta};

use super::{
    calendar,
    graph::{Node, Slot},
    int,
    machine::Machine,
    text::latin1,
};
use crate::{ReadError, decimal::is_decimal, known::Known};

impl<'a> Machine<'a> {
    /// What `callable(*args)` makes; nothing is ever called.
    pub(super) fn call(&mut self, callable: Slot, args: Slot) -> Result<Slot, ReadError> {
        let Slot::Name(name) = callable else {
            return match callable {
                _ if self.skips(callable) => self.graph.add(Node::Skipped),
                _ => Err(self.malformed("it calls what is no name")),
            };
        };
        let args = self.graph.tuple(args).ok_or_else(|| self.malformed("arguments are no tuple"))?;
        // No constructor takes more than three.
        let mut copy = [Slot::Null; 3];
        let made = match copy.get_mut(..args.len()) {
            Some(copy) => {
                copy.copy_from_slice(args);
                self.construct(name, copy)?
            }
            None => None,
        };
        match made {
            Some(slot) => Ok(slot),
            None if self.skipping() => self.graph.add(Node::Skipped),
            None => Err(ReadError::Call(name.full_name())),
        }
    }

    /// `None`: not the arguments that Python writes.
    fn construct(&mut self, name: Known, args: &[Slot]) -> Result<Option<Slot>, ReadError> {
        let node = match (name, args) {
            (Known::Bytes | Known::ByteArray, []) => Some(Node::Data(Cow::Borrowed(&[]))),
            // Bytes are never changed here, so two names for the same ones do no harm.
            (Known::Bytes | Known::ByteArray, [data]) if self.graph.data(*data).is_some() => return Ok(Some(*data)),
            (Known::ByteArray | Known::Encode, [text, encoding]) => self.encode(*text, *encoding)?,
            (Known::Set, []) => Some(Node::Set(Vec::new())),
            (Known::Set, [items]) => self.copy_items(*items)?.map(Node::Set),
            (Known::FrozenSet, []) => return self.graph.add_frozen_set(&[]).map(Some),
            (Known::FrozenSet, [items]) => {
                let Some(items) = self.copy_items(*items)? else { return Ok(None) };
                return self.graph.add_frozen_set(&items).map(Some);
            }
            (Known::OrderedDict, []) => Some(Node::Dict(Vec::new())),
            (Known::Reconstructor, [Slot::Skipped, ..]) => Some(Node::Skipped),
            (Known::Uuid, [])
            | (Known::Reconstructor, [Slot::Name(Known::Uuid), Slot::Name(Known::Object), Slot::Null]) => {
                Some(Node::BlankUuid)
            }
            (Known::TimeZone, [delta] | [delta, _]) => self.zone(*delta),
            (Known::Decimal, [text]) => self.decimal(*text)?,
            _ => self.plain(name, args).map(|value| Node::Plain(Box::new(value))),
        };
        node.map(|node| self.graph.add(node)).transpose()
    }

    fn plain(&self, name: Known, args: &[Slot]) -> Option<Value> {
        match (name, args) {
            (Known::Complex, [real, imaginary]) => Some(Value::Complex(float(*real)?, float(*imaginary)?)),
            (Known::Date, [state]) => calendar::date(self.state(*state)?).map(Value::Date),
            (Known::Time, [state, zone @ ..]) => {
                let time = calendar::time(self.state(*state)?)?;
                self.at_zone(time, zone).map(Value::Time)
            }
            (Known::DateTime, [state, zone @ ..]) => {
                let (date, time) = calendar::date_time(self.state(*state)?)?;
                self.at_zone(time, zone).map(|time| Value::DateTime(date, time))
            }
            (Known::TimeDelta, [Slot::Int(days), Slot::Int(seconds), Slot::Int(micros)]) => {
                let delta =
                    TimeDelta::new((*days).try_into().ok()?, (*seconds).try_into().ok()?, (*micros).try_into().ok()?);
                delta.map(Value::TimeDelta)
            }
            _ => None,
        }
    }

    /// Latin-1 is how protocols 0 to 2 write bytes. Python spells its name in two ways.
    fn encode(&mut self, text: Slot, encoding: Slot) -> Result<Option<Node<'a>>, ReadError> {
        let (Some(text), Some("latin1" | "latin-1")) = (self.graph.text(text), self.graph.text(encoding)) else {
            return Ok(None);
        };
        let data = latin1(text);
        self.count_copied(text.len())?;
        Ok(data.map(|data| Node::Data(Cow::Owned(data))))
    }

    fn decimal(&mut self, text: Slot) -> Result<Option<Node<'a>>, ReadError> {
        let Some(text) = self.graph.text(text) else { return Ok(None) };
        let decimal = is_decimal(text).then(|| Value::Decimal(text.to_owned()));
        self.count_copied(text.len())?;
        Ok(decimal.map(|value| Node::Plain(Box::new(value))))
    }

    /// Arguments are looked at and copied by each call, and the same text may be the argument of many.
    fn count_copied(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.owned_left = self.owned_left.checked_sub(bytes).ok_or_else(|| self.too_many_bytes())?;
        Ok(())
    }

    /// Copies what a set is made of; the same list may be copied again and again.
    fn copy_items(&mut self, items: Slot) -> Result<Option<Vec<Slot>>, ReadError> {
        let Some(items) = self.graph.sequence(items) else { return Ok(None) };
        self.pushes_left = self.pushes_left.checked_sub(items.len()).ok_or_else(|| self.graph.too_many())?;
        Ok(Some(items.to_vec()))
    }

    /// The state of a `datetime` object: bytes, or the same as Latin-1 text where Python 2 wrote it.
    fn state<const N: usize>(&self, slot: Slot) -> Option<[u8; N]> {
        match self.graph.node_of(slot)? {
            Node::Data(data) => data.as_ref().try_into().ok(),
            // A character takes up to two bytes, so longer text cannot be one.
            Node::Text(text) if text.len() <= 2 * N => latin1(text)?.try_into().ok(),
            _ => None,
        }
    }

    fn at_zone(&self, time: daffi_serde::value::Time, zone: &[Slot]) -> Option<daffi_serde::value::Time> {
        match zone {
            [] => Some(time),
            [zone] => match self.graph.node_of(*zone)? {
                Node::Zone(offset) => time.at_offset(*offset),
                _ => None,
            },
            _ => None,
        }
    }

    fn zone(&self, delta: Slot) -> Option<Node<'a>> {
        match self.graph.node_of(delta)? {
            Node::Plain(value) => match **value {
                Value::TimeDelta(offset) => Some(Node::Zone(offset)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Gives the object on top of the stack its state: the number of a UUID.
    pub(super) fn build(&mut self, object: Slot, state: Slot) -> Result<(), ReadError> {
        if self.skips(object) {
            return Ok(());
        }
        let Slot::Node(id) = object else { return Err(self.malformed("it gives a state to what has none")) };
        if !matches!(self.graph.node(id), Node::BlankUuid) {
            return Err(self.malformed("it gives a state to what has none"));
        }
        let uuid = self.uuid(state).ok_or(ReadError::Call(Known::Uuid.full_name()))?;
        *self.graph.node_mut(id) = Node::Plain(Box::new(Value::Uuid(uuid)));
        Ok(())
    }

    /// `{'int': number}`, with `is_safe` where the operating system vouched for the UUID.
    fn uuid(&self, state: Slot) -> Option<u128> {
        let (pairs @ ([_] | [_, _]), []) = self.graph.dict(state)?.as_chunks() else { return None };
        let mut uuid = None;
        for [key, value] in pairs {
            match (self.graph.text(*key)?, *value) {
                ("int", Slot::Int(int)) => uuid = Some(int.try_into().ok()?),
                ("int", slot) => uuid = Some(self.wide(slot)?),
                ("is_safe", Slot::Int(_) | Slot::Null) => {}
                _ => return None,
            }
        }
        uuid
    }

    fn wide(&self, slot: Slot) -> Option<u128> {
        match self.graph.node_of(slot)? {
            Node::Long([bytes @ .., 0]) if bytes.len() == 16 => Some(u128::from_le_bytes(bytes.try_into().ok()?)),
            Node::Long(bytes) => int::extended(bytes)?.try_into().ok(),
            Node::Big(big) => big.as_ref().try_into().ok(),
            _ => None,
        }
    }
}

fn float(slot: Slot) -> Option<f64> {
    match slot {
        Slot::Float(float) => Some(float),
        _ => None,
    }
}
