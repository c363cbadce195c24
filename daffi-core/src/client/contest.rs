//! Whose doing it is that a connection loses this node's name.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::deadline::later;

/// For how long what was sent of a HANDSHAKE may be on its way, or wait at a server that is slow.
/// Servers of this project give a connection 10 s to say it, unless they are set otherwise.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// Until when an eviction counts as the doing of another HANDSHAKE of this node: of one that was
/// said while a connection stands, or given up before it. One by another node of this name that
/// comes later is what it seems to be.
#[derive(Debug, Default)]
pub(super) struct Contest(Mutex<Option<Instant>>);

impl Contest {
    /// Such a HANDSHAKE was said, or given up.
    pub(super) fn begin(&self) {
        *self.0.lock() = Some(later(ON_ITS_WAY));
    }

    /// What was on its way has arrived, or has its end.
    pub(super) fn end(&self) {
        *self.0.lock() = None;
    }

    pub(super) fn goes_on(&self) -> bool {
        self.0.lock().is_some_and(|until| until > Instant::now())
    }

    /// The same for a connection that is made next.
    pub(super) fn of_next(&self) -> Self {
        Self(Mutex::new(*self.0.lock()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_for_a_while_or_until_it_is_ended() {
        let contest = Contest::default();
        assert!(!contest.goes_on());
        contest.begin();
        let next = contest.of_next();
        assert!(contest.goes_on() && next.goes_on());
        contest.end();
        assert!(!contest.goes_on() && next.goes_on());
        tokio::time::sleep(ON_ITS_WAY).await;
        assert!(!next.goes_on());
    }
}
