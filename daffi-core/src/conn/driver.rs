//! What moves a connection: reads frames, hands them to the handler, writes what waits.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use daffi_transport::Link;
use daffi_wire::{Frame, Level};

use super::{
    Class, Conn, LeftUnsent, Turn,
    bounds::Times,
    long_turns::{LongTurns, TurnPace, after_others},
    opening::AnswerWatch,
    read::ReadSide,
    shutdown::Shutdown,
    slow_peer::PaceWatch,
    timers::{Alarm, Timer, Timers, now},
    way::WaySide,
    write::WriteSide,
};
use crate::{config::NodeConfig, deadline::LATE, error::Disconnected};

/// What one end of a connection makes of the frames it gets.
pub(crate) trait Handler: Send + 'static {
    /// Whether this end is one of many that a node serves, which take room from each other.
    const SERVES: bool;

    /// Handles one frame from the peer. What it sends goes out with the turn.
    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected>;

    /// Is called when all frames that one turn read were handled.
    fn settle(&mut self, _turn: &mut Turn) {}

    /// Is called when there is room for what was put off, as [`Conn::ask_for_room`] asked: of
    /// notices and credit only the newest need to go.
    fn on_room(&mut self, _turn: &mut Turn) {}

    /// When [`on_time`](Self::on_time) is to be called next.
    fn next_time(&self) -> Option<Instant> {
        None
    }

    /// Is called when that time has come.
    fn on_time(&mut self, _now: Instant, _turn: &mut Turn) -> Result<(), Disconnected> {
        Ok(())
    }

    /// Whether the handshake is done.
    fn is_open(&self) -> bool;

    /// Is called when the connection ended with requests that nobody answers and that were not
    /// sent, before [`on_end`](Self::on_end). Gives whether the node's end will tell of it.
    fn note_unsent(&mut self, _unsent: LeftUnsent) -> bool {
        false
    }

    /// Is called when the connection of a node that serves ended because that stopped, and so many
    /// frames were not sent. Gives whether the node's end will tell of it, in one line for all.
    fn note_stopped(&mut self, _unsent: usize) -> bool {
        false
    }

    /// Is called when the connection ended.
    fn on_end(&mut self, reason: &Disconnected);

    /// Whether the peer sends requests only, so that not reading it is safe.
    fn may_stop_reading(&self) -> bool;

    /// Bytes of requests that wait and that nothing else bounds, of a peer that is read on however
    /// much waits: for so much it may be ended when there is no memory for all.
    fn unbounded_bytes(&self) -> usize;

    /// The last frame to a peer of this project, before a connection ends of which all that came
    /// was answered: what comes after it is not looked at. `None`: there is nothing to say.
    fn farewell(&self) -> Option<Frame>;

    /// Whether nothing is to come that the connection has to be kept for.
    fn is_quiet(&self) -> bool {
        true
    }
}

/// Moves one connection until it ends.
pub(crate) struct Driver<R: Handler> {
    pub(super) conn: Arc<Conn>,
    pub(super) handler: R,
    pub(super) read: ReadSide,
    pub(super) write: WriteSide,
    pub(super) way: WaySide,
    pub(super) pace: TurnPace,
    pub(super) shutdown: Shutdown,
    said_farewell: bool,
    /// Of the answer to the handshake, as far as it is awaited.
    answer: AnswerWatch,
    /// The time to settle has begun, and ends then at the latest.
    pub(super) settles_until: Option<Instant>,
    pub(super) timers: Timers,
    pub(super) times: Times,
    alarm: Alarm,
    /// Of a client: bytes that had left this process and not arrived before it shut its write side,
    /// once it does.
    pub(super) before_the_end: Option<usize>,
    /// The stream failed behind that.
    pub(super) was_reset: bool,
    /// When the turn began for which the alarm rang.
    rang_at: Option<Instant>,
    reason: Option<Disconnected>,
}

impl<R: Handler> Driver<R> {
    /// `opening` is how long the handshake may still take; `line` is that of the connections of a
    /// node that serves.
    pub(crate) fn new(
        link: Link,
        conn: Arc<Conn>,
        handler: R,
        config: &NodeConfig,
        opening: Duration,
        line: Option<LongTurns>,
    ) -> Self {
        let within = config.slow_peer_timeout;
        Self {
            conn,
            handler,
            read: ReadSide::new(link.reader, PaceWatch::for_reading(within, R::SERVES)),
            write: WriteSide::new(link.writer, PaceWatch::for_writing(within, R::SERVES)),
            way: WaySide::new(link.path),
            pace: TurnPace::new(line),
            shutdown: Shutdown::No,
            said_farewell: false,
            answer: AnswerWatch::begin(opening, 0),
            settles_until: None,
            timers: Timers::default(),
            times: Times::of(config, opening),
            alarm: Alarm::default(),
            before_the_end: None,
            was_reset: false,
            rang_at: None,
            reason: None,
        }
    }

    /// Runs until the connection ends. Dropped before that, it ends the connection at once.
    pub(crate) async fn run(mut self) {
        self.timers.set(Timer::Handshake, now() + self.times.opening);
        let ended = poll_fn(|cx| {
            let polled = self.poll(cx);
            if self.pace.goes_on() {
                after_others(cx);
            }
            polled
        });
        self.reason = Some(ended.await);
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Disconnected> {
        self.conn.note_run(cx);
        self.pace.begin();
        match self.turn(cx) {
            Ok(None) => {}
            Ok(Some(reason)) | Err(reason) => return Poll::Ready(reason),
        }
        match self.handler.next_time() {
            Some(at) => self.timers.set(Timer::Handler, at),
            None => self.timers.clear(Timer::Handler),
        }
        let rang = self.rang_at.take();
        if let Some(begun) = rang {
            self.timers.forget_seen(begun);
        }
        let stands = rang.is_none() && self.alarm.is_set_for(cx);
        if (self.timers.take_changed() || !stands) && self.alarm.poll(self.timers.next(), cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Option<Disconnected>, Disconnected> {
        let asked_to_end = self.conn.wanted_end();
        if let Some((reason, false)) = &asked_to_end {
            return Ok(Some(reason.clone()));
        }
        if self.alarm.rang() {
            let now = now();
            self.rang_at = Some(now);
            self.look_at_clocks(now)?;
        }

        // What other tasks queued may have company soon; what this turn queues is complete.
        let queued_before = self.conn.outbox.is_waiting();
        let full_before = self.conn.outbox.is_full();
        let was_in_line = self.pace.is_in_line();
        let reads = asked_to_end.is_none() && !self.said_farewell;
        let read = if reads {
            self.read(cx)
        } else {
            self.pace.leave();
            Poll::Ready(Ok(()))
        };
        // Before writing: what finishes from here on is written in a later turn, before the
        // connection ends.
        let drained = (self.conn.is_draining() || self.conn.is_settling())
            && read.is_ready()
            && (!self.handler.is_open()
                || self.conn.inbound.frames() == 0 && !self.conn.is_promised() && self.handler.is_quiet());
        // Even a peer that broke a rule is sent what waits, an explanation for one, as far as it
        // takes it at once.
        let wrote = self.write(cx, queued_before);
        if let Poll::Ready(read) = read {
            read?;
        }
        let idle = wrote?;
        self.look_at_handshake(was_in_line)?;
        let more = self.offer_room();
        if more || full_before && !self.conn.outbox.is_full() {
            // Reading may have been held back until now.
            cx.waker().wake_by_ref();
        }
        self.conclude(cx, asked_to_end.map(|(reason, _)| reason), idle && !more, drained)
    }

    /// Whether the connection has ended with this turn. `idle`: nothing waits to be written;
    /// `drained`: nothing that was received is still to be answered.
    fn conclude(
        &mut self,
        cx: &mut Context<'_>,
        asked_to_end: Option<Disconnected>,
        idle: bool,
        drained: bool,
    ) -> Result<Option<Disconnected>, Disconnected> {
        if let Some(reason) = asked_to_end {
            return self.wind_up(cx, idle, reason);
        }
        if self.read.ended {
            return if idle || self.shutdown != Shutdown::No {
                Ok(Some(Disconnected::PeerClosed))
            } else {
                self.wind_up(cx, false, Disconnected::PeerClosed)
            };
        }
        if drained && self.conn.is_draining() {
            if !R::SERVES && !self.handler.is_open() {
                // Its server owes it nothing yet.
                return Ok(Some(Disconnected::Stopped));
            }
            // Behind all that waits: large answers and what was put off are a part of what is
            // answered.
            if idle && self.say_farewell() {
                cx.waker().wake_by_ref();
                return Ok(None);
            }
            return self.wind_up(cx, idle, Disconnected::Stopped);
        }
        if drained && idle && self.is_settled(&Disconnected::Stopped) {
            self.conn.note_settled();
        }
        Ok(None)
    }

    /// Queues the last frame, unless that was done. Gives whether there is one.
    fn say_farewell(&mut self) -> bool {
        if std::mem::replace(&mut self.said_farewell, true) || !self.conn.level().at_least(Level::FOUR) {
            return false;
        }
        let Some(frame) = self.handler.farewell() else { return false };
        self.conn.send(Class::Notice, &frame).is_ok()
    }

    /// Looks at the clocks that belong to neither half of the connection.
    fn look_at_clocks(&mut self, now: Instant) -> Result<(), Disconnected> {
        if self.timers.is_due(Timer::Active, now) {
            self.note_activity();
        }
        if self.timers.is_due(Timer::Way, now) {
            self.look_at_way(now)?;
        }
        if self.timers.is_due(Timer::Handler, now) {
            self.handler.on_time(now, &mut Turn::begin(&self.conn, 0))?;
        }
        Ok(())
    }

    /// Looks whether the handshake is done, or missed, once what has come was read. `was_in_line`:
    /// this end had not come to read before this turn.
    fn look_at_handshake(&mut self, was_in_line: bool) -> Result<(), Disconnected> {
        let Some(at) = self.timers.at(Timer::Handshake) else { return Ok(()) };
        if self.handler.is_open() {
            self.timers.clear(Timer::Handshake);
            return Ok(());
        }
        let (now, within) = (now(), self.times.handshake);
        if !self.answer.is_hurried(&self.conn.hurry, now) && now < at || self.read.ended {
            return Ok(());
        }
        if was_in_line || self.pace.is_in_line() {
            tracing::warn!(conn = self.conn.id, peer = %self.conn.peer, ?within, "a connection waits for its first turn: this node is overloaded");
        } else if now.saturating_duration_since(at) > LATE {
            tracing::warn!(conn = self.conn.id, peer = %self.conn.peer, late = ?now.saturating_duration_since(at), "this process stood still, so a handshake has its time anew");
        } else if self.pace.is_cut() {
            // What has come of it is read first.
            self.timers.set(Timer::Handshake, now);
            return Ok(());
        } else if !self.answer_arrives() {
            return Err(Disconnected::HandshakeTimeout(if R::SERVES { within } else { self.answer.within }));
        }
        self.answer = AnswerWatch::begin(within, self.read.reader.buffered_bytes());
        self.timers.set(Timer::Handshake, now + within);
        Ok(())
    }

    /// Whether the answer of a server is on its way, and has no more than a list may have. Of
    /// others nobody waits for so much, nor so long.
    fn answer_arrives(&self) -> bool {
        let unfinished = self.read.reader.buffered_bytes();
        !R::SERVES && unfinished <= self.times.longest_answer && self.answer.grows(unfinished)
    }

    /// Lets the handler send what it put off until the peer had taken what waits. Gives whether
    /// there was something to send.
    fn offer_room(&mut self) -> bool {
        if !self.conn.take_room() {
            return false;
        }
        self.handler.on_room(&mut Turn::begin(&self.conn, 0));
        true
    }
}

impl<R: Handler> Drop for Driver<R> {
    fn drop(&mut self) {
        let reason = self.reason.take().unwrap_or(Disconnected::Stopped);
        self.forget_unfinished();
        if matches!(reason, Disconnected::Limit { .. } | Disconnected::Protocol(_)) {
            self.conn.cut.store(true, Ordering::Relaxed);
        }
        let remains = self.conn.outbox.close();
        let unsent = remains.frames + self.write.batch.frames();
        let tells = !R::SERVES && self.handler.is_open();
        let of_nobody = if tells { self.left_unsent(remains) } else { LeftUnsent::default() };
        if !of_nobody.is_empty() {
            let LeftUnsent { requests, bytes } = of_nobody;
            let is_told = self.handler.note_unsent(of_nobody);
            if is_told && matches!(reason, Disconnected::Stopped) {
                // A node that stops tells of all its connections.
                tracing::debug!(conn = self.conn.id, peer = %self.conn.peer, unsent, requests, bytes, "a connection ended with unsent frames");
            } else {
                tracing::warn!(conn = self.conn.id, peer = %self.conn.peer, unsent, requests, bytes, %reason, "a connection ended with unsent frames");
            }
        } else if unsent > 0 && matches!(reason, Disconnected::PeerClosed) {
            // It does not want what is unsent, which may be the list that answers its farewell.
            tracing::debug!(conn = self.conn.id, peer = %self.conn.peer, unsent, "a peer closed before it had taken all");
        } else if unsent > 0 && !self.handler.is_open() {
            // Whoever gave the attempt up tells of it; what is unsent is its handshake.
            tracing::debug!(conn = self.conn.id, peer = %self.conn.peer, unsent, %reason, "a connection ended before its handshake");
        } else if unsent > 0 && matches!(reason, Disconnected::Stopped) && self.handler.note_stopped(unsent) {
            tracing::debug!(conn = self.conn.id, peer = %self.conn.peer, unsent, "a connection of a node that stops ended with unsent frames");
        } else if unsent > 0 {
            tracing::warn!(conn = self.conn.id, peer = %self.conn.peer, unsent, %reason, "a connection ended with unsent frames");
        }
        self.handler.on_end(&reason);
        self.conn.ended.cancel();
        self.conn.end_accounts();
    }
}

impl<R: Handler> std::fmt::Debug for Driver<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("conn", &self.conn.id).finish_non_exhaustive()
    }
}
