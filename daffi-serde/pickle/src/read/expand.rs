//! From a graph to values: what is shared is copied, and everything made is counted first.

use std::{borrow::Cow, collections::HashSet, slice::Iter};

use bytes::Bytes;
use daffi_serde::{Value, ValueLimits};

use super::{
    allowance,
    graph::{Graph, Node, NodeId, Slot},
    int,
};
use crate::{ReadError, known::Known};

/// Bytes of this length or more are shared with the input rather than copied.
pub(crate) const SHARED_FROM: usize = 4096;

/// Turns slots of one graph into values, within one allowance for all of them.
#[derive(Debug)]
pub(crate) struct Expander<'g, 'a> {
    graph: &'g Graph<'a>,
    shared: Option<&'a Bytes>,
    limits: ValueLimits,
    input_len: usize,
    values_left: usize,
    bytes_left: usize,
}

/// A container whose elements are being made.
struct Frame<'g> {
    /// `None` for the empty tuple, which is no node.
    id: Option<NodeId>,
    slots: Iter<'g, Slot>,
    made: Made,
}

enum Made {
    Items(fn(Vec<Value>) -> Value, Vec<Value>),
    Entries(Vec<(Value, Value)>, Option<Value>),
}

enum Begun<'g> {
    Value(Value),
    Inside(Frame<'g>),
}

impl<'g, 'a> Expander<'g, 'a> {
    pub(super) fn new(graph: &'g Graph<'a>, shared: Option<&'a Bytes>, input_len: usize, limits: ValueLimits) -> Self {
        let (values_left, bytes_left) = (limits.max_values, allowance(input_len));
        Self { graph, shared, limits, input_len, values_left, bytes_left }
    }

    pub(crate) const fn graph(&self) -> &'g Graph<'a> {
        self.graph
    }

    /// The value of a slot. Containers on the way to the current element lie in a vector, not on the call stack.
    pub(crate) fn value(&mut self, slot: Slot) -> Result<Value, ReadError> {
        let mut open: Vec<Frame<'g>> = Vec::new();
        self.count(1, &open)?;
        let mut slot = slot;
        loop {
            let mut done = match self.begin(slot)? {
                Begun::Value(value) => Some(value),
                Begun::Inside(frame) => {
                    if open.len() >= self.limits.max_depth {
                        let too_deep = ReadError::Depth { limit: self.limits.max_depth };
                        return Err(cycle_in(&open).unwrap_or(too_deep));
                    }
                    self.count(frame.slots.len(), &open)?;
                    open.push(frame.reserved());
                    None
                }
            };
            slot = loop {
                let Some(frame) = open.last_mut() else {
                    return Ok(done.expect("without a container around it, what was begun is a value"));
                };
                if let Some(value) = done.take() {
                    frame.made.take(value);
                }
                match frame.slots.next() {
                    Some(next) => break *next,
                    None => done = open.pop().map(|frame| frame.made.finish()),
                }
            };
        }
    }

    /// Large bytes that can be shared with the input.
    pub(crate) fn shared_bytes(&self, slot: Slot) -> Option<Bytes> {
        match (self.shared, self.graph.node_of(slot)?) {
            (Some(input), Node::Data(Cow::Borrowed(data))) if data.len() >= SHARED_FROM => Some(input.slice_ref(data)),
            _ => None,
        }
    }

    fn begin(&mut self, slot: Slot) -> Result<Begun<'g>, ReadError> {
        let graph = self.graph;
        let id = match slot {
            Slot::Null => return Ok(Begun::Value(Value::Null)),
            Slot::Bool(value) => return Ok(Begun::Value(Value::Bool(value))),
            Slot::Int(value) => return Ok(Begun::Value(Value::Int(value.into()))),
            Slot::Float(value) => return Ok(Begun::Value(Value::Float(value))),
            Slot::EmptyTuple => return Ok(Begun::Inside(Frame::items(None, Value::Tuple, &[]))),
            Slot::Name(name) => return Err(ReadError::Name(name.full_name().to_owned())),
            Slot::Skipped => return Err(skipped()),
            Slot::Node(id) => id,
        };
        let value = match graph.node(id) {
            Node::Tuple(items) => return Ok(Begun::Inside(Frame::items(Some(id), Value::Tuple, graph.slots(*items)))),
            Node::FrozenSet(items) => {
                return Ok(Begun::Inside(Frame::items(Some(id), Value::FrozenSet, graph.slots(*items))));
            }
            Node::List(items) => return Ok(Begun::Inside(Frame::items(Some(id), Value::List, items))),
            Node::Set(items) => return Ok(Begun::Inside(Frame::items(Some(id), Value::Set, items))),
            Node::Dict(items) => return Ok(Begun::Inside(Frame::entries(id, items))),
            Node::Text(text) => {
                self.count_bytes(text.len())?;
                Value::Str(text.as_ref().to_owned())
            }
            Node::Data(data) => match self.shared_bytes(slot) {
                Some(shared) => Value::Bytes(shared),
                None => {
                    self.count_bytes(data.len())?;
                    Value::Bytes(Bytes::copy_from_slice(data))
                }
            },
            Node::Long(bytes) => {
                self.count_bytes(bytes.len())?;
                int::value(bytes)
            }
            Node::Big(big) => {
                self.count_bytes(usize::try_from(big.bits() / 8).unwrap_or(usize::MAX))?;
                big.as_ref().clone().into()
            }
            Node::Plain(value) => {
                if let Value::Decimal(text) = value.as_ref() {
                    self.count_bytes(text.len())?;
                }
                value.as_ref().clone()
            }
            Node::Zone(_) => return Err(ReadError::Name(Known::TimeZone.full_name().to_owned())),
            Node::BlankUuid => return Err(ReadError::Call(Known::Uuid.full_name())),
            Node::Skipped => return Err(skipped()),
        };
        Ok(Begun::Value(value))
    }

    fn count(&mut self, values: usize, open: &[Frame<'_>]) -> Result<(), ReadError> {
        let too_many = || cycle_in(open).unwrap_or(ReadError::Values { limit: self.limits.max_values });
        self.values_left = self.values_left.checked_sub(values).ok_or_else(too_many)?;
        Ok(())
    }

    fn count_bytes(&mut self, bytes: usize) -> Result<(), ReadError> {
        let too_many = || ReadError::Bytes { limit: allowance(self.input_len) };
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(too_many)?;
        Ok(())
    }
}

impl<'g> Frame<'g> {
    fn items(id: Option<NodeId>, made: fn(Vec<Value>) -> Value, slots: &'g [Slot]) -> Self {
        Self { id, slots: slots.iter(), made: Made::Items(made, Vec::new()) }
    }

    fn entries(id: NodeId, slots: &'g [Slot]) -> Self {
        Self { id: Some(id), slots: slots.iter(), made: Made::Entries(Vec::new(), None) }
    }

    /// With room for all elements, now that they are counted.
    fn reserved(mut self) -> Self {
        match &mut self.made {
            Made::Items(_, items) => items.reserve_exact(self.slots.len()),
            Made::Entries(entries, _) => entries.reserve_exact(self.slots.len() / 2),
        }
        self
    }
}

impl Made {
    fn take(&mut self, value: Value) {
        match self {
            Self::Items(_, items) => items.push(value),
            Self::Entries(entries, key) => match key.take() {
                Some(key) => entries.push((key, value)),
                None => *key = Some(value),
            },
        }
    }

    fn finish(self) -> Value {
        match self {
            Self::Items(made, items) => made(items),
            Self::Entries(entries, _) => Value::Map(entries),
        }
    }
}

/// A container inside itself ends at a limit; looked for only there, since limits are rarely met.
fn cycle_in(open: &[Frame<'_>]) -> Option<ReadError> {
    let mut seen = HashSet::new();
    let unique = open.iter().filter_map(|frame| frame.id).all(|id| seen.insert(id));
    (!unique).then_some(ReadError::Cycle)
}

fn skipped() -> ReadError {
    ReadError::Envelope("made of plain data alone")
}
