//! The stack machine that a pickle is a program for.

use std::borrow::Cow;

use super::{
    graph::{Graph, Node, Slot},
    input::Input,
    int,
    memo::Memo,
    text::{ascii, quoted_ascii, raw_unicode_escape},
};
use crate::{ReadError, known::Known, opcode as op, read::allowance};

/// What becomes of names that are not in the table of plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The pickle is refused.
    Refuse,
    /// They, and whatever is made with them, become a placeholder that has no value.
    Skip,
}

/// Reads opcodes until the last. Every loop is over the input: nothing here recurses.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    input: Input<'a>,
    pub(super) graph: Graph<'a>,
    stack: Vec<Slot>,
    /// Heights of the stack at which a mark was set.
    marks: Vec<usize>,
    memo: Memo,
    unknown: Unknown,
    /// Bounds the time and what the stack and all containers hold together.
    pub(super) pushes_left: usize,
    /// Bounds bytes that were decoded rather than borrowed from the input.
    pub(super) owned_left: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], max_values: usize, unknown: Unknown) -> Self {
        Self {
            input: Input::new(bytes),
            graph: Graph::new(max_values),
            stack: Vec::with_capacity(16),
            marks: Vec::new(),
            memo: Memo::default(),
            unknown,
            // A date takes five pushes, a small UUID seven, a list of one element three. Most values take one.
            pushes_left: max_values.saturating_mul(4).max(64),
            owned_left: allowance(bytes.len()),
        }
    }

    /// Runs to the end. Gives all that was built and which of it is the result.
    pub(super) fn run(mut self) -> Result<(Graph<'a>, Slot), ReadError> {
        loop {
            let opcode = self.input.opcode()?;
            if opcode == op::STOP {
                let root = self.pop()?;
                return match self.input.remaining() {
                    0 => Ok((self.graph, root)),
                    bytes => Err(ReadError::Trailing { bytes }),
                };
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), ReadError> {
        match opcode {
            op::NONE => self.push(Slot::Null),
            op::NEWTRUE => self.push(Slot::Bool(true)),
            op::NEWFALSE => self.push(Slot::Bool(false)),
            op::EMPTY_TUPLE => self.push(Slot::EmptyTuple),
            op::EMPTY_LIST => self.push_node(Node::List(Vec::new())),
            op::EMPTY_DICT => self.push_node(Node::Dict(Vec::new())),
            op::EMPTY_SET => self.push_node(Node::Set(Vec::new())),

            op::INT | op::BININT | op::BININT1 | op::BININT2 | op::LONG | op::LONG1 | op::LONG4 => self.integer(opcode),
            op::FLOAT | op::BINFLOAT => self.float(opcode),
            op::STRING | op::BINSTRING | op::SHORT_BINSTRING => self.string(opcode),
            op::UNICODE | op::SHORT_BINUNICODE | op::BINUNICODE | op::BINUNICODE8 => self.text(opcode),
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => self.data(opcode),

            op::MARK => {
                self.count_push()?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP if self.marks.last() == Some(&self.stack.len()) => self.pop_mark().map(drop),
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.pop_mark().map(|at| self.stack.truncate(at)),
            op::DUP => self.top().and_then(|slot| self.push(slot)),

            op::TUPLE => self.pop_mark().and_then(|at| self.tuple(at)),
            op::TUPLE1 => self.below(1).and_then(|at| self.tuple(at)),
            op::TUPLE2 => self.below(2).and_then(|at| self.tuple(at)),
            op::TUPLE3 => self.below(3).and_then(|at| self.tuple(at)),
            op::LIST | op::DICT | op::FROZENSET => self.container(opcode),
            op::APPEND | op::SETITEM | op::APPENDS | op::SETITEMS | op::ADDITEMS => self.extend(opcode),

            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(opcode),
            op::GET | op::BINGET | op::LONG_BINGET => self.recall(opcode),

            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode),
            op::REDUCE | op::NEWOBJ => {
                let args = self.pop()?;
                let callable = self.pop()?;
                let made = self.call(callable, args)?;
                self.push(made)
            }
            op::NEWOBJ_EX => {
                let keywords = self.pop()?;
                let args = self.pop()?;
                let class = self.pop()?;
                match (class, self.graph.dict(keywords)) {
                    (Slot::Name(name), Some([_, ..]) | None) => Err(ReadError::Call(name.full_name())),
                    _ => self.call(class, args).and_then(|made| self.push(made)),
                }
            }
            op::INST => {
                let class = self.named_by_lines()?;
                let at = self.pop_mark()?;
                self.call_with_rest(class, at)
            }
            op::OBJ => {
                let at = self.pop_mark()?;
                let class = *self.stack.get(at).ok_or_else(|| self.malformed("it makes an object of no class"))?;
                self.call_with_rest(class, at + 1)?;
                // The class lies under what it made.
                self.stack.swap_remove(at);
                Ok(())
            }
            op::BUILD => {
                let state = self.pop()?;
                let object = self.top()?;
                self.build(object, state)
            }

            op::PROTO => match self.input.u8()? {
                0..=5 => Ok(()),
                version => Err(ReadError::Protocol(version)),
            },
            // Frames help those who read from a file.
            op::FRAME => match self.input.u64()? {
                len if len > self.input.remaining() as u64 => Err(ReadError::CutOff { at: self.input.op_at() }),
                _ => Ok(()),
            },

            op::PERSID | op::BINPERSID => Err(ReadError::Outside("a persistent id")),
            op::EXT1 | op::EXT2 | op::EXT4 => Err(ReadError::Outside("an extension code")),
            op::NEXT_BUFFER | op::READONLY_BUFFER => Err(ReadError::Outside("an out-of-band buffer")),
            _ => Err(ReadError::Opcode { opcode, at: self.input.op_at() }),
        }
    }

    // The stack.

    fn count_push(&mut self) -> Result<(), ReadError> {
        self.pushes_left = self.pushes_left.checked_sub(1).ok_or_else(|| self.graph.too_many())?;
        Ok(())
    }

    fn push(&mut self, slot: Slot) -> Result<(), ReadError> {
        self.count_push()?;
        self.stack.push(slot);
        Ok(())
    }

    fn push_node(&mut self, node: Node<'a>) -> Result<(), ReadError> {
        let slot = self.graph.add(node)?;
        self.push(slot)
    }

    /// The place of the `count`-th value from the top, none of which may lie beneath the last mark.
    fn below(&self, count: usize) -> Result<usize, ReadError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let at = self.stack.len().checked_sub(count).filter(|at| *at >= floor);
        at.ok_or_else(|| self.malformed("the stack is empty"))
    }

    fn top(&self) -> Result<Slot, ReadError> {
        self.below(1).map(|at| self.stack[at])
    }

    fn pop(&mut self) -> Result<Slot, ReadError> {
        let slot = self.top()?;
        self.stack.pop();
        Ok(slot)
    }

    fn pop_mark(&mut self) -> Result<usize, ReadError> {
        self.marks.pop().ok_or_else(|| self.malformed("no mark is set"))
    }

    // Scalars.

    fn integer(&mut self, opcode: u8) -> Result<(), ReadError> {
        let slot = match opcode {
            op::BININT => Slot::Int(self.input.i32()?.into()),
            op::BININT1 => Slot::Int(self.input.u8()?.into()),
            op::BININT2 => Slot::Int(self.input.u16()?.into()),
            op::LONG1 | op::LONG4 => {
                let len = if opcode == op::LONG1 { self.input.u8()?.into() } else { self.input.u32()?.into() };
                let bytes = self.input.take(int::check_len(len)?)?;
                match int::small(bytes) {
                    Some(int) => Slot::Int(int),
                    None => self.graph.add(Node::Long(bytes))?,
                }
            }
            _ => match self.input.line()? {
                b"00" if opcode == op::INT => Slot::Bool(false),
                b"01" if opcode == op::INT => Slot::Bool(true),
                line => {
                    let digits = if opcode == op::LONG { line.strip_suffix(b"L").unwrap_or(line) } else { line };
                    let big = int::from_decimal(digits).ok_or_else(|| self.malformed("no decimal number"))??;
                    match i64::try_from(&big) {
                        Ok(int) => Slot::Int(int),
                        Err(_) => self.graph.add(Node::Big(Box::new(big)))?,
                    }
                }
            },
        };
        self.push(slot)
    }

    fn float(&mut self, opcode: u8) -> Result<(), ReadError> {
        let float = match opcode {
            op::BINFLOAT => f64::from_be_bytes(self.input.array()?),
            _ => {
                let text = ascii(self.input.line()?).and_then(|line| line.parse().ok());
                text.ok_or_else(|| self.malformed("no float"))?
            }
        };
        self.push(Slot::Float(float))
    }

    /// The `str` of Python 2. Like Python 3 by default, this reads it as ASCII.
    fn string(&mut self, opcode: u8) -> Result<(), ReadError> {
        let text = match opcode {
            op::STRING => quoted_ascii(self.input.line()?),
            op::SHORT_BINSTRING => {
                let len = self.input.u8()?;
                ascii(self.input.take(len.into())?).map(Cow::Borrowed)
            }
            _ => {
                let len = self.input.u32()?;
                ascii(self.input.take(len.into())?).map(Cow::Borrowed)
            }
        };
        let text = text.ok_or_else(|| self.malformed("a Python 2 string that is not ASCII"))?;
        self.push_node(Node::Text(text))
    }

    fn text(&mut self, opcode: u8) -> Result<(), ReadError> {
        let len = match opcode {
            op::SHORT_BINUNICODE => self.input.u8()?.into(),
            op::BINUNICODE => self.input.u32()?.into(),
            op::BINUNICODE8 => self.input.u64()?,
            _ => {
                let text = raw_unicode_escape(self.input.line()?);
                let text = text.ok_or(ReadError::Text { at: self.input.op_at() })?;
                return self.push_node(Node::Text(text));
            }
        };
        let text = std::str::from_utf8(self.input.take(len)?);
        let text = text.map_err(|_| ReadError::Text { at: self.input.op_at() })?;
        self.push_node(Node::Text(Cow::Borrowed(text)))
    }

    fn data(&mut self, opcode: u8) -> Result<(), ReadError> {
        let len = match opcode {
            op::SHORT_BINBYTES => self.input.u8()?.into(),
            op::BINBYTES => self.input.u32()?.into(),
            _ => self.input.u64()?,
        };
        let data = self.input.take(len)?;
        self.push_node(Node::Data(Cow::Borrowed(data)))
    }

    // Containers.

    /// Makes a tuple of all that lies on the stack from `at`.
    fn tuple(&mut self, at: usize) -> Result<(), ReadError> {
        let tuple = self.graph.add_tuple(&self.stack[at..])?;
        self.stack.truncate(at);
        self.push(tuple)
    }

    /// Makes a list, dict or frozen set of all that lies above the last mark.
    fn container(&mut self, opcode: u8) -> Result<(), ReadError> {
        let at = self.pop_mark()?;
        let items = &self.stack[at..];
        let slot = match opcode {
            op::FROZENSET => self.graph.add_frozen_set(items)?,
            op::DICT if !items.len().is_multiple_of(2) => return Err(self.malformed("a key has no value")),
            op::DICT => self.graph.add(Node::Dict(items.to_vec()))?,
            _ => self.graph.add(Node::List(items.to_vec()))?,
        };
        self.stack.truncate(at);
        self.push(slot)
    }

    /// Moves the top of the stack into the container beneath it.
    fn extend(&mut self, opcode: u8) -> Result<(), ReadError> {
        let at = match opcode {
            op::APPEND => self.below(1)?,
            op::SETITEM => self.below(2)?,
            _ => self.pop_mark()?,
        };
        let floor = self.marks.last().copied().unwrap_or(0);
        let container = at.checked_sub(1).filter(|under| *under >= floor).map(|under| self.stack[under]);
        let container = container.ok_or_else(|| self.malformed("the stack is empty"))?;
        let added = self.stack.len() - at;
        if self.skips(container) {
            self.stack.truncate(at);
            return Ok(());
        }
        let items = match container {
            Slot::Node(id) => items_of(self.graph.node_mut(id), opcode, added),
            _ => None,
        };
        let Some(items) = items else { return Err(self.malformed("items do not fit what they are added to")) };
        if items.capacity() == 0 {
            // Most containers are written in one go; a vector that doubles would start at four.
            items.reserve_exact(added);
        }
        items.extend_from_slice(&self.stack[at..]);
        self.stack.truncate(at);
        Ok(())
    }

    // The memo.

    fn remember(&mut self, opcode: u8) -> Result<(), ReadError> {
        let index = match opcode {
            op::PUT => Some(self.line_index()?),
            op::BINPUT => Some(self.input.u8()?.into()),
            op::LONG_BINPUT => Some(self.input.u32()?.into()),
            _ => None,
        };
        let slot = self.top()?;
        // Python remembers nodes and names only, each of them once.
        if self.memo.len() >= self.graph.max_nodes() {
            return Err(self.graph.too_many());
        }
        match index {
            Some(index) => self.memo.put(index, slot),
            None => self.memo.push(slot),
        }
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), ReadError> {
        let index = match opcode {
            op::GET => self.line_index()?,
            op::BINGET => self.input.u8()?.into(),
            _ => self.input.u32()?.into(),
        };
        let slot = self.memo.get(index).ok_or_else(|| self.malformed("nothing is remembered under that number"))?;
        self.push(slot)
    }

    fn line_index(&mut self) -> Result<u64, ReadError> {
        let index = ascii(self.input.line()?).and_then(|line| line.parse().ok());
        index.ok_or_else(|| self.malformed("no number to remember by"))
    }

    // Names.

    fn global(&mut self, opcode: u8) -> Result<(), ReadError> {
        if opcode == op::GLOBAL {
            let named = self.named_by_lines()?;
            return self.push(named);
        }
        let name = self.pop()?;
        let module = self.pop()?;
        let (Some(module), Some(name)) = (self.graph.text(module), self.graph.text(name)) else {
            return Err(self.malformed("a name is not text"));
        };
        let named = self.lookup(module, name)?;
        self.push(named)
    }

    fn named_by_lines(&mut self) -> Result<Slot, ReadError> {
        let module = self.input.line()?;
        let name = self.input.line()?;
        let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name)) else {
            return Err(ReadError::Text { at: self.input.op_at() });
        };
        self.lookup(module, name)
    }

    fn lookup(&self, module: &str, name: &str) -> Result<Slot, ReadError> {
        match Known::find(module, name) {
            Some(known) => Ok(Slot::Name(known)),
            None if self.skipping() => Ok(Slot::Skipped),
            None => Err(ReadError::Name(shown(module, name))),
        }
    }

    /// Calls `class` with all that lies on the stack from `at`.
    fn call_with_rest(&mut self, class: Slot, at: usize) -> Result<(), ReadError> {
        let args = self.graph.add_tuple(&self.stack[at..])?;
        self.stack.truncate(at);
        let made = self.call(class, args)?;
        self.push(made)
    }

    /// Whether unknown names are skipped.
    pub(super) fn skipping(&self) -> bool {
        self.unknown == Unknown::Skip
    }

    /// Whether `slot` is a placeholder for something that was skipped.
    pub(super) fn skips(&self, slot: Slot) -> bool {
        matches!(slot, Slot::Skipped) || matches!(self.graph.node_of(slot), Some(Node::Skipped))
    }

    // Errors.

    pub(super) const fn malformed(&self, what: &'static str) -> ReadError {
        ReadError::Malformed { at: self.input.op_at(), what }
    }

    pub(super) const fn too_many_bytes(&self) -> ReadError {
        ReadError::Bytes { limit: allowance(self.input.len()) }
    }
}

/// The elements of a container, if `opcode` adds to such a one.
fn items_of<'n>(node: &'n mut Node<'_>, opcode: u8, added: usize) -> Option<&'n mut Vec<Slot>> {
    match (node, opcode) {
        (Node::List(items), op::APPEND | op::APPENDS) | (Node::Set(items), op::ADDITEMS) => Some(items),
        (Node::Dict(items), op::SETITEM | op::SETITEMS) => added.is_multiple_of(2).then_some(items),
        _ => None,
    }
}

/// A name from a stranger, fit for a log.
fn shown(module: &str, name: &str) -> String {
    const MAX_CHARS: usize = 100;
    let mut full = module.chars().chain(['.']).chain(name.chars());
    let mut shown: String = full.by_ref().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if full.next().is_some() {
        shown.push_str("...");
    }
    shown
}
