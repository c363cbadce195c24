//! Long turns, which give way to short ones: a peer that always has more ready must not keep those
//! waiting that ask little.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::yield_now,
};
use tokio_util::sync::PollSemaphore;

use super::timers::now;

/// Work between two looks at limits and at the clock; a small frame is one.
pub(super) const LOOK: usize = 32;

/// A frame counts once more for each so many bytes.
const BYTES: usize = 8 * 1024;

/// A turn with at most so much work is short.
const SHORT: usize = 16;

/// A turn ends when it did so much work ..
const MOST: usize = 256;

/// .. or took so long.
const LONGEST: Duration = Duration::from_micros(50);

/// The line in which the connections of a node stand whose last turn was long, or that have had
/// none yet.
///
/// As many of them as the runtime has threads run a turn at a time, and after each the runtime
/// looks for what came meanwhile. So whoever asks little waits for one long turn, however many
/// peers have more ready than they are given time for.
#[derive(Clone, Debug)]
pub(crate) struct LongTurns(Arc<Semaphore>);

impl LongTurns {
    /// For connections that run on this runtime.
    pub(crate) fn on(runtime: &Handle) -> Self {
        Self::of(runtime.metrics().num_workers())
    }

    pub(super) fn of(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads)))
    }
}

/// One connection, and how long its turns are.
#[derive(Debug)]
pub(super) struct TurnPace {
    /// `None`: it shares its thread with no others that matter.
    line: Option<PollSemaphore>,
    /// Its next turn is expected to be long.
    long: bool,
    /// Kept beyond a long turn, until others have run.
    permit: Option<OwnedSemaphorePermit>,
    goes_on: bool,
}

/// What one turn did so far.
#[derive(Debug, Default)]
pub(super) struct Work {
    done: usize,
    looked: usize,
    /// When it was looked at first.
    since: Option<Instant>,
}

impl TurnPace {
    pub(super) fn new(line: Option<LongTurns>) -> Self {
        let line = line.map(|line| PollSemaphore::new(line.0));
        Self { long: line.is_some(), line, permit: None, goes_on: false }
    }

    /// The driver runs again, and so others have run meanwhile.
    pub(super) fn begin(&mut self) {
        self.permit = None;
    }

    /// Whether the peer may be read now. `Pending`: others are first, and `cx` is woken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(line) = self.line.as_mut().filter(|_| self.long) {
            self.permit = ready!(line.poll_acquire(cx));
        }
        Poll::Ready(())
    }

    /// Notes that a turn ended; `cut` says that there was more to do.
    pub(super) fn note(&mut self, work: &Work, cut: bool) {
        self.long = cut || work.done > SHORT;
        if !self.long {
            self.permit = None;
        }
        self.goes_on = cut || self.permit.is_some();
    }

    /// Whether the driver has to run again although nothing wakes it: see [`after_others`].
    pub(super) fn goes_on(&mut self) -> bool {
        std::mem::take(&mut self.goes_on)
    }
}

impl Work {
    pub(super) fn add(&mut self, bytes: usize) {
        self.done += 1 + bytes / BYTES;
    }

    /// Counts something that costs more than a frame.
    pub(super) fn add_much(&mut self) {
        self.done += LOOK;
    }

    /// Whether it is time to look at limits.
    pub(super) const fn wants_look(&self) -> bool {
        self.done - self.looked >= LOOK
    }

    /// Whether it is enough for one turn.
    pub(super) fn is_enough(&mut self) -> bool {
        if self.done >= MOST {
            return true;
        }
        if self.wants_look() {
            self.looked = self.done;
            let now = now();
            return now.saturating_duration_since(*self.since.get_or_insert(now)) >= LONGEST;
        }
        false
    }
}

/// Wakes `cx` when all other tasks that are ready have run, and the runtime looked for what
/// else came.
pub(super) fn after_others(cx: &mut Context<'_>) {
    // The first poll of it does just that.
    let _later: Poll<()> = pin!(yield_now()).poll(cx);
}
