//! The calls that one member made through a Router and that are open.

use std::collections::HashMap;

use daffi_wire::CallId;

use super::in_flight::BuildIdHasher;

/// The open calls of one member, by their number, each with the connection of its receiver.
///
/// Bounded by the numbers there are. A number that a 3.0.1 caller uses again although its call is open (protocol notes,
/// section 2) belongs to the newer call.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls {
    receivers: HashMap<u16, u64, BuildIdHasher>,
}

impl OpenCalls {
    pub(crate) fn open(&mut self, id: CallId, receiver: u64) {
        self.receivers.insert(id.0, receiver);
    }

    /// A reply of `receiver`. `false`: it matches no open call, and must not be passed on.
    pub(crate) fn complete(&mut self, id: CallId, receiver: u64) -> bool {
        let matches = self.receivers.get(&id.0) == Some(&receiver);
        if matches {
            self.receivers.remove(&id.0);
            if self.receivers.is_empty() && self.receivers.capacity() > KEPT {
                // One busy moment must not stay with the connection for its life.
                self.receivers = HashMap::default();
            }
        }
        matches
    }

    /// The receiver left: the numbers of its calls, which are open no more.
    pub(crate) fn receiver_gone(&mut self, receiver: u64) -> Vec<CallId> {
        if self.receivers.is_empty() {
            return Vec::new();
        }
        let mut gone: Vec<_> =
            self.receivers.iter().filter(|(_, at)| **at == receiver).map(|(id, _)| CallId(*id)).collect();
        gone.sort_unstable();
        for id in &gone {
            self.receivers.remove(&id.0);
        }
        gone
    }

    pub(crate) fn len(&self) -> usize {
        self.receivers.len()
    }
}

/// Room that an empty table keeps.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reply_of_the_receiver_to_an_open_call_passes() {
        let mut calls = OpenCalls::default();
        calls.open(CallId(2), 10);
        assert!(!calls.complete(CallId(3), 10), "no such call");
        assert!(!calls.complete(CallId(2), 11), "another node");
        assert!(calls.complete(CallId(2), 10));
        assert!(!calls.complete(CallId(2), 10), "a second reply");
    }

    #[test]
    fn a_number_used_again_belongs_to_the_newer_call() {
        let mut calls = OpenCalls::default();
        calls.open(CallId(2), 10);
        calls.open(CallId(2), 11);
        assert!(!calls.complete(CallId(2), 10));
        assert!(calls.complete(CallId(2), 11));
    }

    #[test]
    fn a_leaving_receiver_gives_up_its_calls_only() {
        let mut calls = OpenCalls::default();
        for (id, receiver) in [(5, 10), (2, 10), (3, 11)] {
            calls.open(CallId(id), receiver);
        }
        assert_eq!(calls.receiver_gone(10), [CallId(2), CallId(5)]);
        assert_eq!(calls.len(), 1);
    }
}
