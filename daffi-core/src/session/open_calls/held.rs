//! The numbers of the calls to one receiver.

use std::collections::BTreeMap;

/// About what a list of calls takes whose caller left.
pub(super) const TOLD_COST: usize = 96;

/// The numbers under which one receiver may answer, in lists: whoever knows the place of a number
/// in its list takes it out at once.
#[derive(Debug, Default)]
pub(super) struct NumbersHeld {
    /// Those of calls whose caller is there, or of which the receiver is not told that it left.
    untold: Vec<u16>,
    /// The others, by the number by which it was told. There is no empty list.
    told: BTreeMap<u32, Vec<u16>>,
    /// How many those are.
    told_len: usize,
}

impl NumbersHeld {
    /// `list`: an empty one.
    pub(super) const fn new(list: Vec<u16>) -> Self {
        Self { untold: list, told: BTreeMap::new(), told_len: 0 }
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.untold.len() + self.told_len
    }

    pub(super) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
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
        let told = std::mem::take(&mut self.untold);
        self.told_len += told.len();
        Some(self.told.entry(number).or_insert(told))
    }

    /// Takes those out about which it was told by this number.
    pub(super) fn take_told(&mut self, number: u32) -> Option<Vec<u16>> {
        let told = self.told.remove(&number)?;
        self.told_len -= told.len();
        Some(told)
    }

    /// Takes one out of the list of which it was told so. Gives the number that has its place now,
    /// and whether the list is no more.
    pub(super) fn remove(&mut self, told: u32, at: u16) -> (Option<u16>, bool) {
        if told == 0 {
            self.untold.swap_remove(at.into());
            return (self.untold.get(usize::from(at)).copied(), false);
        }
        let Some(list) = self.told.get_mut(&told) else { return (None, false) };
        list.swap_remove(at.into());
        self.told_len -= 1;
        let moved = list.get(usize::from(at)).copied();
        let is_empty = list.is_empty();
        if is_empty {
            self.told.remove(&told);
        }
        (moved, is_empty)
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
