//! Callers that left while calls of theirs were open.

use std::{collections::VecDeque, sync::Arc};

use daffi_wire::{CallId, NodeName};
use rustc_hash::FxHashMap;

use crate::{
    conn::Account,
    keyed::{ByName, Names},
    router::{Peer, RouterShared},
    session::OpenCalls,
};

/// What is kept of all that left, at most, in bytes.
const MOST: usize = 32 * 1024 * 1024;

/// What a name takes beside its calls, and each receiver that may still answer it.
const NAME_COST: usize = 512;
const RECEIVER_COST: usize = 128;

/// Entries of names that are forgotten, which the order keeps beside as many as there are others.
const STALE: usize = 64;

/// What receivers may still answer to names that nobody bears, for whoever bears them next.
///
/// A name is forgotten with the last answer, or when the last receiver leaves, or when there is no
/// room for it: those that left first are forgotten first.
#[derive(Debug)]
pub(crate) struct AbsentCallers {
    callers: ByName<NodeName, AbsentCaller>,
    /// Whose calls each receiver may still answer, so that its end costs what it had to do and not
    /// all that is kept.
    by_receiver: FxHashMap<u64, Names<NodeName>>,
    /// Who left when.
    order: VecDeque<(NodeName, u64)>,
    departures: u64,
    bytes: usize,
    /// Some were forgotten for want of room, so that what is said of their calls may meet new ones.
    has_forgotten: bool,
    /// What counts them.
    account: Arc<Account>,
}

#[derive(Debug)]
struct AbsentCaller {
    calls: OpenCalls,
    departure: u64,
    bytes: usize,
}

impl AbsentCallers {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self {
            callers: ByName::default(),
            by_receiver: FxHashMap::default(),
            order: VecDeque::new(),
            departures: 0,
            bytes: 0,
            has_forgotten: false,
            account,
        }
    }

    pub(crate) fn keep(&mut self, name: &NodeName, calls: OpenCalls) {
        if calls.len() == 0 {
            return;
        }
        // A member that bore the name before would have handed its calls on.
        drop(self.take(name));
        let bytes = cost(name, &calls);
        while !self.has_room(bytes) {
            self.has_forgotten = true;
            let Some((first, departure)) = self.order.pop_front() else {
                // Others hold what there is: a late answer may meet a new call of the name.
                return tracing::warn!(calls = calls.len(), "no room for the open calls of a caller that left");
            };
            if self.callers.get(&first).is_some_and(|caller| caller.departure == departure) {
                let calls = self.take(&first);
                tracing::warn!(
                    limit = MOST,
                    calls = calls.len(),
                    "too many callers left with open calls: late answers may meet new calls of the first of them"
                );
            }
        }
        for receiver in calls.receivers() {
            self.by_receiver.entry(receiver).or_default().insert(name.clone());
        }
        self.departures += 1;
        let departure = self.departures;
        if self.order.len() >= 2 * self.callers.len() + STALE {
            let callers = &self.callers;
            self.order.retain(|(name, at)| callers.get(name).is_some_and(|caller| caller.departure == *at));
        }
        self.order.push_back((name.clone(), departure));
        self.callers.insert(name.clone(), AbsentCaller { calls, departure, bytes });
        self.count(self.bytes + bytes);
    }

    /// Whether what an honest receiver says of a call may be about one that was forgotten here.
    pub(crate) const fn has_forgotten(&self) -> bool {
        self.has_forgotten
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes <= MOST && self.account.admits(bytes)
    }

    fn count(&mut self, bytes: usize) {
        self.account.change(self.bytes, bytes);
        self.bytes = bytes;
    }

    pub(crate) fn take(&mut self, name: &NodeName) -> OpenCalls {
        let Some(caller) = self.callers.remove(name) else { return OpenCalls::default() };
        self.count(self.bytes - caller.bytes);
        for receiver in caller.calls.receivers() {
            forget(&mut self.by_receiver, receiver, name);
        }
        caller.calls
    }

    /// Counts an answer that came to its end and that nobody waits for.
    pub(crate) fn complete(&mut self, name: &str, number: CallId, receiver: u64) {
        let Some(caller) = self.callers.get_mut(name) else { return };
        caller.calls.complete(number, receiver);
        if !caller.calls.is_asked(receiver) {
            forget(&mut self.by_receiver, receiver, name);
        }
        self.forget_answered(name);
    }

    /// Counts that `receiver` has said all about calls of which it was told that their caller left.
    pub(crate) fn end_told(&mut self, name: &str, number: u32, receiver: u64) {
        let Some(caller) = self.callers.get_mut(name) else { return };
        caller.calls.end_told(receiver, number);
        if !caller.calls.is_asked(receiver) {
            forget(&mut self.by_receiver, receiver, name);
        }
        self.forget_answered(name);
    }

    pub(crate) fn end_receiver(&mut self, receiver: u64) {
        for name in self.by_receiver.remove(&receiver).unwrap_or_default() {
            if let Some(caller) = self.callers.get_mut(&name) {
                caller.calls.end_receiver(receiver);
                self.forget_answered(&name);
            }
        }
    }

    fn forget_answered(&mut self, name: &str) {
        if self.callers.get(name).is_some_and(|caller| caller.calls.len() == 0)
            && let Some(caller) = self.callers.remove(name)
        {
            self.count(self.bytes - caller.bytes);
        }
    }
}

impl RouterShared {
    /// An answer came to its end for which `caller` waits no more. If that has left, what it had
    /// open is kept elsewhere.
    pub(crate) fn end_unawaited(&self, caller: &Peer, number: CallId, receiver: &Peer) {
        caller.end_unawaited(number, receiver.id());
        if caller.has_closed_calls() {
            // They pass on under this lock.
            drop(self.members.lock());
            self.complete_absent(&caller.name, number, receiver);
        }
    }

    /// An answer came to its end whose caller has left: its number is free for whoever bears that
    /// name next, or does by now.
    pub(crate) fn complete_absent(&self, caller: &str, number: CallId, receiver: &Peer) {
        self.absent.lock().complete(caller, number, receiver.id());
        // One of that name may have joined just before, and taken it over.
        if let Some(next) = self.table.load().get(caller) {
            next.peer.end_unawaited(number, receiver.id());
        }
    }
}

/// About what is kept of a caller.
fn cost(name: &NodeName, calls: &OpenCalls) -> usize {
    NAME_COST + name.len() + calls.held_bytes() + calls.receivers().count() * RECEIVER_COST
}

fn forget(by_receiver: &mut FxHashMap<u64, Names<NodeName>>, receiver: u64, name: &str) {
    if let Some(names) = by_receiver.get_mut(&receiver) {
        names.remove(name);
        if names.is_empty() {
            by_receiver.remove(&receiver);
        }
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;
    use crate::{conn::Budget, session::CallNote};

    fn absent(budget: usize) -> AbsentCallers {
        AbsentCallers::new(Budget::new(budget, 1.0, 100, 1 << 20).open_common())
    }

    fn name(text: &str) -> NodeName {
        NodeName::new(text, &Limits::default()).unwrap()
    }

    fn open() -> OpenCalls {
        let mut calls = OpenCalls::default();
        for (id, receiver) in [(2, 10), (3, 11)] {
            calls.open(CallId(id), receiver, CallNote::default());
        }
        calls.close()
    }

    #[test]
    fn a_name_is_forgotten_with_its_last_answer() {
        let mut absent = absent(1 << 28);
        absent.keep(&name("caller"), open());
        absent.complete("caller", CallId(2), 11);
        assert_eq!(absent.callers["caller"].calls.len(), 2, "not from whom was asked");
        absent.complete("caller", CallId(2), 10);
        assert!(absent.bytes > 0 && absent.account.held_bytes() == absent.bytes);
        absent.end_receiver(11);
        assert_eq!((absent.bytes, absent.callers.len(), absent.by_receiver.len()), (0, 0, 0));
        absent.keep(&name("caller"), open());
        assert_eq!(absent.take(&name("caller")).len(), 2);
        assert_eq!((absent.bytes, absent.account.held_bytes(), absent.by_receiver.len()), (0, 0, 0));
        assert!(!absent.has_forgotten());
    }

    /// Names may be long, and each may have left one call: what they take counts, and the newest
    /// stay.
    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_the_first_are_forgotten() {
        for (budget, most) in [(1 << 28, MOST), (1 << 22, 1 << 22)] {
            let mut absent = absent(budget);
            for n in 0..10_000 {
                absent.keep(&name(&format!("{n:09000}")), open());
                assert!(absent.bytes <= most && absent.account.held_bytes() == absent.bytes);
            }
            assert!(absent.order.len() <= 2 * absent.callers.len() + STALE + 1);
            assert!(absent.bytes > most / 4, "{} of {most}", absent.bytes);
            assert_eq!(absent.take(&name(&format!("{:09000}", 9_999))).len(), 2, "the newest");
            assert_eq!(absent.take(&name(&format!("{:09000}", 0))).len(), 0, "the first");
            assert!(absent.has_forgotten());
            absent.end_receiver(10);
            absent.end_receiver(11);
            assert_eq!((absent.bytes, absent.account.held_bytes(), absent.callers.len()), (0, 0, 0));
        }
    }
}
