//! What a node counts of a callback that it runs.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{
    classes::Classes,
    counts::{Apart, CallbackStats},
    durations::Histogram,
};

/// Calls of one callback of this node. Relaxed, as [`CallCounts`](super::CallCounts). A call ends
/// here without a look at the clock: of quick runs only some are timed.
#[derive(Debug, Default)]
pub(crate) struct RunCounts {
    begun: Apart<AtomicU64>,
    ended: Apart<AtomicU64>,
    unanswered: AtomicU64,
    errors: AtomicU64,
    times: Histogram,
    classes: Classes,
}

impl RunCounts {
    /// A call begins. Gives how many did before.
    #[inline]
    pub(crate) fn begin(&self) -> u64 {
        self.begun.0.fetch_add(1, Relaxed)
    }

    /// A call was answered, with an error of this class or with a result.
    #[inline]
    pub(crate) fn end(&self, error: Option<&str>) {
        self.ended.0.fetch_add(1, Relaxed);
        if let Some(class) = error {
            self.note_error(class);
        }
    }

    /// One that ended was answered with an error of this class.
    #[cold]
    pub(crate) fn note_error(&self, class: &str) {
        self.errors.fetch_add(1, Relaxed);
        self.classes.note(class);
    }

    /// Nobody waits for the answer to a call any more.
    #[cold]
    pub(crate) fn lose(&self) {
        self.unanswered.fetch_add(1, Relaxed);
    }

    /// A run took so long.
    pub(crate) fn note_time(&self, time: Duration) {
        self.times.note(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn snapshot(&self, name: &str) -> CallbackStats {
        let unanswered = self.unanswered.load(Relaxed);
        let ended = self.ended.0.load(Relaxed) + unanswered;
        // Later than the ends, so that none is missing among the begun.
        let calls = self.begun.0.load(Relaxed);
        CallbackStats {
            name: name.to_owned(),
            calls,
            open: calls.saturating_sub(ended),
            unanswered,
            errors: self.errors.load(Relaxed),
            errors_by_class: self.classes.snapshot(),
            times: self.times.snapshot(),
        }
    }
}
