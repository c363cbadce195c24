//! What a member has still to say about calls that were forgotten.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use daffi_wire::Shown;

use super::farewells::Farewells;

/// How many words a member has still to say before it has said all about calls that were forgotten:
/// their callers left, and there was no room for their numbers. Until then it gets no call, whose
/// number might be one of those.
///
/// At level 4 it says back each number by which it was told that a caller left, also where it has
/// answered all that this was about. So all are owed that it was told so far, and none of those
/// that follow.
///
/// Relaxed: words are added under the lock of those who left, which whoever bears the name of one
/// of them next takes before its first call.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    words: AtomicUsize,
    /// At level 4, the last number that is owed.
    last: AtomicU32,
}

impl Owed {
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.words.load(Relaxed) > 0
    }

    /// So many words more are owed by the member of this name.
    pub(crate) fn add(&self, words: usize, name: &str) {
        note(self.words.fetch_add(words, Relaxed), words, name);
    }

    /// The member of this name owes all numbers that it was told and has not said back.
    pub(crate) fn add_told(&self, farewells: &Farewells, name: &str) {
        let (last, unanswered) = farewells.outstanding();
        let words = usize::try_from(unanswered).unwrap_or(usize::MAX);
        self.last.store(last, Relaxed);
        note(self.words.swap(words, Relaxed), words, name);
    }

    /// Whether a number that it says back may be one of them: it was told others later. They count
    /// round, and fewer than half of all are on their way.
    pub(crate) fn is_owed(&self, number: u32) -> bool {
        self.is_any() && self.last.load(Relaxed).wrapping_sub(number) <= u32::MAX / 2
    }

    /// It says one of them. `true`: the last.
    pub(crate) fn take_word(&self) -> bool {
        self.words.fetch_update(Relaxed, Relaxed, |words| words.checked_sub(1)) == Ok(1)
    }

    /// Why it gets no call.
    #[cold]
    pub(crate) fn refusal(&self, name: &str) -> String {
        format!(
            "{name} has still to answer calls of callers that left, too many to be remembered ({} words of it are \
             missing): it gets no further ones before, or before it is restarted",
            self.words.load(Relaxed)
        )
    }
}

fn note(before: usize, words: usize, name: &str) {
    if before == 0 && words > 0 {
        tracing::warn!(
            receiver = %Shown::name(name),
            words,
            "too many callers left before this member answered them: it gets no calls until it has"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_ends_it() {
        let owed = Owed::default();
        assert!(!owed.take_word() && !owed.is_any(), "nothing was forgotten");
        owed.add(2, "w");
        assert!(!owed.take_word() && owed.is_any());
        assert!(owed.take_word() && !owed.is_any() && !owed.take_word());
    }

    #[test]
    fn what_was_told_later_is_not_owed() {
        let (owed, farewells) = (Owed::default(), Farewells::default());
        assert_eq!([farewells.next(), farewells.next()], [1, 2]);
        assert!(!owed.is_owed(1), "nothing was forgotten");
        owed.add_told(&farewells, "w");
        let later = farewells.next();
        assert!(owed.is_owed(1) && owed.is_owed(2) && !owed.is_owed(later));
        owed.add_told(&farewells, "w");
        assert!(owed.is_owed(later) && (0..3).map(|_| owed.take_word()).eq([false, false, true]));
        owed.add(1, "w");
        owed.last.store(1, Relaxed);
        assert!(owed.is_owed(u32::MAX) && !owed.is_owed(2), "numbers count round");
    }
}
