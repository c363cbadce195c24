//! Whether the way to a peer is dead: asked of the system while something that was written may be
//! unacknowledged.

use std::time::{Duration, Instant};

use daffi_transport::{PATH_DEAD_AFTER, Path, Way};

use super::{
    Handler,
    driver::Driver,
    timers::{Timer, now},
};
use crate::error::Disconnected;

/// How often it is asked.
const LOOK: Duration = Duration::from_secs(5);

/// A node that looks so much later than it meant to was stopped or suspended itself: the silence
/// may be its own.
const LATE: Duration = Duration::from_secs(2);

/// Time until a look is tried again that failed.
const RETRY: Duration = Duration::from_secs(30);

/// The way to a peer, if the system tells of it.
pub(super) struct WaySide {
    path: Option<Box<dyn Path>>,
    /// Notes that something came from the peer since the last look: the way is well, and nobody has
    /// to be asked.
    heard: bool,
    /// When it is to be looked at next.
    due: Option<Instant>,
    /// All before this place had arrived at a time, in bytes since the connection began.
    pub(super) arrived: u64,
}

impl WaySide {
    pub(super) fn new(path: Option<Box<dyn Path>>) -> Self {
        Self { path, heard: false, due: None, arrived: 0 }
    }

    pub(super) const fn hears(&mut self) {
        self.heard = true;
    }
}

impl WaySide {
    /// Bytes that left this process and have not arrived at the peer's host, as far as the system
    /// tells.
    pub(super) fn unacknowledged_bytes(&mut self) -> Option<usize> {
        self.look().map(|way| way.unacknowledged)
    }

    /// Bytes of the `written` ones that arrived at the peer's host, if the system tells.
    pub(super) fn taken_bytes(&mut self, written: u64) -> Option<u64> {
        self.look().map(|way| written.saturating_sub(way.unacknowledged as u64))
    }

    fn look(&mut self) -> Option<Way> {
        self.path.as_mut().and_then(|path| path.look())
    }
}

impl<R: Handler> Driver<R> {
    /// Sets the timer when something was written that the peer's host should acknowledge. A
    /// connection on which nothing is written has no timer.
    pub(super) fn await_acknowledgement(&mut self) {
        if self.way.path.is_some() && !self.timers.is_set(Timer::Way) {
            self.way.heard = false;
            self.look_at_way_at(now() + LOOK);
        }
    }

    fn look_at_way_at(&mut self, at: Instant) {
        self.way.due = Some(at);
        self.timers.set(Timer::Way, at);
    }

    pub(super) fn look_at_way(&mut self, now: Instant) -> Result<(), Disconnected> {
        let late = self.way.due.take().is_some_and(|due| now.saturating_duration_since(due) > LATE);
        if self.way.path.is_none() {
            return Ok(());
        }
        // Of requests that nobody answers no sign of life tells that they have arrived.
        let is_well = std::mem::take(&mut self.way.heard) && self.conn.outbox.unanswered_end() <= self.way.arrived;
        if is_well || late {
            self.look_at_way_at(now + LOOK);
            return Ok(());
        }
        let Some(way) = self.way.look() else {
            // Looking takes a file descriptor, of which there may be none for a while.
            self.look_at_way_at(now + RETRY);
            return Ok(());
        };
        self.conn.signs.note_way(self.conn.outbox.bytes_written(), way.unacknowledged);
        if way.unacknowledged == 0 {
            if self.write.unflushed == 0 {
                self.way.arrived = self.conn.outbox.bytes_written();
                self.conn.outbox.forget_unanswered(self.way.arrived);
            }
            return Ok(());
        }
        let silence = way.silence.unwrap_or_default();
        if silence >= PATH_DEAD_AFTER {
            return Err(Disconnected::Unreachable(silence));
        }
        self.look_at_way_at(now + LOOK.min(PATH_DEAD_AFTER - silence));
        Ok(())
    }
}
