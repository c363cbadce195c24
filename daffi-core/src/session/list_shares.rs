//! What each member may take of the list that all members get.

/// What a callback's name takes at each member beside its JSON.
const NAME_COST: usize = 64;

/// A member may take one part in so many of what is still free.
const SHARE: usize = 8;

/// What stands around a list.
const AROUND: usize = 64;

/// A shorter handshake is read without such a look.
const SHORT: usize = 32 * 1024;

/// What a handshake names beside callbacks.
const OTHER_NAMES: usize = 64;

/// What the entry of one member takes of the list.
pub(super) const fn cost(json: usize, callbacks: usize) -> usize {
    // A comma behind it.
    json.saturating_add(1).saturating_add(callbacks.saturating_mul(NAME_COST))
}

/// What the entry of a member takes at least whose handshake is this: told by its bytes, which is a
/// hundredth of what reading it costs.
pub(super) fn least(handshake: &[u8]) -> (usize, usize) {
    if handshake.len() < SHORT {
        return (0, 0);
    }
    // An escape is six bytes for one at most, and space between names is none of them.
    let count = |wanted: fn(&u8) -> bool| handshake.iter().filter(|byte| wanted(byte)).count();
    let (escapes, spaces) = (count(|byte| *byte == b'\\'), count(u8::is_ascii_whitespace));
    let json = handshake.len().saturating_sub(AROUND + spaces + 5 * escapes);
    // A name has two quotes, and a quote within one has a backslash before it.
    let quotes = handshake.windows(2).filter(|two| two[0] != b'\\' && two[1] == b'"').count();
    (json, (quotes / 2).saturating_sub(OTHER_NAMES))
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
    use daffi_wire::{Handshake, Level, Limits};

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

    /// What a handshake with 2000 callbacks takes by its bytes, and what it takes when it was read.
    fn told_and_taken(name: &str, space: &str) -> (usize, usize) {
        let names: Vec<_> = (0..2000).map(|n| format!("{space}\"{name}-{n}\"")).collect();
        let body = format!(
            r#"{{"meta":{{"type":"client","error":null}},"members":[{{"name":"m","methods":[{}]}}]}}"#,
            names.join(",")
        );
        let read = Handshake::parse(body.as_bytes(), &Limits::default()).unwrap();
        let (json, callbacks) = least(body.as_bytes());
        (cost(json, callbacks), cost(read.members[0].to_json(Level::FOUR).len(), 2000))
    }

    #[test]
    fn a_handshake_takes_no_less_than_its_bytes_tell() {
        for (name, space) in [
            ("callback", ""),
            ("call back", "  \n"),
            (r#"\"\\\""#, " "),
            (r"\u00e9\u00e8\u00e7", ""),
            ("\u{e9}\u{1f600}", ""),
        ] {
            let (told, taken) = told_and_taken(name, space);
            assert!((1..=taken).contains(&told), "{name}: {told} of {taken}");
        }
        let (told, taken) = told_and_taken("a-name-of-thirty-and-some-letters", "");
        assert!(told > taken * 9 / 10, "{told} of {taken}");
        assert_eq!(least(b"short"), (0, 0));
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
