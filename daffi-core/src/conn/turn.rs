//! What one turn of a driver gathers: frames for each connection, queued together.

use std::{cell::Cell, sync::Arc};

use bytes::{Buf, Bytes};
use daffi_transport::Batch;
use daffi_wire::Frame;
use tokio::time::{Duration, Instant};

use super::{COPIED_BELOW, Conn, parts, spare};

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
}

/// One turn of the driver of one connection: what its role sends is queued with one lock and one wake-up for each connection
/// it goes to.
///
/// Frames for one connection keep their order. What is queued without the turn, from elsewhere or by the role itself, may
/// come before what the turn holds; [`flush`](Self::flush) first where that matters.
pub(crate) struct Turn {
    /// The connection whose driver runs, and so needs no wake-up.
    own: u64,
    lots: Vec<Lot>,
    /// Frames that could not be queued, because their connection had ended.
    lost: Vec<(u64, Batch)>,
    pub(crate) clock: Clock,
}

impl Turn {
    pub(crate) fn begin(own: &Conn) -> Self {
        // On a thread that is ending there is none.
        let lots = LOTS_OF_LAST.try_with(Cell::take).unwrap_or_default();
        Self { own: own.id, lots, lost: Vec::new(), clock: Clock::default() }
    }

    /// Frames for `conn` are to come: it does not end in order before they are queued.
    pub(crate) fn promise(&mut self, conn: &Arc<Conn>) {
        self.lot(conn);
    }

    /// One more frame for `conn`: `head` is copied, `payload` is shared when large.
    pub(crate) fn send(&mut self, conn: &Arc<Conn>, head: &[u8], payload: Option<Bytes>) {
        let lot = self.lot(conn);
        lot.batch.push(head, payload);
        if lot.batch.remaining() >= LOT_BYTES {
            self.flush();
        }
    }

    /// A frame that somebody else sent, byte for byte.
    pub(crate) fn forward(&mut self, conn: &Arc<Conn>, frame: &Frame) {
        let (head, payload) = parts(frame, COPIED_BELOW);
        self.send(conn, head, payload);
    }

    fn lot(&mut self, conn: &Arc<Conn>) -> &mut Lot {
        let at = match self.lots.iter().position(|lot| lot.conn.id == conn.id) {
            Some(at) => at,
            None => {
                if self.lots.len() == LOTS {
                    self.flush();
                }
                conn.promise();
                self.lots.push(Lot { conn: Arc::clone(conn), batch: spare::take() });
                self.lots.len() - 1
            }
        };
        &mut self.lots[at]
    }

    /// Queues all that was gathered.
    pub(crate) fn flush(&mut self) {
        for Lot { conn, mut batch } in self.lots.drain(..) {
            if batch.has_remaining() && conn.outbox.append(&mut batch).is_err() {
                self.lost.push((conn.id, std::mem::take(&mut batch)));
            }
            conn.kept();
            if conn.id != self.own {
                conn.wake();
            }
            spare::give(batch);
        }
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

/// Times callbacks that run one after another: the end of one is taken for the beginning of the next, because reading the
/// clock twice costs a tenth of the quickest.
#[derive(Debug, Default)]
pub(crate) struct Clock(Option<Instant>);

/// A run that began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    at: Instant,
    alone: bool,
}

/// How long a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) time: Duration,
    /// Nothing else is counted with it.
    pub(crate) alone: bool,
}

impl Clock {
    pub(crate) fn begin(&mut self) -> Begun {
        match self.0.take() {
            Some(at) => Begun { at, alone: false },
            None => Begun { at: Instant::now(), alone: true },
        }
    }

    pub(crate) fn end(&mut self, begun: Begun) -> Span {
        let now = Instant::now();
        self.0 = Some(now);
        Span { time: now.saturating_duration_since(begun.at), alone: begun.alone }
    }

    /// The next run has a beginning of its own.
    pub(crate) fn interrupt(&mut self) {
        self.0 = None;
    }
}
