//! What is noted of an open call.

use std::{fmt::Debug, sync::Arc, time::Instant};

use daffi_wire::{CallId, NodeName};

/// What is noted of a call by whoever counts calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallNote {
    /// Which callback it is of.
    pub(crate) callback: u16,
    /// When it began, by the clock of whoever counts.
    pub(crate) begun: u64,
}

/// One call that a receiver may still answer, of whichever caller, as those see it who ask how much
/// that has to do. They hear when it is dropped: when the call has ended, in whatever way.
#[derive(Debug)]
pub(crate) struct LoadMark(Arc<dyn OnCallEnd>);

/// What hears of the ends of calls to one receiver.
pub(crate) trait OnCallEnd: Debug + Send + Sync {
    fn on_call_end(&self);
}

impl LoadMark {
    pub(crate) fn new(of: Arc<impl OnCallEnd + 'static>) -> Self {
        Self(of)
    }
}

impl Drop for LoadMark {
    fn drop(&mut self) {
        self.0.on_call_end();
    }
}

/// The receiver of a call.
#[derive(Debug)]
pub(crate) struct AskedPeer {
    /// Its connection.
    pub(super) conn: u64,
    pub(super) load: Option<LoadMark>,
}

impl AskedPeer {
    pub(crate) const fn new(conn: u64, load: LoadMark) -> Self {
        Self { conn, load: Some(load) }
    }
}

impl From<u64> for AskedPeer {
    fn from(conn: u64) -> Self {
        Self { conn, load: None }
    }
}

/// A call that nobody answered for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// The caller's number.
    pub(crate) id: CallId,
    pub(crate) receiver: NodeName,
    pub(crate) since: Instant,
}
