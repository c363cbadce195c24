//! What the program sends in DATA, as far as the other end takes it.

use std::{
    future::poll_fn,
    task::{Poll, Waker},
};

use bytes::BytesMut;
use daffi_wire::{BODY_PART_BYTES, CallCredit, Data, DataEnd, FrameWriter, data_cost};
use parking_lot::Mutex;

use super::{CallEnd, pack::PACK_BYTES};
use crate::session::SendWindow;

/// The most bytes of an item that one frame carries.
const PART_BYTES: usize = BODY_PART_BYTES;

/// A part of an item waits for no more of the window than this. The other end owes its sender the
/// credit for less than a quarter of the window, or half of what a Router grants of it, when it has
/// read all that came: who waited for more than the rest might wait for ever.
const LEAST_PART: usize = PACK_BYTES;

/// One direction of a call, at the end that writes it.
#[derive(Debug)]
pub(crate) struct Outflow {
    end: CallEnd,
    state: Mutex<OutflowState>,
}

#[derive(Debug)]
struct OutflowState {
    window: SendWindow,
    /// The other end wants no more, or the call has ended.
    stopped: bool,
    waker: Option<Waker>,
}

/// Nobody takes what is sent any more: the other end has enough, or the call or its connection has
/// ended.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Outflow {
    pub(crate) fn new(end: CallEnd, window: u32) -> Self {
        Self { end, state: Mutex::new(OutflowState { window: SendWindow::new(window), stopped: false, waker: None }) }
    }

    pub(crate) fn on_credit(&self, credit: CallCredit) {
        let mut state = self.state.lock();
        state.window.grant(credit);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Queues the word that something follows, unless the call has ended.
    pub(crate) fn begin<T>(&self, queue: impl FnOnce() -> T) -> Result<T, Stopped> {
        // Under the lock: it comes behind no end.
        let state = self.state.lock();
        if state.stopped { Err(Stopped) } else { Ok(queue()) }
    }

    /// Nothing more is sent, and what waits to be written is dropped.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        // Under the lock: nothing comes behind it.
        self.end.conn.forget_data(self.end.key());
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Sends one item, in as many frames as it takes. Not cancel safe: dropped, it may have sent a
    /// part.
    pub(crate) async fn send_item(&self, mut item: &[u8]) -> Result<(), Stopped> {
        loop {
            let sent = self.send((DataEnd::Item, false), item, LEAST_PART).await?;
            if sent == item.len() {
                return Ok(());
            }
            item = &item[sent..];
        }
    }

    /// Sends what follows of a body, but for its end. Not cancel safe: dropped, it may have sent a
    /// part.
    pub(crate) async fn send_parts(&self, mut rest: &[u8]) -> Result<(), Stopped> {
        let mut left = self.end.conn.count_rest(rest.len());
        while !rest.is_empty() {
            let sent = self.send((DataEnd::Nothing, false), rest, LEAST_PART).await?;
            left.note_sent(sent);
            rest = &rest[sent..];
        }
        Ok(())
    }

    /// Sends whole items, each behind its length, together at most [`PACK_BYTES`]. Cancel safe: it
    /// has sent all or nothing.
    pub(crate) async fn send_packed(&self, items: &[u8]) -> Result<(), Stopped> {
        debug_assert!(items.len() <= LEAST_PART, "credit for {} bytes may never come", items.len());
        self.send((DataEnd::Item, true), items, items.len()).await.map(drop)
    }

    /// Waits until the other end takes `least` bytes more, or all there are, and sends as many as
    /// one frame carries and the other end takes. Gives how many; with less than all, the frame is
    /// the end of nothing. Cancel safe.
    async fn send(&self, (end, packed): (DataEnd, bool), bytes: &[u8], least: usize) -> Result<usize, Stopped> {
        let least = data_cost(bytes.len().min(least));
        loop {
            self.room(least).await?;
            let _room = self.end.conn.outbox.data_room().await;
            let mut state = self.state.lock();
            if state.stopped {
                return Err(Stopped);
            }
            let available = state.window.available();
            if available < least {
                // Only one sends at a time, and nobody takes credit back.
                continue;
            }
            let fits = usize::try_from(available - data_cost(0)).unwrap_or(usize::MAX);
            let sent = bytes.len().min(PART_BYTES).min(fits);
            let end = if sent == bytes.len() { end } else { DataEnd::Nothing };
            state.window.send(data_cost(sent));
            self.queue(end, packed, &bytes[..sent])?;
            return Ok(sent);
        }
    }

    /// Says that these were all, which needs no credit. From the callee that is the end of the
    /// call.
    pub(crate) fn finish(&self) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.stopped, true) {
            return Err(Stopped);
        }
        self.queue(DataEnd::Direction, false, &[])
    }

    /// Ends the call with an ERROR behind the items that were sent.
    pub(crate) fn fail(&self, error: &[u8]) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.stopped, true) {
            return Err(Stopped);
        }
        self.end.conn.send_data(self.end.key(), BytesMut::from(error).freeze()).map_err(|_| Stopped)
    }

    /// Queues a frame, while nobody else can end the call.
    fn queue(&self, end: DataEnd, packed: bool, bytes: &[u8]) -> Result<(), Stopped> {
        let CallEnd { conn, me, other, id, is_caller, limits, .. } = &self.end;
        let data = Data { id: *id, from_caller: *is_caller, end, packed, bytes: bytes::Bytes::new() };
        let mut frame = BytesMut::with_capacity(bytes.len() + 64 + me.len() + other.len());
        let mut writer = FrameWriter::begin(&mut frame, me, other, "").map_err(|_| Stopped)?;
        writer.body().extend_from_slice(bytes);
        writer.finish(data.header(), 0, limits).map_err(|_| Stopped)?;
        conn.send_data(self.end.key(), frame.freeze()).map_err(|_| Stopped)
    }

    async fn room(&self, cost: u64) -> Result<(), Stopped> {
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.stopped {
                return Poll::Ready(Err(Stopped));
            }
            if state.window.available() >= cost {
                return Poll::Ready(Ok(()));
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}
