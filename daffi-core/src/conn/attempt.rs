//! Which attempt of its client a connection is.

use daffi_wire::Attempt;

use super::Conn;

impl Conn {
    /// Which attempt of its client this is.
    pub(crate) fn note_attempt(&self, attempt: Attempt) {
        // What it says again is the same.
        let _first = self.attempt.set(attempt);
    }

    /// Whether the same client made that one later.
    pub(crate) fn is_attempt_before(&self, that: &Self) -> bool {
        let both = self.attempt.get().zip(that.attempt.get());
        both.is_some_and(|(this, that)| this.is_before(*that))
    }
}
