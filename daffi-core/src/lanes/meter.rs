//! How much of a core a lane uses.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// What is looked at in one piece.
const WINDOW: Duration = Duration::from_millis(100);

/// Between so many polls of connections nobody looks at the clock.
const POLLS: u32 = 32;

/// A lane whose last window is older than this does nothing now.
const STALE: Duration = Duration::from_millis(1000);

/// Measures the thread of one lane, which alone ticks: so `polls` needs no order.
#[derive(Debug, Default)]
pub(super) struct Meter {
    polls: AtomicU32,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    begun: Option<(Instant, Duration)>,
    /// The time at which the last window ended, and thousandths of a core in it.
    last: Option<(Instant, u32)>,
}

impl Meter {
    /// Notes that a connection was polled. Gives the thousandths of a core that the thread used, at
    /// the end of a window.
    pub(super) fn tick(&self) -> Option<u32> {
        let polls = self.polls.load(Ordering::Relaxed).wrapping_add(1);
        self.polls.store(polls, Ordering::Relaxed);
        if !polls.is_multiple_of(POLLS) {
            return None;
        }
        let now = Instant::now();
        let mut window = self.window.lock();
        let Some((begun, used)) = window.begun else {
            window.begun = Some((now, used()));
            return None;
        };
        let length = now.duration_since(begun);
        if length < WINDOW {
            return None;
        }
        let until = self::used();
        let busy = until.saturating_sub(used).as_micros() * 1000 / length.as_micros();
        let busy = u32::try_from(busy).unwrap_or(u32::MAX).min(1000);
        window.begun = Some((now, until));
        window.last = Some((now, busy));
        Some(busy)
    }

    /// Thousandths of a core in the last window.
    pub(super) fn busy(&self) -> u32 {
        match self.window.lock().last {
            Some((at, busy)) if at.elapsed() < STALE => busy,
            _ => 0,
        }
    }
}

/// CPU time of this thread.
#[cfg(unix)]
fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// A system that does not tell: no lane ever seems busy, and all stays on the first.
#[cfg(not(unix))]
fn used() -> Duration {
    Duration::ZERO
}
