//! The stack machine that a pickle is a program for.

use super::{
    arena::{Arena, Elements, Kind},
    input::Input,
    memo::Memo,
    scalar,
    slot::{MAX_INPUT, Place, Slot},
    text::ascii,
    work::Work,
};
use crate::{ReadError, known::Known, opcode as op};

/// What becomes of names that are not in the table of plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The pickle is refused.
    Refuse,
    /// They, and whatever is made with them, become a placeholder that has no value.
    Skip,
}

/// Bytes for each element of a run, on average: those of others are noted one by one.
const STEPS_PER_ELEMENT: usize = 16;

/// Reads opcodes until the last. Every loop is over the input: nothing here recurses.
///
/// A byte of the input makes at most one entry of four bytes on the stack, in the memo or among the
/// marks; what goes into the arena, where elements can be copied, is counted there.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) input: Input<'a>,
    pub(super) arena: Arena,
    pub(super) work: Work,
    stack: Vec<Slot>,
    /// Heights of the stack at which a mark was set.
    marks: Vec<u32>,
    memo: Memo,
    unknown: Unknown,
    /// From this height on, the stack is a run: values that follow each other in the input.
    run_from: usize,
}

impl<'a> Machine<'a> {
    /// A machine that will run `bytes`, and take at most `limit` bytes for what they build.
    pub(super) fn new(bytes: &'a [u8], limit: usize, unknown: Unknown) -> Result<Self, ReadError> {
        if bytes.len() > MAX_INPUT {
            return Err(ReadError::TooLong { bytes: bytes.len() });
        }
        Ok(Self {
            input: Input::new(bytes),
            arena: Arena::new(limit),
            work: Work::of(bytes.len()),
            stack: Vec::with_capacity(16),
            marks: Vec::new(),
            memo: Memo::default(),
            unknown,
            run_from: 0,
        })
    }

    /// Runs to the end. Gives all that was built, which of it is the result, and what work may
    /// still be done.
    pub(super) fn run(mut self) -> Result<(Arena, Slot, Work), ReadError> {
        loop {
            let opcode = self.input.opcode()?;
            if scalar::skip(opcode, &mut self.input)? {
                self.stack.push(Slot::input(self.input.op_at()));
                continue;
            }
            if opcode == op::STOP {
                let root = self.pop()?;
                return match self.input.remaining() {
                    0 => Ok((self.arena, root, self.work)),
                    bytes => Err(ReadError::Trailing { bytes }),
                };
            }
            if !self.passing(opcode)? {
                self.step(opcode)?;
                self.run_from = self.stack.len();
            }
        }
    }

    /// Runs `opcode` if it leaves the stack as it is; `false` for any other.
    fn passing(&mut self, opcode: u8) -> Result<bool, ReadError> {
        match opcode {
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(opcode)?,
            op::PROTO => match self.input.u8()? {
                0..=5 => {}
                version => return Err(ReadError::Protocol(version)),
            },
            // Frames help those who read from a file.
            op::FRAME => match self.input.u64()? {
                len if len > self.input.remaining() as u64 => {
                    return Err(ReadError::CutOff { at: self.input.op_at() });
                }
                _ => {}
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn step(&mut self, opcode: u8) -> Result<(), ReadError> {
        match opcode {
            op::MARK => {
                // The stack is no higher than the input is long.
                let height = u32::try_from(self.stack.len()).map_err(|_| self.arena.too_much())?;
                self.marks.push(height);
                Ok(())
            }
            op::POP if self.floor() == self.stack.len() && !self.marks.is_empty() => self.pop_mark().map(drop),
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.pop_mark().map(|at| self.stack.truncate(at)),
            op::DUP => {
                let top = self.shareable_top()?;
                self.push_again(top);
                Ok(())
            }

            op::TUPLE => self.pop_mark().and_then(|at| self.tuple(at)),
            op::TUPLE1 => self.below(1).and_then(|at| self.tuple(at)),
            op::TUPLE2 => self.below(2).and_then(|at| self.tuple(at)),
            op::TUPLE3 => self.below(3).and_then(|at| self.tuple(at)),
            op::LIST | op::DICT | op::FROZENSET => self.container(opcode),
            op::APPEND | op::SETITEM | op::APPENDS | op::SETITEMS | op::ADDITEMS => self.extend(opcode),

            op::GET | op::BINGET | op::LONG_BINGET => self.recall(opcode),

            op::GLOBAL | op::STACK_GLOBAL => {
                let named = self.global(opcode);
                self.work.check().and(named)
            }

            op::PERSID | op::BINPERSID => Err(ReadError::Outside("a persistent id")),
            op::EXT1 | op::EXT2 | op::EXT4 => Err(ReadError::Outside("an extension code")),
            op::NEXT_BUFFER | op::READONLY_BUFFER => Err(ReadError::Outside("an out-of-band buffer")),
            _ => {
                // What is looked at to tell whether these are the arguments that Python writes may
                // have been too much to look at.
                let made = self.object(opcode);
                self.work.check().and(made)
            }
        }
    }

    /// Runs `opcode`, which must be one that makes an object or gives one its state.
    fn object(&mut self, opcode: u8) -> Result<(), ReadError> {
        match opcode {
            op::REDUCE | op::NEWOBJ => {
                let args = self.pop()?;
                let callable = self.pop()?;
                let made = self.call(callable, args)?;
                self.push(made);
                Ok(())
            }
            op::NEWOBJ_EX => {
                let keywords = self.pop()?;
                let args = self.pop()?;
                let class = self.pop()?;
                match self.name_of(class) {
                    Some(name) if self.dict(keywords).is_none_or(|items| items.len() > 0) => {
                        Err(ReadError::Call(name.full_name()))
                    }
                    _ => self.call(class, args).map(|made| self.push(made)),
                }
            }
            op::INST => {
                let class = self.read_global()?;
                let at = self.pop_mark()?;
                self.call_with_rest(class, at)
            }
            op::OBJ => {
                let at = self.pop_mark()?;
                let class =
                    *self.stack.get(at).ok_or_else(|| self.malformed_error("it makes an object of no class"))?;
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
            _ => Err(ReadError::Opcode { opcode, at: self.input.op_at() }),
        }
    }

    // The stack.

    fn push(&mut self, slot: Slot) {
        self.stack.push(slot);
    }

    /// The height beneath which nothing may be taken: that of the last mark.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |height| *height as usize)
    }

    /// The place of the `count`-th value from the top, none of which may lie beneath the last mark.
    fn below(&self, count: usize) -> Result<usize, ReadError> {
        let floor = self.floor();
        let at = self.stack.len().checked_sub(count).filter(|at| *at >= floor);
        at.ok_or_else(|| self.malformed_error("the stack is empty"))
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
        self.marks.pop().map(|height| height as usize).ok_or_else(|| self.malformed_error("no mark is set"))
    }

    /// The top of the stack, which will be referred to from a second place as well. An empty
    /// container may change later, so it becomes a node that both refer to.
    fn shareable_top(&mut self) -> Result<Slot, ReadError> {
        let slot = self.top()?;
        let Some(kind) = self.changeable(slot) else { return Ok(slot) };
        let at = self.stack.len() - 1;
        self.become_node(at, kind)
    }

    /// The kind of an empty container that is still only an opcode in the input.
    fn changeable(&self, slot: Slot) -> Option<Kind> {
        match self.opcode_of(slot)? {
            op::EMPTY_LIST => Some(Kind::List),
            op::EMPTY_DICT => Some(Kind::Dict),
            op::EMPTY_SET => Some(Kind::Set),
            _ => None,
        }
    }

    fn become_node(&mut self, at: usize, kind: Kind) -> Result<Slot, ReadError> {
        let node = self.arena.add_empty(kind)?;
        self.stack[at] = node;
        self.run_from = self.run_from.max(at + 1);
        Ok(node)
    }

    // Containers.

    /// All that lies on the stack from `at`. They are a run if they follow each other so closely
    /// that finding one from the one before takes no more than a few steps.
    fn elements(stack: &[Slot], at: usize, run_from: usize, here: usize) -> Elements<'_> {
        let slots = &stack[at..];
        let close = |slots: &[Slot]| match slots[0].place() {
            Place::Input(first) => here - first <= STEPS_PER_ELEMENT * slots.len(),
            Place::Node(_) => false,
        };
        Elements { slots, run: run_from <= at && slots.len() > 1 && close(slots) }
    }

    /// Makes a tuple of all that lies on the stack from `at`.
    fn tuple(&mut self, at: usize) -> Result<(), ReadError> {
        let elements = Self::elements(&self.stack, at, self.run_from, self.input.op_at());
        let tuple = self.arena.add_fixed(Kind::Tuple, elements)?;
        self.stack.truncate(at);
        self.push(tuple);
        Ok(())
    }

    /// Makes a list, dict or frozen set of all that lies above the last mark.
    fn container(&mut self, opcode: u8) -> Result<(), ReadError> {
        let at = self.pop_mark()?;
        let elements = Self::elements(&self.stack, at, self.run_from, self.input.op_at());
        let slot = match opcode {
            op::FROZENSET => self.arena.add_fixed(Kind::FrozenSet, elements)?,
            op::DICT if !elements.slots.len().is_multiple_of(2) => {
                return Err(self.malformed_error("a key has no value"));
            }
            _ => self.arena.add_empty(if opcode == op::DICT { Kind::Dict } else { Kind::List })?,
        };
        if let (Place::Node(node), true) = (slot.place(), opcode != op::FROZENSET) {
            self.arena.extend(node, elements)?;
        }
        self.stack.truncate(at);
        self.push(slot);
        Ok(())
    }

    /// Moves the top of the stack into the container beneath it.
    fn extend(&mut self, opcode: u8) -> Result<(), ReadError> {
        let at = match opcode {
            op::APPEND => self.below(1)?,
            op::SETITEM => self.below(2)?,
            _ => self.pop_mark()?,
        };
        let floor = self.floor();
        let under = at.checked_sub(1).filter(|under| *under >= floor);
        let under = under.ok_or_else(|| self.malformed_error("the stack is empty"))?;
        let mut container = self.stack[under];
        if self.skips(container) {
            self.stack.truncate(at);
            return Ok(());
        }
        if let Some(kind) = self.changeable(container) {
            // The elements above it stay the run they are.
            let run_from = self.run_from;
            container = self.become_node(under, kind)?;
            self.run_from = run_from;
        }
        let added = self.stack.len() - at;
        let Place::Node(node) = container.place() else { return Err(self.does_not_fit()) };
        let fits = match (self.arena.kind(node), opcode) {
            (Kind::List, op::APPEND | op::APPENDS) | (Kind::Set, op::ADDITEMS) => true,
            (Kind::Dict, op::SETITEM | op::SETITEMS) => added.is_multiple_of(2),
            _ => false,
        };
        if !fits {
            return Err(self.does_not_fit());
        }
        let elements = Self::elements(&self.stack, at, self.run_from, self.input.op_at());
        self.arena.extend(node, elements)?;
        self.stack.truncate(at);
        Ok(())
    }

    const fn does_not_fit(&self) -> ReadError {
        self.malformed_error("items do not fit what they are added to")
    }

    // The memo.

    fn remember(&mut self, opcode: u8) -> Result<(), ReadError> {
        let index = match opcode {
            op::PUT => Some(self.line_index()?),
            op::BINPUT => Some(self.input.u8()?.into()),
            op::LONG_BINPUT => Some(self.input.u32()?.into()),
            _ => None,
        };
        let slot = self.shareable_top()?;
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
        let slot =
            self.memo.get(index).ok_or_else(|| self.malformed_error("nothing is remembered under that number"))?;
        self.push_again(slot);
        Ok(())
    }

    /// Pushes what is somewhere else, too.
    fn push_again(&mut self, slot: Slot) {
        if matches!(slot.place(), Place::Node(_)) {
            self.arena.note_shared();
        }
        self.push(slot);
    }

    fn line_index(&mut self) -> Result<u64, ReadError> {
        let index = ascii(self.input.line()?).and_then(|line| line.parse().ok());
        index.ok_or_else(|| self.malformed_error("no number to remember by"))
    }

    // Names.

    fn global(&mut self, opcode: u8) -> Result<(), ReadError> {
        if opcode == op::GLOBAL {
            let named = self.read_global()?;
            self.push(named);
            return Ok(());
        }
        let name = self.pop()?;
        let module = self.pop()?;
        let (Some(module), Some(name)) = (self.text(module), self.text(name)) else {
            return Err(self.malformed_error("a name is not text"));
        };
        let named = self.lookup(&module, &name)?;
        self.push(named);
        Ok(())
    }

    fn read_global(&mut self) -> Result<Slot, ReadError> {
        let module = self.input.line()?;
        let name = self.input.line()?;
        let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name)) else {
            return Err(ReadError::Text { at: self.input.op_at() });
        };
        self.lookup(module, name)
    }

    fn lookup(&mut self, module: &str, name: &str) -> Result<Slot, ReadError> {
        match Known::find(module, name) {
            Some(known) => self.arena.add_name(known),
            None if self.skipping() => self.arena.add_skipped(),
            None => Err(ReadError::Name(show_name(module, name))),
        }
    }

    /// Calls `class` with all that lies on the stack from `at`.
    fn call_with_rest(&mut self, class: Slot, at: usize) -> Result<(), ReadError> {
        let args = self.arena.add_fixed(Kind::Tuple, Elements { slots: &self.stack[at..], run: false })?;
        self.stack.truncate(at);
        let made = self.call(class, args)?;
        self.push(made);
        Ok(())
    }

    /// Whether unknown names are skipped.
    pub(super) fn skipping(&self) -> bool {
        self.unknown == Unknown::Skip
    }

    /// Whether `slot` is a placeholder for something that was skipped.
    pub(super) fn skips(&self, slot: Slot) -> bool {
        self.kind_of(slot) == Some(Kind::Skipped)
    }

    // Errors.

    pub(super) const fn malformed_error(&self, what: &'static str) -> ReadError {
        ReadError::Malformed { at: self.input.op_at(), what }
    }
}

/// A name from a stranger, fit for a log.
fn show_name(module: &str, name: &str) -> String {
    const MAX_CHARS: usize = 100;
    let mut full = module.chars().chain(['.']).chain(name.chars());
    let mut shown: String = full.by_ref().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if full.next().is_some() {
        shown.push_str("...");
    }
    shown
}
