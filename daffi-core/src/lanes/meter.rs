//! How much of a core a lane asks for: what it uses, and what it waits for because others use it.

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
    /// Notes that a connection was polled. Gives the thousandths of a core that the thread asked
    /// for, at the end of a window.
    pub(super) fn tick(&self) -> Option<u32> {
        let polls = self.polls.load(Ordering::Relaxed).wrapping_add(1);
        self.polls.store(polls, Ordering::Relaxed);
        if !polls.is_multiple_of(POLLS) {
            return None;
        }
        self.window.lock().note(Instant::now(), || read_used() + read_waited())
    }

    /// Thousandths of a core in the last window.
    pub(super) fn busy(&self) -> u32 {
        match self.window.lock().last {
            Some((at, busy)) if at.elapsed() < STALE => busy,
            _ => 0,
        }
    }
}

impl Window {
    /// Notes the time, and what the thread `asked` for until now once that is known to matter.
    fn note(&mut self, now: Instant, asked: impl FnOnce() -> Duration) -> Option<u32> {
        let Some((begun, before)) = self.begun else {
            self.begun = Some((now, asked()));
            return None;
        };
        let length = now.duration_since(begun);
        if length < WINDOW {
            return None;
        }
        let until = asked();
        let busy = until.saturating_sub(before).as_micros() * 1000 / length.as_micros();
        let busy = u32::try_from(busy).unwrap_or(u32::MAX).min(1000);
        self.begun = Some((now, until));
        self.last = Some((now, busy));
        Some(busy)
    }
}

/// CPU time of this thread.
#[cfg(unix)]
fn read_used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// A system that does not tell: no lane ever seems busy, and all stays on the first.
#[cfg(not(unix))]
fn read_used() -> Duration {
    Duration::ZERO
}

/// The time for which this thread was ready to run and others had its core. A thread that has to
/// share one never uses most of it, however much there is to do.
///
/// Zero on systems that do not tell, and where there is no /proc: then only what is used counts.
fn read_waited() -> Duration {
    std::fs::read_to_string("/proc/thread-self/schedstat").map_or(Duration::ZERO, |stat| parse_waited(&stat))
}

/// The second of the numbers of `schedstat`, in nanoseconds; the first is the time on a core.
fn parse_waited(stat: &str) -> Duration {
    let nanos = stat.split_ascii_whitespace().nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_tells_what_the_thread_asked_for_in_it() {
        let (mut window, begun) = (Window::default(), Instant::now());
        let ms = Duration::from_millis;
        assert_eq!(window.note(begun, || ms(1000)), None);
        assert_eq!(window.note(begun + ms(99), || panic!("it is not over")), None);
        assert_eq!(window.note(begun + ms(200), || ms(1190)), Some(950), "used and waited together");
        assert_eq!(window.note(begun + ms(300), || ms(1200)), Some(100), "since the window before");
        assert_eq!(window.note(begun + ms(400), || ms(1900)), Some(1000), "no more than a core");
        assert_eq!(window.note(begun + ms(500), || ms(1800)), Some(0), "of another thread");
    }

    #[test]
    fn a_thread_that_waits_for_its_core_asks_for_it() {
        assert_eq!(parse_waited("9000 1250 3\n"), Duration::from_nanos(1250));
        for other in ["", "9000", "none of this", "0 -1 0"] {
            assert_eq!(parse_waited(other), Duration::ZERO, "{other:?}");
        }
    }
}
