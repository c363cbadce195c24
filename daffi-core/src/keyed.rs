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
