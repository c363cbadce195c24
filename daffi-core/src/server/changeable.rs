//! Settings that may change while a node runs.

use std::time::Duration;

use crate::config::{NamePolicy, NodeConfig};

/// What is looked at anew each time that it matters, and seldom does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changeable {
    pub(crate) grace: Duration,
    pub(crate) max_pending_handshakes: usize,
    pub(crate) name_policy: NamePolicy,
}

impl From<&NodeConfig> for Changeable {
    fn from(config: &NodeConfig) -> Self {
        let NodeConfig { grace, max_pending_handshakes, name_policy, .. } = *config;
        Self { grace, max_pending_handshakes, name_policy }
    }
}
