//! Streams that stay on one connection.

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

impl ClientConn {
    /// Whether a stream is to send more on it.
    pub(super) fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::Relaxed) > 0
    }
}
