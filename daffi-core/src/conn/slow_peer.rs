//! The pace that a peer has to keep with what it began or has to take.

use std::time::{Duration, Instant};

use super::Account;
use crate::deadline::LATE;

/// A pace: so many bytes in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) bytes: usize,
    pub(super) within: Duration,
}

impl Rate {
    /// 1 KiB/s, looked at after `within`: what a peer must move of what it began.
    pub(super) fn steady(within: Duration) -> Self {
        let bytes = within.as_millis().saturating_mul(1024) / 1000;
        Self { bytes: usize::try_from(bytes).unwrap_or(usize::MAX).max(1), within }
    }
}

/// How quickly a peer moves bytes, while they are waited for.
#[derive(Debug, Default)]
pub(super) struct BytePace {
    since: Option<Instant>,
    moved: usize,
    /// What the peer's host had taken soon after that began.
    taken: Option<Taken>,
}

/// Bytes that a peer's host has taken since the connection began; `None`: the system does not tell.
type Taken = Option<u64>;

/// What the system tells of a peer that has to take something, if it is asked.
pub(super) type AskTaken<'a> = Option<&'a mut dyn FnMut() -> Taken>;

/// After this part of its time a peer is looked at closely. Whoever takes what waits at any pace
/// worth the name is not waited for so long.
const CLOSELY: u32 = 8;

impl BytePace {
    /// Notes that the peer moved so many bytes.
    pub(super) const fn moves(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes);
    }

    /// Notes that nothing is waited for: what went before does not count.
    pub(super) const fn rest(&mut self) {
        self.since = None;
        self.moved = 0;
        self.taken = None;
    }

    /// Notes that bytes are waited for, and should come at this rate. Gives when to look again, or
    /// the error that it was too slow.
    ///
    /// Of what the peer has to take its system tells more closely than this one, which takes more
    /// only once a third of a large buffer is free: a steady reader of 20 kB/s is not seen to take
    /// anything for a minute.
    pub(super) fn wait(&mut self, rate: Rate, now: Instant, ask: AskTaken<'_>) -> Result<Instant, TooSlow> {
        let begun = match self.since {
            Some(begun) if self.moved < rate.bytes => begun,
            _ => self.restart(now),
        };
        // A time beyond all clocks never comes.
        let Some(until) = begun.checked_add(rate.within) else { return Ok(now + Duration::from_secs(3600)) };
        if now < until {
            let closely = begun + rate.within / CLOSELY;
            return Ok(match ask {
                Some(_) if self.taken.is_none() && now < closely => closely,
                Some(ask) => {
                    self.taken.get_or_insert_with(ask);
                    until
                }
                None => until,
            });
        }
        if now - until > LATE {
            return Ok(self.restart(now) + rate.within);
        }
        if let Some(ask) = ask {
            let Some(before) = self.taken else { return Ok(self.restart(now) + rate.within) };
            let taken = ask().zip(before).map_or(0, |(taken, before)| taken.saturating_sub(before));
            self.moved = self.moved.max(usize::try_from(taken).unwrap_or(usize::MAX));
            let at_least = rate.bytes - rate.bytes / CLOSELY as usize;
            if self.moved >= at_least {
                return Ok(self.restart(now) + rate.within / CLOSELY);
            }
        }
        Err(TooSlow { moved: self.moved, within: rate.within })
    }

    const fn restart(&mut self, now: Instant) -> Instant {
        self.rest();
        self.since = Some(now);
        now
    }
}

/// A peer moved fewer bytes than it had to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSlow {
    pub(super) moved: usize,
    pub(super) within: Duration,
}

/// While others find no room because of it, a peer that sends an unfinished frame must be this
/// quick.
const PRESSED_READ: Rate = Rate { bytes: 64 * 1024, within: Duration::from_secs(5) };

/// While others find no room because of it, a peer that has to take something must be this quick. A
/// system tells of what its peer took in large steps: a reader of 64 KiB/s is seen to take a
/// mebibyte every 16 s.
const PRESSED_WRITE: Rate = Rate { bytes: 256 * 1024, within: Duration::from_secs(20) };

/// Pressure is looked for as often as this.
const LOOK: Duration = Duration::from_secs(5);

/// Judges a peer by the bytes it moves in one direction, while they are waited for.
#[derive(Debug)]
pub(super) struct PaceWatch {
    steady: Rate,
    /// `None`: the only peer of this node, which takes no room from others.
    pressed: Option<Rate>,
    pace: BytePace,
    pressed_pace: BytePace,
}

impl PaceWatch {
    pub(super) fn for_reading(within: Duration, has_others: bool) -> Self {
        Self::new(within, has_others.then_some(PRESSED_READ))
    }

    pub(super) fn for_writing(within: Duration, has_others: bool) -> Self {
        Self::new(within, has_others.then_some(PRESSED_WRITE))
    }

    fn new(within: Duration, pressed: Option<Rate>) -> Self {
        Self { steady: Rate::steady(within), pressed, pace: BytePace::default(), pressed_pace: BytePace::default() }
    }

    pub(super) const fn moves(&mut self, bytes: usize) {
        self.pace.moves(bytes);
        self.pressed_pace.moves(bytes);
    }

    pub(super) const fn rest(&mut self) {
        self.pace.rest();
        self.pressed_pace.rest();
    }

    /// Bytes are waited for now; `account` holds what they are part of. `in_the_way`: others wait
    /// for what this peer alone has; `ask`: what the system knows that it took. Gives when to look
    /// again.
    pub(super) fn wait(
        &mut self,
        account: &Account,
        in_the_way: bool,
        now: Instant,
        mut ask: AskTaken<'_>,
    ) -> Result<Instant, TooSlow> {
        let mut until = self.pace.wait(self.steady, now, ask.as_deref_mut().map(|ask| ask as _))?;
        let Some(pressed) = self.pressed.filter(|_| in_the_way || account.held_bytes() > account.own()) else {
            self.pressed_pace.rest();
            return Ok(until);
        };
        if in_the_way || account.budget().presses(account.held_bytes(), now) {
            until = until.min(self.pressed_pace.wait(pressed, now, ask)?);
        } else {
            self.pressed_pace.rest();
        }
        Ok(until.min(now + LOOK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Budget;

    const SECOND: Duration = Duration::from_secs(1);
    const RATE: Rate = Rate { bytes: 100, within: Duration::from_secs(5) };

    #[test]
    fn a_steady_peer_goes_on_for_ever_and_a_byte_now_and_then_is_not_enough() {
        for (bytes, lives) in [(20, true), (19, false), (1, false), (0, false)] {
            let (mut pace, mut now) = (BytePace::default(), Instant::now());
            let mut kept = true;
            for _ in 0..100 {
                kept = kept && pace.wait(RATE, now, None).is_ok();
                now += SECOND;
                pace.moves(bytes);
            }
            assert_eq!(kept, lives, "{bytes} a second");
        }
    }

    #[test]
    fn too_slow_says_how_slow() {
        let (mut pace, now) = (BytePace::default(), Instant::now());
        assert_eq!(pace.wait(RATE, now, None), Ok(now + 5 * SECOND));
        pace.moves(99);
        assert_eq!(pace.wait(RATE, now + 5 * SECOND, None), Err(TooSlow { moved: 99, within: 5 * SECOND }));
    }

    /// One whose host takes so many bytes a second, which its own system does not show here.
    fn lives_by_what_is_taken(told: impl Fn(u64) -> Taken) -> bool {
        let (mut pace, mut now, mut seconds) = (BytePace::default(), Instant::now(), 0);
        let mut until = now;
        (0..100).all(|_| {
            let next = pace.wait(RATE, now, Some(&mut || told(seconds)));
            until = next.unwrap_or(until);
            seconds += 1;
            now += SECOND;
            next.is_ok()
        })
    }

    #[test]
    fn what_the_system_of_the_peer_took_counts() {
        assert!(lives_by_what_is_taken(|seconds| Some(25 * seconds)));
        assert!(lives_by_what_is_taken(|seconds| Some(40 * (seconds / 4 * 4))), "in steps");
        assert!(!lives_by_what_is_taken(|seconds| Some(10 * seconds)));
        assert!(!lives_by_what_is_taken(|_| Some(1 << 20)), "all of it long ago");
        assert!(!lives_by_what_is_taken(|_| None));
    }

    #[test]
    fn only_time_that_was_waited_counts() {
        let (mut pace, now) = (BytePace::default(), Instant::now());
        assert!(pace.wait(RATE, now, None).is_ok());
        pace.rest();
        assert_eq!(pace.wait(RATE, now + 60 * SECOND, None), Ok(now + 65 * SECOND));
    }

    #[test]
    fn one_that_was_stopped_itself_blames_nobody() {
        let (mut pace, now) = (BytePace::default(), Instant::now());
        assert!(pace.wait(RATE, now, None).is_ok());
        let back = now + 30 * SECOND;
        assert_eq!(pace.wait(RATE, back, None), Ok(back + 5 * SECOND));
        assert!(pace.wait(RATE, back + 5 * SECOND, None).is_err());
    }

    #[test]
    fn a_steady_rate_is_a_kibibyte_a_second() {
        assert_eq!(Rate::steady(60 * SECOND).bytes, 60 * 1024);
        assert_eq!(Rate::steady(Duration::ZERO).bytes, 1);
        let mut pace = BytePace::default();
        assert!(pace.wait(Rate::steady(Duration::MAX), Instant::now(), None).is_ok());
    }

    #[test]
    fn who_holds_more_than_the_refused_has_to_be_quicker() {
        let budget = Budget::new(1 << 28, 1.0, 100, 1 << 20);
        let (account, mut now) = (budget.open(), Instant::now());
        let charge = account.charge(1 << 20);
        let mut watch = PaceWatch::for_reading(60 * SECOND, true);
        let lives = |watch: &mut PaceWatch, now: &mut Instant, pressed: bool| {
            let mut lives = true;
            for _ in 0..20 {
                if pressed {
                    budget.note_refusal(1000, *now);
                }
                lives = lives && watch.wait(&account, false, *now, None).is_ok();
                watch.moves(2000);
                *now += SECOND;
            }
            lives
        };
        assert!(lives(&mut watch, &mut now, false));
        assert!(!lives(&mut watch, &mut now, true));
        watch.rest();
        let mut only = PaceWatch::for_reading(60 * SECOND, false);
        assert!(lives(&mut only, &mut now, true));
        drop(charge);
        watch.rest();
        assert!(lives(&mut watch, &mut now, true), "its own part is nobody else's");
        watch.rest();
        let stalls = (0..20).any(|second| {
            watch.moves(2000);
            watch.wait(&account, true, now + second * SECOND, None).is_err()
        });
        assert!(stalls, "others wait for what it has");
    }
}
