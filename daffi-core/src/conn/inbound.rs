//! What was received from one peer and has not been worked off.

use std::sync::{
    Arc,
    atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::Conn;
use crate::config::NodeConfig;

/// What a request that waits for its callback takes beside its frame: a task, and places in queues.
pub(crate) const WAITING_COST: usize = 1024;

/// What all connections of a node hold together.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Bytes received and not worked off.
    pub(crate) received: Budget,
    /// Bytes that wait to be written, beyond a small free part of each connection.
    pub(crate) unwritten: Budget,
}

impl Memory {
    pub(crate) fn new(config: &NodeConfig) -> Arc<Self> {
        Arc::new(Self { received: Budget::new(config.budget_bytes), unwritten: Budget::new(config.unwritten_bytes) })
    }
}

/// Bytes in use, and their limit.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    const fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn sub(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.used.load(Relaxed) >= self.limit
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }
}

/// Requests of one peer that were received and have not finished.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    bytes: AtomicUsize,
    frames: AtomicUsize,
}

impl Inbound {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn frames(&self) -> usize {
        self.frames.load(Acquire)
    }
}

/// One request that was received and has not finished. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct Ticket {
    conn: Arc<Conn>,
    bytes: usize,
}

impl Ticket {
    pub(crate) fn new(conn: Arc<Conn>, bytes: usize) -> Self {
        conn.inbound.bytes.fetch_add(bytes, Relaxed);
        conn.inbound.frames.fetch_add(1, Relaxed);
        conn.memory.received.add(bytes);
        Self { conn, bytes }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.conn.inbound.bytes.fetch_sub(self.bytes, Relaxed);
        // Whoever sees the request gone sees its answer in the outbox.
        self.conn.inbound.frames.fetch_sub(1, Release);
        self.conn.memory.received.sub(self.bytes);
        self.conn.wake();
    }
}
