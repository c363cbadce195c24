//! Maps of names that peers choose: quick, and seeded anew in each process, so that no peer knows
//! which names collide.

use std::collections::{HashMap, HashSet};

use foldhash::quality::RandomState;

/// A map by a name that a peer may have chosen.
pub(crate) type ByName<K, V> = HashMap<K, V, RandomState>;

/// A set of names that a peer may have chosen.
pub(crate) type Names<K> = HashSet<K, RandomState>;
