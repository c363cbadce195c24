//! What a sender asks of a receiver, beside what it was told that it may.

use daffi_wire::FIRST_WINDOW;

/// What the requests of one flow cost that came, passed on or held.
///
/// Who keeps to its credit may find its requests held all the same: behind a call, in line, or
/// until the receiver has heard of it. Windows bound what it has there, as nothing bounds what
/// comes beyond them: a request that is larger than a window and goes alone, for one.
#[derive(Debug)]
pub(crate) struct AskedCost {
    cost: u64,
    /// Up to where it was told that it may go. A smaller window may be on its way to it, so that
    /// this never falls.
    limit: u64,
}

impl AskedCost {
    pub(crate) const fn new() -> Self {
        Self { cost: 0, limit: FIRST_WINDOW as u64 }
    }

    /// Its receiver granted so much.
    pub(crate) fn grant(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// A request of this cost came. Gives whether it lies within what was granted.
    pub(crate) const fn note(&mut self, cost: u64) -> bool {
        self.cost = self.cost.saturating_add(cost);
        self.cost <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beyond_the_widest_window_is_asked_without_credit() {
        let (mut asked, window) = (AskedCost::new(), u64::from(FIRST_WINDOW));
        assert!(asked.note(window - 1) && asked.note(1) && !asked.note(1));
        asked.grant(window + 3);
        asked.grant(window + 1);
        assert!(asked.note(1) && asked.note(1) && !asked.note(1));
        let mut large = AskedCost::new();
        assert!(!large.note(5 * window) && !large.note(1), "one for each of many receivers is no small thing");
        large.grant(6 * window);
        assert!(large.note(1));
    }
}
