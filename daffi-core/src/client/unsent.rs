//! What of a client's requests that nobody answers was queued and never sent.

use super::ClientCore;
use crate::{conn::LeftUnsent, error::Ended};

impl ClientCore {
    /// A connection ended before all was sent that nobody answers.
    pub(super) fn note_unsent(&self, unsent: LeftUnsent) {
        *self.unsent.lock() += unsent;
    }

    /// What all connections ended with.
    pub(super) fn unsent(&self) -> LeftUnsent {
        *self.unsent.lock()
    }

    /// How a node ended that cut so many callbacks off, and that had left so much unsent `before`
    /// it was stopped. What nobody else hears of is logged.
    pub(super) fn end_after(&self, cut_off: usize, before: LeftUnsent) -> Ended {
        let LeftUnsent { requests, bytes } = self.unsent() - before;
        if (requests, bytes) == (0, 0) {
            return Ended::after(cut_off);
        }
        tracing::warn!(node = %self.node.name, requests, bytes, "stopped before all that nobody answers was sent");
        if cut_off > 0 { Ended::CutOff(cut_off) } else { Ended::Unsent { requests, bytes } }
    }
}
