//! Where requests wait whose caller takes no answers, or whose arguments find no memory.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout_at},
};

use super::super::request::Request;
use crate::conn::{Class, Conn};

/// So long a request waits until its arguments may be read, and is refused then: a callback whose
/// own arguments hold the memory may be waiting for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a request waits for before it may have a worker.
pub(crate) struct Gate {
    conn: Arc<Conn>,
    /// Its place behind others, if it waits until answers are taken.
    place: Option<GatePlace>,
    /// What its arguments may hold when they are read, if it waits for that. It holds up nobody:
    /// over the connection of a worker come the requests of all callers.
    wanted: Option<usize>,
    until: Instant,
}

/// A place among the requests of a connection that wait until answers are taken.
struct GatePlace {
    conn: Arc<Conn>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Gate {
    pub(crate) fn new(request: &Request) -> Box<Self> {
        let conn = Arc::clone(request.context.conn());
        let waits_for_answers = conn.outbox.is_full() || conn.is_gated();
        let place = waits_for_answers.then(|| GatePlace::new(&conn));
        Box::new(Self { conn, place, wanted: request.wanted_memory(), until: Instant::now() + PATIENCE })
    }

    /// Whether `request`, which has its worker, has to wait here without it; else it has the memory
    /// for its arguments. `passed`: its own place, if it has waited.
    #[inline]
    pub(crate) fn stops(request: &mut Request, passed: Option<&Self>) -> bool {
        let conn = request.context.conn();
        if request.wants_reply && conn.outbox.is_full() || passed.is_none() && conn.is_gated() {
            return true;
        }
        let waits = passed.is_none_or(|passed| passed.wanted.is_some());
        !request.take_memory() && waits
    }

    /// Waits for the requests before and for room, then for memory.
    pub(crate) async fn pass(mut self: Box<Self>) -> Box<Self> {
        if self.place.is_none() && self.conn.outbox.is_full() {
            self.place = Some(GatePlace::new(&self.conn));
        }
        if let Some(place) = &mut self.place {
            place.wait().await;
        }
        if let Some(wanted) = self.wanted
            && !self.conn.inbound.account().may_read_now(wanted)
        {
            self.place = None;
            if timeout_at(self.until, self.conn.inbound.account().may_read(wanted)).await.is_err() {
                self.wanted = None;
            }
        }
        self
    }
}

impl GatePlace {
    fn new(conn: &Arc<Conn>) -> Self {
        conn.gated.fetch_add(1, Ordering::Relaxed);
        Self { conn: Arc::clone(conn), turn: None }
    }

    /// Waits for those before, then for room.
    async fn wait(&mut self) {
        if self.turn.is_none() {
            self.turn = Some(Arc::clone(&self.conn.gate).lock_owned().await);
        }
        while self.conn.outbox.is_full() {
            self.conn.outbox.room(Class::Own, 0).await;
        }
    }
}

impl Drop for GatePlace {
    fn drop(&mut self) {
        self.conn.gated.fetch_sub(1, Ordering::Relaxed);
    }
}
