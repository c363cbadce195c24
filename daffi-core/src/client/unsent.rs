//! What of a client's requests that nobody answers was queued and never sent.

use super::ClientCore;
use crate::{conn::LeftUnsent, error::Ended};

/// What all connections of a client ended with.
#[derive(Default)]
pub(super) struct UnsentCount {
    left: LeftUnsent,
    /// The node is stopping in order, and its end tells of what is left from now on.
    is_told: bool,
}

impl ClientCore {
    /// A connection ended before all was sent that nobody answers. Gives whether the end of the
    /// node will tell of it.
    pub(super) fn note_unsent(&self, unsent: LeftUnsent) -> bool {
        let mut all = self.unsent.lock();
        all.left += unsent;
        all.is_told
    }

    /// What all connections ended with.
    pub(super) fn unsent(&self) -> LeftUnsent {
        self.unsent.lock().left
    }

    /// From now on the end of the node tells of what is left: [`end_after`](Self::end_after). Gives
    /// what was left before.
    pub(super) fn tell_unsent(&self) -> LeftUnsent {
        let mut all = self.unsent.lock();
        all.is_told = true;
        all.left
    }

    /// How a node ended that cut so many callbacks off, and that had left so much unsent `before`
    /// it was stopped. What nobody else hears of is logged.
    pub(super) fn end_after(&self, cut_off: usize, before: LeftUnsent) -> Ended {
        let LeftUnsent { requests, bytes } = {
            let mut all = self.unsent.lock();
            // Of a connection that ends even later nobody would hear.
            all.is_told = false;
            all.left - before
        };
        if (requests, bytes) == (0, 0) {
            return Ended::after(cut_off);
        }
        tracing::warn!(node = %self.node.name, requests, bytes, "stopped before all that nobody answers was sent");
        if cut_off > 0 { Ended::CutOff(cut_off) } else { Ended::Unsent { requests, bytes } }
    }
}
