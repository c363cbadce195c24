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

/// A large one that would wait for longer is refused.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The turns of newcomers with long lists, which take long to read.
#[derive(Debug, Default)]
pub(super) struct Newcomers(Mutex<Option<Instant>>);

/// Too many newcomers with long lists wait.
#[derive(Debug)]
pub(super) struct TooManyNewcomers;

impl Newcomers {
    /// When a first handshake of so many bytes is to be looked at. `None`: now.
    pub(super) fn due(&self, bytes: usize, now: Instant) -> Result<Option<Instant>, TooManyNewcomers> {
        if bytes <= LARGE {
            return Ok(None);
        }
        let mut next = self.0.lock();
        let due = next.map_or(now, |next| next.max(now));
        if due - now > LONGEST_WAIT {
            return Err(TooManyNewcomers);
        }
        *next = Some(due + Duration::from_nanos(NANOS_FOR_BYTE.saturating_mul(bytes as u64)));
        Ok((due > now).then_some(due))
    }
}

/// What a member announced of late, and the newest that waits for its time.
#[derive(Debug, Default)]
pub(super) struct Announcing {
    /// Bytes announced beyond what the time since allows, as it was then.
    debt: u64,
    at: Option<Instant>,
    waiting: Option<WaitingHandshake>,
}

/// A handshake that was not looked at. It counts as received.
#[derive(Debug)]
struct WaitingHandshake {
    frame: Frame,
    due: Instant,
    _counted: Ticket,
}

impl Announcing {
    /// Counts an announcement of so many bytes.
    pub(super) fn charge(&mut self, bytes: usize, now: Instant) {
        self.debt = self.debt_at(now).saturating_add(bytes as u64).saturating_add(COST);
        self.at = Some(now);
    }

    /// The time from which it may announce again. `None`: now.
    pub(super) fn next_allowed(&self, now: Instant) -> Option<Instant> {
        let beyond = self.debt_at(now).checked_sub(AT_ONCE + 1)? + 1;
        Some(now + Duration::from_millis(beyond.saturating_mul(1000).div_ceil(IN_A_SECOND)))
    }

    fn debt_at(&self, now: Instant) -> u64 {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let paid = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_mul(IN_A_SECOND) / 1000;
        self.debt.saturating_sub(paid)
    }

    /// Keeps a handshake until it is `due`, in the place of an older one.
    pub(super) fn keep(&mut self, frame: Frame, counted: Ticket, due: Instant) {
        self.waiting = Some(WaitingHandshake { frame: keep(frame), due, _counted: counted });
    }

    /// The time at which the one that waits is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.due)
    }

    /// The one that waited, if its time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Frame> {
        self.waiting.take_if(|waiting| waiting.due <= now).map(|waiting| waiting.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_with_long_lists_come_one_by_one() {
        let (newcomers, begun) = (Newcomers::default(), Instant::now());
        assert!(matches!(newcomers.due(1 << 20, begun), Ok(None)));
        let waits = |bytes| newcomers.due(bytes, begun).map(|due| due.map_or(Duration::ZERO, |due| due - begun));
        assert_eq!(waits(1 << 20).unwrap().as_millis(), 16);
        assert_eq!(waits(LARGE).unwrap(), Duration::ZERO, "others do not wait for them");
        assert_eq!(waits(1 << 19).unwrap().as_millis(), 33);
        let more = (0..1000).filter(|_| waits(1 << 20).is_ok()).count();
        assert!((290..310).contains(&more), "{more} have a place");
        assert!(matches!(newcomers.due(1 << 20, begun + Duration::from_secs(6)), Ok(None)));
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
