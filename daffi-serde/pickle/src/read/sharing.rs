//! What a value holds in all, before it is made.
//!
//! A pickle of some bytes can refer to the same list again and again, and that list to another: as
//! a value each reference is a copy. Here each container is counted once, so that what is too large
//! costs no more than its bytes to be refused, however much of it a limit would have let be made.

use super::{
    Loaded, VALUE_COST,
    arena::Kind,
    slot::{Place, Slot},
};
use crate::ReadError;

/// The number of values in each container, by the place of its first word.
#[derive(Debug, Default)]
pub(super) struct Weights(Vec<u32>);

/// Not counted yet.
const UNKNOWN: u32 = 0;
/// It is being counted: who meets it again is inside of it.
const BEGUN: u32 = u32::MAX;
/// More than any limit allows.
const MOST: u32 = u32::MAX - 1;

impl Loaded<'_> {
    /// Refuses a value that holds more than may still be made. Only where containers are referred
    /// to again can one hold more than the input has bytes.
    pub(super) fn check_size(&self, slot: Slot) -> Result<(), ReadError> {
        if !self.arena.is_shared() {
            return Ok(());
        }
        let mut weights = self.weights.borrow_mut();
        if weights.0.is_empty() {
            let words = self.arena.len();
            if self.take_room(words * size_of::<u32>()).is_err() {
                // The limit is near, and is met as values are made.
                return Ok(());
            }
            weights.0 = vec![UNKNOWN; words];
        }
        let values = self.weigh(slot, &mut weights.0, 0)? as usize;
        // The error names the limit that would be met first.
        let (left, memory) = (self.values_left.get(), self.room.get() / VALUE_COST);
        if values > left.min(memory) {
            return Err(if left < memory {
                ReadError::Values { limit: self.limits.max_values }
            } else {
                ReadError::Memory { limit: self.limits.decode_bound(self.input.len()) }
            });
        }
        Ok(())
    }

    /// The values in `slot`, itself left out.
    fn weigh(&self, slot: Slot, weights: &mut [u32], depth: usize) -> Result<u32, ReadError> {
        let Place::Node(node) = slot.place() else { return Ok(0) };
        if matches!(self.arena.kind(node), Kind::Name | Kind::Owned | Kind::Skipped) {
            return Ok(0);
        }
        match weights[node] {
            UNKNOWN => {}
            BEGUN => return Err(ReadError::Cycle),
            known => return Ok(known - 1),
        }
        let limit = self.limits.max_depth;
        if depth >= limit {
            return Err(ReadError::Depth { limit });
        }
        weights[node] = BEGUN;
        let items = self.arena.items(node, self.input);
        let mut values = u32::try_from(items.len()).unwrap_or(MOST);
        for item in items {
            if matches!(item.place(), Place::Node(_)) {
                values = values.saturating_add(self.weigh(item, weights, depth + 1)?);
            }
        }
        let values = values.min(MOST - 1);
        weights[node] = values + 1;
        Ok(values)
    }
}
