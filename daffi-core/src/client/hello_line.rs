//! The line of attempts whose links stand and that are to say HANDSHAKE.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard, Notify},
    time::{Instant, sleep_until},
};

/// How long the answer to a HANDSHAKE is waited for at an address that was silent before, while
/// another one waits that was so less often.
const SILENT_BEFORE: Duration = Duration::from_millis(250);

/// Attempts that are made side by side say HANDSHAKE one after another, in the order in which their
/// links stood: two addresses may be ways to one server, and there the second HANDSHAKE takes the
/// name from the first.
#[derive(Debug, Default)]
pub(super) struct HelloLine {
    first: AsyncMutex<()>,
    /// How long each of those who wait would wait for its own answer.
    waiting: Mutex<Vec<Duration>>,
    /// One began to wait, or waits no more.
    changed: Notify,
}

impl HelloLine {
    /// Waits until nobody else's HANDSHAKE is under way. `patience`: how long the answer may take.
    /// Cancel safe.
    pub(super) async fn turn(&self, patience: Duration) -> HelloTurn<'_> {
        self.waiting.lock().push(patience);
        self.changed.notify_one();
        let _waits = Waits(self, patience);
        HelloTurn { _first: self.first.lock().await, line: self, patience, begun: Instant::now() }
    }

    /// The least patience of those who wait.
    fn least(&self) -> Option<Duration> {
        self.waiting.lock().iter().min().copied()
    }
}

struct Waits<'a>(&'a HelloLine, Duration);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let waiting = &mut *self.0.waiting.lock();
        if let Some(at) = waiting.iter().position(|patience| *patience == self.1) {
            waiting.swap_remove(at);
        }
        self.0.changed.notify_one();
    }
}

/// Leave to say HANDSHAKE. It is kept until the attempt has failed and its connection has ended.
#[derive(Debug)]
pub(super) struct HelloTurn<'a> {
    _first: MutexGuard<'a, ()>,
    line: &'a HelloLine,
    patience: Duration,
    begun: Instant,
}

impl HelloTurn<'_> {
    /// Waits until another one is to have its turn: three quarters of the time that this one has,
    /// so that who leaves a server that stops is elsewhere before that has given it up after 2 s.
    /// Gives the time that it had, which begins anew. For ever if nobody waits. Cancel safe.
    pub(super) async fn is_over(&mut self) -> Duration {
        loop {
            // Who was silent more often is given more time each time.
            let within = self.line.least().map(|patience| match patience < self.patience {
                true => SILENT_BEFORE,
                false => self.patience * 3 / 4,
            });
            let over_at = self.begun + within.unwrap_or_default();
            tokio::select! {
                () = sleep_until(over_at), if within.is_some() => {
                    self.begun = Instant::now();
                    return within.unwrap_or_default();
                }
                () = self.line.changed.notified() => {}
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

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_is_first_and_has_its_time_until_another_waits() {
        let line = HelloLine::default();
        let mut first = line.turn(4 * SECOND).now_or_never().unwrap();
        let begun = first.begun;
        {
            // Who gives up waiting hurries nobody.
            let mut other = pin!(line.turn(4 * SECOND));
            assert!(futures::poll!(&mut other).is_pending());
        }
        assert!(timeout(60 * SECOND, first.is_over()).await.is_err(), "nobody waits");
        drop(first);
        let mut first = line.turn(4 * SECOND).now_or_never().unwrap();
        let mut second = Box::pin(line.turn(8 * SECOND));
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(first.is_over().await, 3 * SECOND);
        assert_eq!(begun.elapsed(), 63 * SECOND);
        assert_eq!(first.is_over().await, 3 * SECOND, "its time began anew");
        let mut third = Box::pin(line.turn(2 * SECOND));
        assert!(futures::poll!(&mut third).is_pending());
        assert_eq!(first.is_over().await, SILENT_BEFORE);
        drop(first);
        drop(second.await);
        third.await;
        assert!(line.least().is_none());
    }
}
