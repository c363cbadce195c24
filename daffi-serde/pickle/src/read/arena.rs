//! What a pickle builds: containers that refer to values by number, in one vector of words.
//!
//! Containers may change after others refer to them, and may refer to themselves. So they become
//! values only when the pickle has ended. A container takes one to five words, and each element
//! one; elements that follow each other in the input without anything between them (a *run*) take
//! one word together.

use daffi_serde::{Value, value::TimeDelta};
use jiff::tz::TimeZone;

use super::{
    scalar,
    slot::{Place, Slot},
};
use crate::{ReadError, known::Known};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tuple,
    FrozenSet,
    List,
    Set,
    /// Keys and values in turn.
    Dict,
    /// A constructor that was not called yet.
    Name,
    /// One of [`Owned`].
    Owned,
    /// What was made with a name outside of the table, where those are skipped.
    Skipped,
}

const KINDS: [Kind; 8] =
    [Kind::Tuple, Kind::FrozenSet, Kind::List, Kind::Set, Kind::Dict, Kind::Name, Kind::Owned, Kind::Skipped];

/// The first word of a node or chunk: kind, whether the elements are a run, and a number (of
/// elements, mostly).
#[derive(Clone, Copy, Debug)]
struct Header(u32);

impl Header {
    const RUN: u32 = 1 << 28;
    const NUMBER: u32 = Self::RUN - 1;

    fn new(kind: Kind, run: bool, number: usize) -> Option<Self> {
        let number = u32::try_from(number).ok().filter(|number| *number <= Self::NUMBER)?;
        Some(Self((kind as u32) << 29 | if run { Self::RUN } else { 0 } | number))
    }

    const fn kind(self) -> Kind {
        KINDS[(self.0 >> 29) as usize]
    }

    const fn is_run(self) -> bool {
        self.0 & Self::RUN != 0
    }

    const fn number(self) -> usize {
        (self.0 & Self::NUMBER) as usize
    }
}

/// What is neither in the input nor made of slots.
#[derive(Debug)]
pub(super) enum Owned {
    /// Bytes that were written as text.
    Data(Box<[u8]>),
    /// A date, a decimal number and the like.
    Value(Value),
    /// A `datetime.timezone`, by its offset, and the name it may have.
    Zone(TimeDelta, Option<Box<str>>),
    /// A zone by its name, and as IANA's database has it.
    NamedZone(Box<str>, Option<TimeZone>),
    /// A `uuid.UUID` before its number is known.
    BlankUuid,
}

/// Elements to be put into a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'s> {
    pub(super) slots: &'s [Slot],
    /// Whether they follow each other in the input, with nothing between them that makes or moves a
    /// value.
    pub(super) run: bool,
}

/// All that a pickle has built so far.
#[derive(Debug)]
pub(super) struct Arena {
    words: Vec<u32>,
    owned: Vec<Owned>,
    /// Bytes that may still be taken.
    room: usize,
    limit: usize,
    /// A container was referred to again.
    shared: bool,
}

/// Words of a container that can change, before its chunks: header, first chunk, last chunk.
const FIRST: usize = 1;
const LAST: usize = 2;
/// Words of a chunk: header, the next chunk or zero, elements.
const NEXT: usize = 1;
const ELEMENTS: usize = 2;

/// So many words are not given back: a small piece of memory that was cut costs the allocator more
/// than the pickle of a small call.
const FEW: usize = 64;

impl Arena {
    pub(super) fn new(limit: usize) -> Self {
        Self { words: Vec::new(), owned: Vec::new(), room: limit, limit, shared: false }
    }

    pub(super) const fn too_much(&self) -> ReadError {
        ReadError::Memory { limit: self.limit }
    }

    pub(super) const fn note_shared(&mut self) {
        self.shared = true;
    }

    /// Whether a container was referred to again.
    pub(super) const fn is_shared(&self) -> bool {
        self.shared
    }

    /// How many words there are.
    pub(super) const fn len(&self) -> usize {
        self.words.len()
    }

    /// Takes room for bytes that something else holds.
    pub(super) fn take_room(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.room = self.room.checked_sub(bytes).ok_or_else(|| self.too_much())?;
        Ok(())
    }

    /// Gives back what is held in reserve, if that is worth it. What may still be taken is left.
    pub(super) fn settle(&mut self) -> usize {
        let before = self.words.capacity();
        if before > FEW {
            self.words.shrink_to_fit();
        }
        self.room += (before - self.words.capacity()) * size_of::<u32>();
        self.room
    }

    fn reserve(&mut self, more: usize) -> Result<(), ReadError> {
        let (len, capacity) = (self.words.len(), self.words.capacity());
        if capacity - len >= more {
            return Ok(());
        }
        let next = (len + more).max(capacity + capacity / 2).max(16);
        self.take_room((next - capacity) * size_of::<u32>())?;
        self.words.reserve_exact(next - len);
        Ok(())
    }

    fn begin(&mut self, words: usize) -> Result<Slot, ReadError> {
        self.reserve(words)?;
        Slot::node(self.words.len()).ok_or_else(|| self.too_much())
    }

    fn header(&self, kind: Kind, run: bool, number: usize) -> Result<u32, ReadError> {
        Header::new(kind, run, number).map(|header| header.0).ok_or_else(|| self.too_much())
    }

    pub(super) fn add_name(&mut self, name: Known) -> Result<Slot, ReadError> {
        self.add_word(Kind::Name, name as usize)
    }

    pub(super) fn add_skipped(&mut self) -> Result<Slot, ReadError> {
        self.add_word(Kind::Skipped, 0)
    }

    pub(super) fn add_owned(&mut self, owned: Owned) -> Result<Slot, ReadError> {
        let zone = match &owned {
            Owned::Value(Value::DateTime(moment)) => moment.zone.as_deref().map_or(0, str::len),
            _ => 0,
        };
        // This counts what a value has boxed, and places that were made ahead or are moved. Text
        // and bytes took their room when they were made.
        self.take_room(size_of::<Owned>() * 3 + 48 + zone)?;
        self.owned.push(owned);
        self.add_word(Kind::Owned, self.owned.len() - 1)
    }

    fn add_word(&mut self, kind: Kind, number: usize) -> Result<Slot, ReadError> {
        let slot = self.begin(1)?;
        let header = self.header(kind, false, number)?;
        self.words.push(header);
        Ok(slot)
    }

    /// Adds a tuple or frozen set, which never change.
    pub(super) fn add_fixed(&mut self, kind: Kind, elements: Elements<'_>) -> Result<Slot, ReadError> {
        let slot = self.begin(1 + elements.words())?;
        let header = self.header(kind, elements.run, elements.slots.len())?;
        self.words.push(header);
        self.push(elements);
        Ok(slot)
    }

    /// Adds an empty list, set or dict, which can change.
    pub(super) fn add_empty(&mut self, kind: Kind) -> Result<Slot, ReadError> {
        let slot = self.begin(3)?;
        let header = self.header(kind, false, 0)?;
        self.words.extend([header, 0, 0]);
        Ok(slot)
    }

    fn push(&mut self, elements: Elements<'_>) {
        let kept = if elements.run { &elements.slots[..1] } else { elements.slots };
        self.words.extend(kept.iter().map(|slot| slot.word()));
    }

    /// Adds to the list, set or dict at `node`.
    pub(super) fn extend(&mut self, node: usize, elements: Elements<'_>) -> Result<(), ReadError> {
        let count = elements.slots.len();
        if count == 0 {
            return Ok(());
        }
        let header = Header(self.words[node]);
        let total = self.header(header.kind(), false, header.number() + count)?;
        let last = self.words[node + LAST] as usize;
        // Old protocols add one element at a time: each goes behind the last one, if nothing else
        // was put there.
        if last != 0 && !elements.run {
            let chunk = Header(self.words[last]);
            if !chunk.is_run() && last + ELEMENTS + chunk.number() == self.words.len() {
                self.reserve(count)?;
                self.words[last] = self.header(chunk.kind(), false, chunk.number() + count)?;
                self.push(elements);
                self.words[node] = total;
                return Ok(());
            }
        }
        let Place::Node(at) = self.begin(ELEMENTS + elements.words())?.place() else { return Err(self.too_much()) };
        let chunk = self.header(header.kind(), elements.run, count)?;
        self.words.extend([chunk, 0]);
        self.push(elements);
        // `begin` has checked that this fits into a word.
        let link = u32::try_from(at).map_err(|_| self.too_much())?;
        let place = if last == 0 { node + FIRST } else { last + NEXT };
        self.words[place] = link;
        self.words[node + LAST] = link;
        self.words[node] = total;
        Ok(())
    }

    pub(super) fn kind(&self, node: usize) -> Kind {
        Header(self.words[node]).kind()
    }

    /// The constructor of a node of [`Kind::Name`].
    pub(super) fn name(&self, node: usize) -> Known {
        Known::ALL[Header(self.words[node]).number() % Known::COUNT]
    }

    /// The content of a node of [`Kind::Owned`].
    pub(super) fn owned(&self, node: usize) -> &Owned {
        &self.owned[Header(self.words[node]).number()]
    }

    pub(super) fn owned_mut(&mut self, node: usize) -> &mut Owned {
        &mut self.owned[Header(self.words[node]).number()]
    }

    /// The elements of a container.
    pub(super) fn items<'r>(&'r self, node: usize, input: &'r [u8]) -> Items<'r> {
        let header = Header(self.words[node]);
        let empty = Items { input, words: &self.words, at: 0, in_chunk: 0, run: false, next: 0, len: header.number() };
        match header.kind() {
            Kind::Tuple | Kind::FrozenSet if header.number() > 0 => {
                Items { in_chunk: header.number(), run: header.is_run(), ..empty }.starting(node + 1)
            }
            Kind::List | Kind::Set | Kind::Dict => Items { next: self.words[node + FIRST] as usize, ..empty },
            _ => Items { len: 0, ..empty },
        }
    }
}

impl Elements<'_> {
    /// How many words they take in a container.
    const fn words(self) -> usize {
        if self.run { 1 } else { self.slots.len() }
    }
}

/// The elements of a container, in order.
#[derive(Clone, Debug)]
pub(crate) struct Items<'r> {
    input: &'r [u8],
    words: &'r [u32],
    /// Where the next element is: in the input for a run, otherwise among the words.
    at: usize,
    /// Elements left in this chunk.
    in_chunk: usize,
    run: bool,
    /// The chunk after this one, or zero.
    next: usize,
    /// Elements left in all.
    len: usize,
}

impl<'r> Items<'r> {
    /// No elements.
    pub(super) const fn none(input: &'r [u8]) -> Self {
        Self { input, words: &[], at: 0, in_chunk: 0, run: false, next: 0, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn starting(mut self, words_at: usize) -> Self {
        self.at = if self.run { self.words[words_at] as usize } else { words_at };
        self
    }
}

impl Iterator for Items<'_> {
    type Item = Slot;

    #[inline]
    fn next(&mut self) -> Option<Slot> {
        if self.in_chunk == 0 {
            if self.next == 0 {
                return None;
            }
            let chunk = Header(self.words[self.next]);
            (self.in_chunk, self.run) = (chunk.number(), chunk.is_run());
            let at = self.next + ELEMENTS;
            self.next = self.words[self.next + NEXT] as usize;
            self.at = if self.run { self.words[at] as usize } else { at };
        }
        self.in_chunk -= 1;
        self.len -= 1;
        if self.run {
            let slot = Slot::input(self.at);
            if self.in_chunk > 0 {
                self.at = scalar::next_in_run(self.input, self.at);
            }
            return Some(slot);
        }
        let slot = Slot::of_word(self.words[self.at]);
        self.at += 1;
        Some(slot)
    }
}
