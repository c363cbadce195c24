//! Asks the other end of a level 4 link whether it lives.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use daffi_wire::{Level, Ping};

use super::{Class, Conn, timers::now};
use crate::{
    error::Disconnected,
    session::{Beat, ENDED, Pulse},
};

/// What the driver of a connection saw of its peer's life since that was looked at.
///
/// Relaxed is enough: the driver alone notes these and looks at them, and others look only whether
/// the peer is shown as stopped, for which any moment is as good.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// The peer sent something, or took what it had not taken before.
    heard: AtomicBool,
    /// This end did not read what the peer may have sent, or read it slowly.
    held_back: AtomicBool,
    /// How often it did not read at all.
    holds: AtomicU64,
    /// Bytes that were read since the connection began.
    read: AtomicU64,
    /// This end reads it slowly or not at all now, for what is held for it.
    reads_less: AtomicBool,
    /// The peer gave no sign of life although it was asked for one.
    stopped: AtomicBool,
    /// Bytes of what was sent that the peer's host has not acknowledged, as far as the system
    /// tells.
    unacknowledged: AtomicUsize,
    /// What was acknowledged, in bytes since the connection began, and whether it has become more.
    acknowledged: AtomicU64,
    advances: AtomicBool,
}

impl Signs {
    /// The peer sent something, or took what it had not taken before.
    pub(super) fn note_life(&self) {
        self.heard.store(true, Relaxed);
    }

    /// Notes that this end does not read now. It can blame nobody for being silent, and does not
    /// see what it is asked.
    pub(super) fn note_holding_back(&self) {
        self.note_slowing();
        self.holds.store(self.holds() + 1, Relaxed);
    }

    /// Notes that this end does not read for a moment, and then at a pace that is enough for
    /// whatever has to come.
    pub(super) fn note_slowing(&self) {
        self.held_back.store(true, Relaxed);
    }

    /// Notes that the peer sent so many bytes.
    pub(super) fn note_read(&self, bytes: usize) {
        self.note_life();
        self.read.store(self.read_bytes() + bytes as u64, Relaxed);
    }

    fn read_bytes(&self) -> u64 {
        self.read.load(Relaxed)
    }

    fn holds(&self) -> u64 {
        self.holds.load(Relaxed)
    }

    /// Notes whether this end reads the peer slowly or not at all now, for what is held for it.
    #[inline]
    pub(super) fn note_reading_less(&self, less: bool) {
        if self.reads_less.load(Relaxed) != less {
            self.reads_less.store(less, Relaxed);
        }
    }

    pub(super) fn reads_less(&self) -> bool {
        self.reads_less.load(Relaxed)
    }

    /// Notes how many of the `written` bytes since the connection began are not acknowledged.
    pub(super) fn note_way(&self, written: u64, unacknowledged: usize) {
        self.unacknowledged.store(unacknowledged, Relaxed);
        let acknowledged = written.saturating_sub(unacknowledged as u64);
        if self.acknowledged.fetch_max(acknowledged, Relaxed) < acknowledged {
            self.advances.store(true, Relaxed);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    fn show_stopped(&self, conn: &Conn, stopped: bool) {
        self.stopped.store(stopped, Relaxed);
        if stopped {
            tracing::warn!(conn = conn.id, peer = %conn.peer, "a peer does not answer whether it lives: its process may be stopped");
        } else {
            tracing::info!(conn = conn.id, peer = %conn.peer, "a peer that gave no sign of life goes on");
        }
    }
}

impl Conn {
    /// How often this end did not read what the peer may have sent.
    pub(crate) fn times_held_back(&self) -> u64 {
        self.signs.holds()
    }

    /// Bytes that were read since the connection began.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.signs.read_bytes()
    }

    /// Bytes of what was sent since the connection began that the peer's host has acknowledged, as
    /// far as the system told when it was last asked.
    pub(crate) fn acknowledged_bytes(&self) -> u64 {
        self.signs.acknowledged.load(Relaxed)
    }
}

/// The clock of a peer that can be asked; it runs from the handshake on, on links of level 4.
#[derive(Debug, Default)]
pub(crate) struct Alive(Option<Asking>);

#[derive(Debug)]
struct Asking {
    pulse: Pulse,
    /// The place where the last question ends, in bytes since the connection began.
    question: u64,
}

impl Alive {
    /// Starts the clock when the handshake is done.
    pub(crate) fn begin(&mut self, conn: &Conn) {
        if self.0.is_none() && conn.level().at_least(Level::FOUR) {
            self.0 = Some(Asking { pulse: Pulse::new(now()), question: 0 });
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.as_ref().map(|asking| asking.pulse.next())
    }

    /// Looks at the peer when its time has come. Gives whether it now stands still, if that
    /// changed.
    ///
    /// # Errors
    /// [`Disconnected::Silent`] when it stood still for so long that the connection is given up.
    pub(crate) fn on_time(&mut self, conn: &Conn, now: Instant) -> Result<Option<bool>, Disconnected> {
        let Some(Asking { pulse, question }) = &mut self.0 else { return Ok(None) };
        let signs = &conn.signs;
        let held_back = signs.held_back.swap(false, Relaxed);
        if held_back && conn.outbox.bytes() == 0 {
            // Its questions are not read as long as it is held back, and this is no silence of a
            // process that stands still.
            drop(conn.send(Class::Notice, &Ping::Answers(conn.id.to_le_bytes()).frame()));
        }
        let heard = signs.heard.swap(false, Relaxed);
        let travels = signs.advances.swap(false, Relaxed) && signs.unacknowledged.load(Relaxed) > 0 && {
            // A slow way is no silence: the question is still behind what was sent before it.
            signs.acknowledged.load(Relaxed) < *question
        };
        match pulse.beat(now, heard || held_back || travels) {
            Beat::Nothing => Ok(None),
            Beat::Ask => {
                // Any bytes would do: whoever answers late is as alive.
                drop(conn.send(Class::Notice, &Ping::Asks(conn.id.to_le_bytes()).frame()));
                *question = conn.outbox.end();
                Ok(None)
            }
            Beat::Stopped => {
                signs.show_stopped(conn, true);
                Ok(Some(true))
            }
            Beat::GoesOn => {
                signs.show_stopped(conn, false);
                Ok(Some(false))
            }
            Beat::End => Err(Disconnected::Silent(ENDED)),
        }
    }
}
