//! How a new connection takes the place of one that stands.

use std::{sync::Arc, time::Duration};

use daffi_transport::Link;
use tokio::time::Instant;

use super::{
    ClientConn, ClientCore, ClientState,
    addresses::Patience,
    establish::{connect, shake_hands},
    hello_line::{FLOOR, HelloLine},
    schedule::Tried,
    supervisor::Kept,
};
use crate::{
    deadline::{in_time, later},
    error::{Disconnected, InitializationError},
};

/// For how long calls are held back at most, so that those that are open end and a worn connection
/// can be replaced: a client that always has one open finds no other moment.
const HELD: Duration = Duration::from_millis(250);

/// How often it is looked meanwhile whether they have ended.
pub(super) const HELD_LOOK: Duration = Duration::from_millis(2);

/// When that is tried again after the first time that they had not.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest time between two tries: each is twice as long as the one before.
const AT_LAST: Duration = Duration::from_secs(60);

/// When calls are held back so that a worn connection can be replaced. Calls that take longer than
/// that and overlap keep it, and all they keep from being called is who never answers.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// `None`: they were not yet.
    due: Option<Instant>,
    pause: Duration,
}

impl Holds {
    pub(super) fn are_due(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }

    /// They are held back now. Gives until when.
    pub(super) fn begin(&mut self) -> Instant {
        self.pause = (self.pause * 2).clamp(AGAIN, AT_LAST);
        self.due = Some(later(HELD + self.pause));
        later(HELD)
    }
}

/// When a connection that could not be replaced is tried to be again.
#[derive(Debug, Default)]
pub(super) struct Retries {
    failures: u32,
    /// `None`: it was not tried yet, or that worked.
    due: Option<Instant>,
}

impl Retries {
    pub(super) fn are_due(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }

    fn note_failure(&mut self) {
        let pause = AGAIN.saturating_mul(2u32.saturating_pow(self.failures)).min(AT_LAST);
        self.failures = self.failures.saturating_add(1);
        self.due = Some(later(pause));
    }
}

impl Kept<'_> {
    /// Puts a new connection in the place of the current one, as when a 3.0.1 server is to be told
    /// of added callbacks, or goes on with that if there is none. `at_once`: whoever loses by it.
    ///
    /// Calls go on where they are until the link stands, and wait while hands are shaken, for as
    /// long as is given to an address that is not all that there is.
    pub(super) async fn replace(&mut self, at_once: bool) {
        let (shared, old) = (self.shared, Arc::clone(&self.current));
        let (at, patience) = (shared.addresses.at(), Patience::in_round(&shared.node.config, self.retries.failures));
        let linked = tokio::select! {
            biased;
            // The next one is told all.
            () = old.conn.ended.cancelled() => return,
            linked = connect(shared, at, patience) => linked,
        };
        let link = match linked {
            Ok(link) => link,
            Err(error) => return self.keep(&error),
        };
        if !at_once && !self.may_be_replaced() && !self.has_held_calls().await {
            return self.retries.note_failure();
        }
        hold_calls(shared, &old);
        if !at_once && !self.may_be_replaced() {
            // A call or a stream has just begun.
            go_on(shared, &old);
            return self.retries.note_failure();
        }
        match self.successor(&old, link, (at, patience)).await {
            Ok(new) => {
                old.conn.end(Disconnected::Replaced, false);
                self.current = new;
                (self.unannounced, self.worn) = (false, false);
                (self.holds, self.retries, self.kept) = (Holds::default(), Retries::default(), 0);
            }
            Err(error) => {
                go_on(shared, &old);
                self.keep(&error);
            }
        }
    }

    /// The connection that comes next, if its server has answered within that patience: the answer
    /// that still comes is not waited for, because calls are held back.
    async fn successor(
        &self,
        old: &ClientConn,
        link: Link,
        (at, patience): (usize, Patience),
    ) -> Result<Arc<ClientConn>, InitializationError> {
        let (shared, line, within) = (self.shared, HelloLine::new(FLOOR), patience.handshake);
        let link = (link, line.floor(Tried::default()).await);
        let shaken = in_time(within, shake_hands(shared, self.ends, Some(old), link, (at, patience))).await;
        shaken.unwrap_or_else(|_| {
            let endpoint = shared.addresses.connector(at).endpoint().to_string();
            Err(InitializationError::Handshake { endpoint, source: Disconnected::HandshakeTimeout(within) })
        })
    }

    /// Goes on with the connection that there is, and tries again later.
    fn keep(&mut self, error: &InitializationError) {
        if !self.shared.node.life.is_stopping() {
            tracing::warn!(node = %self.shared.node.name, %error, "the connection could not be replaced");
        }
        self.retries.note_failure();
    }
}

/// Has calls wait for a connection: no number is given out on this one any more, so that the next
/// can go on with them.
pub(super) fn hold_calls(shared: &ClientCore, conn: &ClientConn) {
    shared.set_state(ClientState::Replacing);
    shared.showing().clear();
    conn.session.lock().in_flight.hold(true);
}

/// Lets calls that were held back go on where they were.
pub(super) fn go_on(shared: &ClientCore, conn: &Arc<ClientConn>) {
    conn.session.lock().in_flight.hold(false);
    // Who found none meanwhile looks again.
    conn.on_number_free(true);
    // Its driver knows whether the connection still stands. If not, its end is in the channel.
    // Members may have come and gone there meanwhile.
    let showing = shared.showing();
    showing.enter(conn, true);
    if conn.end_error().is_some() {
        showing.leave(conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_held_back_less_and_less_often() {
        let mut holds = Holds::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert!(holds.are_due());
            tokio::time::sleep_until(holds.begin()).await;
            let begun = Instant::now();
            assert!(!holds.are_due());
            tokio::time::sleep_until(holds.due.unwrap()).await;
            pauses.push(begun.elapsed().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
