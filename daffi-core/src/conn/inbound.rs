//! What was received from one peer and has not been worked off.

use std::sync::{
    Arc,
    atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::{Account, Conn};

/// What a request that waits for its callback takes beside its frame: places in queues, and a job.
/// A task is counted beside that.
pub(crate) const WAITING_COST: usize = 1024;

/// Requests of one peer that were received and have not finished, and the memory of a frame that
/// has begun.
#[derive(Debug)]
pub(crate) struct Inbound {
    account: Arc<Account>,
    frames: AtomicUsize,
    /// Relaxed: it is only compared with limits.
    bytes: AtomicUsize,
    /// The part of that for which there was no credit. Relaxed: as that.
    uncredited: AtomicUsize,
}

impl Inbound {
    pub(crate) const fn new(account: Arc<Account>) -> Self {
        Self { account, frames: AtomicUsize::new(0), bytes: AtomicUsize::new(0), uncredited: AtomicUsize::new(0) }
    }

    pub(crate) const fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// What the requests hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// What those of them hold that came without credit, or before there was some.
    pub(crate) fn uncredited_bytes(&self) -> usize {
        self.uncredited.load(Relaxed)
    }

    pub(crate) fn frames(&self) -> usize {
        self.frames.load(Acquire)
    }

    /// Whether so much waits that no further request should.
    pub(crate) fn is_full(&self) -> bool {
        let bytes = self.bytes();
        bytes >= self.account.own() && bytes >= self.account.soft_share()
    }

    /// Whether there is room even for those who ask little: they have the whole share, of which
    /// those who ask much get a part.
    pub(crate) fn has_room_for_few(&self) -> bool {
        self.bytes() < self.account.share()
    }
}

/// One request that was received and has not finished. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct Ticket {
    conn: Arc<Conn>,
    bytes: usize,
    has_credit: bool,
}

impl Ticket {
    pub(crate) fn new(conn: Arc<Conn>, bytes: usize) -> Self {
        conn.begin_request(bytes);
        Self { conn, bytes, has_credit: true }
    }

    /// One that waits because there is no credit for it.
    pub(crate) fn without_credit(conn: Arc<Conn>, bytes: usize) -> Self {
        conn.inbound.uncredited.fetch_add(bytes, Relaxed);
        conn.begin_request(bytes);
        Self { conn, bytes, has_credit: false }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.has_credit {
            self.conn.inbound.uncredited.fetch_sub(self.bytes, Relaxed);
        }
        self.conn.end_request(self.bytes);
    }
}

impl Conn {
    /// A request of `bytes` was received: what a [`Ticket`] does, for those who hold the connection
    /// anyway. [`end_request`](Self::end_request) when it has finished.
    pub(crate) fn begin_request(&self, bytes: usize) {
        self.inbound.bytes.fetch_add(bytes, Relaxed);
        self.inbound.frames.fetch_add(1, Relaxed);
        self.inbound.account.add(bytes);
    }

    pub(crate) fn end_request(&self, bytes: usize) {
        self.inbound.account.sub(bytes);
        self.inbound.bytes.fetch_sub(bytes, Relaxed);
        // Queueing the answer happens before this: whoever sees the request gone finds the answer
        // in the outbox.
        self.inbound.frames.fetch_sub(1, Release);
        self.wake();
    }
}
