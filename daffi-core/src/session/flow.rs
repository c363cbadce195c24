//! Nowait traffic of one sender to one receiver, held back to what the receiver takes.

use std::collections::VecDeque;

use daffi_wire::CREDIT_WINDOW;

/// Credit is granted in parts of this size, so that a grant stands for many requests.
const GRANT: usize = CREDIT_WINDOW / 4;

/// What a Router holds between one sender and one receiver: the credit left, and the requests beyond it, in order.
#[derive(Debug)]
pub(crate) struct Flow<T> {
    available: usize,
    held: VecDeque<(usize, T)>,
}

impl<T> Default for Flow<T> {
    fn default() -> Self {
        Self { available: CREDIT_WINDOW, held: VecDeque::new() }
    }
}

impl<T> Flow<T> {
    /// Pays for a request of that cost, so that it may go on now. `false`: it has to be [held](Self::hold). One that costs
    /// nothing waits only behind others, to keep its place.
    pub(crate) fn pay(&mut self, cost: usize) -> bool {
        let pays = self.held.is_empty() && cost <= self.available;
        if pays {
            self.available -= cost;
        }
        pays
    }

    /// Keeps a request until credit comes.
    pub(crate) fn hold(&mut self, cost: usize, request: T) {
        self.held.push_back((cost, request));
    }

    /// The receiver takes so much more.
    pub(crate) fn grant(&mut self, amount: usize) {
        self.available = self.available.saturating_add(amount).min(CREDIT_WINDOW);
    }

    /// The next held request that may go on, and what it cost.
    pub(crate) fn release(&mut self) -> Option<(usize, T)> {
        let (cost, _) = self.held.front()?;
        self.available = self.available.checked_sub(*cost)?;
        self.held.pop_front()
    }

    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}

/// What a receiver has worked off and not granted again yet.
#[derive(Debug, Default)]
pub(crate) struct Owed(usize);

impl Owed {
    /// A request of that cost was worked off. `Some`: grant so much now.
    pub(crate) fn add(&mut self, cost: usize) -> Option<usize> {
        self.0 += cost;
        (self.0 >= GRANT).then(|| std::mem::take(&mut self.0))
    }

    /// Everything that is owed.
    pub(crate) const fn take(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_the_credit_waits_in_order() {
        let mut flow = Flow::default();
        assert!(flow.pay(CREDIT_WINDOW));
        assert!(!flow.pay(10));
        flow.hold(10, 'b');
        assert!(!flow.pay(0), "a call keeps its place behind");
        flow.hold(0, 'c');
        assert_eq!(flow.release(), None);
        flow.grant(9);
        assert_eq!(flow.release(), None);
        flow.grant(1);
        assert_eq!((flow.release(), flow.release(), flow.release()), (Some((10, 'b')), Some((0, 'c')), None));
        assert!(flow.pay(0));
        assert_eq!(flow.held(), 0);
    }

    #[test]
    fn credit_never_exceeds_the_window() {
        let mut flow = Flow::<char>::default();
        flow.grant(usize::MAX);
        assert!(flow.pay(CREDIT_WINDOW));
        assert!(!flow.pay(1));
    }

    #[test]
    fn grants_come_in_parts() {
        let mut owed = Owed::default();
        assert_eq!(owed.add(GRANT - 1), None);
        assert_eq!(owed.add(2), Some(GRANT + 1));
        assert_eq!(owed.add(5), None);
        assert_eq!(owed.take(), 5);
    }
}
