//! The CREDIT of one direction of a call, on its way to who sends its DATA.

use std::{
    slice,
    sync::{Arc, Weak},
};

use daffi_wire::{CallCredit, Frame};
use parking_lot::Mutex;

use super::CallEnd;
use crate::conn::Voice;

/// What is told of one direction of a call. One CREDIT waits to be written, at most, and the newest
/// says it all: so a sender that takes none of them makes nothing wait.
#[derive(Debug)]
pub(crate) struct Grants {
    /// The end that grants.
    end: CallEnd,
    /// Of a caller for which a Router says it: nothing of it goes without.
    voice: Option<Arc<Voice>>,
    telling: Mutex<CallGrantState>,
}

#[derive(Clone, Copy, Debug)]
enum CallGrantState {
    /// Nothing waits.
    Idle,
    /// The newest waits to be written.
    Queued,
    /// An older one does; this is to follow: the total that was worked off, and the window.
    Outdated(u64, u32),
    /// Nothing is told any more.
    Closed,
}

impl Grants {
    pub(crate) fn new(end: CallEnd, voice: Option<Arc<Voice>>) -> Arc<Self> {
        Arc::new(Self { end, voice, telling: Mutex::new(CallGrantState::Idle) })
    }

    pub(super) const fn end(&self) -> &CallEnd {
        &self.end
    }

    /// Tells the sender, at once or when it has taken what it was told before. `false`: nothing is
    /// told any more.
    pub(crate) fn tell(self: &Arc<Self>, worked_off: u64, window: u32) -> bool {
        let mut telling = self.telling.lock();
        match *telling {
            CallGrantState::Idle => self.queue(&mut telling, worked_off, window),
            CallGrantState::Queued | CallGrantState::Outdated(..) => {
                *telling = CallGrantState::Outdated(worked_off, window)
            }
            CallGrantState::Closed => {}
        }
        !matches!(*telling, CallGrantState::Closed)
    }

    /// The direction has ended: what would follow is of no use.
    pub(super) fn close(&self) {
        *self.telling.lock() = CallGrantState::Closed;
    }

    fn queue(self: &Arc<Self>, telling: &mut CallGrantState, worked_off: u64, window: u32) {
        let queued = self.frame(worked_off, window).and_then(|frame| {
            let written = || CallGrantWritten(Arc::downgrade(self));
            let queue = || self.end.conn.notify_with(slice::from_ref(&frame), || Box::new(written()));
            match &self.voice {
                Some(voice) => voice.speak(queue)?.ok(),
                None => queue().ok(),
            }
        });
        // A connection that has ended has no open calls.
        *telling = if queued.is_some() { CallGrantState::Queued } else { CallGrantState::Closed };
    }

    fn frame(&self, worked_off: u64, window: u32) -> Option<Frame> {
        let CallEnd { me, other, id, is_caller, limits, .. } = &self.end;
        CallCredit::new(*id, *is_caller, worked_off, window).ok()?.frame(me, other, limits).ok()
    }

    fn on_written(self: &Arc<Self>) {
        let mut telling = self.telling.lock();
        match *telling {
            CallGrantState::Outdated(worked_off, window) => self.queue(&mut telling, worked_off, window),
            CallGrantState::Queued => *telling = CallGrantState::Idle,
            CallGrantState::Idle | CallGrantState::Closed => {}
        }
    }
}

/// Lies in an outbox behind a CREDIT.
struct CallGrantWritten(Weak<Grants>);

impl Drop for CallGrantWritten {
    fn drop(&mut self) {
        if let Some(grants) = self.0.upgrade() {
            grants.on_written();
        }
    }
}
