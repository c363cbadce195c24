//! What came in DATA and waits for the program.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use daffi_wire::{CancelReason, Data, DataEnd};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{CallEnd, Came, Grants, Hand};
use crate::{conn::Charge, error::ProtocolError, session::ReceiveWindow};

/// DATA below this size is copied, so that it keeps no larger read buffer alive while it waits.
const COPIED_BELOW: usize = 32 * 1024;

/// One direction of a call, at the end that reads it.
#[derive(Debug)]
pub(crate) struct Inflow {
    grants: Arc<Grants>,
    /// The most bytes of one item.
    max_item: usize,
    /// The call has ended, and what its reader has in hand is void.
    closed: AtomicBool,
    state: Mutex<InflowState>,
}

#[derive(Debug)]
struct InflowState {
    window: ReceiveWindow,
    /// What may have come and wait, taken from the budget.
    reserved: Option<Charge>,
    waiting: VecDeque<Waiting>,
    /// What the frame cost that the reader has in hand.
    in_hand: Option<u64>,
    /// The beginning of an item, and its memory.
    begun: Option<(BytesMut, Charge)>,
    /// What its parts cost that are not worked off: those before it are not all read.
    begun_cost: u64,
    /// What is missing of a body that is read in pieces.
    pieces: Option<Missing>,
    /// The other end said that items follow.
    has_begun: bool,
    /// Nothing more comes.
    end: Option<Result<(), FlowError>>,
    /// The program reads no more.
    unread: bool,
    waker: Option<Waker>,
    /// An item was asked for, in vain, since the turn of the callback began.
    asked: bool,
}

/// What is still to come of a body.
#[derive(Debug)]
struct Missing {
    /// Bytes that are read.
    bytes: u64,
    /// The bytes that are read, and what stands behind them.
    all: u64,
}

/// What came in one frame, and what it cost.
#[derive(Debug)]
enum Waiting {
    /// With the memory of one that was put together.
    Item(Bytes, u64, Option<Charge>),
    /// Kept as it came: many small items in a row take no more memory than they cost.
    Packed(Bytes, u64),
}

/// Why no further items come, other than that they were all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlowError {
    /// An item is larger than the limit.
    #[error("an item of more than {limit} bytes, which is the most that one may have")]
    ItemTooLarge { limit: usize },
    /// A body is larger than the limit.
    #[error("a body of {size} bytes; this node puts together {limit} at most (max_body)")]
    BodyTooLarge { size: u64, limit: usize },
    /// A body comes more slowly than a peer has to send what it began.
    #[error(
        "a body that comes too slowly: 1 KiB/s, looked at after slow_peer_timeout, and 64 KiB in 5 s while others find no room \
         because of it, are the least"
    )]
    Stalled,
    /// There is no memory for a large item.
    #[error("there is no room for an item of {size} bytes: as things stand {share} may be held for this peer")]
    NoRoom { size: usize, share: usize },
    /// Items that break a rule of the wire.
    #[error("{0}")]
    Malformed(String),
    /// The call has ended, or the connection.
    #[error("the call ended before all items had come")]
    Ended,
}

impl Inflow {
    /// `reserved`: memory for as much as the first window.
    pub(crate) fn new(end: CallEnd, reserved: Charge, max_item: usize) -> Self {
        let state = InflowState {
            window: ReceiveWindow::default(),
            reserved: Some(reserved),
            waiting: VecDeque::new(),
            in_hand: None,
            begun: None,
            begun_cost: 0,
            pieces: None,
            has_begun: false,
            end: None,
            unread: false,
            waker: None,
            asked: false,
        };
        Self { grants: Grants::new(end, None), max_item, closed: AtomicBool::new(false), state: Mutex::new(state) }
    }

    pub(crate) fn on_data(&self, data: Data) -> Result<(), ProtocolError> {
        let mut state = self.state.lock();
        let (cost, ends) = (data.cost(), data.end == DataEnd::Direction);
        state.window.receive(cost)?;
        if state.window.asks_when() {
            state.window.note_arrival(Instant::now().into_std());
        }
        if state.unread || state.end.is_some() {
            return Ok(());
        }
        let taken = self.take(&mut state, data, cost);
        if taken.is_err() || ends {
            self.grants.close();
            state.end = Some(taken);
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    fn take(&self, state: &mut InflowState, data: Data, cost: u64) -> Result<(), FlowError> {
        if state.pieces.is_some() {
            return self.take_piece(state, data, cost);
        }
        let Data { end, packed, bytes, .. } = data;
        if end == DataEnd::Direction && bytes.is_empty() {
            return match state.begun {
                None => Ok(()),
                Some(_) => Err(FlowError::Malformed("the last item has no end".into())),
            };
        }
        let small = bytes.len() < COPIED_BELOW;
        if packed {
            let own = if small { Bytes::copy_from_slice(&bytes) } else { bytes };
            state.waiting.push_back(Waiting::Packed(own, cost));
            return Ok(());
        }
        if state.begun.is_none() && end != DataEnd::Nothing {
            let own = if small { Bytes::copy_from_slice(&bytes) } else { bytes };
            state.waiting.push_back(Waiting::Item(own, cost, None));
            return Ok(());
        }
        self.append(state, &bytes)?;
        state.begun_cost += cost;
        if end == DataEnd::Nothing {
            self.work_off_begun(state);
        } else if let Some((item, memory)) = state.begun.take() {
            let cost = std::mem::take(&mut state.begun_cost);
            state.waiting.push_back(Waiting::Item(item.freeze(), cost, Some(memory)));
        }
        Ok(())
    }

    /// What comes is a body of which `bytes` are read in pieces, beginning with `first`, and with
    /// what stands behind them `all` are still to come.
    ///
    /// # Errors
    /// Something came before.
    pub(crate) fn begin_pieces(&self, first: &Bytes, bytes: u64, all: u64) -> Result<(), FlowError> {
        let mut state = self.state.lock();
        if state.has_begun || state.end.is_some() || state.window.has_received() {
            return Err(FlowError::Malformed("a body behind what came before".into()));
        }
        if !first.is_empty() {
            let memory = self.grants.end().conn.data_account().charge(first.len());
            state.waiting.push_back(Waiting::Item(Bytes::copy_from_slice(first), 0, Some(memory)));
        }
        state.pieces = Some(Missing { bytes: bytes - first.len() as u64, all });
        state.has_begun = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// The next piece of a body, and whether it is what was said.
    fn take_piece(&self, state: &mut InflowState, data: Data, cost: u64) -> Result<(), FlowError> {
        let Data { end, packed, mut bytes, .. } = data;
        let Some(missing) = state.pieces.as_mut() else { return Ok(()) };
        if packed || end == DataEnd::Item {
            return Err(FlowError::Malformed("items in the place of the rest of a body".into()));
        }
        let Some(all) = missing.all.checked_sub(bytes.len() as u64) else {
            return Err(FlowError::Malformed("a body has more bytes than was said".into()));
        };
        missing.all = all;
        let of_string = usize::try_from(missing.bytes).unwrap_or(usize::MAX).min(bytes.len());
        missing.bytes -= of_string as u64;
        if end == DataEnd::Direction && all > 0 {
            return Err(FlowError::Malformed(format!("{all} bytes of a body that was said to have them did not come")));
        }
        bytes.truncate(of_string);
        if bytes.is_empty() {
            state.begun_cost += cost;
            self.work_off_begun(state);
            return Ok(());
        }
        let own = if bytes.len() < COPIED_BELOW { Bytes::copy_from_slice(&bytes) } else { bytes };
        state.waiting.push_back(Waiting::Item(own, cost, None));
        Ok(())
    }

    /// Adds a part to the item that has begun.
    fn append(&self, state: &mut InflowState, bytes: &[u8]) -> Result<(), FlowError> {
        let account = self.grants.end().conn.data_account();
        let (mut item, mut memory) = state.begun.take().unwrap_or_else(|| (BytesMut::new(), account.charge(0)));
        let size = item.len() + bytes.len();
        if size > self.max_item {
            return Err(FlowError::ItemTooLarge { limit: self.max_item });
        }
        if size > item.capacity() {
            let capacity = (2 * size).min(self.max_item);
            if !memory.grow_to(capacity) {
                return Err(FlowError::NoRoom { size: capacity, share: account.share() });
            }
            item.reserve(capacity - item.len());
        }
        item.extend_from_slice(bytes);
        state.begun = Some((item, memory));
        Ok(())
    }

    /// Lets the rest of an item come once all before it were read: so an item may be larger than
    /// the window, and a slow reader holds its sender up all the same.
    fn work_off_begun(&self, state: &mut InflowState) {
        if state.waiting.is_empty() && state.in_hand.is_none() && state.begun_cost > 0 {
            let cost = std::mem::take(&mut state.begun_cost);
            self.work_off(state, cost);
        }
    }

    fn work_off(&self, state: &mut InflowState, cost: u64) {
        if !state.window.work_off(cost) || state.end.is_some() {
            return;
        }
        let wanted = state.window.wanted_window();
        let reserved = state.reserved.as_mut().filter(|_| wanted > state.window.window());
        let more = reserved.is_some_and(|reserved| reserved.grow_to(wanted as usize));
        let (worked_off, window) =
            state.window.tell(if more { wanted } else { state.window.window() }, Instant::now().into_std());
        self.grants.tell(worked_off, window);
    }

    /// The next item: one of the frame that the reader has in `hand`, without a lock; or else the
    /// next frame is taken there. `None`: they were all.
    #[inline]
    pub(crate) fn poll_next<'h>(
        &self,
        hand: &'h mut Hand,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Came<'h>, FlowError>>> {
        loop {
            // Relaxed: who ends the call on another thread is not before or behind any item.
            if !self.closed.load(Relaxed) {
                match hand.next() {
                    Ok(Some(place)) => return Poll::Ready(Some(Ok(Came::Packed(hand.item(place))))),
                    Ok(None) => {}
                    Err(error) => self.end_with(FlowError::Malformed(error.to_string())),
                }
            }
            match ready!(self.poll_frame(hand, cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Some(item))) => return Poll::Ready(Some(Ok(Came::Whole(item)))),
                Some(Ok(None)) => {}
            }
        }
    }

    /// Works off the frame in `hand`, and takes the next there, or gives the item that came alone.
    fn poll_frame(&self, hand: &mut Hand, cx: &Context<'_>) -> Poll<Option<Result<Option<Bytes>, FlowError>>> {
        let state = &mut *self.state.lock();
        if let Some(cost) = hand.lay_down() {
            self.on_laid_down(state, cost);
        }
        match state.waiting.pop_front() {
            Some(Waiting::Packed(packed, cost)) => {
                *hand = Hand::new(packed, cost);
                state.in_hand = Some(cost);
                Poll::Ready(Some(Ok(None)))
            }
            // From here on it is the program's, and its memory not counted here.
            Some(Waiting::Item(item, cost, _memory)) => {
                self.work_off(state, cost);
                self.work_off_begun(state);
                Poll::Ready(Some(Ok(Some(item))))
            }
            None => match &state.end {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(error)) => {
                    let error = error.clone();
                    state.end = Some(Ok(()));
                    Poll::Ready(Some(Err(error)))
                }
                None => {
                    state.asked = true;
                    if !state.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                        state.waker = Some(cx.waker().clone());
                    }
                    Poll::Pending
                }
            },
        }
    }

    /// The reader has done with a frame.
    fn on_laid_down(&self, state: &mut InflowState, cost: u64) {
        state.in_hand = None;
        if self.closed.load(Relaxed) {
            state.reserved = None;
        }
        self.work_off(state, cost);
        self.work_off_begun(state);
    }

    /// What waits is dropped, and this is what the reader hears.
    fn end_with(&self, error: FlowError) {
        let mut state = self.state.lock();
        state.waiting.clear();
        state.end = Some(Err(error));
    }

    /// Notes that items follow.
    pub(crate) fn begin(&self) {
        let mut state = self.state.lock();
        state.has_begun = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until the other end has said that items follow, or one came.
    pub(crate) fn poll_begun(&self, cx: &Context<'_>) -> Poll<()> {
        let state = &mut *self.state.lock();
        if state.has_begun || !state.waiting.is_empty() || state.end.is_some() {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the other end has said that items follow.
    pub(crate) fn has_begun(&self) -> bool {
        self.state.lock().has_begun
    }

    /// Whether an item, or the end, can be had without waiting.
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.state.lock();
        !state.waiting.is_empty() || state.end.is_some()
    }

    /// The callback is about to be polled.
    pub(crate) fn begin_poll(&self) {
        self.state.lock().asked = false;
    }

    /// Whether the program has read all that came, and waits for more, after the turn of a callback
    /// that was polled with this waker. One that asked in an earlier turn, as with a timeout beside
    /// it, may wait for something else by now; a part of it with a waker of its own, or another
    /// thread, is not polled in each turn and still waits.
    pub(crate) fn is_awaited(&self, own: &Waker) -> bool {
        let state = self.state.lock();
        // Where its request was read a callback is polled with one that wakes nobody, which has no
        // data. What they do with their data is in tables that may stand in several places.
        let is_own = |waker: &Waker| waker.data() == own.data() || waker.data().is_null();
        let asks = state.waker.as_ref().is_some_and(|waker| state.asked || !is_own(waker));
        asks && state.waiting.is_empty() && state.end.is_none()
    }

    /// The call has ended: nothing more comes, and what came is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        self.closed.store(true, Relaxed);
        self.grants.close();
        state.end.get_or_insert(Err(FlowError::Ended));
        (state.waiting, state.begun) = (VecDeque::new(), None);
        match (state.in_hand, &mut state.reserved) {
            // The reader lays it down when it looks next.
            (Some(cost), Some(reserved)) => reserved.shrink_to(usize::try_from(cost).unwrap_or(usize::MAX)),
            (_, reserved) => *reserved = None,
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The program reads no more. What waits is dropped, and a callee says so to its caller; a
    /// caller ends the whole call.
    pub(crate) fn stop_reading(&self) {
        let mut state = self.state.lock();
        let goes_on = state.end.is_none() && !std::mem::replace(&mut state.unread, true);
        (state.waiting, state.begun, state.in_hand) = (VecDeque::new(), None, None);
        if self.closed.load(Relaxed) {
            // The frame in hand is not laid down any more.
            state.reserved = None;
        }
        if goes_on && !self.grants.end().is_caller {
            // Under the lock: it comes behind no terminal.
            self.grants.end().cancel(CancelReason::EnoughItems);
        }
    }
}

#[cfg(test)]
#[path = "inflow_tests.rs"]
mod tests;
