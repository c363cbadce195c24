//! The calls that one member made through a Router and that are open.

use std::collections::{HashMap, hash_map::Entry};

use daffi_wire::CallId;
use rustc_hash::FxHashMap;

use super::in_flight::{BuildIdHasher, IDS};

/// Room that an empty table keeps.
const KEPT: usize = 1024;

/// The calls of one member that a receiver may still answer, by the number under which the receiver got them.
///
/// A reply bears a name and a number, no connection. So a number under which a reply may come for a call that nobody waits for
/// any more is not used again: not for a 3.0.1 caller that goes around
/// ([protocol, 2](daffi_wire::protocol#2)), nor for a newer connection of the same name, which
/// inherits what was open. Such a call travels under another number.
///
/// The calls to one receiver take at most as many numbers as are left for all others, so that one which never answers takes none
/// from those that do.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls {
    calls: HashMap<u16, Slot, BuildIdHasher>,
    /// The numbers under which calls travel that are not their caller's, by the caller's.
    renumbered: HashMap<u16, u16, BuildIdHasher>,
    /// Calls to each receiver.
    held: FxHashMap<u64, usize>,
    /// Calls that somebody waits for.
    waiting: usize,
    last: u16,
    closed: bool,
}

#[derive(Debug)]
struct Slot {
    /// The connection of the receiver.
    receiver: u64,
    /// The caller's number; `None`: nobody waits for the reply.
    caller: Option<u16>,
}

impl OpenCalls {
    /// A call under its caller's number. Gives the number under which it has to travel; `None`: there is none, or the
    /// connection has ended.
    pub(crate) fn open(&mut self, id: CallId, receiver: u64) -> Option<CallId> {
        if self.closed {
            return None;
        }
        self.give_up(id);
        let held = self.held.entry(receiver).or_default();
        if *held >= IDS - self.calls.len() {
            return None;
        }
        *held += 1;
        let number = self.free(id);
        if number != id {
            self.renumbered.insert(id.0, number.0);
        }
        self.calls.insert(number.0, Slot { receiver, caller: Some(id.0) });
        self.waiting += 1;
        Some(number)
    }

    /// The number under which a call travels that its caller waits for, and the connection of its receiver.
    pub(crate) fn find(&self, id: CallId) -> Option<(CallId, u64)> {
        let number = self.renumbered.get(&id.0).copied().unwrap_or(id.0);
        let slot = self.calls.get(&number).filter(|slot| slot.caller == Some(id.0))?;
        Some((CallId(number), slot.receiver))
    }

    /// A reply of `receiver` came. Gives the caller's number; `None`: it matches no call that somebody waits for.
    pub(crate) fn complete(&mut self, number: CallId, receiver: u64) -> Option<CallId> {
        let Entry::Occupied(call) = self.calls.entry(number.0) else { return None };
        if call.get().receiver != receiver {
            return None;
        }
        let caller = call.remove().caller;
        if let Some(id) = caller {
            self.waiting -= 1;
            if id != number.0 {
                self.renumbered.remove(&id);
            }
        }
        self.released(receiver);
        if self.calls.is_empty() && self.calls.capacity() > KEPT {
            // One busy moment must not stay with the connection for its life.
            self.calls = HashMap::default();
        }
        caller.map(CallId)
    }

    /// The receiver left: the callers' numbers of the calls that end with it.
    pub(crate) fn receiver_gone(&mut self, receiver: u64) -> Vec<CallId> {
        if self.held.remove(&receiver).is_none() {
            return Vec::new();
        }
        let mut gone = Vec::new();
        let renumbered = &mut self.renumbered;
        self.calls.retain(|number, slot| {
            let stays = slot.receiver != receiver;
            if let Some(id) = slot.caller.filter(|_| !stays) {
                if id != *number {
                    renumbered.remove(&id);
                }
                gone.push(CallId(id));
            }
            stays
        });
        self.waiting -= gone.len();
        gone.sort_unstable();
        gone
    }

    /// The connection ended: what a newer one of the same name inherits. No call is opened here any more.
    pub(crate) fn close(&mut self) -> Self {
        self.closed = true;
        let mut calls = std::mem::take(&mut self.calls);
        calls.values_mut().for_each(|slot| slot.caller = None);
        self.renumbered = HashMap::default();
        self.waiting = 0;
        Self { calls, held: std::mem::take(&mut self.held), last: self.last, ..Self::default() }
    }

    /// One call less to that receiver.
    fn released(&mut self, receiver: u64) {
        if let Some(held) = self.held.get_mut(&receiver) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&receiver);
            }
        }
    }

    /// Calls that somebody waits for.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Calls that a receiver may still answer.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The caller does not wait for the call of that number, if there is one: it said so, or uses the number again.
    pub(crate) fn give_up(&mut self, id: CallId) {
        let number = match self.renumbered.is_empty() {
            true => id.0,
            false => self.renumbered.remove(&id.0).unwrap_or(id.0),
        };
        if let Some(slot) = self.calls.get_mut(&number).filter(|slot| slot.caller == Some(id.0)) {
            slot.caller = None;
            self.waiting -= 1;
        }
    }

    /// The number itself if it is free, else another, of which there is one.
    fn free(&mut self, id: CallId) -> CallId {
        if !self.calls.contains_key(&id.0) {
            return id;
        }
        loop {
            // From the far end, which a caller that counts reaches last.
            self.last = if self.last <= 1 { u16::MAX } else { self.last - 1 };
            if !self.calls.contains_key(&self.last) {
                return CallId(self.last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reply_of_the_receiver_to_an_open_call_passes() {
        let mut calls = OpenCalls::default();
        assert_eq!(calls.open(CallId(2), 10), Some(CallId(2)));
        assert_eq!(calls.complete(CallId(3), 10), None, "no such call");
        assert_eq!(calls.complete(CallId(2), 11), None, "another node");
        assert_eq!(calls.complete(CallId(2), 10), Some(CallId(2)));
        assert_eq!(calls.complete(CallId(2), 10), None, "a second reply");
    }

    #[test]
    fn a_number_used_again_travels_under_another() {
        let mut calls = OpenCalls::default();
        calls.open(CallId(2), 10);
        let second = calls.open(CallId(2), 10).unwrap();
        assert_ne!(second, CallId(2));
        let third = calls.open(CallId(2), 10).unwrap();
        assert_eq!(calls.waiting(), 1);
        assert_eq!(calls.complete(CallId(2), 10), None, "the reply to the first, which nobody waits for");
        assert_eq!(calls.complete(second, 10), None);
        assert_eq!(calls.complete(third, 10), Some(CallId(2)));
        assert_eq!((calls.len(), calls.renumbered.len(), calls.held.len()), (0, 0, 0));
    }

    #[test]
    fn a_call_may_have_the_number_under_which_another_travels() {
        let mut calls = OpenCalls::default();
        calls.open(CallId(2), 10);
        let renumbered = calls.open(CallId(2), 10).unwrap();
        let other = calls.open(renumbered, 10).unwrap();
        assert_ne!(other, renumbered);
        assert_eq!(calls.complete(renumbered, 10), Some(CallId(2)));
        assert_eq!(calls.complete(other, 10), Some(renumbered));
        assert!(calls.renumbered.is_empty());
    }

    #[test]
    fn a_newer_connection_inherits_what_was_open() {
        let mut old = OpenCalls::default();
        old.open(CallId(2), 10);
        let mut new = old.close();
        assert_eq!(old.open(CallId(3), 10), None, "it has ended");
        let number = new.open(CallId(2), 10).unwrap();
        assert_eq!(new.complete(CallId(2), 10), None, "the answer to the connection before");
        assert_eq!(new.complete(number, 10), Some(CallId(2)));
    }

    #[test]
    fn a_leaving_receiver_gives_up_its_calls_only() {
        let mut calls = OpenCalls::default();
        for (id, receiver) in [(5, 10), (2, 10), (3, 11), (5, 10)] {
            calls.open(CallId(id), receiver);
        }
        assert_eq!(calls.receiver_gone(10), [CallId(2), CallId(5)]);
        assert_eq!((calls.len(), calls.renumbered.len(), calls.waiting()), (1, 0, 1));
    }

    /// The one that answers stays callable, whatever the others do not answer, and however often the caller goes around.
    #[test]
    fn receivers_that_never_answer_leave_numbers_for_the_others() {
        let mut calls = OpenCalls::default();
        let mut refused = [0; 3];
        for round in 0..3 {
            for id in 1..=u16::MAX {
                for (hung, refused) in refused.iter_mut().enumerate() {
                    *refused += usize::from(calls.open(CallId(id), 10 + hung as u64).is_none());
                }
                let number = calls.open(CallId(id), 99).unwrap_or_else(|| panic!("call {id} of round {round}"));
                assert_eq!(calls.complete(number, 99), Some(CallId(id)));
            }
        }
        assert!(refused.iter().all(|refused| *refused > 0), "{refused:?}");
        assert!(calls.len() < IDS - IDS / 5, "{} numbers", calls.len());
        assert!(calls.waiting() <= IDS);
        for hung in 10..13 {
            calls.receiver_gone(hung);
        }
        assert_eq!((calls.len(), calls.waiting(), calls.renumbered.len(), calls.held.len()), (0, 0, 0, 0));
    }
}
