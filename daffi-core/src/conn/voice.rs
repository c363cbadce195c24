//! What a member asks of others goes to them as long as it bears its name.

use daffi_transport::Batch;
use daffi_wire::{Header, Kind};
use parking_lot::{Mutex, MutexGuard};

/// Whether what a member says to those whom it calls still goes to them.
///
/// When its name passes to another they are told that it has left. Behind that word nothing may
/// come of the one before, for they would take it as the other's; and whoever takes the name away
/// does so while that one's driver may be in the middle of a turn. So all that goes is queued under
/// this lock. Receivers of level 3 are told nothing of the kind, and get what is on its way.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    is_silent: Mutex<bool>,
}

impl Voice {
    /// Nothing goes from here on. What goes before has been queued when this returns.
    pub(crate) fn silence(&self) {
        *self.is_silent.lock() = true;
    }

    pub(crate) fn is_silent(&self) -> bool {
        *self.is_silent.lock()
    }

    /// Has something queued; `None`: it does not go any more.
    pub(crate) fn speak<T>(&self, queue: impl FnOnce() -> T) -> Option<T> {
        let is_silent = self.is_silent.lock();
        (!*is_silent).then(queue)
    }

    /// Keeps the voice as it is until what is given is dropped.
    pub(super) fn hold(&self) -> VoiceKept<'_> {
        VoiceKept(self.is_silent.lock())
    }
}

/// A voice that stays as it is.
pub(super) struct VoiceKept<'a>(MutexGuard<'a, bool>);

impl VoiceKept<'_> {
    /// Leaves only what goes in any case of what a turn gathered.
    #[inline]
    pub(super) fn sift(&self, batch: &mut Batch) {
        if *self.0 {
            drop_requests(batch);
        }
    }
}

#[cold]
fn drop_requests(batch: &mut Batch) {
    let mut rest = Batch::new();
    while let Some(frame) = batch.next_frame() {
        if Header::kind_of(&frame) != Some(Kind::Request) {
            rest.push_frame(&frame);
        }
    }
    *batch = rest;
}
