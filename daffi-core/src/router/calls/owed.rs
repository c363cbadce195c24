//! What a member has still to say about calls that were forgotten.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use daffi_wire::Shown;

/// How many words a member has still to say before it has said all about calls that were forgotten:
/// their callers left, and there was no room for their numbers. Until then it gets no call, whose
/// number might be one of those.
///
/// Relaxed: words are added under the lock of those who left, which whoever bears the name of one
/// of them next takes before its first call.
#[derive(Debug, Default)]
pub(crate) struct Owed(AtomicUsize);

impl Owed {
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    /// So many words more are owed by the member of this name.
    pub(crate) fn add(&self, words: usize, name: &str) {
        let before = self.0.fetch_add(words, Relaxed);
        if before == 0 && words > 0 {
            tracing::warn!(
                receiver = %Shown::new(name),
                words,
                "too many callers left before this member answered them: it gets no calls until it has"
            );
        }
    }

    /// It says one of them. `true`: the last.
    pub(crate) fn take_word(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |words| words.checked_sub(1)) == Ok(1)
    }

    /// Why it gets no call.
    #[cold]
    pub(crate) fn refusal(&self, name: &str) -> String {
        format!(
            "{name} has still to answer calls of callers that left, too many to be remembered ({} words of it are \
             missing): it gets no further ones before, or before it is restarted",
            self.0.load(Relaxed)
        )
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
}
