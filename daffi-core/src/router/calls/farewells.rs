//! How often a member was told that a caller of its left.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The numbers by which a member is told that callers left, and how many it has not said back.
///
/// Relaxed: what was noted of the calls is found behind a lock. These are numbers that nothing else
/// depends on.
#[derive(Debug, Default)]
pub(crate) struct Farewells {
    last: AtomicU32,
    unanswered: AtomicU32,
}

impl Farewells {
    /// The next number. Never 0, which wants no answer. Whoever calls this has the lock of the
    /// members.
    pub(crate) fn next(&self) -> u32 {
        self.unanswered.fetch_add(1, Relaxed);
        let count = || self.last.fetch_add(1, Relaxed).wrapping_add(1);
        match count() {
            0 => count(),
            number => number,
        }
    }

    /// The last number, and how many up to it the member has not said back.
    pub(crate) fn outstanding(&self) -> (u32, u32) {
        (self.last.load(Relaxed), self.unanswered.load(Relaxed))
    }

    /// Whether it has numbers to say back.
    pub(crate) fn is_any(&self) -> bool {
        self.unanswered.load(Relaxed) > 0
    }

    /// The member says a number back, or was not told it after all. `false`: it was told none that
    /// it has not said back, so that nothing is looked for.
    pub(crate) fn take_answer(&self) -> bool {
        self.unanswered.fetch_update(Relaxed, Relaxed, |unanswered| unanswered.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_said_back_once() {
        let farewells = Farewells::default();
        assert!(!farewells.take_answer(), "it was told nothing");
        assert_eq!((farewells.next(), farewells.next()), (1, 2));
        assert_eq!(farewells.outstanding(), (2, 2));
        assert!(farewells.take_answer() && farewells.is_any());
        assert!(farewells.take_answer() && !farewells.take_answer() && !farewells.is_any());
        farewells.last.store(u32::MAX, Relaxed);
        assert_eq!((farewells.next(), farewells.outstanding()), (1, (1, 1)), "0 is said back by nobody");
    }
}
