//! The clock of slow callbacks: who held a reader up.

use tokio::time::{Duration, Instant};

/// A callback whose run takes longer holds its reader up.
pub(crate) const SLOW: Duration = Duration::from_millis(1);

/// The number of runs that share one reading of the clock.
const GROUP: u32 = 8;

/// The number of runs that are timed each for itself after a slow group. One is slow as well when
/// the operating system lets others run, every few milliseconds on a busy CPU, where quick
/// callbacks run ten thousand times.
const SUSPECT: u32 = 1024;

/// Times callbacks that run one after another. The first of a turn is timed for itself; then groups
/// are, because reading the clock twice costs a tenth of the quickest callback. After a slow group
/// each is timed for itself for some time, so that the slow one is found.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The end of the last run that was timed.
    last: Option<Instant>,
    /// Runs since then.
    untimed: u32,
    /// Runs still to be timed each for itself.
    suspect: u32,
}

/// A run that began, with its time if it is timed for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimedRun(Option<Instant>);

impl Clock {
    pub(crate) const fn new(suspect: u32) -> Self {
        Self { last: None, untimed: 0, suspect }
    }

    pub(crate) fn begin(&mut self) -> TimedRun {
        if self.last.is_some() && self.suspect == 0 {
            return TimedRun(None);
        }
        self.interrupt();
        self.suspect = self.suspect.saturating_sub(1);
        TimedRun(Some(Instant::now()))
    }

    /// How long the run took, if it was timed for itself.
    pub(crate) fn end(&mut self, begun: TimedRun) -> Option<Duration> {
        match begun.0 {
            Some(at) => {
                let now = Instant::now();
                self.last = Some(now);
                Some(now.saturating_duration_since(at))
            }
            None => {
                self.untimed += 1;
                if self.untimed == GROUP {
                    self.end_group();
                }
                None
            }
        }
    }

    /// Notes that something else than callbacks happens: the next run is timed for itself.
    pub(crate) fn interrupt(&mut self) {
        self.end_group();
        self.last = None;
    }

    /// Runs still to be timed each for itself.
    pub(crate) const fn suspect(&self) -> u32 {
        self.suspect
    }

    fn end_group(&mut self) {
        if let Some(last) = self.last
            && self.untimed > 0
        {
            let now = Instant::now();
            if now.saturating_duration_since(last) > SLOW {
                self.suspect = SUSPECT;
            }
            self.last = Some(now);
            self.untimed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_slow_group_has_its_runs_timed_one_by_one() {
        let mut clock = Clock::new(0);
        let run = |clock: &mut Clock, slow: bool| {
            let begun = clock.begin();
            if slow {
                sleep(2 * SLOW);
            }
            clock.end(begun)
        };
        assert!(run(&mut clock, true).unwrap() > SLOW, "the first is timed for itself");
        assert_eq!(run(&mut clock, true), None);
        for _ in 1..GROUP {
            assert_eq!(run(&mut clock, false), None);
        }
        assert!(run(&mut clock, true).unwrap() > SLOW, "now it is found");
        assert!(run(&mut clock, false).is_some());
        let mut next = Clock::new(clock.suspect);
        for _ in 2..SUSPECT {
            assert!(run(&mut next, false).is_some());
        }
        assert_eq!(run(&mut next, false), None);
    }
}
