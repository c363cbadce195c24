//! Where requests wait whose caller takes no answers.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::OwnedMutexGuard;

use super::super::request::Request;
use crate::conn::{Class, Conn};

/// A request's place among those of its connection that wait until answers are taken.
pub(crate) struct Gate {
    conn: Arc<Conn>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Gate {
    pub(crate) fn new(conn: &Arc<Conn>) -> Self {
        conn.gated.fetch_add(1, Ordering::Relaxed);
        Self { conn: Arc::clone(conn), turn: None }
    }

    /// Whether `request` has to wait here before it may hold a worker. `passed`: its own place, if
    /// it has waited.
    pub(crate) fn stops(request: &Request, passed: Option<&Self>) -> bool {
        let conn = request.context.conn();
        request.wants_reply && conn.outbox.is_full() || passed.is_none() && conn.is_gated()
    }

    /// Waits for the requests before, then for room.
    pub(crate) async fn pass(mut self) -> Self {
        if self.turn.is_none() {
            self.turn = Some(Arc::clone(&self.conn.gate).lock_owned().await);
        }
        while self.conn.outbox.is_full() {
            self.conn.outbox.room(Class::Own, 0).await;
        }
        self
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.conn.gated.fetch_sub(1, Ordering::Relaxed);
    }
}
