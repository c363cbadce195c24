//! Whether there is room in an outbox, and what is said where there is none.

use std::sync::atomic::Ordering::Relaxed;

use daffi_serde::RemoteError;
use tokio::time::Instant;

use super::{FRAME_COST, Outbox, UNCOUNTED};
use crate::{conn::Class, refusal::Refusal};

impl Outbox {
    /// Whether a frame of `bytes` may be queued now. If memory is what it lacks, all know of that.
    pub(crate) fn admits(&self, class: Class, bytes: usize) -> bool {
        let admits = self.has_room(class, bytes);
        // One to a peer that does not take what waits for it lacks nothing that others have.
        if !admits && class != Class::Own && !self.fits(bytes) {
            self.account.budget().note_refusal(self.account.held_bytes(), Instant::now().into_std());
        }
        admits
    }

    pub(super) fn has_room(&self, class: Class, bytes: usize) -> bool {
        match class {
            Class::Own => !self.is_crowded() && (self.account.admits(bytes) || self.bytes() == 0),
            Class::Request => !self.is_crowded() && self.fits(bytes),
            Class::Answer => self.fits(bytes),
            Class::Nowait | Class::Provoked | Class::Notice | Class::Terminal => true,
        }
    }

    /// What is too little to be counted always fits. And one frame goes to a peer for which nothing
    /// waits, from the reserve if need be: what was received can be passed on.
    fn fits(&self, bytes: usize) -> bool {
        self.bytes() + bytes + FRAME_COST < UNCOUNTED
            || self.account.admits(bytes)
            || (self.bytes() == 0 && self.account.budget().has_reserve())
    }

    /// Whether so much waits that those who can wait do.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_much(self.account.held_bytes())
    }

    /// Whether much lies here, counted without what was put off until it has been taken.
    pub(crate) fn holds_much(&self) -> bool {
        self.is_much(self.held.load(Relaxed))
    }

    fn is_much(&self, held: usize) -> bool {
        held > 0 && held >= self.account.own() && held >= self.account.soft_share()
    }

    /// What a caller hears for whose call or its answer there is no room at `peer`.
    pub(crate) fn crowd(&self, peer: &str) -> String {
        format!(
            "{} bytes are held for {peer} until it takes them, parts of large bodies and streams included; as things \
             stand {} may be, of {} for all that this node holds",
            self.account.held_bytes(),
            self.account.soft_share(),
            self.account.budget().limit()
        )
    }

    /// What a caller hears whose answer found no room.
    pub(crate) fn lost_answer_error(&self, method: &str, bytes: usize, caller: &str) -> RemoteError {
        Refusal::AnswerLost.error(format!(
            "{method}() ran, and its answer of {bytes} bytes found no room: {} bytes are held for {caller}, and {} may be",
            self.account.held_bytes(),
            self.account.share()
        ))
    }
}
