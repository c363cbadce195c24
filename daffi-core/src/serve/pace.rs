//! Whether a callback keeps its promise to be quick.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use crate::conn::SLOW;

/// A callback that held a reader up has to be quick so often in a row, away from readers, before it runs on one again.
const PROBATION: u32 = 64;

/// Each further time the number grows by this factor ...
///
/// Time also passes while the operating system lets others run: on a busy CPU that happens to the quickest callback some
/// time, and one that never came back cost a nowait call three times as much (measured). A slow one is never quick so
/// often.
const STRICTER: u32 = 4;

/// ... up to this.
const STRICTEST: u32 = 4096;

/// A run is quick when it ends within this time.
const QUICK: Duration = Duration::from_micros(100);

/// More than any number of quick runs.
const NEVER: u32 = u32::MAX;

/// How quick one callback was so far.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Quick runs in a row, away from readers.
    quick: AtomicU32,
    /// So many let it run on a reader.
    needed: AtomicU32,
}

impl Pace {
    /// Of a callback that promises to be quick, and is believed.
    pub(crate) const fn promised() -> Self {
        Self { quick: AtomicU32::new(0), needed: AtomicU32::new(0) }
    }

    /// Of a callback that may take its time.
    pub(crate) const fn free() -> Self {
        Self { quick: AtomicU32::new(0), needed: AtomicU32::new(NEVER) }
    }

    /// Whether it may run where its request was read.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick.load(Relaxed) >= self.needed.load(Relaxed)
    }

    /// Notes how long a run, or one poll of it, took away from readers.
    pub(crate) fn note(&self, time: Duration) {
        if time > QUICK {
            self.quick.store(0, Relaxed);
        } else {
            // Never as many as `NEVER`.
            let known = self.quick.load(Relaxed);
            self.quick.store(known.saturating_add(1).min(STRICTEST), Relaxed);
        }
    }

    /// Notes how long a run on a reader took, or one poll of it. `true`: it broke its promise for the first time.
    pub(crate) fn note_on_reader(&self, time: Duration) -> bool {
        if time <= SLOW {
            return false;
        }
        self.quick.store(0, Relaxed);
        let needed = self.needed.load(Relaxed);
        if needed != NEVER {
            self.needed.store(needed.saturating_mul(STRICTER).clamp(PROBATION, STRICTEST), Relaxed);
        }
        needed == 0
    }

    /// It is believed never again.
    pub(crate) fn distrust(&self) {
        self.needed.store(NEVER, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_breaks_the_promise_proves_itself_more_often_each_time() {
        let pace = Pace::promised();
        assert!(pace.is_quick());
        assert!(!pace.note_on_reader(SLOW) && pace.is_quick(), "a millisecond is just allowed");
        for needed in [PROBATION, 4 * PROBATION, STRICTEST] {
            let told = pace.note_on_reader(2 * SLOW);
            assert_eq!(told, needed == PROBATION, "told once");
            pace.note(2 * QUICK);
            for _ in 0..needed {
                assert!(!pace.is_quick());
                pace.note(QUICK);
            }
            assert!(pace.is_quick());
            if needed == 4 * PROBATION {
                pace.note_on_reader(2 * SLOW);
            }
        }
        pace.distrust();
        (0..2 * STRICTEST).for_each(|_| pace.note(QUICK));
        assert!(!pace.is_quick());
    }
}
