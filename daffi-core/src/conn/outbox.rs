//! What waits to be written to one peer.

mod room;

use std::{
    any::Any,
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{Buf, Bytes};
use daffi_transport::Batch;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    Account, Class,
    data_queue::{DataFrom, DataKey, DataQueue, FRAME_COST},
    spare,
    unsent::NowaitRuns,
};
/// What a frame with a [`Receipt`] takes beyond [`FRAME_COST`].
const RECEIPT_COST: usize = 96;

/// Bytes that are not worth counting, so that small calls never touch the account.
const UNCOUNTED: usize = 4 * 1024;

/// DATA that is written before other frames have their turn again, at most: so a small call never
/// waits behind more.
const DATA_TURN: usize = 64 * 1024;

/// DATA of this node's own calls that waits, at most: what is beyond it waits where it is made.
const OWN_DATA: usize = 256 * 1024;

/// Frames that wait to be written to one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Bytes not written yet, to be looked at without the lock.
    waiting: AtomicUsize,
    /// What the account holds for them and for DATA, to be looked at in the same way.
    held: AtomicUsize,
    /// Something waits that the driver has not taken. Relaxed: whoever queues it asks the driver to
    /// run behind that, and the wake-up orders them.
    untaken: AtomicBool,
    room: Notify,
    data_room: Notify,
    account: Arc<Account>,
}

#[derive(Debug, Default)]
struct Queue {
    batch: Batch,
    data: DataQueue,
    /// Bytes that the driver took and has not written yet, and the memory that they hold.
    taken: usize,
    taken_held: usize,
    /// The peer takes nothing. What waits is compact, and is counted as it is held.
    stuck: bool,
    /// Bytes that the account holds.
    counted: usize,
    /// Bytes of what the peer provoked, at most.
    provoked: usize,
    /// Bytes written since the connection began.
    written: u64,
    /// What to drop when so many bytes were written.
    receipts: VecDeque<(u64, Receipt)>,
    /// Where requests of this node lie that nobody answers.
    unanswered: NowaitRuns,
    /// The driver was asked to run and has not looked since.
    asked: bool,
    /// Somebody waits for room.
    awaited: bool,
    closed: bool,
}

/// Dropped when the frame it was queued with was written, or the connection ended.
pub(crate) type Receipt = Box<dyn Any + Send + Sync>;

impl Queue {
    /// Bytes before a frame that is queued now, but for those of DATA, which lets others pass.
    fn waiting_bytes(&self) -> usize {
        self.batch.remaining() + self.taken
    }

    /// Where a frame that is queued now begins, in bytes since the connection began.
    fn end(&self) -> u64 {
        self.written + self.waiting_bytes() as u64
    }

    fn has_untaken(&self) -> bool {
        self.batch.has_remaining() || !self.data.is_empty()
    }

    /// Notes that all is written. Nothing that waits keeps no memory.
    fn rest(&mut self, batch: &mut Batch) {
        (self.taken, self.taken_held, self.provoked) = (0, 0, 0);
        spare::give(&mut self.batch);
        spare::give(batch);
    }

    /// Takes a turn's worth of DATA. Gives whether that of this node's own calls has room again.
    fn take_data(&mut self, batch: &mut Batch) -> bool {
        let had_room = self.data.own_bytes() < OWN_DATA;
        let mut taken = 0;
        while taken < DATA_TURN
            && let Some(frame) = self.data.pop()
        {
            taken += frame.len();
            batch.push_frame(&frame);
        }
        !had_room && self.data.own_bytes() < OWN_DATA
    }

    /// Memory for what waits. What is on its way to a peer that takes it is counted by its size:
    /// the buffers that it passes through are the threads', not the peer's.
    fn held_bytes(&self) -> usize {
        let batch = if self.stuck { self.batch.held_bytes() } else { cost_of(&self.batch) };
        batch + self.data.held_bytes() + self.taken_held + self.receipts.len() * RECEIPT_COST
    }

    fn push(&mut self, head: &[u8], payload: Option<Bytes>) {
        if self.stuck {
            self.batch.push(head, payload);
            return self.batch.compact();
        }
        if !self.batch.has_remaining() && !self.batch.has_room() {
            self.batch = spare::take();
        }
        self.batch.push(head, payload);
    }
}

fn cost_of(batch: &Batch) -> usize {
    batch.remaining() + batch.frames() * FRAME_COST
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

/// Room for DATA of this node's own calls. Dropped, it lets the next who waits look.
#[derive(Debug)]
pub(crate) struct DataRoom<'a>(&'a Outbox);

impl Drop for DataRoom<'_> {
    fn drop(&mut self) {
        if self.0.has_data_room() {
            self.0.data_room.notify_one();
        }
    }
}

/// What waited when the connection ended.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(super) frames: usize,
    /// All but DATA.
    pub(super) batch: Batch,
    pub(super) unanswered: NowaitRuns,
    /// The end of what the driver had taken, in bytes since the connection began.
    pub(super) taken_until: u64,
}

/// The connection ended; nothing is queued any more.
#[derive(Debug)]
pub(crate) struct Closed;

impl Outbox {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            untaken: AtomicBool::new(false),
            room: Notify::new(),
            data_room: Notify::new(),
            account,
        }
    }

    pub(crate) const fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Counts what waits now. Relaxed: the queue's lock orders the changes, and whoever looks at
    /// the count without it compares it with limits only.
    fn count(&self, queue: &mut Queue) {
        self.waiting.store(queue.waiting_bytes(), Relaxed);
        self.untaken.store(queue.has_untaken(), Relaxed);
        let held = queue.held_bytes();
        let held = if held < UNCOUNTED { 0 } else { held };
        self.held.store(held, Relaxed);
        self.account.change(std::mem::replace(&mut queue.counted, held), held);
    }

    /// Queues a frame if there is room for one of its class.
    pub(crate) fn push(&self, class: Class, head: &[u8], payload: Option<Bytes>) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        let bytes = head.len() + payload.as_ref().map_or(0, Bytes::len);
        if !self.admits(class, bytes) {
            return Ok(Queued::Full);
        }
        if class == Class::Provoked {
            queue.provoked += bytes + FRAME_COST;
        }
        queue.push(head, payload);
        Ok(self.note_queued(&mut queue))
    }

    /// Queues a request of this node that nobody answers, if there is room, and notes where it
    /// lies.
    pub(crate) fn push_unanswered(&self, head: &[u8], payload: Option<Bytes>) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        let bytes = head.len() + payload.as_ref().map_or(0, Bytes::len);
        if !self.admits(Class::Own, bytes) {
            return Ok(Queued::Full);
        }
        let begin = queue.end();
        queue.unanswered.note(begin, bytes);
        queue.push(head, payload);
        Ok(self.note_queued(&mut queue))
    }

    /// Queues all frames of `batch`, for which room was found before, and leaves it empty. The peer
    /// provoked so many bytes of them.
    pub(crate) fn append(&self, batch: &mut Batch, provoked: usize) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        queue.provoked += provoked;
        queue.batch.append(batch);
        if queue.stuck {
            queue.batch.compact();
        }
        Ok(self.note_queued(&mut queue))
    }

    /// Queues a nowait request, with something to drop when it was written; made only if the frame
    /// is queued.
    pub(crate) fn push_with(
        &self,
        head: &[u8],
        payload: Option<Bytes>,
        receipt: impl FnOnce() -> Receipt,
    ) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        queue.push(head, payload);
        let until = queue.end();
        queue.receipts.push_back((until, receipt()));
        Ok(self.note_queued(&mut queue))
    }

    /// Queues a frame of DATA that costs so much of its window, or the end of a call of which DATA
    /// waits, behind the DATA of that call. It always enters: its window was granted, and this
    /// node's own waits for [`data_room`](Self::data_room) before.
    pub(crate) fn push_data(&self, key: DataKey, frame: Bytes, cost: u64) -> Result<Queued, Closed> {
        let mut queue = self.open()?;
        let push = if queue.stuck { DataQueue::push_compact } else { DataQueue::push };
        push(&mut queue.data, key, frame, cost);
        Ok(self.note_queued(&mut queue))
    }

    /// Drops DATA of calls that have ended.
    pub(crate) fn forget_data(&self, forget: impl FnOnce(&mut DataQueue)) {
        let mut queue = self.queue.lock();
        let had_room = queue.data.own_bytes() < OWN_DATA;
        forget(&mut queue.data);
        // A driver that finds nothing looks no further, and would go on being taken for asked.
        queue.asked &= queue.has_untaken();
        let has_room = !had_room && queue.data.own_bytes() < OWN_DATA;
        self.count(&mut queue);
        let is_awaited = queue.awaited && !self.is_crowded();
        queue.awaited &= !is_awaited;
        drop(queue);
        if has_room {
            self.data_room.notify_one();
        }
        if is_awaited {
            self.room.notify_waiters();
        }
    }

    /// What the DATA of a call costs that the driver has not taken: the peer has read none of it.
    pub(crate) fn unwritten_cost(&self, key: DataKey) -> u64 {
        self.queue.lock().data.waiting_cost(key)
    }

    /// Whether DATA waits of calls from there.
    pub(crate) fn has_data_from(&self, from: DataFrom) -> bool {
        self.queue.lock().data.has_from(from)
    }

    /// Waits until there is room for DATA of this node's own calls, or the connection ended. Those
    /// who wait get it in order: the next when the guard is dropped. Cancel safe.
    pub(crate) async fn data_room(&self) -> DataRoom<'_> {
        while !self.has_data_room() {
            let notified = self.data_room.notified();
            if !self.has_data_room() {
                notified.await;
            }
        }
        DataRoom(self)
    }

    fn has_data_room(&self) -> bool {
        let queue = self.queue.lock();
        queue.closed || queue.data.own_bytes() < OWN_DATA
    }

    fn open(&self) -> Result<MutexGuard<'_, Queue>, Closed> {
        let queue = self.queue.lock();
        if queue.closed { Err(Closed) } else { Ok(queue) }
    }

    fn note_queued(&self, queue: &mut Queue) -> Queued {
        self.count(queue);
        let asked = std::mem::replace(&mut queue.asked, true);
        if asked { Queued::Asked } else { Queued::Ask }
    }

    /// Waits until there is room for a frame of `bytes`, or the connection ended. Cancel safe.
    pub(crate) async fn room(&self, class: Class, bytes: usize) {
        loop {
            let mut notified = std::pin::pin!(self.room.notified());
            notified.as_mut().enable();
            {
                let mut queue = self.queue.lock();
                if queue.closed || self.has_room(class, bytes) {
                    return;
                }
                queue.awaited = true;
            }
            notified.await;
        }
    }

    /// Bytes written since the connection began.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.queue.lock().written
    }

    /// Bytes that will have been written once all that waits now is.
    pub(crate) fn end(&self) -> u64 {
        self.queue.lock().end()
    }

    /// All requests before this place have arrived.
    pub(crate) fn forget_unanswered(&self, arrived: u64) {
        self.queue.lock().unanswered.forget_before(arrived);
    }

    /// Where the last request of this node ends that nobody answers.
    pub(crate) fn unanswered_end(&self) -> u64 {
        self.queue.lock().unanswered.end()
    }

    /// Whether those who can wait have to.
    pub(crate) fn is_full(&self) -> bool {
        self.is_crowded() && !self.queue.lock().closed
    }

    /// Bytes not written yet.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Bytes not written yet that the peer provoked.
    pub(crate) fn provoked_bytes(&self) -> usize {
        if self.bytes() <= self.account.own() {
            return 0;
        }
        self.queue.lock().provoked
    }

    /// Whether anything waits that the driver has not taken.
    pub(crate) fn is_waiting(&self) -> bool {
        self.untaken.load(Relaxed)
    }

    /// Exchanges all that waits for an empty batch. `false`: nothing waits. For the driver.
    pub(crate) fn take(&self, batch: &mut Batch) -> bool {
        debug_assert!(!batch.has_remaining(), "the driver takes only when it wrote all");
        let mut queue = self.queue.lock();
        queue.asked = false;
        if !queue.has_untaken() {
            queue.rest(batch);
            self.count(&mut queue);
            return false;
        }
        std::mem::swap(&mut queue.batch, batch);
        let has_room = !queue.data.is_empty() && queue.take_data(batch);
        (queue.taken, queue.taken_held) = (batch.remaining(), cost_of(batch));
        self.untaken.store(!queue.data.is_empty(), Relaxed);
        drop(queue);
        if has_room {
            self.data_room.notify_one();
        }
        true
    }

    /// Notes that `bytes` of what was taken were written, of which `batch` is left. Gives whether
    /// nothing waits any more. For the driver.
    pub(crate) fn on_written(&self, bytes: usize, batch: &mut Batch) -> bool {
        let mut queue = self.queue.lock();
        queue.stuck = false;
        queue.taken = queue.taken.saturating_sub(bytes);
        queue.taken_held = if queue.taken == 0 { 0 } else { queue.taken_held.saturating_sub(bytes) };
        queue.provoked = queue.provoked.saturating_sub(bytes);
        queue.written += bytes as u64;
        let is_all = !batch.has_remaining() && !queue.has_untaken();
        if is_all {
            queue.rest(batch);
        }
        self.count(&mut queue);
        let written = queue.written;
        let mut receipts = Vec::new();
        if !queue.receipts.is_empty() {
            let done = queue.receipts.partition_point(|(until, _)| *until <= written);
            receipts.extend(queue.receipts.drain(..done));
        }
        let freed = queue.awaited && !self.is_crowded();
        queue.awaited &= !freed;
        drop(queue);
        drop(receipts);
        if freed {
            self.room.notify_waiters();
        }
        is_all
    }

    /// Notes that the peer takes nothing now of `batch`, which was taken, nor of what waits behind
    /// it; `held` is what its link holds. From here on it keeps no memory of others alive, and no
    /// more than about twice its size. For the driver.
    pub(crate) fn on_stall(&self, batch: &mut Batch, held: usize) {
        let mut queue = self.queue.lock();
        queue.stuck = true;
        for waits in [&mut *batch, &mut queue.batch] {
            if waits.has_remaining() {
                waits.compact();
            } else {
                spare::give(waits);
            }
        }
        queue.data.compact();
        queue.taken_held = batch.held_bytes() + held;
        self.count(&mut queue);
    }

    /// Takes out what waits when the connection has ended.
    pub(crate) fn close(&self) -> Remains {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let (batch, data) = (std::mem::take(&mut queue.batch), std::mem::take(&mut queue.data));
        let receipts = std::mem::take(&mut queue.receipts);
        let unanswered = std::mem::take(&mut queue.unanswered);
        let taken_until = queue.written + queue.taken as u64;
        (queue.taken, queue.taken_held) = (0, 0);
        self.count(&mut queue);
        drop((queue, receipts));
        self.room.notify_waiters();
        self.data_room.notify_waiters();
        self.data_room.notify_one();
        Remains { frames: batch.frames() + data.frames(), batch, unanswered, taken_until }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
