//! Maps of names and numbers that peers choose: quick, and seeded anew in each process, so that no
//! peer knows which collide.

use std::collections::{HashMap, HashSet};

use foldhash::{fast, quality::RandomState};

/// A map by a name that a peer may have chosen.
pub(crate) type ByName<K, V> = HashMap<K, V, RandomState>;

/// A map by a number of which a peer may have chosen a part.
pub(crate) type ByNumber<K, V> = HashMap<K, V, fast::RandomState>;

/// A set of names that a peer may have chosen.
pub(crate) type Names<K> = HashSet<K, RandomState>;

/// What the allocator gave for a hash table, for those who count it.
///
/// What a table says of its capacity is less: an entry that was taken out may leave a mark behind,
/// with which the place is lost until the table is arranged anew, and one place of eight stays
/// empty. So this remembers the most that the table said since it was empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableRoom {
    capacity: usize,
    places: usize,
}

impl TableRoom {
    /// The table has this capacity, behind an entry that was added: just then it may have grown.
    #[inline]
    pub(crate) fn note(&mut self, capacity: usize) {
        if capacity > self.capacity {
            *self = Self { capacity, places: places(capacity) };
        }
    }

    /// The table, of so many entries, gave up what room it does not use.
    pub(crate) fn note_shrunk(&mut self, entries: usize) {
        if places(entries) < self.places {
            *self = Self { capacity: entries, places: places(entries) };
        }
    }

    /// How many entries had place when the table was arranged last.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// The memory of the table, of which each entry is a `T`.
    #[inline]
    pub(crate) const fn bytes<T>(&self) -> usize {
        self.places * (size_of::<T>() + 1)
    }
}

/// Tables have a power of two of places, of which an eighth stays empty.
fn places(capacity: usize) -> usize {
    match capacity {
        0 => 0,
        1..=3 => 4,
        4..=7 => 8,
        _ => (capacity * 8).div_ceil(7).next_power_of_two(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_are_lost_for_a_while_count() {
        let (mut table, mut room) = (HashMap::<u64, u64>::new(), TableRoom::default());
        assert_eq!(room.bytes::<(u64, u64)>(), 0);
        let add = |table: &mut HashMap<_, _>, room: &mut TableRoom, key| {
            table.insert(key, 0);
            room.note(table.capacity());
            (table.capacity(), room.bytes::<(u64, u64)>())
        };
        let full = (0..28 * 1024).map(|key| add(&mut table, &mut room, key)).last().unwrap();
        assert_eq!(full, (28 * 1024, 32 * 1024 * 17));
        table.retain(|key, _| *key < 10);
        let (says, counted) = add(&mut table, &mut room, 10);
        assert!(says < 28 * 1024, "{says}: places are lost");
        assert_eq!(counted, full.1);
        table.shrink_to_fit();
        room.note_shrunk(table.len());
        assert_eq!((table.capacity(), room.bytes::<(u64, u64)>()), (14, 16 * 17));
        assert_eq!((1..4).map(|more| add(&mut table, &mut room, 10 + more).1).max(), Some(16 * 17));
        assert_eq!(add(&mut table, &mut room, 14), (28, 32 * 17));
    }
}
