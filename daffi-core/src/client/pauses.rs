//! How long a client waits between two attempts to connect.

use std::time::Duration;

use tokio::time::sleep;

use super::ClientCore;
use crate::{config::NodeConfig, deadline::bound};

/// The shortest pause between two attempts to connect.
const SHORTEST: Duration = Duration::from_millis(1);

/// Of so much of the longest pause a connection has to have stood for its orderly end to be no
/// failure: two servers that send a client to and fro are none that it can use.
const OF_LONGEST: u32 = 4;

/// The longest moment before a client goes to another address.
const MOMENT: Duration = Duration::from_millis(50);

/// How a connection has ended, as far as that tells of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HowEnded {
    /// The server was stopped in order.
    InOrder,
    Lost,
    /// The next one will end alike.
    Repeats,
    /// Another attempt of this node took its name, which says nothing of the server.
    Replaced,
}

/// The pauses between attempts at one address, which double and are jittered.
///
/// They go on from one connection to the next: a server that takes each and ends it soon is no
/// better than one that takes none.
#[derive(Clone)]
pub(super) struct Pauses {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Pauses {
    pub(super) fn new(config: &NodeConfig) -> Self {
        let [first, longest] = [config.reconnect_first, config.reconnect_max].map(|pause| bound(pause).max(SHORTEST));
        Self { next: first, first, longest }
    }

    /// A connection has ended that stood for so long. Gives whether that was long enough for it to
    /// be no failure.
    pub(super) fn note_end(&mut self, stood: Duration, how: HowEnded) -> bool {
        let enough = match how {
            HowEnded::Repeats => {
                self.next = self.longest;
                return false;
            }
            HowEnded::InOrder => self.longest / OF_LONGEST,
            HowEnded::Lost | HowEnded::Replaced => self.longest,
        };
        let has_stood = stood >= enough;
        if has_stood {
            self.next = self.first;
        }
        has_stood
    }

    /// The pause before the first attempt at another address than the one that was lost: the
    /// clients of one server do not come all at once to the next.
    pub(super) fn at_first(&self) -> Duration {
        jitter(self.first)
    }

    /// The pause before another address is tried while the connection stands: calls are refused
    /// there, or not answered.
    pub(super) fn moment(&self) -> Duration {
        jitter(self.first.min(MOMENT))
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.longest);
        jitter(pause)
    }
}

/// Gives half to all of `pause`, so that the clients of a restarted server do not come back all at
/// once.
fn jitter(pause: Duration) -> Duration {
    // This comes from the generator of this thread, which a simulation seeds.
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Waits between two attempts. `false`: the node is stopped.
pub(super) async fn rest(shared: &ClientCore, pause: Duration) -> bool {
    tokio::select! {
        biased;
        () = shared.node.life.stopping.cancelled() => false,
        () = sleep(pause) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn connections_that_end_soon_are_made_ever_more_rarely() {
        let mut pauses = Pauses::new(&NodeConfig::client());
        let is_about = |pauses: &mut Pauses, millis: u64| {
            let pause = pauses.next();
            assert!(pause <= Duration::from_millis(millis) && 2 * pause >= Duration::from_millis(millis), "{pause:?}");
        };
        for millis in [50, 100, 200, 400, 800, 1000, 1000] {
            pauses.note_end(SECOND / 2, HowEnded::Lost);
            is_about(&mut pauses, millis);
        }
        pauses.note_end(SECOND, HowEnded::Lost);
        is_about(&mut pauses, 50);
        pauses.note_end(SECOND / 5, HowEnded::InOrder);
        is_about(&mut pauses, 100);
        pauses.note_end(SECOND / 2, HowEnded::InOrder);
        is_about(&mut pauses, 50);
        pauses.note_end(60 * SECOND, HowEnded::Repeats);
        is_about(&mut pauses, 1000);
    }
}
