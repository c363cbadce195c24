//! The steps in which a node ends.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::sync::CancellationToken;

/// The steps in which a node ends.
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

    pub(crate) fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Acquire)
    }

    /// Takes all steps at once.
    pub(crate) fn abandon(&self) {
        self.stop();
        self.close();
        self.kill();
        self.cut.cancel();
    }
}
