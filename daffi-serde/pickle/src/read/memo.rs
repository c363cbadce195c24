use std::collections::HashMap;

use super::slot::Slot;

/// Values that later opcodes refer to by number.
///
/// Python numbers them from zero without gaps, so they lie in a vector. Numbers that leave gaps are
/// kept aside: the largest of them takes no more room than the smallest.
#[derive(Debug, Default)]
pub(super) struct Memo {
    dense: Vec<Slot>,
    sparse: HashMap<u64, Slot>,
}

impl Memo {
    pub(super) fn len(&self) -> usize {
        self.dense.len() + self.sparse.len()
    }

    pub(super) fn get(&self, index: u64) -> Option<Slot> {
        let dense = usize::try_from(index).ok().and_then(|index| self.dense.get(index));
        dense.or_else(|| self.sparse.get(&index)).copied()
    }

    pub(super) fn put(&mut self, index: u64, slot: Slot) {
        match usize::try_from(index) {
            Ok(at) if at < self.dense.len() => self.dense[at] = slot,
            Ok(at) if at == self.dense.len() => {
                // Most pickles leave no gaps, and hashing costs much where nothing is ever found.
                if !self.sparse.is_empty() {
                    self.sparse.remove(&index);
                }
                self.dense.push(slot);
            }
            _ => {
                self.sparse.insert(index, slot);
            }
        }
    }

    /// Keeps `slot` under the next number, which is how many there are.
    pub(super) fn push(&mut self, slot: Slot) {
        self.put(self.len() as u64, slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_gaps_are_kept_aside() {
        let mut memo = Memo::default();
        for (index, at) in [(u64::MAX, 1), (1, 2), (0, 3), (1, 4)] {
            memo.put(index, Slot::input(at));
        }
        assert_eq!((memo.dense.len(), memo.sparse.len()), (2, 1));
        assert_eq!(
            [0, 1, u64::MAX, 2].map(|index| memo.get(index)),
            [3, 4, 1, 0].map(|at| match at {
                0 => None,
                at => Some(Slot::input(at)),
            })
        );
        memo.push(Slot::input(5));
        assert_eq!(memo.get(3), Some(Slot::input(5)));
    }
}
