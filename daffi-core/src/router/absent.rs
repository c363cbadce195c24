//! Callers that left while calls of theirs were open.

use daffi_wire::{CallId, NodeName};
use rustc_hash::FxHashMap;

use crate::{
    keyed::{ByName, Names},
    session::OpenCalls,
};

/// Calls kept of all that left, at most.
const MOST: usize = 1_000_000;

/// What receivers may still answer to names that nobody bears, for whoever bears them next.
///
/// A name is forgotten with the last answer, or when the last receiver leaves.
#[derive(Debug, Default)]
pub(super) struct AbsentCallers {
    calls: ByName<NodeName, OpenCalls>,
    /// Whose calls each receiver may still answer, so that its end costs what it had to do and not
    /// all that is kept.
    callers: FxHashMap<u64, Names<NodeName>>,
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
        for receiver in calls.receivers() {
            self.callers.entry(receiver).or_default().insert(name.clone());
        }
        self.calls.insert(name.clone(), calls);
    }

    pub(super) fn take(&mut self, name: &NodeName) -> OpenCalls {
        let calls = self.calls.remove(name).unwrap_or_default();
        self.total -= calls.len();
        for receiver in calls.receivers() {
            forget(&mut self.callers, receiver, name);
        }
        calls
    }

    /// Counts an answer that came and that nobody waits for.
    pub(super) fn complete(&mut self, name: &str, number: CallId, receiver: u64) {
        let Some(calls) = self.calls.get_mut(name) else { return };
        let before = calls.len();
        calls.complete(number, receiver);
        self.total -= before - calls.len();
        let (answered, done) = (!calls.is_asked(receiver), calls.len() == 0);
        if answered {
            forget(&mut self.callers, receiver, name);
        }
        if done {
            self.calls.remove(name);
        }
    }

    pub(super) fn end_receiver(&mut self, receiver: u64) {
        for name in self.callers.remove(&receiver).unwrap_or_default() {
            let Some(calls) = self.calls.get_mut(&name) else { continue };
            let before = calls.len();
            calls.end_receiver(receiver);
            self.total -= before - calls.len();
            if calls.len() == 0 {
                self.calls.remove(&name);
            }
        }
    }
}

fn forget(callers: &mut FxHashMap<u64, Names<NodeName>>, receiver: u64, name: &str) {
    if let Some(names) = callers.get_mut(&receiver) {
        names.remove(name);
        if names.is_empty() {
            callers.remove(&receiver);
        }
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
        absent.end_receiver(11);
        assert_eq!((absent.total, absent.calls.len(), absent.callers.len()), (0, 0, 0));
        absent.keep(&name, open());
        assert_eq!((absent.take(&name).len(), absent.total, absent.callers.len()), (2, 0, 0));
    }
}
