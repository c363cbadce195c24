//! What is told to the task that lets calls go which wait.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{router::Peer, session::CallLine};

/// Signs that calls may go which wait, gathered until the task runs. Whoever gives one does
/// nothing else: whatever follows happens in the task, and under no lock of others.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    signs: Mutex<Vec<Sign>>,
    noted: Notify,
}

#[derive(Debug)]
pub(crate) enum Sign {
    /// A member joined, exposes other callbacks, or has said the last word that it owed.
    Exposes(Arc<Peer>),
    /// A call came into a line, and this member may be one that takes it.
    IsAwaited(Arc<Peer>, CallLine),
    /// The member of this connection may take more than it did.
    TakesMore(u64),
    /// It has left, or another bears its name.
    Left(u64),
}

impl Ready {
    pub(crate) fn note(&self, sign: Sign) {
        self.signs.lock().push(sign);
        self.noted.notify_one();
    }

    /// No call waits any more.
    pub(crate) fn note_none(&self) {
        self.noted.notify_one();
    }

    /// Waits until something was noted. Cancel safe.
    pub(crate) async fn wait(&self) {
        self.noted.notified().await;
    }

    /// What was noted.
    pub(crate) fn take(&self) -> Vec<Sign> {
        std::mem::take(&mut *self.signs.lock())
    }
}
