//! What tells the attempts of one client to connect apart.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use daffi_wire::Attempt;

/// Counts the attempts of a client that knows several addresses, of which some may be ways to one
/// server.
#[derive(Debug)]
pub(super) struct AttemptNumbers {
    /// `None`: it knows one address, and says nothing of its attempts.
    client: Option<u64>,
    last: AtomicU64,
}

impl AttemptNumbers {
    pub(super) fn of_one_of(addresses: usize) -> Self {
        Self::of_process(std::process::id(), addresses)
    }

    /// The number comes from the generator of this thread, which a simulation seeds, and of which
    /// each forked process has a copy.
    fn of_process(process: u32, addresses: usize) -> Self {
        let client = (addresses > 1).then(|| fastrand::u64(..) ^ u64::from(process));
        Self { client, last: AtomicU64::new(0) }
    }

    /// That of the one which says HANDSHAKE next.
    pub(super) fn next(&self) -> Option<Attempt> {
        let client = self.client?;
        // Relaxed: one attempt says it at a time.
        Some(Attempt { client, number: self.last.fetch_add(1, Relaxed) + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forked_processes_are_different_clients() {
        let of = |process| {
            fastrand::seed(7);
            AttemptNumbers::of_process(process, 2).next()
        };
        assert!(of(1) == of(1) && of(1) != of(2));
        assert_eq!(AttemptNumbers::of_process(1, 1).next(), None);
    }
}
