//! What one turn of a driver gathers: frames for each connection, queued together.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
    time::Instant,
};

use bytes::{Buf, Bytes};
use daffi_transport::Batch;
use daffi_wire::{Frame, Level};

use super::{COPIED_BELOW, Class, Clock, Conn, Queued, Voice, parts, spare, timers};
use crate::lanes;

/// A lot that grew to so many bytes is queued at once, so that limits see it.
const LOT_BYTES: usize = 64 * 1024;

/// Connections that frames are gathered for at the same time.
const LOTS: usize = 8;

thread_local! {
    /// The empty list of the turn before.
    static LOTS_OF_LAST: Cell<Vec<Lot>> = const { Cell::new(Vec::new()) };
}

/// Frames for one connection.
struct Lot {
    conn: Arc<Conn>,
    batch: Batch,
    /// Bytes of what the peer provoked.
    provoked: usize,
}

/// One turn of the driver of one connection: what its handler sends is queued with one lock and one
/// wake-up for each connection it goes to.
///
/// Frames for one connection keep their order. What is queued without the turn, from elsewhere or
/// by the handler itself, may come before what the turn holds; [`flush`](Self::flush) first where
/// that matters.
pub(crate) struct Turn {
    /// The connection whose driver runs, and so needs no wake-up.
    own: u64,
    lots: Vec<Lot>,
    /// The voice of the member whose calls are gathered.
    voice: Option<Arc<Voice>>,
    /// Frames that could not be queued, because their connection had ended.
    lost: Vec<(u64, Batch)>,
    /// Answers for other connections, whether they found room or not.
    answers: usize,
    /// When it began, once somebody asked: nanoseconds of the process, and 0 before that.
    nanos: u64,
    pub(crate) clock: Clock,
}

/// A time in nanoseconds since this process looked first, and never 0: a number that is cheap to
/// keep and to compare.
pub(crate) fn nanos(at: Instant) -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let passed = at.saturating_duration_since(*FIRST.get_or_init(|| at));
    passed.as_secs() * 1_000_000_000 + u64::from(passed.subsec_nanos()) + 1
}

impl Turn {
    /// `suspect`: as [`Clock::suspect`] was after the turn before.
    pub(crate) fn begin(own: &Conn, suspect: u32) -> Self {
        // A thread that is ending has none.
        let lots = LOTS_OF_LAST.try_with(Cell::take).unwrap_or_default();
        Self { own: own.id, lots, voice: None, lost: Vec::new(), answers: 0, nanos: 0, clock: Clock::new(suspect) }
    }

    /// About the time, in [`nanos`]: one look at the clock does for a turn.
    #[inline]
    pub(crate) fn nanos(&mut self) -> u64 {
        if self.nanos == 0 {
            self.nanos = nanos(timers::now());
        }
        self.nanos
    }

    /// Whether somebody looked at the clock in this turn.
    #[inline]
    pub(crate) const fn knows_time(&self) -> bool {
        self.nanos != 0
    }

    /// The time as the driver knows it already, if it does.
    pub(super) fn know_time(&mut self, now: Option<Instant>) {
        if let Some(now) = now {
            self.nanos = nanos(now);
        }
    }

    /// Promises frames for `conn`, which does not end in order before they are queued.
    pub(crate) fn promise(&mut self, conn: &Arc<Conn>) {
        self.lot(conn);
    }

    /// Gathers one more frame for `conn`: `head` is copied, `payload` is shared when large.
    /// `false`: there is no room for one of its class.
    pub(crate) fn send(&mut self, conn: &Arc<Conn>, class: Class, head: &[u8], payload: Option<Bytes>) -> bool {
        self.answers += usize::from(class == Class::Answer && conn.id != self.own);
        let bytes = head.len() + payload.as_ref().map_or(0, Bytes::len);
        if !conn.outbox.admits(class, bytes) {
            return false;
        }
        let lot = self.lot(conn);
        lot.batch.push(head, payload);
        if class == Class::Provoked {
            lot.provoked += bytes;
        }
        if lot.batch.remaining() >= LOT_BYTES {
            self.flush();
        }
        true
    }

    /// Answers that were to go to others.
    pub(super) const fn answers(&self) -> usize {
        self.answers
    }

    /// Gathers a frame that somebody else sent, byte for byte. `false`: there is no room for one of
    /// its class.
    pub(crate) fn forward(&mut self, conn: &Arc<Conn>, class: Class, frame: &Frame) -> bool {
        let (head, payload) = parts(frame, COPIED_BELOW);
        self.send(conn, class, head, payload)
    }

    /// Gathers a call of the one member that makes some in this turn, byte for byte: it goes if
    /// that may still speak when the turn is queued.
    pub(crate) fn forward_call(&mut self, conn: &Arc<Conn>, voice: &Arc<Voice>, frame: &Frame) -> bool {
        if self.voice.is_none() {
            self.voice = Some(Arc::clone(voice));
        }
        self.forward(conn, Class::Request, frame)
    }

    fn lot(&mut self, conn: &Arc<Conn>) -> &mut Lot {
        let at = match self.lots.iter().position(|lot| lot.conn.id == conn.id) {
            Some(at) => at,
            None => {
                if self.lots.len() == LOTS {
                    self.flush();
                }
                conn.promise();
                self.lots.push(Lot { conn: Arc::clone(conn), batch: spare::take(), provoked: 0 });
                self.lots.len() - 1
            }
        };
        &mut self.lots[at]
    }

    /// Queues all that was gathered.
    pub(crate) fn flush(&mut self) {
        if self.lots.is_empty() {
            return;
        }
        let voice = self.voice.as_ref().map(|voice| voice.hold());
        for Lot { conn, batch, provoked } in &mut self.lots {
            if let Some(voice) = &voice
                && conn.level().at_least(Level::FOUR)
            {
                voice.sift(batch);
            }
            lanes::note_exchange(conn.seat, batch.frames());
            let queued = if batch.has_remaining() { conn.outbox.append(batch, *provoked) } else { Ok(Queued::Asked) };
            if queued.is_err() {
                self.lost.push((conn.id, std::mem::take(batch)));
            }
            conn.keep_promise();
            if conn.id != self.own {
                if conn.is_draining() {
                    // Its driver may have waited for this promise only.
                    conn.wake();
                } else if let Ok(queued) = queued {
                    conn.ask(queued);
                }
            }
            spare::give(batch);
        }
        self.lots.clear();
    }

    /// What could not be queued, by the connection that had ended.
    pub(crate) fn take_lost(&mut self) -> Vec<(u64, Batch)> {
        std::mem::take(&mut self.lost)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.flush();
        let lots = std::mem::take(&mut self.lots);
        // A thread that is ending keeps none.
        let _gone = LOTS_OF_LAST.try_with(|kept| kept.set(lots));
    }
}

#[cfg(test)]
mod tests {
    use daffi_transport::PeerInfo;
    use daffi_wire::Kind;

    use super::*;
    use crate::conn::Budget;

    fn conn() -> Arc<Conn> {
        Conn::new(PeerInfo::new("mem", "test"), &Budget::new(1 << 28, 1.0, 100, 1 << 20))
    }

    fn take_queued(conn: &Conn) -> Vec<Bytes> {
        let mut batch = Batch::new();
        conn.outbox.take(&mut batch);
        std::iter::from_fn(|| batch.next_frame()).collect()
    }

    #[test]
    fn frames_wait_for_the_end_of_the_turn_and_keep_their_order() {
        let (own, other) = (conn(), conn());
        let mut turn = Turn::begin(&own, 0);
        assert!(turn.send(&other, Class::Answer, b"one", None));
        assert!(turn.send(&own, Class::Answer, b"two", None));
        assert!(turn.send(&other, Class::Answer, b"three", Some(Bytes::from_static(b"!"))));
        assert!(take_queued(&other).is_empty() && other.is_promised() && own.is_promised());
        drop(turn);
        assert_eq!(take_queued(&other), ["one", "three!"]);
        assert_eq!(take_queued(&own), ["two"]);
        assert!(!other.is_promised() && !own.is_promised());
    }

    #[test]
    fn limits_see_what_a_turn_sends() {
        let (own, other) = (conn(), conn());
        let mut turn = Turn::begin(&own, 0);
        assert!(turn.send(&other, Class::Answer, &[7; LOT_BYTES - 1], None));
        assert_eq!(other.outbox.bytes(), 0);
        assert!(turn.send(&other, Class::Answer, b"7", None));
        assert_eq!(other.outbox.bytes(), LOT_BYTES);
        let many: Vec<_> = (0..=LOTS).map(|_| conn()).collect();
        many.iter().for_each(|conn| assert!(turn.send(conn, Class::Answer, b"small", None)));
        assert_eq!(many.iter().filter(|conn| conn.outbox.bytes() > 0).count(), LOTS);
    }

    #[test]
    fn frames_for_a_connection_that_has_ended_come_back() {
        let (own, gone) = (conn(), conn());
        gone.outbox.close();
        let mut turn = Turn::begin(&own, 0);
        assert!(turn.send(&gone, Class::Answer, b"one", None));
        assert!(turn.send(&gone, Class::Answer, b"two", None));
        turn.flush();
        let [(id, batch)] = &mut turn.take_lost()[..] else { panic!("one lot was lost") };
        assert_eq!(
            (*id, batch.next_frame().unwrap(), batch.next_frame().unwrap()),
            (gone.id, "one".into(), "two".into())
        );
        assert!(!gone.is_promised());
    }

    /// Whoever takes a name away tells the receivers so, behind all that went.
    #[test]
    fn calls_of_one_that_is_silent_do_not_go_and_its_answers_do() {
        let frame = |kind| {
            let header = daffi_wire::Header::new(kind, daffi_wire::CallId(2), daffi_wire::FormatId::JSON, true, true);
            Frame::new(header, "a", "b", "f", b"{}", &daffi_wire::Limits::default()).unwrap()
        };
        for silent in [false, true] {
            let (own, four, three, voice) = (conn(), conn(), conn(), Arc::default());
            four.set_level(Level::FOUR);
            let mut turn = Turn::begin(&own, 0);
            for other in [&four, &three] {
                assert!(turn.forward_call(other, &voice, &frame(Kind::Request)));
                assert!(turn.forward(other, Class::Answer, &frame(Kind::Response)));
            }
            if silent {
                voice.silence();
            }
            turn.flush();
            let kinds = |conn: &Conn| {
                take_queued(conn).iter().map(|frame| daffi_wire::Header::kind_of(frame).unwrap()).collect::<Vec<_>>()
            };
            assert_eq!(kinds(&three), [Kind::Request, Kind::Response], "it is told nothing");
            assert_eq!(kinds(&four)[..], [Kind::Request, Kind::Response][usize::from(silent)..]);
            assert_eq!((voice.is_silent(), voice.speak(|| ()).is_none()), (silent, silent));
        }
    }
}
