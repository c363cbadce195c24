//! The line of attempts whose links stand and that are to say HANDSHAKE.

use std::time::Duration;

use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard, watch},
    time::{Instant, sleep_until},
};

use super::schedule::Tried;

/// How long one has the floor while others wait that were never refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct FloorTime {
    time: Duration,
    /// All that wait share it.
    is_shared: bool,
}

/// The time of who connects: a server that answers in it is found however many others are silent.
pub(super) const FLOOR: FloorTime = FloorTime { time: Duration::from_millis(1500), is_shared: false };

/// The time of who leaves a server that stops, so that it is elsewhere before that has given it up
/// after 2 s.
pub(super) const FLOOR_OF_WHO_MOVES: FloorTime = FloorTime { time: Duration::from_millis(500), is_shared: true };

/// The least of these times, and the time of one that was silent before.
const SHORT: Duration = Duration::from_millis(250);

/// After so many failures the time that another one has for that doubles no more.
const MOST_DOUBLED: u32 = 10;

/// Attempts that are made side by side say HANDSHAKE one after another, in the order in which their
/// links stood: two addresses may be ways to one server, and there the second HANDSHAKE takes the
/// name from the first.
///
/// Who had the floor, and got no answer, hurries nobody. Who was refused hurries others half as
/// much each time: an address that is back soon is not kept waiting, and one that refuses for ever
/// does not keep the time of one that is slow too short for ever.
#[derive(Debug)]
pub(super) struct HelloLine {
    first: AsyncMutex<()>,
    floor: FloorTime,
    /// Of those that wait and hurry others, how often each was refused.
    hurrying: watch::Sender<Vec<u32>>,
}

impl HelloLine {
    pub(super) fn new(floor: FloorTime) -> Self {
        Self { first: AsyncMutex::default(), floor, hurrying: watch::Sender::default() }
    }

    /// Waits until nobody else's HANDSHAKE is under way. Cancel safe.
    pub(super) async fn floor(&self, tried: Tried) -> HelloFloor<'_> {
        let _waits = tried.quick_failures().map(|failures| WaitsInLine::begin(&self.hurrying, failures));
        let first = self.first.lock().await;
        HelloFloor { _first: first, line: self, was_silent: tried.silences > 0, begun: Instant::now() }
    }
}

/// One more waits that was refused so often, until this is dropped.
struct WaitsInLine<'a> {
    hurrying: &'a watch::Sender<Vec<u32>>,
    failures: u32,
}

impl<'a> WaitsInLine<'a> {
    fn begin(hurrying: &'a watch::Sender<Vec<u32>>, failures: u32) -> Self {
        hurrying.send_modify(|hurrying| hurrying.push(failures));
        Self { hurrying, failures }
    }
}

impl Drop for WaitsInLine<'_> {
    fn drop(&mut self) {
        self.hurrying.send_modify(|hurrying| {
            if let Some(at) = hurrying.iter().position(|failures| *failures == self.failures) {
                hurrying.swap_remove(at);
            }
        });
    }
}

impl FloorTime {
    /// The time of one while those wait who were refused so often each. `None`: as much as it
    /// takes.
    fn beside(self, hurrying: &[u32], was_silent: bool) -> Option<Duration> {
        let failures = *hurrying.iter().min()?;
        let waiting = u32::try_from(hurrying.len()).unwrap_or(u32::MAX);
        let time = match was_silent {
            true => SHORT,
            false if self.is_shared => (self.time / waiting).max(SHORT),
            false => self.time,
        };
        Some(time * 2u32.pow(failures.min(MOST_DOUBLED)))
    }
}

/// Leave to say HANDSHAKE. It is kept until the attempt has failed and its connection has ended.
#[derive(Debug)]
pub(super) struct HelloFloor<'a> {
    _first: MutexGuard<'a, ()>,
    line: &'a HelloLine,
    was_silent: bool,
    begun: Instant,
}

impl HelloFloor<'_> {
    /// Waits until another one is to have the floor that hurries this one. Gives the time that this
    /// one had, which begins anew. For ever if nobody does. Cancel safe.
    pub(super) async fn is_over(&mut self) -> Duration {
        let mut waiting = self.line.hurrying.subscribe();
        loop {
            let within = self.line.floor.beside(&waiting.borrow_and_update(), self.was_silent);
            let over_at = self.begun + within.unwrap_or_default();
            tokio::select! {
                () = sleep_until(over_at), if within.is_some() => {
                    self.begun = Instant::now();
                    return within.unwrap_or_default();
                }
                // The line outlives who has its floor.
                _ = waiting.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;
    use tokio::time::timeout;

    use super::*;

    const NEW: Tried = Tried { silences: 0, unanswered: 0, refusals: 0, ends: 0 };
    const SILENT: Tried = Tried { silences: 1, unanswered: 1, ..NEW };
    const REFUSED: Tried = Tried { refusals: 1, ..NEW };

    #[tokio::test(start_paused = true)]
    async fn one_is_first_and_has_its_time_until_another_waits() {
        let line = HelloLine::new(FLOOR);
        let mut first = line.floor(NEW).now_or_never().unwrap();
        let begun = first.begun;
        {
            // Who gives up waiting hurries nobody.
            let mut other = pin!(line.floor(NEW));
            assert!(futures::poll!(&mut other).is_pending());
        }
        assert!(timeout(FLOOR.time * 60, first.is_over()).await.is_err(), "nobody waits");
        drop(first);
        let mut first = line.floor(NEW).now_or_never().unwrap();
        let mut second = Box::pin(line.floor(NEW));
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(first.is_over().await, FLOOR.time);
        assert_eq!(begun.elapsed(), FLOOR.time * 61);
        assert_eq!(first.is_over().await, FLOOR.time, "its time began anew");
        let mut third = Box::pin(line.floor(NEW));
        assert!(futures::poll!(&mut third).is_pending());
        assert_eq!(first.is_over().await, FLOOR.time, "they do not share it");
        let shared = [1, 2, 9].map(|new| FLOOR_OF_WHO_MOVES.beside(&vec![0; new], false));
        assert_eq!(shared, [2 * SHORT, SHORT, SHORT].map(Some));
        drop(first);
        drop(second.await);
        third.await;
        assert_eq!(line.hurrying.borrow().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_got_no_answer_hurries_nobody_and_who_was_refused_does_so_less_and_less() {
        let line = HelloLine::new(FLOOR);
        let mut first = line.floor(SILENT).now_or_never().unwrap();
        let mut silent = Box::pin(line.floor(SILENT));
        assert!(futures::poll!(&mut silent).is_pending());
        assert!(timeout(FLOOR.time * 60, first.is_over()).await.is_err());
        for refusals in [u32::MAX, 3, 2, 1, 0] {
            let mut refused = Box::pin(line.floor(Tried { refusals, ..NEW }));
            assert!(futures::poll!(&mut refused).is_pending());
            assert_eq!(first.is_over().await, SHORT * 2u32.pow(refusals.min(MOST_DOUBLED)));
        }
        drop(silent);
        drop(first);
        let mut first = line.floor(REFUSED).now_or_never().unwrap();
        let mut others = [Box::pin(line.floor(REFUSED)), Box::pin(line.floor(SILENT))];
        for other in &mut others {
            assert!(futures::poll!(other).is_pending());
        }
        assert_eq!(first.is_over().await, 2 * FLOOR.time, "it was not silent before");
    }
}
