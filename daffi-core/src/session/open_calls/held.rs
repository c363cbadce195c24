//! The numbers of the calls to one receiver.

use std::collections::BTreeMap;

/// About what a list of calls takes whose caller left, beside its numbers.
const TOLD_COST: usize = 96;

/// What the first of them takes beyond that: they are kept in nodes for several.
const FIRST_TOLD_COST: usize = 336;

/// Room for so many numbers is kept in any case.
const KEPT: usize = 256;

/// The numbers under which one receiver may answer, in lists: whoever knows the place of a number
/// in its list takes it out at once.
#[derive(Debug, Default)]
pub(super) struct NumbersHeld {
    /// The numbers of calls whose caller is there, or of which the receiver is not told that it
    /// left.
    untold: Vec<u16>,
    /// The others, by the number by which it was told. There is no empty list.
    told: BTreeMap<u32, Vec<u16>>,
    /// How many those are, and for how many their lists have room.
    told_len: usize,
    told_room: usize,
}

impl NumbersHeld {
    /// `list`: an empty one.
    pub(super) const fn new(list: Vec<u16>) -> Self {
        Self { untold: list, told: BTreeMap::new(), told_len: 0, told_room: 0 }
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.untold.len() + self.told_len
    }

    /// How many there are of which the receiver is not told that their caller left.
    pub(super) const fn untold(&self) -> usize {
        self.untold.len()
    }

    /// The memory of the lists.
    pub(super) fn held_bytes(&self) -> usize {
        let numbers = (self.untold.capacity() + self.told_room) * size_of::<u16>();
        let lists = if self.told.is_empty() { 0 } else { FIRST_TOLD_COST + self.told.len() * TOLD_COST };
        numbers + lists
    }

    /// How many lists there are of calls whose caller left.
    pub(super) fn told_lists(&self) -> usize {
        self.told.len()
    }

    /// Adds the number of a call, and gives its place. There are at most as many as numbers.
    pub(super) fn push(&mut self, number: u16) -> u16 {
        let at = u16::try_from(self.untold.len()).unwrap_or(u16::MAX);
        self.untold.push(number);
        at
    }

    /// The receiver is told by this number about those of which it was not. Gives these; `None`:
    /// there are none, or the number still stands for others.
    pub(super) fn tell(&mut self, number: u32) -> Option<&Vec<u16>> {
        if self.untold.is_empty() || self.told.contains_key(&number) {
            return None;
        }
        let mut told = std::mem::take(&mut self.untold);
        // Nothing is added any more.
        told.shrink_to_fit();
        self.told_len += told.len();
        self.told_room += told.capacity();
        Some(self.told.entry(number).or_insert(told))
    }

    /// Takes those out about which it was told by this number.
    pub(super) fn take_told(&mut self, number: u32) -> Option<Vec<u16>> {
        let told = self.told.remove(&number)?;
        self.told_len -= told.len();
        self.told_room -= told.capacity();
        Some(told)
    }

    /// Takes one out of the list of which it was told so, and gives the number that has its place
    /// now.
    pub(super) fn remove(&mut self, told: u32, at: u16) -> Option<u16> {
        if told == 0 {
            return take_out(&mut self.untold, at);
        }
        let list = self.told.get_mut(&told)?;
        let room = list.capacity();
        let moved = take_out(list, at);
        self.told_len -= 1;
        self.told_room -= room - list.capacity();
        if list.is_empty() {
            self.take_told(told);
        }
        moved
    }

    pub(super) fn into_numbers(self) -> impl Iterator<Item = u16> {
        self.untold.into_iter().chain(self.told.into_values().flatten())
    }

    /// An empty list for the next receiver.
    pub(super) fn into_spare(mut self) -> Vec<u16> {
        self.untold.clear();
        self.untold
    }
}

/// Takes one out, and gives the number that has its place now. One busy moment must not stay with
/// the list for its life.
fn take_out(list: &mut Vec<u16>, at: u16) -> Option<u16> {
    list.swap_remove(at.into());
    if list.capacity() > KEPT && list.len() < list.capacity() / 4 {
        list.shrink_to(KEPT.max(2 * list.len()));
    }
    list.get(usize::from(at)).copied()
}
