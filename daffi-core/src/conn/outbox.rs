//! What waits to be written to one peer.

use bytes::{Buf, Bytes};
use daffi_transport::Batch;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Frames that wait to be written to one peer, bounded in bytes for those who can wait.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    room: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    batch: Batch,
    /// Bytes that the driver took and has not written yet.
    taken: usize,
    closed: bool,
}

/// The connection ended; nothing is queued any more.
#[derive(Debug)]
pub(crate) struct Closed;

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: Mutex::default(), room: Notify::new(), limit }
    }

    /// Queues a frame if there is room. `Ok(false)`: there is none.
    pub(crate) fn try_push(&self, head: &[u8], payload: Option<&Bytes>) -> Result<bool, Closed> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Closed);
        }
        if queue.batch.remaining() + queue.taken >= self.limit {
            return Ok(false);
        }
        queue.batch.push(head, payload.cloned());
        Ok(true)
    }

    /// Queues a frame at once: replies, errors and events are bounded by what they answer.
    pub(crate) fn push(&self, head: &[u8], payload: Option<Bytes>) -> Result<(), Closed> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Closed);
        }
        queue.batch.push(head, payload);
        Ok(())
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
        let queue = self.queue.lock();
        !queue.closed && queue.batch.remaining() + queue.taken >= self.limit
    }

    /// Bytes not written yet.
    pub(crate) fn bytes(&self) -> usize {
        let queue = self.queue.lock();
        queue.batch.remaining() + queue.taken
    }

    /// Whether anything waits that the driver has not taken.
    pub(crate) fn is_waiting(&self) -> bool {
        self.queue.lock().batch.has_remaining()
    }

    /// Exchanges all that waits for an empty batch. For the driver.
    pub(crate) fn take(&self, batch: &mut Batch) {
        debug_assert!(!batch.has_remaining(), "the driver takes only when it wrote all");
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.batch, batch);
        queue.taken = batch.remaining();
    }

    /// `bytes` of what was taken were written. For the driver.
    pub(crate) fn written(&self, bytes: usize) {
        let mut queue = self.queue.lock();
        let before = queue.batch.remaining() + queue.taken;
        queue.taken = queue.taken.saturating_sub(bytes);
        let now = queue.batch.remaining() + queue.taken;
        drop(queue);
        if before >= self.limit && now < self.limit {
            self.room.notify_waiters();
        }
    }

    /// The connection ended: what waits is dropped, its number of frames given.
    pub(crate) fn close(&self) -> usize {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let unsent = std::mem::take(&mut queue.batch).frames();
        drop(queue);
        self.room.notify_waiters();
        unsent
    }
}
