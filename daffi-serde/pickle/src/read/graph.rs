//! What a pickle builds: nodes that refer to each other by number.
//!
//! Containers may change after others refer to them, and may refer to themselves. So they become values only when the
//! pickle has ended.

use std::borrow::Cow;

use daffi_serde::{Value, value::TimeDelta};
use num_bigint::BigInt;

use crate::{ReadError, known::Known};

/// A value on the stack or in a container: small ones as they are, others by the number of their node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    EmptyTuple,
    Node(NodeId),
    /// A constructor, not called yet.
    Name(Known),
    /// A name outside of the table, where those are skipped.
    Skipped,
}

/// The number of a node. One graph makes it and only that graph sees it, so the node is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

/// A stretch of [`Graph::pool`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    start: u32,
    len: u32,
}

/// A value that takes more room than a [`Slot`], or that can change.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    Text(Cow<'a, str>),
    Data(Cow<'a, [u8]>),
    /// Two's complement, lowest byte first.
    Long(&'a [u8]),
    Big(Box<BigInt>),
    Tuple(Stretch),
    FrozenSet(Stretch),
    List(Vec<Slot>),
    Set(Vec<Slot>),
    /// Keys and values in turn.
    Dict(Vec<Slot>),
    /// A date, a decimal number and the like.
    Plain(Box<Value>),
    /// A `datetime.timezone`, by its offset.
    Zone(TimeDelta),
    /// A `uuid.UUID` before its number is known.
    BlankUuid,
    /// The result of a call that was skipped.
    Skipped,
}

/// All that a pickle has built so far.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    /// The elements of tuples and frozen sets, which never change.
    pool: Vec<Slot>,
    max_nodes: usize,
    max_values: usize,
}

impl<'a> Graph<'a> {
    /// A graph that holds what it takes to make `max_values`.
    pub(super) fn new(max_values: usize) -> Self {
        // A decimal or a date is three nodes: the text, the tuple of arguments, the result. But these are longer in
        // the pickle, too: a payload that is full of them needs fewer nodes than one full of empty lists.
        let max_nodes = max_values.saturating_mul(2).clamp(64, u32::MAX as usize);
        Self { nodes: Vec::with_capacity(8), pool: Vec::with_capacity(8), max_nodes, max_values }
    }

    pub(super) const fn too_many(&self) -> ReadError {
        ReadError::Values { limit: self.max_values }
    }

    pub(super) const fn max_nodes(&self) -> usize {
        self.max_nodes
    }

    pub(super) fn add(&mut self, node: Node<'a>) -> Result<Slot, ReadError> {
        match u32::try_from(self.nodes.len()) {
            Ok(id) if self.nodes.len() < self.max_nodes => {
                self.nodes.push(node);
                Ok(Slot::Node(NodeId(id)))
            }
            _ => Err(self.too_many()),
        }
    }

    pub(super) fn add_tuple(&mut self, items: &[Slot]) -> Result<Slot, ReadError> {
        if items.is_empty() {
            return Ok(Slot::EmptyTuple);
        }
        let items = self.stretch(items)?;
        self.add(Node::Tuple(items))
    }

    pub(super) fn add_frozen_set(&mut self, items: &[Slot]) -> Result<Slot, ReadError> {
        let items = self.stretch(items)?;
        self.add(Node::FrozenSet(items))
    }

    fn stretch(&mut self, items: &[Slot]) -> Result<Stretch, ReadError> {
        let too_many = |_| self.too_many();
        let start = u32::try_from(self.pool.len()).map_err(too_many)?;
        let len = u32::try_from(items.len()).map_err(too_many)?;
        self.pool.extend_from_slice(items);
        Ok(Stretch { start, len })
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node<'a> {
        &mut self.nodes[id.0 as usize]
    }

    pub(crate) fn slots(&self, stretch: Stretch) -> &[Slot] {
        &self.pool[stretch.start as usize..][..stretch.len as usize]
    }

    /// The node of a slot that has one.
    pub(crate) fn node_of(&self, slot: Slot) -> Option<&Node<'a>> {
        match slot {
            Slot::Node(id) => Some(self.node(id)),
            _ => None,
        }
    }

    /// The elements of a tuple.
    pub(crate) fn tuple(&self, slot: Slot) -> Option<&[Slot]> {
        match (slot, self.node_of(slot)) {
            (Slot::EmptyTuple, _) => Some(&[]),
            (_, Some(Node::Tuple(items))) => Some(self.slots(*items)),
            _ => None,
        }
    }

    /// The elements of a tuple or a list.
    pub(crate) fn sequence(&self, slot: Slot) -> Option<&[Slot]> {
        match self.node_of(slot) {
            Some(Node::List(items)) => Some(items),
            _ => self.tuple(slot),
        }
    }

    /// The keys and values of a dict, in turn.
    pub(crate) fn dict(&self, slot: Slot) -> Option<&[Slot]> {
        match self.node_of(slot) {
            Some(Node::Dict(items)) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn text(&self, slot: Slot) -> Option<&str> {
        match self.node_of(slot) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn data(&self, slot: Slot) -> Option<&[u8]> {
        match self.node_of(slot) {
            Some(Node::Data(data)) => Some(data),
            _ => None,
        }
    }
}
