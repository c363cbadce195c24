//! When each address of a client may be tried again, and what is told of the attempts.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::Instant;

use super::pauses::{HowEnded, Pauses};
use crate::{config::NodeConfig, error::InitializationError};

/// So many reasons are told at once when they come up for the first time. A peer may make up more.
const MOST_REASONS: usize = 8;

/// One that goes on is told again after so many attempts, and then ever more seldom.
const SELDOM: u64 = 16;

/// One whose connection ended soon lets the others have so much time alone, twice as much the next
/// time.
const ALONE: Duration = Duration::from_millis(1500);

/// So often that doubles.
const MOST_DOUBLED: u32 = 4;

/// What was seen of each address, so that one that fails holds up none of the others.
pub(super) struct Schedule(Vec<AddressState>);

#[derive(Clone)]
struct AddressState {
    pauses: Pauses,
    /// Not before that. `None`: at any time.
    due: Option<Instant>,
    /// Not before that while another one is tried.
    yields_until: Option<Instant>,
    tried: Tried,
    reasons: Reasons,
}

/// What came of the attempts at an address since there was a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    /// How many ended because nothing came in their time: they had too little of it, and the next
    /// one has more. One that is refused needs none.
    pub(super) silences: u32,
    /// How many of those had a link that stood.
    pub(super) unanswered: u32,
    /// How many had a link that stood, and failed otherwise.
    pub(super) refusals: u32,
    /// How many connections ended soon, one after another. A handshake that is answered says no
    /// more than a refusal of a server that ends them each time.
    pub(super) ends: u32,
}

impl Tried {
    /// Of one attempt.
    pub(super) fn once(error: &InitializationError) -> Self {
        let (is_silence, had_link) = (error.is_silence(), error.is_of_handshake());
        Self {
            silences: u32::from(is_silence),
            unanswered: u32::from(is_silence && had_link),
            refusals: u32::from(!is_silence && had_link),
            ends: 0,
        }
    }

    /// How often it failed at once, if it was never silent over a link that stood.
    pub(super) fn quick_failures(self) -> Option<u32> {
        (self.unanswered == 0).then_some(self.refusals.saturating_add(self.ends))
    }
}

impl Schedule {
    /// One for so many addresses, of which a client has one at least.
    pub(super) fn new(config: &NodeConfig, addresses: usize) -> Self {
        let place = AddressState {
            pauses: Pauses::new(config),
            due: None,
            yields_until: None,
            tried: Tried::default(),
            reasons: Reasons::default(),
        };
        Self(vec![place; addresses.max(1)])
    }

    /// The address to try after that one, and when: the one that may be tried first, in their
    /// order. `None`: all are being tried.
    pub(super) fn next(&self, last: usize, tried: impl Fn(usize) -> bool) -> Option<(usize, Instant)> {
        self.first_of(last, self.0.len(), tried)
    }

    /// The address to try after that one among the others alone, and when.
    pub(super) fn next_other(&self, than: usize, tried: impl Fn(usize) -> bool) -> Option<(usize, Instant)> {
        self.first_of(than, self.0.len() - 1, tried)
    }

    fn first_of(&self, last: usize, count: usize, tried: impl Fn(usize) -> bool) -> Option<(usize, Instant)> {
        let now = Instant::now();
        let is_one_tried = (0..self.0.len()).any(&tried);
        let due = |at: usize| {
            let place = &self.0[at];
            let yields_until = place.yields_until.filter(|_| is_one_tried);
            (at, [place.due, yields_until].into_iter().flatten().fold(now, Instant::max))
        };
        let others = (1..=count).map(|n| (last + n) % self.0.len()).filter(|at| !tried(*at));
        others.map(due).min_by_key(|(_, due)| *due)
    }

    pub(super) fn tries(&self, at: usize) -> Tried {
        self.0[at].tried
    }

    /// An attempt failed so.
    pub(super) fn note_tried(&mut self, at: usize, once: Tried) {
        let tried = &mut self.0[at].tried;
        tried.silences = tried.silences.saturating_add(once.silences);
        tried.unanswered = tried.unanswered.saturating_add(once.unanswered);
        tried.refusals = tried.refusals.saturating_add(once.refusals);
    }

    /// A connection to this address has ended that stood for so long.
    pub(super) fn note_end(&mut self, at: usize, stood: Duration, how: HowEnded) {
        let (place, now) = (&mut self.0[at], Instant::now());
        let has_stood = place.pauses.note_end(stood, how);
        place.due = Some(now + place.pauses.next());
        if has_stood {
            (place.tried.ends, place.yields_until) = (0, None);
        } else if how != HowEnded::Replaced {
            place.yields_until = Some(now + ALONE * 2u32.pow(place.tried.ends.min(MOST_DOUBLED)));
            place.tried.ends = place.tried.ends.saturating_add(1);
        }
    }

    /// When the address that was lost may be tried again.
    pub(super) fn due(&self, at: usize) -> Instant {
        self.0[at].due.unwrap_or_else(Instant::now)
    }

    pub(super) fn note_connected(&mut self, at: usize) {
        let place = &mut self.0[at];
        place.tried = Tried { ends: place.tried.ends, ..Tried::default() };
        place.reasons = Reasons::default();
    }

    /// An attempt failed for this reason, and the next one is to be made later. Gives whether this
    /// is to be told.
    pub(super) fn note_failure(&mut self, at: usize, reason: &str, once: Tried) -> bool {
        self.note_tried(at, once);
        let place = &mut self.0[at];
        place.due = Some(Instant::now() + place.pauses.next());
        place.reasons.is_news(reason)
    }

    /// The pause before the first attempt at another address, when a connection was lost.
    pub(super) fn at_first(&self) -> Duration {
        self.0[0].pauses.at_first()
    }

    /// The pause before another address is tried while the connection stands.
    pub(super) fn moment(&self) -> Duration {
        self.0[0].pauses.moment()
    }
}

/// Why attempts at one address have failed since there was a connection.
#[derive(Clone, Default)]
struct Reasons {
    seen: Vec<u64>,
    last: u64,
    /// How often that came in a row.
    run: u64,
}

impl Reasons {
    /// Whether this one is to be told: it is new, or has gone on for a while.
    fn is_news(&mut self, reason: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        reason.hash(&mut hasher);
        let reason = hasher.finish();
        self.run = if self.last == reason { self.run.saturating_add(1) } else { 1 };
        self.last = reason;
        let is_new = self.seen.len() < MOST_REASONS && !self.seen.contains(&reason);
        if is_new {
            self.seen.push(reason);
        }
        is_new || self.run >= SELDOM && self.run.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_holds_up_no_other() {
        let mut schedule = Schedule::new(&NodeConfig::client(), 3);
        let begun = Instant::now();
        for _ in 0..10 {
            schedule.note_end(0, SECOND / 2, HowEnded::Lost);
        }
        let idle = |_| false;
        assert_eq!(schedule.next(0, idle), Some((1, begun)));
        assert_eq!(schedule.next(0, |at| at == 1), Some((2, begun)));
        schedule.note_failure(1, "refused", Tried::default());
        assert_eq!(schedule.next(1, idle), Some((2, begun)));
        assert_eq!(schedule.next_other(2, idle).map(|(at, _)| at), Some(1));
        assert!(schedule.next_other(2, |at| at < 2).is_none());
        for _ in 0..10 {
            schedule.note_failure(2, "silent", Tried { silences: 1, ..Tried::default() });
        }
        let (at, due) = schedule.next(2, idle).unwrap();
        assert!(at == 1 && due > begun && due <= begun + SECOND / 20, "{at} {due:?}");
        assert_eq!([1, 2].map(|at| schedule.tries(at).silences), [0, 10]);
        schedule.note_connected(2);
        assert_eq!(schedule.tries(2), Tried::default());
        let one = Schedule::new(&NodeConfig::client(), 1);
        assert!(one.next_other(0, idle).is_none() && one.next(0, idle).is_some_and(|(at, _)| at == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_its_connections_soon_yields_to_others_that_are_tried() {
        let mut schedule = Schedule::new(&NodeConfig::client(), 2);
        for alone in [1, 2, 4, 8, 16, 16] {
            schedule.note_end(0, SECOND / 2, HowEnded::Lost);
            schedule.note_connected(0);
            let (at, due) = schedule.next(0, |at| at == 1).unwrap();
            assert_eq!((at, due), (0, Instant::now() + alone * ALONE));
            let (_, due) = schedule.next_other(1, |_| false).unwrap();
            assert!(due <= Instant::now() + SECOND, "nobody else is tried");
        }
        schedule.note_end(0, SECOND / 2, HowEnded::Replaced);
        assert_eq!(schedule.tries(0).ends, 6, "that was this node's own doing");
        schedule.note_end(0, SECOND, HowEnded::Lost);
        assert_eq!(schedule.tries(0).quick_failures(), Some(0));
        assert!(schedule.next(0, |at| at == 1).unwrap().1 <= Instant::now() + SECOND);
        schedule.note_end(1, 60 * SECOND, HowEnded::Repeats);
        assert_eq!(schedule.tries(1).quick_failures(), Some(1));
    }

    #[test]
    fn a_reason_is_told_when_it_is_new_and_then_seldom() {
        let mut reasons = Reasons::default();
        let refused: Vec<_> = (1..200).filter(|_| reasons.is_news("refused")).collect();
        assert_eq!(refused, [1, 16, 32, 64, 128]);
        assert!(reasons.is_news("certificate") && !reasons.is_news("certificate"));
        // What is true again after a while is the last that was told.
        let again: Vec<_> = (1..20).filter(|_| reasons.is_news("refused")).collect();
        assert_eq!(again, [16]);
        let made_up = (0..1000).filter(|n| reasons.is_news(&n.to_string())).count();
        assert_eq!(made_up, MOST_REASONS - 2);
    }
}
