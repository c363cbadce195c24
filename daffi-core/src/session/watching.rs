//! Which callbacks the members of a Router watch, and which news concern whom.

use std::collections::hash_map::Entry;

use daffi_wire::{MethodName, Watch};
use rustc_hash::FxHashSet;

use crate::keyed::{ByName, Names};

/// Callbacks that a member may watch at a time, and bytes of their names.
pub(crate) const MOST_WATCHED: usize = 4096;
const MOST_BYTES: usize = 256 * 1024;

/// What a watched name takes beside its bytes: here, and with those who are to be told.
const NAME_COST: usize = 160;

/// Callbacks that a piece of news may have been about beside those of its member now. It is for
/// everybody then.
const MOST_FORMER: usize = 256;

/// What one member watches.
#[derive(Debug)]
pub(super) enum Interest {
    /// It is told of all members, as 3.0.1 does.
    All,
    Some(WatchedNames),
}

#[derive(Debug, Default)]
pub(super) struct WatchedNames {
    names: Names<MethodName>,
    /// Bytes of the names.
    bytes: usize,
}

/// A member watches more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooManyWatched {
    #[error(
        "it would watch {0} callbacks, and a member watches {MOST_WATCHED} at most; watch all members, or fewer \
         callbacks"
    )]
    Names(usize),
    #[error(
        "the names of the callbacks that it would watch have {0} bytes, and may have {MOST_BYTES}; watch all members, \
         or fewer callbacks"
    )]
    Bytes(usize),
}

impl Interest {
    pub(super) fn new(watches_all: bool) -> Self {
        if watches_all { Self::All } else { Self::Some(WatchedNames::default()) }
    }

    /// Whether it is to be told of a member that exposes these.
    pub(super) fn matches(&self, methods: &[MethodName]) -> bool {
        match self {
            Self::All => true,
            Self::Some(watched) => watched.has_one_of(methods),
        }
    }

    /// What the member would take in memory after this change.
    pub(super) fn cost_after(&self, change: &Watch) -> Result<usize, TooManyWatched> {
        let Self::Some(watched) = self else { return Ok(0) };
        if change.all {
            return Ok(0);
        }
        let removed: Names<_> = change.remove.iter().filter(|name| watched.names.contains(*name)).collect();
        let added: Names<_> =
            change.add.iter().filter(|name| !watched.names.contains(*name) || removed.contains(name)).collect();
        let bytes = |names: &Names<&MethodName>| names.iter().map(|name| name.len()).sum::<usize>();
        let count = watched.names.len() + added.len() - removed.len();
        let bytes = watched.bytes + bytes(&added) - bytes(&removed);
        match () {
            () if count > MOST_WATCHED => Err(TooManyWatched::Names(count)),
            () if bytes > MOST_BYTES => Err(TooManyWatched::Bytes(bytes)),
            () => Ok(bytes + count * NAME_COST),
        }
    }

    /// The names that it does not watch yet.
    pub(super) fn new_ones<'a>(&self, names: &'a [MethodName]) -> impl Iterator<Item = &'a MethodName> {
        names.iter().filter(move |name| matches!(self, Self::Some(watched) if !watched.names.contains(*name)))
    }
}

impl WatchedNames {
    fn has_one_of(&self, methods: &[MethodName]) -> bool {
        !self.names.is_empty() && methods.iter().any(|method| self.names.contains(method))
    }
}

/// Who watches which callback, by connection.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    by_name: ByName<MethodName, FxHashSet<u64>>,
}

impl Watchers {
    /// Those who watch a callback.
    pub(super) fn of(&self, method: &MethodName) -> impl Iterator<Item = u64> {
        self.by_name.get(method).into_iter().flatten().copied()
    }

    /// The member of connection `conn` watches something else from now on.
    pub(super) fn change(&mut self, conn: u64, watched: &mut Interest, change: &Watch) {
        if change.all {
            self.forget(conn, watched);
            *watched = Interest::All;
        }
        let Interest::Some(watched) = watched else { return };
        for name in &change.remove {
            if watched.names.remove(name) {
                watched.bytes -= name.len();
                self.remove(conn, name);
            }
        }
        for name in &change.add {
            if watched.names.insert(name.clone()) {
                watched.bytes += name.len();
                self.by_name.entry(name.clone()).or_default().insert(conn);
            }
        }
    }

    /// The member of connection `conn` watches nothing any more.
    pub(super) fn forget(&mut self, conn: u64, watched: &Interest) {
        if let Interest::Some(watched) = watched {
            watched.names.iter().for_each(|name| self.remove(conn, name));
        }
    }

    fn remove(&mut self, conn: u64, name: &MethodName) {
        if let Entry::Occupied(mut watching) = self.by_name.entry(name.clone()) {
            watching.get_mut().remove(&conn);
            if watching.get().is_empty() {
                watching.remove();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// The callbacks that a piece of news is about: whoever watches none of them need not hear it.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    /// In order, each once.
    methods: Vec<MethodName>,
    everybody: bool,
}

impl About {
    /// News of a member that exposes these.
    pub(super) fn new(methods: &[MethodName]) -> Self {
        let mut methods = methods.to_vec();
        methods.sort_unstable();
        methods.dedup();
        Self { methods, everybody: false }
    }

    /// The same news for those as well who were told of the member when `former` was known of it.
    pub(super) fn with_former(mut self, former: Self) -> Self {
        self.everybody |= former.everybody;
        let most = self.methods.len() + MOST_FORMER;
        self.methods.extend(former.methods);
        self.methods.sort_unstable();
        self.methods.dedup();
        if self.everybody || self.methods.len() > most {
            // So many that who watches none of them is not worth finding out.
            self.everybody = true;
            self.methods = Vec::new();
        }
        self
    }

    pub(super) const fn is_for_everybody(&self) -> bool {
        self.everybody
    }

    pub(super) fn methods(&self) -> &[MethodName] {
        &self.methods
    }

    /// Whether a member that watches this is to be told.
    pub(super) fn concerns(&self, watched: &Interest) -> bool {
        let Interest::Some(watched) = watched else { return true };
        if self.everybody {
            return true;
        }
        match watched.names.len() < self.methods.len() {
            true => watched.names.iter().any(|name| self.methods.binary_search(name).is_ok()),
            false => watched.has_one_of(&self.methods),
        }
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;

    fn names(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<MethodName> {
        names.into_iter().map(|name| MethodName::new(name, &Limits::default()).unwrap()).collect()
    }

    #[test]
    fn what_a_member_may_watch_is_bounded_and_counted() {
        let (mut watched, mut watchers) = (Interest::new(false), Watchers::default());
        let many = Watch { add: names((0..MOST_WATCHED).map(|n| format!("f{n}"))), ..Watch::default() };
        let cost = watched.cost_after(&many).unwrap();
        assert!(cost > MOST_WATCHED * NAME_COST);
        watchers.change(1, &mut watched, &many);
        assert_eq!(watched.cost_after(&many), Ok(cost), "the same names again cost nothing");
        let more = Watch { add: names(["g"]), ..Watch::default() };
        let refused = watched.cost_after(&more).unwrap_err().to_string();
        assert!(refused.contains("4097 callbacks") && refused.contains("4096"), "{refused}");
        let instead = Watch { add: names(["g"]), remove: names(["f0"]), all: false };
        assert_eq!(watched.cost_after(&instead), Ok(cost - 1), "one name in the place of another");
        let again = Watch { add: names(["f0", "f0"]), remove: names(["f0", "f0"]), all: false };
        assert_eq!(watched.cost_after(&again), Ok(cost));
        let long = Watch { add: names((100..400).map(|n| format!("{n}{}", "x".repeat(900)))), ..Watch::default() };
        assert!(matches!(Interest::new(false).cost_after(&long), Err(TooManyWatched::Bytes(_))));
        assert_eq!(watched.cost_after(&Watch::all()), Ok(0));
        watchers.change(1, &mut watched, &Watch::all());
        assert_eq!((watchers.len(), watched.cost_after(&long)), (0, Ok(0)), "all means the rest as well");
    }

    #[test]
    fn news_concern_who_watches_one_of_their_callbacks() {
        let (mut watched, mut watchers) = (Interest::new(false), Watchers::default());
        let about = About::new(&names(["g", "f", "f"]));
        assert!(!about.concerns(&watched) && about.concerns(&Interest::All));
        watchers.change(7, &mut watched, &Watch { add: names(["f", "h", "i"]), ..Watch::default() });
        assert!(about.concerns(&watched) && !About::new(&names(["g"])).concerns(&watched));
        assert_eq!(watchers.of(&names(["h"])[0]).collect::<Vec<_>>(), [7]);
        assert!(About::default().with_former(about).concerns(&watched));
        let many = About::new(&names((0..2 * MOST_FORMER).map(|n| format!("m{n}"))));
        let all = About::new(&names(["g"])).with_former(many.clone());
        assert!(all.is_for_everybody() && all.concerns(&watched) && all.methods().is_empty());
        assert!(!many.with_former(About::new(&names(["g"]))).is_for_everybody());
        watchers.change(7, &mut watched, &Watch { remove: names(["f", "h", "i"]), ..Watch::default() });
        assert_eq!(watchers.len(), 0);
    }
}
