//! What waits to be written to one peer.

use std::{
    any::Any,
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{Buf, Bytes};
use daffi_transport::Batch;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{Memory, spare};

/// Bytes that may wait for each peer whatever waits for all others: a node whose memory is spent by slow peers serves the
/// quick ones as before.
const FREE: usize = 64 * 1024;

/// What waits beyond [`FREE`] is counted for all connections in steps of this size.
const STEP: usize = 16 * 1024;

/// Frames that wait to be written to one peer, bounded in bytes for those who can wait.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Bytes not written yet, to be looked at without the lock.
    waiting: AtomicUsize,
    room: Notify,
    limit: usize,
    memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct Queue {
    batch: Batch,
    /// Bytes that the driver took and has not written yet.
    taken: usize,
    /// Bytes counted for all connections.
    counted: usize,
    /// Bytes written since the connection began.
    written: u64,
    /// What to drop when so many bytes were written.
    receipts: VecDeque<(u64, Receipt)>,
    /// The driver was asked to run and has not looked since.
    asked: bool,
    closed: bool,
}

/// Dropped when the frame it was queued with was written, or the connection ended.
pub(crate) type Receipt = Box<dyn Any + Send + Sync>;

impl Queue {
    fn waiting(&self) -> usize {
        self.batch.remaining() + self.taken
    }

    fn push(&mut self, head: &[u8], payload: Option<Bytes>) {
        if !self.batch.has_remaining() && !self.batch.has_room() {
            self.batch = spare::take();
        }
        self.batch.push(head, payload);
    }
}

/// What was queued, and whether the driver has to be asked to run for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Queued {
    /// It was asked already.
    Asked,
    Ask,
    /// There was no room for it.
    Full,
}

/// The connection ended; nothing is queued any more.
#[derive(Debug)]
pub(crate) struct Closed;

impl Outbox {
    pub(crate) fn new(limit: usize, memory: Arc<Memory>) -> Self {
        Self { queue: Mutex::default(), waiting: AtomicUsize::new(0), room: Notify::new(), limit, memory }
    }

    fn exceeds(&self, waiting: usize) -> bool {
        waiting >= self.limit || (waiting >= FREE && self.memory.unwritten.is_spent())
    }

    /// Counts what waits now; for all connections together if that changed by enough.
    fn count(&self, queue: &mut Queue) {
        let waiting = queue.waiting();
        self.waiting.store(waiting, Relaxed);
        let now = waiting.saturating_sub(FREE) / STEP * STEP;
        if now > queue.counted {
            self.memory.unwritten.add(now - queue.counted);
        } else if now < queue.counted {
            self.memory.unwritten.sub(queue.counted - now);
        }
        queue.counted = now;
    }

    /// Queues a frame if there is room.
    pub(crate) fn try_push(&self, head: &[u8], payload: Option<&Bytes>) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        if self.exceeds(queue.waiting()) {
            return Ok(Queued::Full);
        }
        queue.push(head, payload.cloned());
        Ok(self.queued(&mut queue))
    }

    /// Queues a frame at once: replies, errors and events are bounded by what they answer.
    pub(crate) fn push(&self, head: &[u8], payload: Option<Bytes>) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        queue.push(head, payload);
        Ok(self.queued(&mut queue))
    }

    /// Queues all frames of `batch` at once, and leaves it empty.
    pub(crate) fn append(&self, batch: &mut Batch) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        queue.batch.append(batch);
        Ok(self.queued(&mut queue))
    }

    /// Queues a frame at once, with something to drop when it was written; made only if the frame is queued.
    pub(crate) fn push_with(
        &self,
        head: &[u8],
        payload: Option<Bytes>,
        receipt: impl FnOnce() -> Receipt,
    ) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        queue.push(head, payload);
        let until = queue.written + queue.waiting() as u64;
        queue.receipts.push_back((until, receipt()));
        Ok(self.queued(&mut queue))
    }

    fn open(&self) -> Result<MutexGuard<'_, Queue>, Closed> {
        let queue = self.queue.lock();
        if queue.closed { Err(Closed) } else { Ok(queue) }
    }

    fn queued(&self, queue: &mut Queue) -> Queued {
        self.count(queue);
        let asked = std::mem::replace(&mut queue.asked, true);
        // One that can't write for now takes nothing, and still has to see when too much waits.
        if asked && !self.exceeds(queue.waiting()) { Queued::Asked } else { Queued::Ask }
    }

    /// Waits until there may be room, or the connection ended. Cancel safe.
    pub(crate) async fn room(&self) {
        let mut notified = std::pin::pin!(self.room.notified());
        notified.as_mut().enable();
        if !self.is_full() {
            return;
        }
        notified.await;
    }

    /// Whether those who can wait have to.
    pub(crate) fn is_full(&self) -> bool {
        if self.bytes() < self.limit.min(FREE) {
            return false;
        }
        let queue = self.queue.lock();
        !queue.closed && self.exceeds(queue.waiting())
    }

    /// Bytes not written yet.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Whether anything waits that the driver has not taken.
    pub(crate) fn is_waiting(&self) -> bool {
        self.queue.lock().batch.has_remaining()
    }

    /// Exchanges all that waits for an empty batch; keeps no memory when nothing waits. For the driver.
    pub(crate) fn take(&self, batch: &mut Batch) {
        debug_assert!(!batch.has_remaining(), "the driver takes only when it wrote all");
        let mut queue = self.queue.lock();
        queue.asked = false;
        if queue.batch.has_remaining() {
            std::mem::swap(&mut queue.batch, batch);
            queue.taken = batch.remaining();
            return;
        }
        queue.taken = 0;
        let unused = std::mem::take(&mut queue.batch);
        drop(queue);
        spare::give(unused);
        spare::give(std::mem::take(batch));
    }

    /// `bytes` of what was taken were written. For the driver.
    pub(crate) fn written(&self, bytes: usize) {
        let mut queue = self.queue.lock();
        let before = queue.waiting();
        queue.taken = queue.taken.saturating_sub(bytes);
        queue.written += bytes as u64;
        self.count(&mut queue);
        let now = queue.waiting();
        let written = queue.written;
        let done = queue.receipts.partition_point(|(until, _)| *until <= written);
        let receipts: Vec<_> = queue.receipts.drain(..done).collect();
        drop(queue);
        drop(receipts);
        if [self.limit, FREE].iter().any(|limit| now < *limit && *limit <= before) {
            self.room.notify_waiters();
        }
    }

    /// The connection ended: what waits is dropped, its number of frames given.
    pub(crate) fn close(&self) -> usize {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let unsent = std::mem::take(&mut queue.batch).frames();
        let receipts = std::mem::take(&mut queue.receipts);
        queue.taken = 0;
        self.count(&mut queue);
        drop(queue);
        drop(receipts);
        self.room.notify_waiters();
        unsent
    }
}
