//! What came in one frame, in the hand of who reads it.

use std::ops::Range;

use bytes::Bytes;
use daffi_wire::{BodyError, PackedItems};

/// Small items of bytes share memory of about this size with those around them: so giving one costs
/// no allocation, and keeping one keeps little more than itself alive.
const SHARED_BYTES: usize = 1024;

/// An item that came.
#[derive(Debug)]
pub(crate) enum Came<'a> {
    /// One of several that came in one frame, where it lies.
    Packed(PackedItem<'a>),
    /// One that came alone or was put together, or a piece of bytes.
    Whole(Bytes),
}

/// An item where it lies, among others of its frame.
#[derive(Debug)]
pub(crate) struct PackedItem<'a> {
    hand: &'a mut Hand,
    place: Range<usize>,
}

/// The items of one frame that are still to be read. Taking one needs no lock, so that a small item
/// does not cost as much as a frame.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    packed: Bytes,
    at: usize,
    /// What the frame cost of its window.
    cost: Option<u64>,
    /// A copy of a part of the frame, and where that begins.
    shared: Bytes,
    shared_at: usize,
}

impl Came<'_> {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Packed(item) => item.place.end - item.place.start,
            Self::Whole(bytes) => bytes.len(),
        }
    }
}

impl PackedItem<'_> {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.hand.packed[self.place.clone()]
    }

    /// A copy that shares its memory with those of a few items around it.
    #[inline]
    pub(crate) fn share(self) -> Bytes {
        let Self { hand, place: Range { start, end } } = self;
        if end > hand.shared_at + hand.shared.len() {
            hand.copy_from(start, end);
        }
        hand.shared.slice(start - hand.shared_at..end - hand.shared_at)
    }
}

impl Hand {
    pub(super) const fn new(packed: Bytes, cost: u64) -> Self {
        Self { packed, at: 0, cost: Some(cost), shared: Bytes::new(), shared_at: 0 }
    }

    /// Where the next item lies. `None`: the frame has no further ones. After an error neither.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Range<usize>>, BodyError> {
        let place = PackedItems::place(&self.packed, self.at);
        match &place {
            Ok(Some(place)) => self.at = place.end,
            Ok(None) => {}
            Err(_) => self.at = self.packed.len(),
        }
        place
    }

    #[inline]
    pub(super) const fn item(&mut self, place: Range<usize>) -> PackedItem<'_> {
        PackedItem { hand: self, place }
    }

    /// Lays the frame down. Gives what it cost, if there was one.
    pub(super) fn lay_down(&mut self) -> Option<u64> {
        std::mem::take(self).cost
    }

    /// Copies the items around the one from `start` to `end`, and all of that.
    fn copy_from(&mut self, start: usize, end: usize) {
        let until = end.max(start + SHARED_BYTES).min(self.packed.len());
        self.shared = Bytes::copy_from_slice(&self.packed[start..until]);
        self.shared_at = start;
    }
}
