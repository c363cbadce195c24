//! What stays on one connection, also while nothing is open there.

use std::{
    ops::Deref,
    sync::{Arc, atomic::Ordering},
};

use super::ClientConn;

/// A connection that a stream sends all its chunks to: as long as there is one, it is not replaced
/// although nothing is open on it.
#[derive(Debug)]
pub(crate) struct Pinned(Arc<ClientConn>);

impl Pinned {
    pub(crate) fn new(conn: Arc<ClientConn>) -> Self {
        conn.pins.fetch_add(1, Ordering::Relaxed);
        Self(conn)
    }
}

impl Deref for Pinned {
    type Target = Arc<ClientConn>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that nobody answers, and that waits for credit on this connection.
#[derive(Debug)]
pub(super) struct WaitsForCredit<'a>(&'a ClientConn);

impl Drop for WaitsForCredit<'_> {
    fn drop(&mut self) {
        self.0.waiting_for_credit.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ClientConn {
    /// Whether a stream is to send more on it.
    pub(super) fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::Relaxed) > 0
    }

    /// Whether that, or a request waits for credit there: what waits would be lost with the
    /// connection, and nothing of it be open.
    pub(super) fn is_kept(&self) -> bool {
        self.is_pinned() || self.waiting_for_credit.load(Ordering::Relaxed) > 0
    }

    pub(super) fn wait_for_credit(&self) -> WaitsForCredit<'_> {
        self.waiting_for_credit.fetch_add(1, Ordering::Relaxed);
        WaitsForCredit(self)
    }
}
