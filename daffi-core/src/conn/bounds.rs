//! What a driver holds one connection to, out of the node's configuration.

use std::time::Duration;

use crate::{config::NodeConfig, deadline::bound};

#[derive(Clone, Copy)]
pub(super) struct Times {
    /// How long the whole handshake may take.
    pub(super) handshake: Duration,
    /// How long it may still take.
    pub(super) opening: Duration,
    pub(super) linger: Duration,
    /// The most bytes of the answer to a handshake that are waited for beyond its time.
    pub(super) longest_answer: usize,
}

impl Times {
    pub(super) fn of(config: &NodeConfig, opening: Duration) -> Self {
        Self {
            handshake: config.handshake_timeout,
            opening: bound(opening),
            linger: bound(config.linger),
            longest_answer: config.limits.max_list_bytes,
        }
    }
}
