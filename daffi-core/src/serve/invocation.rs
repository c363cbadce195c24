//! Calls that are open at this node, as those see them who run, answer and cancel them.

use std::sync::{
    Arc,
    atomic::{
        AtomicU8,
        Ordering::{AcqRel, Acquire},
    },
};

use daffi_wire::{CallId, NodeName};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::keyed::ByName;

/// Its callback was begun.
const BEGUN: u8 = 1;
/// Its caller has its terminal, or is about to get it: nobody sends another.
const ENDED: u8 = 2;
/// Its caller gave it up.
const CANCELLED: u8 = 4;

/// One call that wants an answer and whose caller can cancel it.
#[derive(Debug, Default)]
pub(crate) struct Invocation {
    state: AtomicU8,
    cancelled: Notify,
}

impl Invocation {
    /// The callback is to run now. `false`: the caller gave the call up before.
    pub(crate) fn begin(&self) -> bool {
        self.state.fetch_or(BEGUN, AcqRel) & CANCELLED == 0
    }

    /// The call is to be answered. `false`: it has ended for its caller.
    pub(crate) fn end(&self) -> bool {
        self.state.fetch_or(ENDED, AcqRel) & ENDED == 0
    }

    /// The caller gave the call up. `false`: it has ended already.
    fn cancel(&self) -> bool {
        let end = |state| (state & ENDED == 0).then_some(state | ENDED | CANCELLED);
        let cancels = self.state.fetch_update(AcqRel, Acquire, end).is_ok();
        if cancels {
            self.cancelled.notify_waiters();
        }
        cancels
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.load(Acquire) & CANCELLED != 0
    }

    /// Waits until the caller gives the call up. Cancel safe.
    pub(crate) async fn cancelled(&self) {
        let notified = self.cancelled.notified();
        if !self.is_cancelled() {
            notified.await;
        }
    }

    /// Waits until the caller has given the call up and nothing of it will run. Cancel safe.
    pub(crate) async fn withdrawn(&self) {
        self.cancelled().await;
        if self.state.load(Acquire) & BEGUN != 0 {
            std::future::pending::<()>().await;
        }
    }
}

/// The calls that came on one connection and did not end where they were read.
#[derive(Debug, Default)]
pub(crate) struct Invocations(Mutex<ByName<(NodeName, CallId), Arc<Invocation>>>);

impl Invocations {
    /// A call goes on elsewhere: it can be cancelled until the result is dropped.
    pub(crate) fn enter(self: &Arc<Self>, caller: NodeName, id: CallId, invocation: Arc<Invocation>) -> Entered {
        let key = (caller, id);
        // Only a caller that breaks the rules uses the number of an open call; the older one can
        // then not be cancelled.
        self.0.lock().insert(key.clone(), Arc::clone(&invocation));
        Entered { all: Arc::clone(self), key, invocation }
    }

    /// A caller gave one of its calls up. `false`: it is not open, so its terminal is on its way.
    pub(crate) fn cancel(&self, caller: &NodeName, id: CallId) -> bool {
        let found = self.0.lock().get(&(caller.clone(), id)).cloned();
        found.is_some_and(|invocation| invocation.cancel())
    }
}

/// A call that can be cancelled.
#[derive(Debug)]
pub(crate) struct Entered {
    all: Arc<Invocations>,
    key: (NodeName, CallId),
    invocation: Arc<Invocation>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        if all.get(&self.key).is_some_and(|entered| Arc::ptr_eq(entered, &self.invocation)) {
            all.remove(&self.key);
        }
        if all.is_empty() {
            // One busy moment must not stay with the connection for its life.
            all.shrink_to(64);
        }
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;
    use futures::FutureExt;

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text, &Limits::default()).unwrap()
    }

    /// Every order of begin, end and cancel: one terminal, and what was cancelled before it began
    /// does not begin.
    #[test]
    fn a_call_ends_once_whatever_comes_first() {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for order in orders {
            let invocation = Invocation::default();
            let (mut terminals, mut cancelled) = (0, false);
            for step in order {
                match step {
                    0 => assert_eq!(invocation.begin(), !cancelled, "{order:?}"),
                    1 => terminals += usize::from(invocation.end()),
                    _ => {
                        cancelled = invocation.cancel();
                        terminals += usize::from(cancelled);
                    }
                }
            }
            assert_eq!(terminals, 1, "{order:?}");
            assert_eq!(invocation.is_cancelled(), cancelled);
            assert_eq!(invocation.cancelled().now_or_never().is_some(), cancelled);
        }
    }

    #[test]
    fn what_has_begun_is_not_withdrawn() {
        let (waits, runs) = (Invocation::default(), Invocation::default());
        assert!(runs.begin());
        assert!(waits.withdrawn().now_or_never().is_none());
        assert!(waits.cancel() && runs.cancel());
        assert!(waits.withdrawn().now_or_never().is_some());
        assert!(runs.withdrawn().now_or_never().is_none());
    }

    #[test]
    fn a_number_that_is_used_again_is_another_call() {
        let all = Arc::new(Invocations::default());
        let (first, second) = (Arc::new(Invocation::default()), Arc::new(Invocation::default()));
        let old = all.enter(name("a"), CallId(2), Arc::clone(&first));
        assert!(!all.cancel(&name("a"), CallId(3)) && !all.cancel(&name("b"), CallId(2)), "others' calls");
        let new = all.enter(name("a"), CallId(2), Arc::clone(&second));
        drop(old);
        assert!(all.cancel(&name("a"), CallId(2)));
        assert!(!first.is_cancelled() && second.is_cancelled());
        assert!(!all.cancel(&name("a"), CallId(2)), "it has ended");
        drop(new);
        assert!(all.0.lock().is_empty());
    }
}
