//! How long a client waits between two attempts to connect.

use std::time::Duration;

use crate::{config::NodeConfig, deadline::bounded};

/// The shortest pause between two attempts to connect.
const SHORTEST: Duration = Duration::from_millis(1);

/// The pauses between attempts, which double and are jittered.
pub(super) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    pub(super) fn new(config: &NodeConfig, first: Option<Duration>) -> Self {
        let of_clocks = |pause: Duration| bounded(pause).max(SHORTEST);
        Self { next: of_clocks(first.unwrap_or(config.reconnect_first)), longest: of_clocks(config.reconnect_max) }
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
