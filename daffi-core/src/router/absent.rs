//! Callers that left while calls of theirs were open.

use std::collections::HashMap;

use daffi_wire::{CallId, NodeName};

use crate::session::OpenCalls;

/// Calls kept of all that left, at most.
const MOST: usize = 1_000_000;

/// What receivers may still answer to names that nobody bears, for whoever bears them next.
///
/// A name is forgotten with the last answer, or when the last receiver leaves.
#[derive(Debug, Default)]
pub(super) struct AbsentCallers {
    calls: HashMap<NodeName, OpenCalls>,
    total: usize,
}

impl AbsentCallers {
    pub(super) fn keep(&mut self, name: &NodeName, calls: OpenCalls) {
        if calls.len() == 0 {
            return;
        }
        if self.total + calls.len() > MOST {
            tracing::warn!(
                limit = MOST,
                "too many callers left with open calls: a late answer may meet a new call of the name"
            );
            *self = Self::default();
        }
        self.total += calls.len();
        self.calls.insert(name.clone(), calls);
    }

    pub(super) fn take(&mut self, name: &NodeName) -> OpenCalls {
        let calls = self.calls.remove(name).unwrap_or_default();
        self.total -= calls.len();
        calls
    }

    /// An answer came that nobody waits for.
    pub(super) fn complete(&mut self, name: &str, number: CallId, receiver: u64) {
        if let Some(calls) = self.calls.get_mut(name) {
            let before = calls.len();
            calls.complete(number, receiver);
            self.total -= before - calls.len();
            if calls.len() == 0 {
                self.calls.remove(name);
            }
        }
    }

    pub(super) fn receiver_gone(&mut self, receiver: u64) {
        self.calls.retain(|_, calls| {
            calls.receiver_gone(receiver);
            calls.len() > 0
        });
        self.total = self.calls.values().map(OpenCalls::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;

    #[test]
    fn a_name_is_forgotten_with_its_last_answer() {
        let name = NodeName::new("caller", &Limits::default()).unwrap();
        let open = || {
            let mut calls = OpenCalls::default();
            for (id, receiver) in [(2, 10), (3, 11)] {
                calls.open(CallId(id), receiver);
            }
            calls.close()
        };
        let mut absent = AbsentCallers::default();
        absent.keep(&name, open());
        absent.complete("caller", CallId(2), 11);
        assert_eq!(absent.total, 2, "not from whom was asked");
        absent.complete("caller", CallId(2), 10);
        absent.receiver_gone(11);
        assert_eq!((absent.total, absent.calls.len()), (0, 0));
        absent.keep(&name, open());
        assert_eq!((absent.take(&name).len(), absent.total), (2, 0));
    }
}
