//! What a frame that has begun holds, and of what.

use super::Account;

/// The source of the memory of an unfinished frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pot {
    /// The peer's share.
    Share,
    /// The reserve, which one at a time has.
    Reserve,
    /// The overdraft of those that break when they are not read.
    Overdraft,
}

/// The memory of an unfinished frame, by the pot that it was taken from.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    of_share: usize,
    of_reserve: usize,
    of_overdraft: usize,
}

impl Unfinished {
    /// What it holds.
    pub(super) const fn bytes(&self) -> usize {
        self.of_share + self.of_reserve + self.of_overdraft
    }

    /// Whether something of it came from the reserve.
    pub(super) const fn has_reserve(&self) -> bool {
        self.of_reserve > 0
    }

    /// Notes that the frame holds `bytes` now; what it grew by comes from `pot`, and what it shrank
    /// by goes back to the last it came from.
    pub(super) fn set(&mut self, bytes: usize, pot: Pot, account: &Account) {
        let before = self.bytes();
        if bytes == before && (pot != Pot::Share || before == self.of_share) {
            return;
        }
        let (share, reserve, overdraft) = match pot {
            // The share has room again for all of it.
            Pot::Share => (bytes, 0, 0),
            _ if bytes < before => {
                let share = self.of_share.min(bytes);
                let reserve = self.of_reserve.min(bytes - share);
                (share, reserve, bytes - share - reserve)
            }
            Pot::Reserve => (self.of_share, bytes - self.of_share, 0),
            Pot::Overdraft => (self.of_share, 0, bytes - self.of_share),
        };
        account.change(self.of_share, share);
        account.budget().draw(self.of_overdraft, overdraft);
        *self = Self { of_share: share, of_reserve: reserve, of_overdraft: overdraft };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Budget;

    #[test]
    fn memory_comes_from_where_there_is_some_and_goes_back_there() {
        let budget = Budget::new(1 << 28, 1.0, 100, 1 << 20);
        let account = budget.open();
        let mut frame = Unfinished::default();
        let mut set = |bytes, pot| {
            frame.set(bytes, pot, &account);
            (account.held_bytes(), frame.of_reserve, frame.of_overdraft)
        };
        assert_eq!(set(1000, Pot::Share), (1000, 0, 0));
        assert_eq!(set(1500, Pot::Overdraft), (1000, 0, 500));
        assert_eq!(set(2500, Pot::Reserve), (1000, 1500, 0));
        assert_eq!(set(2600, Pot::Share), (2600, 0, 0));
        assert_eq!(set(2700, Pot::Reserve), (2600, 100, 0));
        assert_eq!(set(2620, Pot::Reserve), (2600, 20, 0), "it took less than it might have");
        assert_eq!(set(10, Pot::Reserve), (10, 0, 0), "another frame");
        assert_eq!(set(0, Pot::Share), (0, 0, 0));
        assert!(!budget.is_overdrawn() && budget.used_bytes() == 0);
    }
}
