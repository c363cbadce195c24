//! The line of attempts whose links stand and that are to say HANDSHAKE.

use std::time::Duration;

use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard, watch},
    time::{Instant, sleep_until},
};

use super::schedule::Tried;

/// How long one has the floor while others wait that never had it.
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

/// Attempts that are made side by side say HANDSHAKE one after another, in the order in which their
/// links stood: two addresses may be ways to one server, and there the second HANDSHAKE takes the
/// name from the first.
///
/// Who had the floor in vain hurries nobody: an address that refuses, and is back at once, would
/// else keep the time of one that is slow too short for ever.
#[derive(Debug)]
pub(super) struct HelloLine {
    first: AsyncMutex<()>,
    floor: FloorTime,
    /// How many wait that have not had the floor since there was a connection.
    new: watch::Sender<u32>,
}

impl HelloLine {
    pub(super) fn new(floor: FloorTime) -> Self {
        Self { first: AsyncMutex::default(), floor, new: watch::Sender::default() }
    }

    /// Waits until nobody else's HANDSHAKE is under way. Cancel safe.
    pub(super) async fn floor(&self, tried: Tried) -> HelloFloor<'_> {
        let _waits = (tried.hellos == 0).then(|| WaitsInLine::begin(&self.new));
        let first = self.first.lock().await;
        HelloFloor { _first: first, line: self, was_silent: tried.silences > 0, begun: Instant::now() }
    }
}

/// One more waits that never had the floor, until this is dropped.
struct WaitsInLine<'a>(&'a watch::Sender<u32>);

impl<'a> WaitsInLine<'a> {
    fn begin(new: &'a watch::Sender<u32>) -> Self {
        new.send_modify(|new| *new += 1);
        Self(new)
    }
}

impl Drop for WaitsInLine<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|new| *new -= 1);
    }
}

impl FloorTime {
    /// The time of one while so many wait that never had the floor.
    fn beside(self, new: u32) -> Duration {
        if self.is_shared { (self.time / new).max(SHORT) } else { self.time }
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
    /// Waits until another one is to have the floor that never had it. Gives the time that this one
    /// had, which begins anew. For ever if nobody waits for that. Cancel safe.
    pub(super) async fn is_over(&mut self) -> Duration {
        let mut waiting = self.line.new.subscribe();
        loop {
            let within = match *waiting.borrow_and_update() {
                0 => None,
                _ if self.was_silent => Some(SHORT),
                new => Some(self.line.floor.beside(new)),
            };
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

    const NEW: Tried = Tried { silences: 0, hellos: 0 };
    const SILENT: Tried = Tried { silences: 1, hellos: 1 };
    const REFUSED: Tried = Tried { silences: 0, hellos: 1 };

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
        assert_eq!([1, 2, 9].map(|new| FLOOR_OF_WHO_MOVES.beside(new)), [2 * SHORT, SHORT, SHORT]);
        drop(first);
        drop(second.await);
        third.await;
        assert_eq!(*line.new.borrow(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_had_the_floor_in_vain_hurries_nobody_and_has_it_shortly_if_it_was_silent() {
        let line = HelloLine::new(FLOOR);
        let mut first = line.floor(SILENT).now_or_never().unwrap();
        let mut others = [Box::pin(line.floor(REFUSED)), Box::pin(line.floor(SILENT))];
        for other in &mut others {
            assert!(futures::poll!(other).is_pending());
        }
        assert!(timeout(FLOOR.time * 60, first.is_over()).await.is_err());
        let mut new = Box::pin(line.floor(NEW));
        assert!(futures::poll!(&mut new).is_pending());
        assert_eq!(first.is_over().await, SHORT);
    }
}
