//! What is counted of the calls of one callback.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::durations::{Durations, Histogram};

/// Calls of one callback. Relaxed: each number is right by itself, and a snapshot may see a call
/// begin and not yet end.
#[derive(Debug, Default)]
pub(crate) struct CallCounts {
    /// On a line of memory apart from the rest: where calls begin on one thread and end on another,
    /// neither waits for what the other wrote.
    begun: Apart<BegunCalls>,
    ended: Apart<AtomicU64>,
    /// Calls that ended without an answer: given up, or lost.
    unanswered: AtomicU64,
    errors: AtomicU64,
    times: Histogram,
}

#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Apart<T>(pub(super) T);

#[derive(Debug, Default)]
struct BegunCalls {
    calls: AtomicU64,
    /// Calls that are timed before only some are.
    left: AtomicU64,
    /// When there were as many as may be.
    filled: AtomicU64,
}

/// Of one callback so many calls are timed in each [`WHILE`], and of further ones one in
/// [`SAMPLE`]: reading the clock costs more than all other counting together.
const LEFT: u64 = 64;
const SAMPLE: u64 = 16;
const WHILE: u64 = 1_000_000_000;

impl CallCounts {
    /// A call begins. Gives whether it is to be timed.
    #[inline]
    pub(crate) fn begin(&self) -> bool {
        let before = self.begun.0.calls.fetch_add(1, Relaxed);
        let left = self.begun.0.left.load(Relaxed);
        if left > 0 {
            // Two threads may take the same one, which times a call too many.
            self.begun.0.left.store(left - 1, Relaxed);
            return true;
        }
        before.is_multiple_of(SAMPLE)
    }

    /// One that is timed begins now.
    #[inline]
    pub(crate) fn begin_at(&self, nanos: u64) {
        let filled = self.begun.0.filled.load(Relaxed);
        if filled == 0 || nanos.saturating_sub(filled) >= WHILE {
            self.begun.0.filled.store(nanos, Relaxed);
            self.begun.0.left.store(LEFT, Relaxed);
        }
    }

    /// A call was answered.
    #[inline]
    pub(crate) fn end(&self) {
        self.ended.0.fetch_add(1, Relaxed);
    }

    /// It was answered so many nanoseconds after it began.
    #[inline]
    pub(crate) fn note_time(&self, nanos: u64) {
        self.times.note(nanos);
    }

    /// The answer to one that ended is an error.
    #[cold]
    pub(crate) fn note_error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    /// A call ended without an answer.
    pub(crate) fn lose(&self) {
        self.unanswered.fetch_add(1, Relaxed);
    }

    /// Begins anew, for another callback.
    pub(crate) fn reset(&self) {
        for count in [&self.begun.0.calls, &self.begun.0.filled, &self.ended.0, &self.unanswered, &self.errors] {
            count.store(0, Relaxed);
        }
        self.times.reset();
    }

    pub(crate) fn snapshot(&self, name: &str) -> CallbackStats {
        let ended = self.ended.0.load(Relaxed) + self.unanswered.load(Relaxed);
        // Later than the ends, so that none is missing among the begun.
        let calls = self.begun.0.calls.load(Relaxed);
        CallbackStats {
            name: name.to_owned(),
            calls,
            open: calls.saturating_sub(ended),
            unanswered: self.unanswered.load(Relaxed),
            errors: self.errors.load(Relaxed),
            errors_by_class: Vec::new(),
            times: self.times.snapshot(),
        }
    }
}

/// What was counted of the calls of one callback so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallbackStats {
    /// The callback; `other` for those that are not counted each for itself.
    pub name: String,
    /// Calls that began.
    pub calls: u64,
    /// Calls that have not ended.
    pub open: u64,
    /// Calls that ended without an answer: their caller gave them up, or one end left.
    pub unanswered: u64,
    /// Calls that were answered with an error.
    pub errors: u64,
    /// The errors by their class, as far as this node reads them: a Router does not. The first 15
    /// classes are told apart, and all others are `other`.
    pub errors_by_class: Vec<(String, u64)>,
    /// How long calls took: at a Router from the request to the answer, at a Client until the
    /// result was read, at a node that runs the callback how long that ran. Where there are many,
    /// this is of a part of them: `calls` counts all.
    pub times: Durations,
}

/// Classes of errors that are told apart, the rest of them included.
const MOST_CLASSES: usize = 16;

impl CallbackStats {
    /// Adds what was counted elsewhere of the same callback.
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.open += other.open;
        self.unanswered += other.unanswered;
        self.errors += other.errors;
        self.times.add(&other.times);
        for (class, count) in &other.errors_by_class {
            let is_full = self.errors_by_class.len() + 1 >= MOST_CLASSES;
            let is_known = self.errors_by_class.iter().any(|(known, _)| known == class);
            let class = if is_full && !is_known { super::OTHER } else { class };
            match self.errors_by_class.iter_mut().find(|(known, _)| known == class) {
                Some((_, known)) => *known += count,
                None => self.errors_by_class.push((class.to_owned(), *count)),
            }
        }
    }
}
