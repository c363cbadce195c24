//! A list and a map of which a copy costs little, and a change after it only the part that changes:
//! what many look at while one goes on changing it.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use crate::keyed::ByName;

/// Elements of one part of a list, and of one part of a map on average at most.
const PART: usize = 64;

/// A list in parts.
#[derive(Clone, Debug)]
pub(crate) struct List<T> {
    /// The parts, all of which are full but the last, which is not empty.
    parts: Vec<Arc<Vec<T>>>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<T: Clone> List<T> {
    pub(crate) fn len(&self) -> usize {
        self.parts.last().map_or(0, |last| (self.parts.len() - 1) * PART + last.len())
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.parts.get(at / PART)?.get(at % PART)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    pub(crate) fn push(&mut self, element: T) {
        match self.parts.last_mut().filter(|part| part.len() < PART) {
            Some(part) => Arc::make_mut(part).push(element),
            None => self.parts.push(Arc::new(vec![element])),
        }
    }

    pub(super) fn set(&mut self, at: usize, element: T) {
        if let Some(place) = self.parts.get_mut(at / PART).and_then(|part| Arc::make_mut(part).get_mut(at % PART)) {
            *place = element;
        }
    }

    /// Removes one element; the last takes its place.
    pub(crate) fn swap_remove(&mut self, at: usize) {
        let Some(part) = self.parts.last_mut() else { return };
        let last = Arc::make_mut(part).pop();
        if part.is_empty() {
            self.parts.pop();
        }
        if let Some(last) = last
            && at < self.len()
        {
            self.set(at, last);
        }
    }
}

/// A map in parts, by names that peers chose.
#[derive(Clone, Debug)]
pub(crate) struct Map<K, V> {
    /// A power of two of them; which one a key is in says its hash.
    parts: Vec<Arc<ByName<K, V>>>,
    len: usize,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { parts: vec![Arc::default()], len: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Map<K, V> {
    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        if self.parts.len() == 1 {
            return 0;
        }
        // The upper half: the maps go by the lower bits and the topmost ones.
        let hash = self.parts[0].hasher().hash_one(key) >> 32;
        usize::try_from(hash).unwrap_or_default() & (self.parts.len() - 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| part.values())
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[self.part(key)].get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.len >= self.parts.len() * PART {
            self.grow();
        }
        let part = self.part(&key);
        if Arc::make_mut(&mut self.parts[part]).insert(key, value).is_none() {
            self.len += 1;
        }
    }

    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let part = self.part(key);
        if !self.parts[part].contains_key(key) {
            return None;
        }
        let removed = Arc::make_mut(&mut self.parts[part]).remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Twice the parts, for the same entries.
    fn grow(&mut self) {
        let hasher = self.parts[0].hasher().clone();
        let empty = || Arc::new(ByName::with_hasher(hasher.clone()));
        let parts = (0..self.parts.len() * 2).map(|_| empty()).collect();
        for part in std::mem::replace(&mut self.parts, parts) {
            for (key, value) in Arc::unwrap_or_clone(part) {
                let part = self.part(&key);
                Arc::make_mut(&mut self.parts[part]).insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_list_does_as_a_vec_and_leaves_copies_alone() {
        let (mut list, mut vec) = (List::default(), Vec::new());
        let (mut rng, mut copies) = (fastrand::Rng::with_seed(7), Vec::new());
        for n in 0..5000 {
            match rng.usize(..5) {
                0 if !vec.is_empty() => {
                    let at = rng.usize(..vec.len());
                    list.swap_remove(at);
                    vec.swap_remove(at);
                }
                1 if !vec.is_empty() => {
                    let at = rng.usize(..vec.len());
                    list.set(at, n);
                    vec[at] = n;
                }
                _ => {
                    list.push(n);
                    vec.push(n);
                }
            }
            assert_eq!((list.len(), list.get(vec.len())), (vec.len(), None));
            if n % 500 == 0 {
                copies.push((list.clone(), vec.clone()));
            }
        }
        copies.push((list, vec));
        for (list, vec) in copies {
            assert!(list.iter().eq(&vec) && (0..vec.len()).all(|at| list.get(at) == Some(&vec[at])));
        }
    }

    #[test]
    fn a_map_does_as_a_hash_map_and_leaves_copies_alone() {
        let (mut map, mut other) = (Map::default(), HashMap::new());
        let (mut rng, mut copies) = (fastrand::Rng::with_seed(7), Vec::new());
        for n in 0..20_000 {
            let key = rng.u16(..3000);
            if rng.u8(..4) == 0 {
                assert_eq!(map.remove(&key), other.remove(&key));
            } else {
                map.insert(key, n);
                other.insert(key, n);
            }
            if n % 2000 == 0 {
                copies.push((map.clone(), other.clone()));
            }
        }
        assert!(map.parts.len() > 16 && map.parts.iter().all(|part| part.len() < 4 * PART));
        copies.push((map, other));
        for (map, other) in copies {
            assert_eq!(map.len, other.len());
            assert!((0..3000).all(|key| map.get(&key) == other.get(&key)));
        }
    }
}
