//! Whether the way to a peer is dead: asked of the system while something that was written may be
//! unacknowledged.

use std::time::{Duration, Instant};

use daffi_transport::{PATH_DEAD_AFTER, Path};

use super::{
    Handler,
    driver::Driver,
    timers::{Timer, now},
};
use crate::error::Disconnected;

/// How often it is asked.
const LOOK: Duration = Duration::from_secs(5);

/// The way to a peer, if the system tells of it.
pub(super) struct WaySide {
    path: Option<Box<dyn Path>>,
    /// Notes that something came from the peer since the last look: the way is well, and nobody has
    /// to be asked.
    heard: bool,
}

impl WaySide {
    pub(super) fn new(path: Option<Box<dyn Path>>) -> Self {
        Self { path, heard: false }
    }

    pub(super) const fn hears(&mut self) {
        self.heard = true;
    }
}

impl WaySide {
    /// Bytes that left this process and have not arrived at the peer's host, as far as the system
    /// tells.
    pub(super) fn unacknowledged_bytes(&mut self) -> usize {
        self.path.as_mut().and_then(|path| path.look()).map_or(0, |way| way.unacknowledged)
    }
}

impl<R: Handler> Driver<R> {
    /// Sets the timer when something was written that the peer's host should acknowledge. A
    /// connection on which nothing is written has no timer.
    pub(super) fn await_acknowledgement(&mut self) {
        if self.way.path.is_some() && !self.timers.is_set(Timer::Way) {
            self.way.heard = false;
            self.timers.set(Timer::Way, now() + LOOK);
        }
    }

    pub(super) fn look_at_way(&mut self, now: Instant) -> Result<(), Disconnected> {
        let Some(path) = &mut self.way.path else { return Ok(()) };
        if std::mem::take(&mut self.way.heard) {
            self.timers.set(Timer::Way, now + LOOK);
            return Ok(());
        }
        let Some(way) = path.look() else { return Ok(()) };
        self.conn.signs.note_way(self.conn.outbox.bytes_written(), way.unacknowledged);
        if way.unacknowledged == 0 {
            return Ok(());
        }
        let silence = way.silence.unwrap_or_default();
        if silence >= PATH_DEAD_AFTER {
            return Err(Disconnected::Unreachable(silence));
        }
        self.timers.set(Timer::Way, now + LOOK.min(PATH_DEAD_AFTER - silence));
        Ok(())
    }
}
