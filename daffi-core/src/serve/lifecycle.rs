//! The steps in which a node ends.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

use tokio_util::sync::CancellationToken;

/// The steps in which a node ends.
///
/// Each flag is set before its token is cancelled, and what was done before a step happens before
/// anybody sees that step's flag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifecycle {
    /// `stop` was called: later requests get an error.
    pub(crate) stopping: CancellationToken,
    /// Whether `stopping` is cancelled. It is looked at for every request, and the token would take
    /// a lock.
    is_stopping: Arc<AtomicBool>,
    /// Nobody gets in any more.
    pub(crate) closing: CancellationToken,
    /// Whether somebody carries the stop out already.
    began_to_stop: Arc<AtomicBool>,
    /// Cancelled when no callback may run any more.
    pub(crate) killed: CancellationToken,
    /// Whether `killed` is cancelled. It is looked at for every plain function.
    is_killed: Arc<AtomicBool>,
    /// Cancelled when no connection may stay open any more.
    pub(crate) cut: CancellationToken,
    /// Whether `cut` is cancelled. It is looked at whenever a connection runs.
    is_cut: Arc<AtomicBool>,
}

impl Lifecycle {
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.stopping.cancel();
    }

    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Returns `true` to the first caller, which has to carry the stop out.
    pub(crate) fn begin_stop(&self) -> bool {
        !self.began_to_stop.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Lets no callback run any more.
    pub(crate) fn kill(&self) {
        self.is_killed.store(true, Ordering::Release);
        self.killed.cancel();
    }

    /// Lets no connection stay open.
    pub(crate) fn cut_off(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.cut.cancel();
    }

    /// Runs `work` until it is done, or no connection may stay open any more. From then on it is
    /// not polled: the runtime that the node was started on may be gone, and with it its clock.
    pub(crate) async fn run_until_cut(&self, work: impl Future<Output = ()>) {
        let (mut cut, mut work) = (pin!(self.cut.cancelled()), pin!(work));
        let mut asked: Option<Waker> = None;
        poll_fn(|cx| {
            if self.is_cut.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            // Asked once for each waker: the token takes a lock.
            if !asked.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                if cut.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                asked = Some(cx.waker().clone());
            }
            work.as_mut().poll(cx)
        })
        .await;
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Acquire)
    }

    /// Takes all steps at once.
    pub(crate) fn abandon(&self) {
        self.stop();
        self.close();
        self.kill();
        self.cut_off();
    }
}
