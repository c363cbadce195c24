//! What a Router counts of the callbacks that calls go to.
//!
//! Only what a member exposes, and somebody calls, is counted for itself. There are so many places
//! and no more: when all are taken, those are given to others of which the callback is not exposed
//! any more, and one member gets no more of them than it leaves for others.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use daffi_wire::MethodName;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::{
    conn::{Turn, nanos},
    keyed::ByName,
    router::peer::Peer,
    session::CallNote,
    stats::{CallCounts, CallbackStats, MOST_CALLBACKS, OTHER},
};

/// The place of all that have none of their own.
const REST: u16 = 0;

/// Places that are free for a member that has as few, whatever the others take.
const FEW: u16 = 16;

/// In the place of a time: nobody looked at the clock.
const UNTIMED: u64 = 0;

/// Nanoseconds between two looks for places that nobody needs any more.
const PAUSE: u64 = 1_000_000_000;

/// Counts by callback. Times are [`nanos`].
#[derive(Debug)]
pub(crate) struct RoutedCallbacks {
    pub(crate) since: Instant,
    places: Box<[OnceLock<Box<CountedPlace>>]>,
    named: Mutex<NamedPlaces>,
}

#[derive(Debug, Default)]
struct CountedPlace {
    /// When it began to count what it counts now: what is older was counted for another.
    born: AtomicU64,
    counts: CallCounts,
}

#[derive(Debug, Default)]
struct NamedPlaces {
    by_name: ByName<MethodName, NamedPlace>,
    free: Vec<u16>,
    /// Places of each member, by its connection.
    shares: FxHashMap<u64, u16>,
    looked: u64,
}

#[derive(Debug)]
struct NamedPlace {
    at: u16,
    /// The connection for which the place was taken.
    owner: u64,
    /// Whom it was called at last.
    receiver: Weak<Peer>,
}

/// Where the calls of a route are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedAs {
    at: u16,
    born: u64,
}

impl RoutedCallbacks {
    pub(crate) fn new() -> Self {
        let most = u16::try_from(MOST_CALLBACKS).unwrap_or(u16::MAX);
        let named = NamedPlaces { free: (1..=most).rev().collect(), ..NamedPlaces::default() };
        let places = (0..=most).map(|_| OnceLock::new()).collect();
        Self { since: now(), places, named: Mutex::new(named) }
    }

    fn place(&self, at: u16) -> &CountedPlace {
        self.places[usize::from(at)].get_or_init(Box::default)
    }

    /// Where calls of `method` of that receiver are counted, from now on.
    pub(crate) fn find(&self, method: &MethodName, receiver: &Arc<Peer>) -> CountedAs {
        let now = nanos(now());
        let named = &mut *self.named.lock();
        let at = match named.by_name.get_mut(method) {
            Some(known) => {
                if known.receiver.as_ptr() != Arc::as_ptr(receiver) {
                    known.receiver = Arc::downgrade(receiver);
                }
                known.at
            }
            None => match named.take(method, receiver, now) {
                Some(at) => {
                    let place = self.place(at);
                    place.counts.reset();
                    place.born.store(now, Relaxed);
                    at
                }
                None => REST,
            },
        };
        CountedAs { at, born: self.place(at).born.load(Relaxed) }
    }

    /// A call begins.
    #[inline]
    pub(crate) fn begin(&self, of: CountedAs, turn: &mut Turn) -> CallNote {
        let mut place = self.place(of.at);
        let mut callback = of.at;
        if place.born.load(Relaxed) != of.born {
            (place, callback) = (self.place(REST), REST);
        }
        let begun = if place.counts.begin() || turn.knows_time() {
            let now = turn.nanos();
            place.counts.begin_at(now);
            now
        } else {
            UNTIMED
        };
        CallNote { callback, begun }
    }

    /// A call begins where no turn knows the time.
    pub(crate) fn begin_now(&self, of: CountedAs) -> CallNote {
        let (place, begun) = (self.place(of.at), nanos(now()));
        let (place, callback) =
            if place.born.load(Relaxed) == of.born { (place, of.at) } else { (self.place(REST), REST) };
        place.counts.begin();
        place.counts.begin_at(begun);
        CallNote { callback, begun }
    }

    /// A call was answered. Gives how long that took, if it was timed.
    #[inline]
    pub(crate) fn end(&self, note: CallNote, is_error: bool, now: impl FnOnce() -> u64) -> Option<u64> {
        let place = self.place_of(note);
        let took = (note.begun != UNTIMED).then(|| now().saturating_sub(note.begun));
        if let Some(place) = place {
            place.counts.end();
            if let Some(took) = took {
                place.counts.note_time(took);
            }
            if is_error {
                place.counts.note_error();
            }
        }
        took
    }

    /// Calls ended without an answer.
    #[cold]
    pub(crate) fn lose(&self, notes: &[CallNote]) {
        notes.iter().filter_map(|note| self.place_of(*note)).for_each(|place| place.counts.lose());
    }

    fn place_of(&self, note: CallNote) -> Option<&CountedPlace> {
        let place = self.place(note.callback);
        // One that is not timed may be counted for the next callback that has its place.
        (note.begun == UNTIMED || place.born.load(Relaxed) <= note.begun).then_some(place)
    }

    /// All that was counted, in order of the names, with the rest at the end.
    pub(crate) fn snapshot(&self) -> Vec<CallbackStats> {
        let named: Vec<_> = {
            let named = self.named.lock();
            named.by_name.iter().map(|(name, place)| (name.clone(), place.at)).collect()
        };
        let mut all: Vec<_> = named.iter().map(|(name, at)| self.place(*at).counts.snapshot(name)).collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let rest = self.place(REST).counts.snapshot(OTHER);
        all.extend((rest.calls > 0).then_some(rest));
        all
    }
}

impl NamedPlaces {
    fn take(&mut self, method: &MethodName, receiver: &Arc<Peer>, now: u64) -> Option<u16> {
        if !self.has_place(receiver) && now.saturating_sub(self.looked) >= PAUSE {
            self.looked = now;
            self.give_back();
        }
        if !self.has_place(receiver) {
            return None;
        }
        let at = self.free.pop()?;
        *self.shares.entry(receiver.id()).or_default() += 1;
        let place = NamedPlace { at, owner: receiver.id(), receiver: Arc::downgrade(receiver) };
        self.by_name.insert(method.clone(), place);
        Some(at)
    }

    /// Whether there is one for this member: a few in any case, and as many as are free.
    fn has_place(&self, receiver: &Peer) -> bool {
        let taken = self.shares.get(&receiver.id()).copied().unwrap_or(0);
        !self.free.is_empty() && (taken < FEW || usize::from(taken) < self.free.len())
    }

    /// Frees the places of callbacks that who was called last does not expose any more.
    fn give_back(&mut self) {
        let Self { by_name, free, shares, .. } = self;
        by_name.retain(|method, place| {
            let is_exposed = place
                .receiver
                .upgrade()
                .is_some_and(|receiver| receiver.is_named() && receiver.callback(method).is_some());
            if !is_exposed {
                free.push(place.at);
                if let Some(share) = shares.get_mut(&place.owner) {
                    *share -= 1;
                    if *share == 0 {
                        shares.remove(&place.owner);
                    }
                }
            }
            is_exposed
        });
    }
}

/// The time as the runtime has it, which tests may stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
