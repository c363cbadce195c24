//! How a new connection takes the place of one that stands.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    ClientConn, ClientCore, ClientState,
    establish::{Ends, establish},
};
use crate::{deadline::later, error::Disconnected};

/// For how long calls are held back at most, so that those that are open end and a worn connection
/// can be replaced: a client that always has one open finds no other moment.
const HELD: Duration = Duration::from_millis(250);

/// How often it is looked meanwhile whether they have ended.
pub(super) const HELD_LOOK: Duration = Duration::from_millis(2);

/// When that is tried again after the first time that they had not.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest time between two tries: each is twice as long as the one before.
const AT_LAST: Duration = Duration::from_secs(60);

/// The round in which an address is given all the time that is set.
const ALL_ITS_TIME: u32 = u32::MAX;

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

/// A new connection takes the place of the old one, as when a 3.0.1 server is to be told of added
/// callbacks.
///
/// Gives the connection to go on with, and whether the server may take the old one for replaced
/// although it is not.
pub(super) async fn replace(shared: &Arc<ClientCore>, old: Arc<ClientConn>, ends: &Ends) -> (Arc<ClientConn>, bool) {
    hold_calls(shared);
    match establish(shared, ends, Some(&old), ALL_ITS_TIME).await {
        Ok(new) => {
            old.conn.end(Disconnected::Replaced, false);
            (new, false)
        }
        Err(error) => {
            if !shared.node.life.is_stopping() {
                tracing::warn!(node = %shared.node.name, %error, "the connection could not be replaced");
            }
            go_on(shared, &old);
            (old, true)
        }
    }
}

/// Has calls wait for a connection.
pub(super) fn hold_calls(shared: &ClientCore) {
    shared.set_state(ClientState::Replacing);
    shared.showing().clear();
}

/// Lets calls that were held back go on where they were.
pub(super) fn go_on(shared: &ClientCore, conn: &Arc<ClientConn>) {
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
