//! What moves a connection: reads frames, hands them to the role, writes what waits.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use daffi_transport::{Batch, Link, LinkReader, LinkWriter};
use daffi_wire::{Frame, Level};
use tokio::time::{Instant, Sleep, sleep};

use super::{
    Conn, Turn,
    bounds::{Limits, Times},
};
use crate::{config::NodeConfig, error::Disconnected};

/// Frames worked in before other tasks get a turn.
const FRAMES_PER_TURN: usize = 256;

/// Frames worked in before limits are looked at again.
const FRAMES_PER_LOOK: usize = 32;

/// Bytes one read may bring.
const READ_LIMIT: usize = 1024 * 1024;

/// A sender that can't be held back is slowed down to this many bytes ...
///
/// Linux opens a closed TCP window only when a sixteenth of the receive buffer is free, which is 384 KiB of the usual
/// largest one: taking 64 KiB at a time leaves the sender without a byte for more than its second (measured).
const SLOW_BYTES: usize = 512 * 1024;

/// ... in this time: twice within the second after which a write of 3.0.1 fails.
const SLOW_PAUSE: Duration = Duration::from_millis(500);

/// An unfinished frame below this size is not counted in the node's budget.
const CHARGED_FROM: usize = 64 * 1024;

/// Between the last answer and the end of the stream, for a peer of 3.0.1: it forgets an answer that its caller has not
/// taken yet when the stream ends. 5 ms were enough where none at all lost 17 of 20 answers.
const SETTLE: Duration = Duration::from_millis(100);

/// How often a spent budget is looked at again.
const BUDGET_PAUSE: Duration = Duration::from_millis(50);

/// A connection that holds bytes of an unfinished frame may wait so long for the node's budget.
const BUDGET_PATIENCE: Duration = Duration::from_secs(10);

/// What one end of a connection makes of the frames it gets.
pub(crate) trait Role: Send + 'static {
    /// Works a frame in. What it sends goes out with the turn.
    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected>;

    /// All that one turn read was worked in.
    fn settle(&mut self, _turn: &mut Turn) {}

    /// Whether the handshake is done.
    fn is_open(&self) -> bool;

    /// The connection ended.
    fn ended(&mut self, reason: &Disconnected);

    /// Whether the peer sends requests only, so that not reading it is safe.
    fn may_stop_reading(&self) -> bool;

    /// Whether nothing is to come that the connection has to be kept for.
    fn is_quiet(&self) -> bool {
        true
    }
}

/// Moves one connection until it ends.
pub(crate) struct Driver<R: Role> {
    conn: Arc<Conn>,
    role: R,
    reader: Box<dyn LinkReader>,
    writer: Box<dyn LinkWriter>,
    times: Times,
    limits: Limits,
    batch: Batch,
    unflushed: bool,
    /// Other ready tasks had their turn to add to what waits.
    yielded: bool,
    reading: Reading,
    /// Callbacks still to be timed each for itself.
    suspect: u32,
    /// Bytes of an unfinished frame that are counted in the node's budget.
    charged: usize,
    opening: Option<Pin<Box<Sleep>>>,
    /// Runs while bytes wait and the peer takes none.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs while reading is put off.
    pause: Option<Pin<Box<Sleep>>>,
    /// Bytes taken since the last pause, while the peer is slowed down.
    slowly: usize,
    starved_since: Option<Instant>,
    /// Runs before the stream is ended: [`SETTLE`].
    settling: Option<Pin<Box<Sleep>>>,
    shutdown: Shutdown,
    reason: Option<Disconnected>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Open,
    /// The peer ended the stream.
    Ended,
}

enum Shutdown {
    No,
    /// The write side is being shut.
    Closing,
    /// The write side is shut; reads to the end of the stream.
    Lingering(Pin<Box<Sleep>>),
}

impl<R: Role> Driver<R> {
    /// `opening`: how long the handshake may still take.
    pub(crate) fn new(link: Link, conn: Arc<Conn>, role: R, config: &NodeConfig, opening: Duration) -> Self {
        Self {
            conn,
            role,
            reader: link.reader,
            writer: link.writer,
            times: Times::of(config, opening),
            limits: Limits::of(config),
            batch: Batch::new(),
            unflushed: false,
            yielded: false,
            reading: Reading::Open,
            suspect: 0,
            charged: 0,
            opening: None,
            stalled: None,
            pause: None,
            slowly: 0,
            starved_since: None,
            settling: None,
            shutdown: Shutdown::No,
            reason: None,
        }
    }

    /// Runs until the connection ends. Dropped before that, it ends the connection at once.
    pub(crate) async fn run(mut self) {
        self.opening = Some(Box::pin(sleep(self.times.opening)));
        self.reason = Some(poll_fn(|cx| self.poll(cx)).await);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Disconnected> {
        self.conn.runs(cx);
        match self.turn(cx) {
            Ok(None) => Poll::Pending,
            Ok(Some(reason)) | Err(reason) => Poll::Ready(reason),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Option<Disconnected>, Disconnected> {
        let asked_to_end = self.conn.end.lock().clone();
        if let Some((reason, false)) = &asked_to_end {
            return Ok(Some(reason.clone()));
        }
        if self.role.is_open() {
            self.opening = None;
        } else if elapsed(&mut self.opening, cx) {
            return Err(Disconnected::HandshakeTimeout(self.times.handshake));
        }

        // What other tasks queued may have company soon; what this turn queues is complete.
        let queued_before = self.conn.outbox.is_waiting();
        let full_before = self.conn.outbox.is_full();
        let read = if asked_to_end.is_none() { self.read(cx) } else { Ok(()) };
        // Before writing: what finishes from here on has its turn before the connection ends.
        let drained = self.conn.is_draining()
            && (!self.role.is_open()
                || self.conn.inbound.frames() == 0 && !self.conn.is_promised() && self.role.is_quiet());
        // Even a peer that broke a rule is sent what waits, an explanation for one, as far as it takes it at once.
        let wrote = self.write(cx, queued_before);
        read?;
        let idle = wrote?;
        if full_before && !self.conn.outbox.is_full() {
            // Reading may have been held back until now.
            cx.waker().wake_by_ref();
        }

        if let Some((reason, true)) = asked_to_end {
            return self.wind_up(cx, idle, reason);
        }
        if self.reading == Reading::Ended {
            return if idle || !matches!(self.shutdown, Shutdown::No) {
                Ok(Some(Disconnected::PeerClosed))
            } else {
                self.wind_up(cx, false, Disconnected::PeerClosed)
            };
        }
        if drained {
            return self.wind_up(cx, idle, Disconnected::Stopped);
        }
        Ok(None)
    }

    /// Reads what is there, and queues what the role makes of it.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), Disconnected> {
        let mut turn = Turn::begin(&self.conn, self.suspect);
        let read = self.read_frames(cx, &mut turn);
        turn.clock.interrupt();
        self.suspect = turn.clock.suspect();
        self.role.settle(&mut turn);
        read
    }

    /// As far as limits allow.
    fn read_frames(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Result<(), Disconnected> {
        let mut frames = FRAMES_PER_TURN;
        let mut hold = self.hold();
        while self.reading == Reading::Open && hold != Hold::Stop && !self.conn.is_ending() {
            if frames == 0 {
                cx.waker().wake_by_ref();
                return Ok(());
            }
            if let Some(frame) = self.reader.next_frame()? {
                frames -= 1;
                self.role.handle(frame, turn)?;
                if frames.is_multiple_of(FRAMES_PER_LOOK) {
                    turn.flush();
                    hold = self.hold();
                }
                continue;
            }
            turn.flush();
            turn.clock.interrupt();
            hold = self.hold();
            if matches!(hold, Hold::No | Hold::Stop) {
                self.pause = None;
            }
            self.charge();
            if !elapsed_or_none(&mut self.pause, cx) {
                return Ok(());
            }
            let limit = match hold {
                Hold::No | Hold::Stop => READ_LIMIT,
                Hold::Slow => SLOW_BYTES - self.slowly.min(SLOW_BYTES - 1),
                Hold::Starved => {
                    self.starve()?;
                    self.pause_for(BUDGET_PAUSE, cx);
                    return Ok(());
                }
            };
            match self.reader.poll_fill(cx, limit) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => self.reading = Reading::Ended,
                Poll::Ready(Ok(read)) => {
                    self.slowly += read;
                    if hold != Hold::Slow {
                        self.slowly = 0;
                    } else if self.slowly >= SLOW_BYTES {
                        self.slowly = 0;
                        self.pause_for(SLOW_PAUSE, cx);
                    }
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether this peer must be held back now.
    fn hold(&mut self) -> Hold {
        let (bytes, frames) = (self.conn.inbound.bytes(), self.conn.inbound.frames());
        let (unread, unwritten) = (self.reader.buffered(), self.conn.outbox.bytes());
        let spent = self.conn.memory.unwritten.is_spent();
        let limit = if spent { self.limits.unwritten_spent } else { self.limits.unwritten_bytes };
        if unwritten > limit {
            // Refusals, forwarded answers and answers to handshakes are queued without asking for room.
            self.conn
                .end(Disconnected::Limit { what: "answers the peer does not take", size: unwritten, limit }, false);
            return Hold::Stop;
        }
        // Replies that the peer does not take hold its requests back too.
        let unanswered = self.role.may_stop_reading() && unwritten >= self.limits.outbox_bytes;
        if bytes >= self.limits.inbound_bytes || frames >= self.limits.inbound_frames || unanswered {
            if self.role.may_stop_reading() && self.conn.level().at_least(Level::FOUR) {
                return Hold::Stop;
            }
            let limit = self.limits.inbound_bytes.saturating_add(self.limits.spool_bytes);
            if bytes + unread > limit {
                let reason = Disconnected::Limit {
                    what: "requests of a peer that cannot be held back",
                    size: bytes + unread,
                    limit,
                };
                self.conn.end(reason, false);
                return Hold::Stop;
            }
            return Hold::Slow;
        }
        if self.conn.memory.received.is_spent() {
            return if self.role.may_stop_reading() && self.conn.level().at_least(Level::FOUR) || unread > 0 {
                Hold::Starved
            } else {
                Hold::Slow
            };
        }
        self.starved_since = None;
        Hold::No
    }

    /// Callbacks give their part of the budget back by themselves; unfinished frames must not wait for each other.
    fn starve(&mut self) -> Result<(), Disconnected> {
        if self.reader.buffered() == 0 {
            self.starved_since = None;
            return Ok(());
        }
        let since = *self.starved_since.get_or_insert_with(Instant::now);
        if since.elapsed() < BUDGET_PATIENCE {
            return Ok(());
        }
        let limit = self.conn.memory.received.limit();
        Err(Disconnected::Limit { what: "everything this node has received", size: limit, limit })
    }

    /// Counts the bytes of an unfinished frame in the node's budget.
    fn charge(&mut self) {
        let buffered = self.reader.buffered();
        let now = if buffered > CHARGED_FROM { buffered } else { 0 };
        if now == self.charged {
            return;
        }
        if now > self.charged {
            self.conn.memory.received.add(now - self.charged);
        } else {
            self.conn.memory.received.sub(self.charged - now);
        }
        self.charged = now;
    }

    fn pause_for(&mut self, time: Duration, cx: &mut Context<'_>) {
        let mut pause = Box::pin(sleep(time));
        if pause.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        self.pause = Some(pause);
    }

    /// Writes what waits. `Ok(true)`: nothing waits any more.
    fn write(&mut self, cx: &mut Context<'_>, queued_before: bool) -> Result<bool, Disconnected> {
        if !matches!(self.shutdown, Shutdown::No) {
            return Ok(!self.batch.has_remaining());
        }
        if queued_before && !self.batch.has_remaining() && !std::mem::replace(&mut self.yielded, true) {
            cx.waker().wake_by_ref();
            return Ok(false);
        }
        self.yielded = false;
        loop {
            if !self.batch.has_remaining() {
                self.conn.outbox.take(&mut self.batch);
                if !self.batch.has_remaining() {
                    break;
                }
            }
            match self.writer.poll_write(cx, &mut self.batch) {
                Poll::Ready(written) => {
                    self.conn.outbox.written(written?);
                    self.unflushed = true;
                    self.stalled = None;
                }
                Poll::Pending => {
                    self.stalls(cx)?;
                    return Ok(false);
                }
            }
        }
        if self.unflushed {
            match self.writer.poll_flush(cx) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.unflushed = false;
                    self.stalled = None;
                }
                Poll::Pending => {
                    self.stalls(cx)?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn stalls(&mut self, cx: &mut Context<'_>) -> Result<(), Disconnected> {
        let until = || Box::pin(sleep(self.times.slow_peer));
        let stalled = self.stalled.get_or_insert_with(until);
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Err(Disconnected::SlowPeer(self.times.slow_peer)),
            Poll::Pending => Ok(()),
        }
    }

    /// Whether a node that stops may end the stream now.
    fn settled(&mut self, cx: &mut Context<'_>, reason: &Disconnected) -> bool {
        if !matches!(reason, Disconnected::Stopped) || !self.role.is_open() || self.conn.level().at_least(Level::FOUR) {
            return true;
        }
        let settling = self.settling.get_or_insert_with(|| Box::pin(sleep(SETTLE)));
        settling.as_mut().poll(cx).is_ready()
    }

    /// Ends in order: all is written, the write side shut, the stream read to its end, so that no reply is destroyed by
    /// a reset.
    fn wind_up(
        &mut self,
        cx: &mut Context<'_>,
        idle: bool,
        reason: Disconnected,
    ) -> Result<Option<Disconnected>, Disconnected> {
        if matches!(self.shutdown, Shutdown::No) {
            if !idle || !self.settled(cx, &reason) {
                return Ok(None);
            }
            self.shutdown = Shutdown::Closing;
        }
        if matches!(self.shutdown, Shutdown::Closing) {
            match self.writer.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => {
                    let linger = Box::pin(sleep(self.times.linger));
                    self.shutdown = Shutdown::Lingering(linger);
                }
                Poll::Ready(Err(_)) => return Ok(Some(reason)),
                Poll::Pending => return self.stalls(cx).map(|()| None),
            }
        }
        let Shutdown::Lingering(linger) = &mut self.shutdown else { return Ok(None) };
        if linger.as_mut().poll(cx).is_ready() {
            return Ok(Some(reason));
        }
        loop {
            match self.reader.poll_fill(cx, SLOW_BYTES) {
                Poll::Pending => return Ok(None),
                Poll::Ready(Ok(0) | Err(_)) => return Ok(Some(reason)),
                Poll::Ready(Ok(_)) => loop {
                    match self.reader.next_frame() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => return Ok(Some(reason)),
                    }
                },
            }
        }
    }
}

impl<R: Role> Drop for Driver<R> {
    fn drop(&mut self) {
        let reason = self.reason.take().unwrap_or(Disconnected::Stopped);
        self.conn.memory.received.sub(self.charged);
        let unsent = self.conn.outbox.close() + self.batch.frames();
        if unsent > 0 {
            tracing::warn!(peer = %self.conn.peer, unsent, %reason, "a connection ended with unsent frames");
        }
        self.role.ended(&reason);
        self.conn.ended.cancel();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    No,
    /// Don't read: the peer waits.
    Stop,
    /// Read slowly: a 3.0.1 peer breaks its stream when it is not read.
    Slow,
    /// The node's budget is spent.
    Starved,
}

fn elapsed(sleep: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> bool {
    let over = sleep.as_mut().is_some_and(|running| running.as_mut().poll(cx).is_ready());
    if over {
        *sleep = None;
    }
    over
}

fn elapsed_or_none(sleep: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> bool {
    sleep.is_none() || elapsed(sleep, cx)
}

impl<R: Role> std::fmt::Debug for Driver<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("conn", &self.conn.id).finish_non_exhaustive()
    }
}
