//! What a driver holds one connection to, out of the node's configuration.

use std::time::Duration;

use crate::config::NodeConfig;

#[derive(Clone, Copy)]
pub(super) struct Times {
    /// How long the whole handshake may take.
    pub(super) handshake: Duration,
    /// How long it may still take.
    pub(super) opening: Duration,
    pub(super) slow_peer: Duration,
    pub(super) linger: Duration,
}

impl Times {
    pub(super) const fn of(config: &NodeConfig, opening: Duration) -> Self {
        Self {
            handshake: config.handshake_timeout,
            opening,
            slow_peer: config.slow_peer_timeout,
            linger: config.linger,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) inbound_bytes: usize,
    pub(super) inbound_frames: usize,
    pub(super) spool_bytes: usize,
    pub(super) outbox_bytes: usize,
    /// What may wait for one peer: a full outbox, the answers of all workers that had begun before it was full, and as much
    /// as a spool holds of refusals and notices, which ask for no room.
    pub(super) unwritten_bytes: usize,
    /// The same while all connections together hold more than they may.
    pub(super) unwritten_spent: usize,
}

impl Limits {
    pub(super) const fn of(config: &NodeConfig) -> Self {
        let answers = config.workers.saturating_mul(config.limits.max_frame_bytes);
        Self {
            inbound_bytes: config.inbound_bytes,
            inbound_frames: config.inbound_frames,
            spool_bytes: config.spool_bytes,
            outbox_bytes: config.outbox_bytes,
            unwritten_bytes: config.outbox_bytes.saturating_add(config.spool_bytes).saturating_add(answers),
            unwritten_spent: config.outbox_bytes.saturating_add(config.limits.max_frame_bytes),
        }
    }
}
