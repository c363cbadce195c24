//! How often a member may say anew what it exposes. Everybody else is told of it.

use std::time::{Duration, Instant};

use daffi_transport::keep;
use daffi_wire::Frame;
use parking_lot::Mutex;

use crate::conn::Ticket;

/// Bytes that a member may announce in a second in the long run.
const IN_A_SECOND: u64 = 64 * 1024;

/// Bytes that a member may announce at once.
const AT_ONCE: u64 = 256 * 1024;

/// What an announcement costs beside its bytes.
const COST: u64 = 1024;

/// First handshakes of more bytes than this come one by one.
const LARGE: usize = 32 * 1024;

/// Between the large ones so much time passes for each byte, of which reading it takes a quarter.
const NANOS_FOR_BYTE: u64 = 16;

/// Members with a name of more bytes than this come one by one as well, and so much time passes for
/// each byte of it: everybody is told of their coming and of their going, by that name.
const LONG_NAME: usize = 256;
const NANOS_FOR_NAME_BYTE: u64 = 4_000;

/// One that would wait for longer is refused.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The turns of newcomers with long lists, which take long to read, or long names.
#[derive(Debug, Default)]
pub(crate) struct Newcomers(Mutex<Option<Instant>>);

/// Too many newcomers with long lists or names wait.
#[derive(Debug)]
pub(crate) struct TooManyNewcomers;

impl Newcomers {
    /// When a first handshake that takes others so long is to be looked at. `None`: now. `before`:
    /// one of the same connection that waits, whose turn it has.
    pub(crate) fn due(
        &self,
        takes: Duration,
        before: Option<NewcomerTurn>,
        now: Instant,
    ) -> Result<Option<Instant>, TooManyNewcomers> {
        let more = takes.saturating_sub(before.map_or(Duration::ZERO, |before| before.takes));
        if more.is_zero() {
            return Ok(before.map(|before| before.due));
        }
        let mut next = self.0.lock();
        let free = next.map_or(now, |next| next.max(now));
        if free - now > LONGEST_WAIT {
            return Err(TooManyNewcomers);
        }
        *next = Some(free + more);
        Ok(before.map(|before| before.due).or((free > now).then_some(free)))
    }
}

/// The turn of a newcomer that waits, and how long others wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewcomerTurn {
    due: Instant,
    takes: Duration,
}

/// How long others wait for a first handshake of so many bytes, under a name of so many.
pub(crate) fn first_takes(bytes: usize, name: usize) -> Duration {
    let of_list = if bytes > LARGE { NANOS_FOR_BYTE.saturating_mul(bytes as u64) } else { 0 };
    let of_name = if name > LONG_NAME { NANOS_FOR_NAME_BYTE.saturating_mul(name as u64) } else { 0 };
    Duration::from_nanos(of_list.saturating_add(of_name))
}

/// What a member announced of late, and the newest that waits for its time.
#[derive(Debug, Default)]
pub(crate) struct Announcing {
    rate: AnnouncedRate,
    waiting: Option<WaitingHandshake>,
}

/// Bytes of a member that cost others more than their sender, as time goes on.
#[derive(Debug, Default)]
pub(crate) struct AnnouncedRate {
    /// Bytes beyond what the time since allows, as it was then.
    debt: u64,
    at: Option<Instant>,
}

impl AnnouncedRate {
    pub(crate) fn charge(&mut self, bytes: u64, now: Instant) {
        self.debt = self.debt_at(now).saturating_add(bytes);
        self.at = Some(now);
    }

    /// The time from which there may be more. `None`: now.
    pub(crate) fn next_allowed(&self, now: Instant) -> Option<Instant> {
        let beyond = self.debt_at(now).checked_sub(AT_ONCE + 1)? + 1;
        Some(now + Duration::from_millis(beyond.saturating_mul(1000).div_ceil(IN_A_SECOND)))
    }

    fn debt_at(&self, now: Instant) -> u64 {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let paid = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_mul(IN_A_SECOND) / 1000;
        self.debt.saturating_sub(paid)
    }
}

/// A handshake that was not looked at. It counts as received.
#[derive(Debug)]
struct WaitingHandshake {
    frame: Frame,
    turn: NewcomerTurn,
    _counted: Ticket,
}

impl Announcing {
    /// Counts an announcement of so many bytes.
    pub(crate) fn charge(&mut self, bytes: usize, now: Instant) {
        self.rate.charge((bytes as u64).saturating_add(COST), now);
    }

    /// The time from which it may announce again. `None`: now.
    pub(crate) fn next_allowed(&self, now: Instant) -> Option<Instant> {
        self.rate.next_allowed(now)
    }

    /// Keeps a handshake until it is `due`, in the place of an older one. `takes`: how long other
    /// newcomers wait for it, by both.
    pub(crate) fn keep(&mut self, frame: Frame, counted: Ticket, due: Instant, takes: Duration) {
        let takes = self.turn().map_or(takes, |before| before.takes.max(takes));
        self.waiting =
            Some(WaitingHandshake { frame: keep(frame), turn: NewcomerTurn { due, takes }, _counted: counted });
    }

    /// The turn of the one that waits.
    pub(crate) fn turn(&self) -> Option<NewcomerTurn> {
        self.waiting.as_ref().map(|waiting| waiting.turn)
    }

    /// The time at which the one that waits is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.turn().map(|turn| turn.due)
    }

    /// The one that waited, if its time has come.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Frame> {
        self.waiting.take_if(|waiting| waiting.turn.due <= now).map(|waiting| waiting.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_with_long_lists_come_one_by_one() {
        let (newcomers, begun) = (Newcomers::default(), Instant::now());
        let due = |bytes, at| newcomers.due(first_takes(bytes, 10), None, at);
        assert!(matches!(due(1 << 20, begun), Ok(None)));
        let waits = |bytes| due(bytes, begun).map(|due| due.map_or(Duration::ZERO, |due| due - begun));
        assert_eq!(waits(1 << 20).unwrap().as_millis(), 16);
        assert_eq!(waits(LARGE).unwrap(), Duration::ZERO, "others do not wait for them");
        assert_eq!(waits(1 << 19).unwrap().as_millis(), 33);
        let more = (0..1000).filter(|_| waits(1 << 20).is_ok()).count();
        assert!((290..310).contains(&more), "{more} have a place");
        assert!(matches!(due(1 << 20, begun + Duration::from_secs(6)), Ok(None)));
    }

    #[test]
    fn newcomers_with_long_names_come_one_by_one() {
        let (newcomers, begun) = (Newcomers::default(), Instant::now());
        let due = |name, at| newcomers.due(first_takes(100, name), None, at);
        let let_in = |at| (0..1000).filter(|_| matches!(due(10_000, at), Ok(None))).count();
        assert_eq!((let_in(begun), let_in(begun + Duration::from_secs(60))), (1, 1));
        let waiting = (0..1000).filter(|_| due(10_000, begun).is_ok()).count();
        assert_eq!(waiting, 0, "after 1,000 of them more would wait for too long");
        assert!(matches!(due(LONG_NAME, begun), Ok(None)), "others do not wait for them");
    }

    #[test]
    fn one_that_says_handshake_again_has_one_turn_and_pays_what_is_more() {
        let (newcomers, begun) = (Newcomers::default(), Instant::now());
        let takes = |name| first_takes(100, name);
        assert!(matches!(newcomers.due(takes(10_000), None, begun), Ok(None)));
        let mut turn =
            NewcomerTurn { due: newcomers.due(takes(1_000), None, begun).unwrap().unwrap(), takes: takes(1_000) };
        for name in [1_000, 10, 10_000, 9_000, 10_000] {
            let due = newcomers.due(takes(name), Some(turn), begun).unwrap();
            assert_eq!(due, Some(turn.due), "{name}");
            turn.takes = turn.takes.max(takes(name));
        }
        let next = newcomers.due(takes(1_000), None, begun).unwrap().unwrap();
        assert_eq!(next - begun, 2 * takes(10_000), "and others wait for the longest of all");
    }

    #[test]
    fn much_at_once_is_followed_by_a_pause() {
        let (mut announcing, begun) = (Announcing::default(), Instant::now());
        assert_eq!(announcing.next_allowed(begun), None);
        for _ in 0..100 {
            announcing.charge(1000, begun);
        }
        assert_eq!(announcing.next_allowed(begun), None, "small ones are free for a while");
        announcing.charge(1 << 20, begun);
        let again = announcing.next_allowed(begun).unwrap();
        assert!((14..18).contains(&(again - begun).as_secs()), "{:?}", again - begun);
        assert!(announcing.next_allowed(again - Duration::from_millis(10)).is_some());
        assert_eq!(announcing.next_allowed(again), None);
        // In the long run.
        let (mut now, mut bytes) = (again, 0_u64);
        while now < again + Duration::from_secs(1000) {
            announcing.charge(900_000, now);
            bytes += 900_000;
            now = announcing.next_allowed(now).unwrap();
        }
        assert!(bytes < 1000 * (IN_A_SECOND + 1000), "{bytes}");
    }
}
