//! Callers that left while calls of theirs were open.

use std::{cmp::Reverse, sync::Arc};

use daffi_wire::{CallId, NodeName};
use rustc_hash::FxHashMap;

use crate::{
    conn::Account,
    keyed::{ByName, Names},
    router::{Peer, RouterShared},
    session::{OpenCalls, OwedWords},
};

/// What is kept of all that left, at most, in bytes.
const MOST: usize = 32 * 1024 * 1024;

/// What is kept in any case, however little of the budget is free: whoever fills that makes no
/// receiver stand apart that owes few answers.
const ALWAYS: usize = 1024 * 1024;

/// What a name takes beside its calls, and each receiver that may still answer it.
const NAME_COST: usize = 512;
const RECEIVER_COST: usize = 128;

/// About what one call takes.
const CALL_COST: usize = 128;

/// What receivers may still answer to names that nobody bears, for whoever bears them next.
///
/// A name is forgotten with the last answer, or when the last receiver leaves. Where there is no
/// room, what the receivers may still answer that answer least is forgotten: the numbers of those
/// calls with it, so such a receiver gets no call any more until it has said how each of them ended
/// ([`Owed`](super::owed::Owed)).
#[derive(Debug)]
pub(crate) struct AbsentCallers {
    callers: ByName<NodeName, AbsentCaller>,
    /// Whose calls each receiver may still answer, so that its end costs what it had to do and not
    /// all that is kept.
    by_receiver: FxHashMap<u64, Names<NodeName>>,
    bytes: usize,
    /// What counts them.
    account: Arc<Account>,
}

#[derive(Debug)]
struct AbsentCaller {
    calls: OpenCalls,
    bytes: usize,
}

impl AbsentCallers {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self { callers: ByName::default(), by_receiver: FxHashMap::default(), bytes: 0, account }
    }

    /// Keeps what receivers may still answer to a name. `on_forgotten` hears for which of them
    /// there is no room, and how many words each still has to say about that.
    pub(crate) fn keep(&mut self, name: &NodeName, mut calls: OpenCalls, on_forgotten: impl FnMut(u64, OwedWords)) {
        if calls.len() == 0 {
            return;
        }
        // A member that bore the name before would have handed its calls on.
        drop(self.take(name));
        calls.shrink_to_fit();
        for receiver in calls.receivers() {
            self.by_receiver.entry(receiver).or_default().insert(name.clone());
        }
        let bytes = cost(name, &calls);
        self.callers.insert(name.clone(), AbsentCaller { calls, bytes });
        self.count(self.bytes + bytes);
        if !self.has_room() {
            self.forget_most(on_forgotten);
        }
    }

    /// With what is kept as it is.
    fn has_room(&self) -> bool {
        self.bytes <= ALWAYS || (self.bytes <= MOST && self.account.admits(0))
    }

    /// Forgets what those receivers may still answer that answer least, until there is room, and at
    /// least a quarter of all: looking through it costs as much as there is, and is not done for
    /// each that leaves.
    #[cold]
    fn forget_most(&mut self, mut on_forgotten: impl FnMut(u64, OwedWords)) {
        let mut weights = FxHashMap::<u64, usize>::default();
        for (name, caller) in &self.callers {
            for (receiver, calls) in caller.calls.list_receivers() {
                *weights.entry(receiver).or_default() += NAME_COST + name.len() + calls * CALL_COST;
            }
        }
        let mut weights: Vec<_> = weights.into_iter().collect();
        weights.sort_unstable_by_key(|(_, weight)| Reverse(*weight));
        let enough = self.bytes / 4 * 3;
        for (receiver, _) in weights {
            if self.bytes <= enough && self.has_room() {
                return;
            }
            on_forgotten(receiver, self.forget_receiver(receiver));
        }
    }

    /// Forgets what a receiver may still answer, and gives the words that it has still to say.
    fn forget_receiver(&mut self, receiver: u64) -> OwedWords {
        let mut owed = OwedWords::default();
        for name in self.by_receiver.remove(&receiver).unwrap_or_default() {
            let Some(caller) = self.callers.get_mut(&name) else { continue };
            owed += caller.calls.owed_by(receiver);
            caller.calls.end_receiver(receiver);
            caller.calls.shrink_to_fit();
            let (before, now) = (caller.bytes, cost(&name, &caller.calls));
            caller.bytes = now;
            self.count(self.bytes - before + now);
            self.forget_answered(&name);
        }
        owed
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

    /// Counts an answer that came to its end and that nobody waits for. `false`: its call is not
    /// kept here.
    pub(crate) fn complete(&mut self, name: &str, number: CallId, receiver: u64) -> bool {
        let Some(caller) = self.callers.get_mut(name) else { return false };
        let was_kept = caller.calls.end_unawaited(number, receiver);
        if !caller.calls.is_asked(receiver) {
            forget(&mut self.by_receiver, receiver, name);
        }
        self.forget_answered(name);
        was_kept
    }

    /// Counts that `receiver` has said all about calls of which it was told that their caller left.
    /// `false`: these are not kept here.
    pub(crate) fn end_told(&mut self, name: &str, number: u32, receiver: u64) -> bool {
        let Some(caller) = self.callers.get_mut(name) else { return false };
        let were_kept = caller.calls.end_told(receiver, number);
        if !caller.calls.is_asked(receiver) {
            forget(&mut self.by_receiver, receiver, name);
        }
        self.forget_answered(name);
        were_kept
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
    /// open is kept elsewhere. `false`: nothing is known of its call.
    pub(crate) fn end_unawaited(&self, caller: &Peer, number: CallId, receiver: &Peer) -> bool {
        if caller.end_unawaited(number, receiver.id()) {
            return true;
        }
        caller.has_closed_calls() && self.complete_absent(&caller.name, number, receiver)
    }

    /// An answer came to its end whose caller has left: its number is free for whoever bears that
    /// name next, or does by now. `false`: nothing is known of its call.
    pub(crate) fn complete_absent(&self, caller: &str, number: CallId, receiver: &Peer) -> bool {
        // Calls pass on under this lock, to one of that name which may have joined just before.
        let _members = self.members.lock();
        self.absent.lock().complete(caller, number, receiver.id())
            || (self.table.load().get(caller)).is_some_and(|next| next.peer.end_unawaited(number, receiver.id()))
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

    /// Keeps them where there is room for all.
    fn keep(absent: &mut AbsentCallers, text: &str, calls: OpenCalls) {
        absent.keep(&name(text), calls, |_, _| panic!("there is room"));
    }

    #[test]
    fn a_name_is_forgotten_with_its_last_answer() {
        let mut absent = absent(1 << 28);
        keep(&mut absent, "caller", open());
        assert!(!absent.complete("caller", CallId(2), 11));
        assert_eq!(absent.callers["caller"].calls.len(), 2, "not from whom was asked");
        assert!(absent.complete("caller", CallId(2), 10) && !absent.complete("caller", CallId(2), 10));
        assert!(absent.bytes > 0 && absent.account.held_bytes() == absent.bytes);
        absent.end_receiver(11);
        assert_eq!((absent.bytes, absent.callers.len(), absent.by_receiver.len()), (0, 0, 0));
        keep(&mut absent, "caller", open());
        assert_eq!(absent.take(&name("caller")).len(), 2);
        assert_eq!((absent.bytes, absent.account.held_bytes(), absent.by_receiver.len()), (0, 0, 0));
    }

    /// Names may be long, and each may have left one call: what they take counts, and what those
    /// receivers owe who answer least is forgotten. Whoever answers is not touched by that.
    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_of_those_forgotten_who_owe_most() {
        let most_here = |budget: usize| if budget > MOST { MOST } else { budget };
        let long = "-".repeat(9000);
        for (budget, callers) in [(1 << 28, 4_000), (1 << 22, 1_000), (1 << 14, 1_000)] {
            let (mut absent, mut forgotten) = (absent(budget), FxHashMap::<u64, OwedWords>::default());
            keep(&mut absent, "first", {
                let mut calls = OpenCalls::default();
                calls.open(CallId(2), 7, CallNote::default());
                calls.close()
            });
            for n in 0..callers {
                let mut calls = open();
                if n % 2 == 0 {
                    calls.tell(11, 1);
                }
                absent.keep(&name(&format!("{n}{long}")), calls, |receiver, words| {
                    *forgotten.entry(receiver).or_default() += words;
                });
                let most = most_here(budget).max(ALWAYS);
                assert!(absent.bytes <= most && absent.account.held_bytes() == absent.bytes);
            }
            let kept = |receiver| absent.by_receiver.get(&receiver).map_or(0, Names::len);
            let of = |receiver| forgotten.get(&receiver).copied().unwrap_or_default();
            assert_eq!((kept(7), of(7)), (1, OwedWords::default()), "it owes little");
            assert_eq!(of(10), OwedWords { answers: callers - kept(10), farewells: 0 });
            let OwedWords { answers, farewells } = of(11);
            assert!(answers + farewells == callers - kept(11) && answers.abs_diff(farewells) <= 1);
            for receiver in [7, 10, 11] {
                absent.end_receiver(receiver);
            }
            assert_eq!((absent.bytes, absent.account.held_bytes(), absent.callers.len()), (0, 0, 0));
        }
    }
}
