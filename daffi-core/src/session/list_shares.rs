//! What each member may take of the list that all members get.

/// What a callback's name takes at each member beside its JSON.
const NAME_COST: usize = 64;

/// A member may take one part in so many of what is still free.
const SHARE: usize = 8;

/// What stands around a list.
const AROUND: usize = 64;

/// What the entry of one member takes of the list.
pub(super) const fn cost(json: usize, callbacks: usize) -> usize {
    // A comma behind it.
    json.saturating_add(1).saturating_add(callbacks.saturating_mul(NAME_COST))
}

/// The list of all members, shared out among them as memory is: half of it in parts that nobody can
/// take, and of the rest each may have a fraction of what is free. So those with many names leave
/// room for the next newcomer, however many they are.
#[derive(Debug)]
pub(super) struct ListShares {
    limit: usize,
    /// What each member has in any case.
    own: usize,
    /// What all may take beyond their own parts, and what they do.
    rest: usize,
    beyond: usize,
}

/// The names of a member's callbacks take more of the list than they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the names of its {callbacks} callbacks take {size} bytes of the list of all members, of which it may have {may}, with {free} \
     of {limit} still free; expose fewer callbacks, or raise max_list_bytes of the router"
)]
pub(crate) struct TooLong {
    callbacks: usize,
    size: usize,
    may: usize,
    free: usize,
    limit: usize,
}

impl ListShares {
    /// A list of `limit` bytes for `most` members.
    pub(super) fn new(limit: usize, most: usize) -> Self {
        let (most, limit) = (most.max(1), limit.saturating_sub(AROUND));
        let own = limit / 2 / most;
        Self { limit, own, rest: limit - own * most, beyond: 0 }
    }

    /// Whether an entry that took `before` may take `after`. One that becomes smaller always may.
    pub(super) fn check(&self, before: usize, after: usize, callbacks: usize) -> Result<(), TooLong> {
        let free = self.rest.saturating_sub(self.beyond - self.part(before));
        let may = self.own + free / SHARE;
        if after <= before || after <= may {
            return Ok(());
        }
        Err(TooLong { callbacks, size: after, may, free, limit: self.limit })
    }

    /// Counts an entry with `after` in the place of `before`.
    pub(super) const fn change(&mut self, before: usize, after: usize) {
        self.beyond = self.beyond + self.part(after) - self.part(before);
    }

    const fn part(&self, cost: usize) -> usize {
        cost.saturating_sub(self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16 * 1024 * 1024;

    #[test]
    fn greedy_members_leave_room_for_ten_thousand_others() {
        let mut shares = ListShares::new(LIMIT, 10_000);
        let (mut taken, mut greedy) = (0, 0);
        // Each takes as much as it may, and the first is refused a mebibyte of short names.
        let short = shares.check(0, cost(1 << 20, 1 << 18), 1 << 18).unwrap_err();
        assert!(short.to_string().contains("max_list_bytes"), "{short}");
        for _ in 0..1000 {
            let may = shares.check(0, LIMIT, 1).unwrap_err().may;
            assert!(shares.check(0, may, 1).is_ok() && shares.check(0, may + 1, 1).is_err());
            shares.change(0, may);
            taken += may;
            greedy += 1;
            if may < 1000 {
                break;
            }
        }
        assert!(greedy > 50, "{greedy}");
        // A name of 20 letters and some callbacks.
        let honest = cost(60 + 8 * 20, 8);
        for n in greedy..10_000 {
            assert_eq!(shares.check(0, honest, 8), Ok(()), "{n}");
            shares.change(0, honest);
            taken += honest;
        }
        assert!(taken <= LIMIT, "{taken}");
    }

    #[test]
    fn what_is_there_may_stay_and_shrink() {
        let mut shares = ListShares::new(LIMIT, 100);
        let (large, mut count) = (600_000, 0);
        while shares.check(0, large, 1).is_ok() {
            shares.change(0, large);
            count += 1;
        }
        assert!(count > 3, "{count}");
        assert!(shares.check(0, large, 1).is_err() && shares.check(large, large + (1 << 19), 1).is_err());
        assert_eq!((shares.check(large, large, 1), shares.check(large, large - 1, 1)), (Ok(()), Ok(())));
        for _ in 0..count {
            shares.change(large, 0);
        }
        assert_eq!(shares.beyond, 0);
    }
}
