//! Who exposes which callback, for calls of which the Router chooses the receiver.

use std::{
    collections::hash_map::Entry,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use daffi_wire::{MethodName, NodeName};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::{keyed::ByName, router::Peer, session::List};

/// Further members that are looked at where two were drawn that take no calls.
const LOOKS: usize = 8;

/// The members that expose each callback. A change costs what the member exposes, however many
/// members there are.
#[derive(Debug, Default)]
pub(crate) struct Exposers {
    known: Mutex<Directory>,
    /// Counts changes: who remembers what it found sees whether it still holds.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Directory {
    callbacks: ByName<MethodName, ExposedBy>,
    by_conn: FxHashMap<u64, Arc<Peer>>,
}

#[derive(Debug)]
struct ExposedBy {
    by: Able,
    /// Where each stands in its list; empty while there is but one.
    places: FxHashMap<u64, usize>,
}

/// Those who expose a callback, at one moment.
#[derive(Clone, Debug)]
pub(crate) enum Able {
    One(Arc<Peer>),
    Many(Arc<Lists>),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    four: List<Arc<Peer>>,
    three: List<Arc<Peer>>,
}

impl Lists {
    fn of(&mut self, peer: &Peer) -> &mut List<Arc<Peer>> {
        if peer.is_level_four() { &mut self.four } else { &mut self.three }
    }
}

impl Exposers {
    /// The number of the state that [`find`](Self::find) tells of, or of one before.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Those who expose a callback, and its name. `None`: nobody does.
    pub(crate) fn find(&self, method: &str) -> Option<(MethodName, Able)> {
        let known = self.known.lock();
        known.callbacks.get_key_value(method).map(|(name, exposed)| (name.clone(), exposed.by.clone()))
    }

    /// The names of those who expose a callback.
    pub(crate) fn names_of(&self, method: &MethodName) -> Vec<NodeName> {
        let able = self.find(method).map(|(_, able)| able);
        able.into_iter().flat_map(|able| able.all().map(|peer| peer.name.clone()).collect::<Vec<_>>()).collect()
    }

    /// The member of this connection.
    pub(crate) fn member(&self, conn: u64) -> Option<Arc<Peer>> {
        self.known.lock().by_conn.get(&conn).map(Arc::clone)
    }

    /// Adds all that a member exposes.
    pub(crate) fn enter(&self, peer: &Arc<Peer>) {
        let known = &mut *self.known.lock();
        known.by_conn.insert(peer.id(), Arc::clone(peer));
        for method in peer.exposed_methods().iter() {
            known.add(method, peer);
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    /// A member exposes other callbacks, as `change` says.
    pub(crate) fn change(&self, peer: &Arc<Peer>, change: impl FnOnce()) {
        let known = &mut *self.known.lock();
        known.remove_all(peer);
        change();
        for method in peer.exposed_methods().iter() {
            known.add(method, peer);
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Removes all that a member exposed.
    pub(crate) fn leave(&self, peer: &Peer) {
        let known = &mut *self.known.lock();
        known.by_conn.remove(&peer.id());
        known.remove_all(peer);
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl Directory {
    fn add(&mut self, method: &MethodName, peer: &Arc<Peer>) {
        match self.callbacks.entry(method.clone()) {
            Entry::Vacant(place) => {
                place.insert(ExposedBy { by: Able::One(Arc::clone(peer)), places: FxHashMap::default() });
            }
            Entry::Occupied(mut exposed) => exposed.get_mut().push(peer),
        }
    }

    fn remove_all(&mut self, peer: &Peer) {
        for method in peer.exposed_methods().iter() {
            if let Entry::Occupied(mut exposed) = self.callbacks.entry(method.clone())
                && exposed.get_mut().remove(peer)
            {
                exposed.remove();
            }
        }
    }
}

impl ExposedBy {
    fn push(&mut self, peer: &Arc<Peer>) {
        if let Able::One(first) = &self.by {
            let first = Arc::clone(first);
            self.by = Able::Many(Arc::default());
            self.push(&first);
        }
        if let Able::Many(lists) = &mut self.by {
            let list = Arc::make_mut(lists).of(peer);
            self.places.insert(peer.id(), list.len());
            list.push(Arc::clone(peer));
        }
    }

    /// Gives whether nobody is left.
    fn remove(&mut self, peer: &Peer) -> bool {
        let lists = match &mut self.by {
            Able::One(only) => return only.id() == peer.id(),
            Able::Many(lists) => Arc::make_mut(lists),
        };
        if let Some(at) = self.places.remove(&peer.id()) {
            let list = lists.of(peer);
            list.swap_remove(at);
            if let Some(moved) = list.get(at) {
                self.places.insert(moved.id(), at);
            }
        }
        self.places.is_empty()
    }
}

impl Able {
    /// How many can be asked; only those of level 4, if that is needed.
    pub(crate) fn count(&self, level_four: bool) -> usize {
        match self {
            Self::One(only) => usize::from(!level_four || only.is_level_four()),
            Self::Many(lists) => lists.four.len() + if level_four { 0 } else { lists.three.len() },
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Peer>> {
        (0..self.count(false)).filter_map(|at| self.get(at))
    }

    /// The member at this place of the list, in which those of level 4 come first.
    fn get(&self, at: usize) -> Option<&Arc<Peer>> {
        match self {
            Self::One(only) => Some(only).filter(|_| at == 0),
            Self::Many(lists) => lists.four.get(at).or_else(|| lists.three.get(at.checked_sub(lists.four.len())?)),
        }
    }

    /// One that may be asked and is so, without the member of connection `but`.
    pub(crate) fn find(&self, level_four: bool, but: u64, is_so: impl Fn(&Peer) -> bool) -> Option<&Arc<Peer>> {
        (0..self.count(level_four)).filter_map(|at| self.get(at)).find(|peer| peer.id() != but && is_so(peer))
    }

    /// One of them, if all that may be asked owe words.
    pub(crate) fn all_owe(&self, level_four: bool, but: u64) -> Option<&Arc<Peer>> {
        let owing = self.find(level_four, but, |_| true)?;
        self.find(level_four, but, |peer| !peer.owed.is_any()).is_none().then_some(owing)
    }

    /// The better one of two that are drawn, without the member of connection `but`: that which has
    /// less to do. `None`: there is nobody.
    pub(crate) fn choose(&self, level_four: bool, but: u64, mut now: impl FnMut() -> u64) -> Option<&Arc<Peer>> {
        let count = self.count(level_four);
        let others = |at: usize| self.get(at % count.max(1)).filter(|peer| count > 0 && peer.id() != but);
        let draw = || fastrand::usize(..count.max(1));
        let (at, second) = (draw(), draw());
        // The next one stands for oneself, and for the second where it is the first.
        let first = others(at).or_else(|| others(at + 1))?;
        let is_another = |peer: &&Arc<Peer>| !Arc::ptr_eq(peer, first);
        let Some(second) = (second..second + 3).find_map(|at| others(at).filter(is_another)) else {
            return Some(first);
        };
        match (first.takes_calls(), second.takes_calls()) {
            (true, true) if first.load.weight(&mut now) <= second.load.weight(&mut now) => Some(first),
            (_, true) => Some(second),
            (true, false) => Some(first),
            (false, false) => {
                let takes = |at: usize| others(at).filter(|peer| peer.takes_calls());
                (at..at + LOOKS).find_map(takes).or(Some(first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use daffi_transport::PeerInfo;
    use daffi_wire::{Level, Limits};

    use super::*;
    use crate::{
        conn::{Budget, Conn},
        router::stats::counted::RoutedCallbacks,
    };

    fn method(n: usize) -> MethodName {
        MethodName::new(format!("f{n}"), &Limits::default()).unwrap()
    }

    fn peer(budget: &Arc<Budget>, counted: &Arc<RoutedCallbacks>, methods: &[MethodName], level: Level) -> Arc<Peer> {
        let conn = Conn::new(PeerInfo::new("mem", "test"), budget);
        conn.set_level(level);
        Peer::new(NodeName::new("w", &Limits::default()).unwrap(), conn, methods, 1, counted, &Arc::default())
    }

    /// Whatever came and went before, each callback has those who expose it, each once.
    #[test]
    fn the_lists_follow_every_change() {
        let (budget, counted) = (Budget::new(1 << 24, 1.0, 100, 1 << 10), Arc::new(RoutedCallbacks::new()));
        let (exposers, mut there) = (Exposers::default(), Vec::<Arc<Peer>>::new());
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..3000 {
            let methods: Vec<_> = (0..6).filter(|_| rng.bool()).map(method).collect();
            match rng.u8(..4) {
                0 if !there.is_empty() => exposers.leave(&there.swap_remove(rng.usize(..there.len()))),
                1 if !there.is_empty() => {
                    let other = &there[rng.usize(..there.len())];
                    exposers.change(other, || other.expose(&methods));
                }
                _ if there.len() < 200 => {
                    let level = if rng.bool() { Level::FOUR } else { Level::THREE };
                    there.push(peer(&budget, &counted, &methods, level));
                    exposers.enter(&there[there.len() - 1]);
                }
                _ => {}
            }
            for method in (0..6).map(method) {
                let expected: BTreeSet<_> =
                    there.iter().filter(|peer| peer.callback(&method).is_some()).map(|peer| peer.id()).collect();
                let four = there.iter().filter(|peer| peer.callback(&method).is_some() && peer.is_level_four()).count();
                let Some((_, able)) = exposers.find(&method) else {
                    assert!(expected.is_empty());
                    continue;
                };
                let listed: Vec<_> = (0..able.count(false)).map(|at| able.get(at).unwrap()).collect();
                assert!(listed[..four].iter().all(|peer| peer.is_level_four()) && able.count(true) == four);
                assert_eq!(listed.len(), expected.len());
                assert_eq!(listed.iter().map(|peer| peer.id()).collect::<BTreeSet<_>>(), expected);
            }
        }
        there.iter().for_each(|peer| exposers.leave(peer));
        let known = exposers.known.lock();
        assert!(known.callbacks.is_empty() && known.by_conn.is_empty());
    }

    /// Nobody calls itself, and of two the one with less to do is chosen, whichever are drawn.
    #[test]
    fn the_one_with_less_to_do_is_chosen() {
        let (budget, counted) = (Budget::new(1 << 24, 1.0, 100, 1 << 10), Arc::new(RoutedCallbacks::new()));
        let exposers = Exposers::default();
        let peers: Vec<_> = (0..3).map(|_| peer(&budget, &counted, &[method(0)], Level::FOUR)).collect();
        let chosen = |but: u64| exposers.find("f0")?.1.choose(false, but, || 0).map(|peer| peer.id());
        exposers.enter(&peers[0]);
        assert_eq!((chosen(peers[0].id()), chosen(0)), (None, Some(peers[0].id())));
        exposers.enter(&peers[1]);
        let _busy = peers[1].load.mark();
        for _ in 0..100 {
            assert_eq!((chosen(0), chosen(peers[0].id())), (Some(peers[0].id()), Some(peers[1].id())));
        }
        exposers.enter(&peers[2]);
        let _more = [peers[1].load.mark(), peers[2].load.mark()];
        let draws: Vec<_> = (0..300).map(|_| chosen(0).unwrap()).collect();
        assert!(!draws.contains(&peers[1].id()) && draws.contains(&peers[0].id()));
        assert_eq!(exposers.find("f0").unwrap().1.choose(false, peers[2].id(), || 0).unwrap().id(), peers[0].id());
    }
}
