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
    telling: Mutex<Telling>,
}

#[derive(Clone, Copy, Debug)]
enum Telling {
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
        Arc::new(Self { end, voice, telling: Mutex::new(Telling::Idle) })
    }

    pub(super) const fn end(&self) -> &CallEnd {
        &self.end
    }

    /// Tells the sender, at once or when it has taken what it was told before. `false`: nothing is
    /// told any more.
    pub(crate) fn tell(self: &Arc<Self>, worked_off: u64, window: u32) -> bool {
        let mut telling = self.telling.lock();
        match *telling {
            Telling::Idle => self.queue(&mut telling, worked_off, window),
            Telling::Queued | Telling::Outdated(..) => *telling = Telling::Outdated(worked_off, window),
            Telling::Closed => {}
        }
        !matches!(*telling, Telling::Closed)
    }

    /// The direction has ended: what would follow is of no use.
    pub(super) fn close(&self) {
        *self.telling.lock() = Telling::Closed;
    }

    fn queue(self: &Arc<Self>, telling: &mut Telling, worked_off: u64, window: u32) {
        let queued = self.frame(worked_off, window).and_then(|frame| {
            let written = || GrantWritten(Arc::downgrade(self));
            let queue = || self.end.conn.notify_with(slice::from_ref(&frame), || Box::new(written()));
            match &self.voice {
                Some(voice) => voice.speak(queue)?.ok(),
                None => queue().ok(),
            }
        });
        // A connection that has ended has no open calls.
        *telling = if queued.is_some() { Telling::Queued } else { Telling::Closed };
    }

    fn frame(&self, worked_off: u64, window: u32) -> Option<Frame> {
        let CallEnd { me, other, id, is_caller, limits, .. } = &self.end;
        CallCredit::new(*id, *is_caller, worked_off, window).ok()?.frame(me, other, limits).ok()
    }

    fn on_written(self: &Arc<Self>) {
        let mut telling = self.telling.lock();
        match *telling {
            Telling::Outdated(worked_off, window) => self.queue(&mut telling, worked_off, window),
            Telling::Queued => *telling = Telling::Idle,
            Telling::Idle | Telling::Closed => {}
        }
    }
}

/// Lies in an outbox behind a CREDIT.
struct GrantWritten(Weak<Grants>);

impl Drop for GrantWritten {
    fn drop(&mut self) {
        if let Some(grants) = self.0.upgrade() {
            grants.on_written();
        }
    }
}
