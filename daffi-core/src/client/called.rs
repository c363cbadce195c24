//! What a client counts of the callbacks that it calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use daffi_wire::NodeName;
use parking_lot::Mutex;

use crate::{
    conn::nanos,
    keyed::ByName,
    stats::{CallbackStats, MOST_CALLBACKS, OTHER, RunCounts, cut_name, keep_heaviest},
};

/// Calls that are timed each for itself, of each callback. Of further ones one in [`SAMPLE`] is:
/// reading the clock twice costs a hundredth of a call.
const ALL_OF: u64 = 64;
const SAMPLE: u64 = 8;

/// Calls by receiver and callback, whatever the connection.
#[derive(Debug, Default)]
pub(crate) struct CalledCallbacks {
    known: Mutex<Known>,
    /// How often the connection was made anew.
    pub(crate) reconnects: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    /// The one called last, which is mostly the next.
    last: Option<Arc<CalledCallback>>,
    by_receiver: ByName<NodeName, ByName<Box<str>, Arc<CalledCallback>>>,
    count: usize,
    rest: Option<Arc<CalledCallback>>,
}

#[derive(Debug)]
struct CalledCallback {
    receiver: NodeName,
    method: Box<str>,
    counts: RunCounts,
}

impl CalledCallback {
    fn new(receiver: &NodeName, method: &str) -> Arc<Self> {
        Arc::new(Self { receiver: receiver.clone(), method: method.into(), counts: RunCounts::default() })
    }

    fn is(&self, receiver: &NodeName, method: &str) -> bool {
        *self.method == *method && self.receiver == *receiver
    }
}

/// An open call that is counted. Dropped before it [`end`](Self::end)s, it ended without an answer.
#[derive(Debug)]
pub(crate) struct CountedCall {
    of: Arc<CalledCallback>,
    /// When it began, in [`nanos`]; or one of [`UNTIMED`] and [`ENDED`].
    begun: u64,
}

/// Nobody looked at the clock when it began.
const UNTIMED: u64 = 0;
const ENDED: u64 = u64::MAX;

impl CalledCallbacks {
    /// A call begins.
    pub(crate) fn begin(&self, receiver: &NodeName, method: &str) -> CountedCall {
        let of = {
            let known = &mut *self.known.lock();
            match &known.last {
                Some(last) if last.is(receiver, method) => Arc::clone(last),
                _ => known.find(receiver, method),
            }
        };
        let before = of.counts.begin();
        let is_timed = before < ALL_OF || before.is_multiple_of(SAMPLE);
        CountedCall { of, begun: if is_timed { nanos(now()) } else { UNTIMED } }
    }

    /// A call that was answered failed in this way.
    #[cold]
    pub(crate) fn note_error(&self, receiver: &str, method: &str, class: &str) {
        let known = self.known.lock();
        let find = |receiver| known.by_receiver.get(receiver).and_then(|methods: &ByName<_, _>| methods.get(method));
        let of = find(receiver).or_else(|| find("")).or(known.rest.as_ref());
        if let Some(of) = of {
            of.counts.note_error(class);
        }
    }

    /// What was counted of each, in order of receiver and callback, with the rest at the end.
    pub(crate) fn snapshot(&self) -> Vec<CalledStats> {
        let known = self.known.lock();
        let tell = |of: &Arc<CalledCallback>| CalledStats {
            receiver: of.receiver.to_string(),
            callback: of.counts.snapshot(&of.method),
        };
        let mut all: Vec<_> = known.by_receiver.values().flat_map(ByName::values).map(tell).collect();
        all.sort_unstable_by(|a, b| (&a.receiver, &a.callback.name).cmp(&(&b.receiver, &b.callback.name)));
        all.extend(known.rest.iter().map(|rest| CalledStats { receiver: OTHER.to_owned(), ..tell(rest) }));
        all
    }
}

impl Known {
    fn find(&mut self, receiver: &NodeName, method: &str) -> Arc<CalledCallback> {
        let known = self.by_receiver.get(receiver).and_then(|methods| methods.get(method));
        let found = match known {
            Some(known) => Arc::clone(known),
            None if self.count >= MOST_CALLBACKS => {
                return Arc::clone(self.rest.get_or_insert_with(|| CalledCallback::new(receiver, OTHER)));
            }
            None => {
                let new = CalledCallback::new(receiver, method);
                self.by_receiver.entry(receiver.clone()).or_default().insert(method.into(), Arc::clone(&new));
                self.count += 1;
                new
            }
        };
        self.last = Some(Arc::clone(&found));
        found
    }
}

impl CountedCall {
    /// The call was answered.
    #[inline]
    pub(crate) fn end(mut self) {
        self.of.counts.end(None);
        let begun = std::mem::replace(&mut self.begun, ENDED);
        if begun != UNTIMED {
            self.of.counts.note_time(Duration::from_nanos(nanos(now()).saturating_sub(begun)));
        }
    }
}

impl Drop for CountedCall {
    fn drop(&mut self) {
        if self.begun != ENDED {
            self.of.counts.lose();
        }
    }
}

/// What a client counted of the calls that it made to one callback of one receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalledStats {
    /// The receiver; empty of calls that were left to the Router.
    pub receiver: String,
    /// Its callback.
    pub callback: CallbackStats,
}

/// What a client counted since its start, and how things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// How often the connection was made anew after the first.
    pub reconnects: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: usize,
    /// Calls of others now that run here, or wait for their turn.
    pub running: usize,
    /// Bytes of the budget that are held now for others, beyond the part that each connection owns.
    pub held_bytes: usize,
    /// The budget, in bytes.
    pub budget_bytes: usize,
    /// Requests of others that ran no callback: it is not exposed here, the node stops, there is no
    /// room, or the request cannot be read.
    pub refused_calls: u64,
    /// Requests that nobody answers, of `rpc_nowait`, `cast_nowait` and `stream_nowait`, that were
    /// queued and not sent, or had not arrived at the server's host as far as the system tells,
    /// because their connection ended before its server had taken them: it was lost, or the client
    /// was stopped and `grace` was over.
    pub unsent_requests: u64,
    /// Bytes of these that were left, or had not arrived there.
    pub unsent_bytes: u64,
    /// Each callback that it called with an answer, by receiver and name. At most 1 000 are counted
    /// each for itself; the rest stands at the end, as `other`. The first 64 calls of each are
    /// timed, and every eighth from then on.
    pub called: Vec<CalledStats>,
    /// Each callback that it exposes, in the order in which they were added.
    pub callbacks: Vec<CallbackStats>,
}

impl ClientStats {
    /// What the clients of one node counted together, which share what they expose. `None`: there
    /// is none.
    pub(super) fn of_all(all: impl Iterator<Item = Self>) -> Option<Self> {
        let mut called: BTreeMap<(bool, String, String), CallbackStats> = BTreeMap::new();
        let mut note = |one: CalledStats| {
            let is_rest = one.receiver == OTHER && one.callback.name == OTHER;
            let key = (is_rest, one.receiver, one.callback.name.clone());
            let is_known = called.contains_key(&key);
            let is_full = called.len() >= MOST_CALLBACKS;
            let key = if is_full && !is_known { (true, OTHER.to_owned(), OTHER.to_owned()) } else { key };
            let empty = || CallbackStats { name: key.2.clone(), ..CallbackStats::default() };
            called.entry(key.clone()).or_insert_with(empty).add(&one.callback);
        };
        let together = all.reduce(|one, other| {
            note_all(&mut note, other.called);
            Self {
                reconnects: one.reconnects + other.reconnects,
                queued_bytes: one.queued_bytes + other.queued_bytes,
                unsent_requests: one.unsent_requests + other.unsent_requests,
                unsent_bytes: one.unsent_bytes + other.unsent_bytes,
                ..one
            }
        });
        let mut together = together?;
        note_all(&mut note, std::mem::take(&mut together.called));
        let called = called.into_iter().map(|((_, receiver, _), callback)| CalledStats { receiver, callback });
        Some(Self { called: called.collect(), ..together })
    }

    /// Leaves so many callbacks that it called, and as many that it exposes, out of all that there
    /// are: those that most is to be said of, by how many of their calls are open, failed, had no
    /// answer, and by all of them. Of names of more than 256 bytes the beginning is left, and the
    /// length.
    pub fn keep_busiest(&mut self, most: usize) {
        const CALLED: [fn(&CalledStats) -> u64; 4] = [
            |one| one.callback.open,
            |one| one.callback.errors,
            |one| one.callback.unanswered,
            |one| one.callback.calls,
        ];
        keep_heaviest(&mut self.called, most, &CALLED);
        self.called.iter_mut().for_each(|one| cut_name(&mut one.receiver));
        keep_heaviest(&mut self.callbacks, most, &CallbackStats::WAYS);
    }
}

fn note_all(note: &mut impl FnMut(CalledStats), called: Vec<CalledStats>) {
    called.into_iter().for_each(note);
}

/// The time as the runtime has it, which tests may stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
