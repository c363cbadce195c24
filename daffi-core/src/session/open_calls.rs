//! The calls that one member made through a Router and that are open.

use std::collections::{HashMap, hash_map::Entry};

use daffi_wire::CallId;

use super::in_flight::{BuildIdHasher, IDS};

/// Room that an empty table keeps.
const KEPT: usize = 1024;

/// The calls of one member that a receiver may still answer, by the number under which the receiver got them.
///
/// A reply bears a name and a number, no connection. So a number under which a reply may come for a call that nobody waits for
/// any more is not used again: not for a 3.0.1 caller that goes around
/// ([protocol, 2](daffi_wire::protocol#2)), nor for a newer connection of the same name, which
/// inherits what was open. Such a call travels under another number.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls {
    calls: HashMap<u16, Slot, BuildIdHasher>,
    /// Calls that travel under another number than their caller's.
    renumbered: usize,
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
        if self.renumbered == 0
            && let Entry::Vacant(free) = self.calls.entry(id.0)
        {
            free.insert(Slot { receiver, caller: Some(id.0) });
            return Some(id);
        }
        self.give_up(id);
        let number = self.free(id)?;
        self.renumbered += usize::from(number != id);
        self.calls.insert(number.0, Slot { receiver, caller: Some(id.0) });
        Some(number)
    }

    /// A reply of `receiver` came. Gives the caller's number; `None`: it matches no call that somebody waits for.
    pub(crate) fn complete(&mut self, number: CallId, receiver: u64) -> Option<CallId> {
        let Entry::Occupied(call) = self.calls.entry(number.0) else { return None };
        if call.get().receiver != receiver {
            return None;
        }
        let caller = call.remove().caller;
        self.renumbered -= usize::from(caller.is_some_and(|id| id != number.0));
        if self.calls.is_empty() && self.calls.capacity() > KEPT {
            // One busy moment must not stay with the connection for its life.
            self.calls = HashMap::default();
        }
        caller.map(CallId)
    }

    /// The receiver left: the callers' numbers of the calls that end with it.
    pub(crate) fn receiver_gone(&mut self, receiver: u64) -> Vec<CallId> {
        if self.calls.is_empty() {
            return Vec::new();
        }
        let mut gone = Vec::new();
        let renumbered = &mut self.renumbered;
        self.calls.retain(|number, slot| {
            let stays = slot.receiver != receiver;
            if let Some(id) = slot.caller.filter(|_| !stays) {
                *renumbered -= usize::from(id != *number);
                gone.push(CallId(id));
            }
            stays
        });
        gone.sort_unstable();
        gone
    }

    /// The connection ended: what a newer one of the same name inherits. No call is opened here any more.
    pub(crate) fn close(&mut self) -> Self {
        self.closed = true;
        let mut calls = std::mem::take(&mut self.calls);
        calls.values_mut().for_each(|slot| slot.caller = None);
        self.renumbered = 0;
        Self { calls, last: self.last, ..Self::default() }
    }

    /// Calls that somebody waits for.
    pub(crate) fn waiting(&self) -> usize {
        self.calls.values().filter(|slot| slot.caller.is_some()).count()
    }

    /// Calls that a receiver may still answer.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The caller uses a number again: it does not wait for the call before.
    fn give_up(&mut self, id: CallId) {
        let before = match self.calls.get_mut(&id.0) {
            Some(slot) if slot.caller == Some(id.0) => Some(slot),
            _ if self.renumbered == 0 => None,
            _ => {
                let other = self.calls.values_mut().find(|slot| slot.caller == Some(id.0));
                self.renumbered -= usize::from(other.is_some());
                other
            }
        };
        if let Some(slot) = before {
            slot.caller = None;
        }
    }

    /// The number itself if it is free, else another.
    fn free(&mut self, id: CallId) -> Option<CallId> {
        if !self.calls.contains_key(&id.0) {
            return Some(id);
        }
        if self.calls.len() >= IDS {
            return None;
        }
        loop {
            // From the far end, which a caller that counts reaches last.
            self.last = if self.last <= 1 { u16::MAX } else { self.last - 1 };
            if !self.calls.contains_key(&self.last) {
                return Some(CallId(self.last));
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
        assert_eq!((calls.len(), calls.renumbered), (0, 0));
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
        assert_eq!(calls.renumbered, 0);
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
        assert_eq!((calls.len(), calls.renumbered), (1, 0));
    }

    #[test]
    fn without_a_free_number_there_is_no_call() {
        let mut calls = OpenCalls::default();
        for id in 1..=u16::MAX {
            calls.open(CallId(id), 10);
        }
        assert_eq!(calls.open(CallId(7), 10), None);
        assert_eq!(calls.len(), IDS);
    }
}
