//! How the answer to a handshake comes, and whether others wait until that is over.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{Conn, timers::now};
use crate::deadline::in_ms;

/// Bytes in a second, at least, of the answer to a handshake that takes longer than that may.
const HANDSHAKE_PACE: u128 = 8 * 1024;

/// How the answer to a handshake comes.
#[derive(Debug)]
pub(super) struct AnswerWatch {
    /// The time that it has until it is looked at.
    pub(super) within: Duration,
    since: Instant,
    /// What was there of a frame when that time began.
    unfinished: usize,
}

impl AnswerWatch {
    pub(super) fn begin(within: Duration, unfinished: usize) -> Self {
        Self { within, since: now(), unfinished }
    }

    /// Whether it is on its way, as a list of many members over a slow link is: of one frame there
    /// is more each time.
    pub(super) fn grows(&self, unfinished: usize) -> bool {
        let least = self.within.as_millis().saturating_mul(HANDSHAKE_PACE) / 1000;
        unfinished.saturating_sub(self.unfinished) as u128 >= least.max(1)
    }

    /// Whether it is to be looked at before its time, because others wait. One that was looked at
    /// just before is not: they ask again.
    pub(super) fn is_hurried(&mut self, hurry: &Hurry, now: Instant) -> bool {
        let asked = Duration::from_millis(hurry.0.swap(0, Relaxed).into());
        let is_hurried = !asked.is_zero() && now.saturating_duration_since(self.since) >= asked / 2;
        if is_hurried {
            self.within = asked;
        }
        is_hurried
    }
}

/// The time in milliseconds that others give the handshake of a connection; 0: nobody waits for its
/// end. Relaxed: its driver is woken after it is set.
#[derive(Debug, Default)]
pub(super) struct Hurry(AtomicU32);

impl Conn {
    /// Others wait until the handshake is over, and have waited for so long: it has failed, unless
    /// its answer grew in this time.
    pub(crate) fn hurry_handshake(&self, within: Duration) {
        self.hurry.0.store(in_ms(within).max(1), Relaxed);
        self.wake();
    }
}
