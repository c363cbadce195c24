//! Which of one member's calls have waited for longest.

use std::{collections::VecDeque, time::Instant};

use daffi_wire::{CallId, NodeName};

/// Entries of calls that have ended, which a line keeps at most beside as many as there are others.
const STALE: usize = 64;

/// Calls that end when nobody answers them for some time, in the order in which they were made.
///
/// Calls that have ended stay in the line until it is looked at, or until they are half of it: so
/// what a call costs here does not depend on how many are open.
#[derive(Debug, Default)]
pub(super) struct CallsByAge {
    entries: VecDeque<Waits>,
    /// How many of them wait.
    waiting: usize,
    /// The mark of the last call. Calls are told apart by their marks, because numbers come again.
    /// 0 is the mark of a call without such a limit.
    last: u32,
    /// The time at which the first is looked at.
    look: Option<Instant>,
}

/// A call that is in the line, or was when it ended.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    pub(super) number: CallId,
    pub(super) receiver: NodeName,
    pub(super) mark: u32,
    pub(super) since: Instant,
}

impl CallsByAge {
    /// A call is open since now. Gives its mark.
    pub(super) fn push(
        &mut self,
        number: CallId,
        receiver: &NodeName,
        since: Instant,
        is_open: impl Fn(&Waits) -> bool,
    ) -> u32 {
        if self.entries.len() >= 2 * self.waiting + STALE {
            self.entries.retain(is_open);
        }
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.entries.push_back(Waits { number, receiver: receiver.clone(), mark: self.last, since });
        self.waiting += 1;
        self.last
    }

    /// Notes that a call of the line has ended.
    pub(super) fn note_end(&mut self) {
        self.waiting -= 1;
        if self.waiting == 0 {
            // One busy moment must not stay with the connection for its life.
            self.entries = VecDeque::new();
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Waits>()
    }

    /// The first one, if it waits since then or longer, ended or not.
    pub(super) fn take(&mut self, since: Instant) -> Option<Waits> {
        if self.first()? <= since { self.entries.pop_front() } else { None }
    }

    /// The time since which the first one waits.
    pub(super) fn first(&self) -> Option<Instant> {
        self.entries.front().map(|first| first.since)
    }

    /// The time at which somebody is to look at it. `None`: nobody is to.
    pub(super) const fn look(&mut self) -> &mut Option<Instant> {
        &mut self.look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_calls_leave_nothing_behind_and_do_not_hide_one_that_waits() {
        let (mut line, begun) = (CallsByAge::default(), Instant::now());
        let name = NodeName::new("worker", &daffi_wire::Limits::default()).unwrap();
        let slow = line.push(CallId(1), &name, begun, |_| true);
        for n in 0..10_000_u32 {
            let quick = line.push(CallId(2), &name, begun, |waits| waits.mark == slow);
            assert_eq!(quick, n + 2);
            line.note_end();
            assert!(line.entries.len() <= 2 + STALE, "{}", line.entries.len());
        }
        assert_eq!(line.take(begun).map(|waits| waits.mark), Some(slow));
        line.note_end();
        assert_eq!((line.entries.len(), line.first()), (0, None));
    }
}
