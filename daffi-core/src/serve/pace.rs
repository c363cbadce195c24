//! Whether a callback keeps its promise to be quick.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use crate::conn::SLOW;

/// A callback that held a reader up has to be quick so often in a row, away from readers, before it
/// runs on one again.
const PROBATION: u32 = 64;

/// The number of quick runs that are needed grows by this factor each further time, up to
/// [`STRICTEST`].
///
/// Time also passes while the operating system runs other programs. On a busy CPU this happens to
/// the quickest callback at some time, and if that callback never came back to the reader, a nowait
/// call would cost three times as much (measured). A slow callback is never quick so often in a
/// row.
const STRICTER: u32 = 4;

/// The largest number of quick runs in a row that a callback has to show.
const STRICTEST: u32 = 4096;

/// A run is quick when it ends within this time.
const QUICK: Duration = Duration::from_micros(100);

/// The threshold of a callback that never runs on a reader: it is larger than any count of quick
/// runs.
const NEVER: u32 = u32::MAX;

/// How quick one callback was so far. Relaxed: a run that is not counted, because two threads noted
/// theirs at once, changes nothing that matters.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Quick runs in a row, away from readers.
    quick: AtomicU32,
    /// The callback may run on a reader once this many runs in a row were quick.
    needed: AtomicU32,
}

impl Pace {
    /// The pace of a callback that promises to be quick, which is believed until it breaks the
    /// promise.
    pub(crate) const fn for_quick() -> Self {
        Self { quick: AtomicU32::new(0), needed: AtomicU32::new(0) }
    }

    /// The pace of a callback that promises nothing, and never runs on a reader.
    pub(crate) const fn for_plain() -> Self {
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
            // The count is never as large as `NEVER`.
            let known = self.quick.load(Relaxed);
            self.quick.store(known.saturating_add(1).min(STRICTEST), Relaxed);
        }
    }

    /// Whether what took so long held up others who run on the same thread.
    pub(crate) fn is_slow(time: Duration) -> bool {
        time > SLOW
    }

    /// Notes how long a run on a reader took, or one poll of it. Returns `true` when the callback
    /// broke its promise for the first time.
    pub(crate) fn note_on_reader(&self, time: Duration) -> bool {
        if !Self::is_slow(time) {
            return false;
        }
        self.quick.store(0, Relaxed);
        let needed = self.needed.load(Relaxed);
        if needed != NEVER {
            self.needed.store(needed.saturating_mul(STRICTER).clamp(PROBATION, STRICTEST), Relaxed);
        }
        needed == 0
    }

    /// Makes the callback run away from readers for good.
    pub(crate) fn distrust(&self) {
        self.needed.store(NEVER, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_breaks_the_promise_proves_itself_more_often_each_time() {
        let pace = Pace::for_quick();
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
