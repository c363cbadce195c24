//! What lies in outboxes behind frames of flows, and tells their senders that those were written.

use std::sync::{Arc, Weak};

use super::sender::Sender;
use crate::router::Peer;

/// Lies in the outbox of a level 3 receiver behind a nowait request.
pub(crate) struct RequestWritten {
    pub(crate) sender: Arc<Sender>,
    pub(crate) receiver: Weak<Peer>,
    pub(crate) cost: u64,
}

impl Drop for RequestWritten {
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.upgrade() {
            self.sender.on_request_written(&receiver, self.cost);
        }
    }
}

/// Lies in the outbox of a level 4 sender behind a CREDIT frame.
pub(crate) struct GrantWritten {
    pub(crate) sender: Weak<Sender>,
    pub(crate) receiver: Weak<Peer>,
}

impl Drop for GrantWritten {
    fn drop(&mut self) {
        if let (Some(sender), Some(receiver)) = (self.sender.upgrade(), self.receiver.upgrade()) {
            sender.on_grant_written(&receiver);
        }
    }
}

/// Lies in the outbox of a level 4 receiver behind the word that a flow begins.
pub(crate) struct BeginWritten {
    pub(crate) sender: Weak<Sender>,
    pub(crate) receiver: Weak<Peer>,
}

impl Drop for BeginWritten {
    fn drop(&mut self) {
        if let (Some(sender), Some(receiver)) = (self.sender.upgrade(), self.receiver.upgrade()) {
            sender.on_begin_written(&receiver);
        }
    }
}
