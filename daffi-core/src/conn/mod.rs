//! One connection: what its driver, its callers and its callbacks share.

mod bounds;
mod clock;
mod driver;
mod inbound;
mod outbox;
mod spare;
mod turn;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::Context,
};

use bytes::Bytes;
use daffi_transport::{PeerInfo, SHARE_FROM};
use daffi_wire::{Frame, Level};
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    clock::{Begun, Clock, SLOW},
    driver::{Driver, Role},
    inbound::{Inbound, Memory, Ticket, WAITING_COST},
    outbox::{Closed, Outbox, Queued, Receipt},
    turn::Turn,
};
use crate::{config::NodeConfig, error::Disconnected};

/// One connection, as its driver, its callers and its callbacks share it.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Unique in this process.
    pub(crate) id: u64,
    pub(crate) peer: PeerInfo,
    pub(crate) outbox: Outbox,
    pub(crate) inbound: Inbound,
    pub(crate) memory: Arc<Memory>,
    /// Cancelled when the connection ends.
    pub(crate) ended: CancellationToken,
    /// Requests that wait until answers are taken, one after another.
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
    pub(crate) gated: AtomicUsize,
    /// Turns of other connections that hold frames for this one.
    promised: AtomicUsize,
    level: AtomicU8,
    draining: AtomicBool,
    /// Set from outside: the driver ends with it, at once or when all that waits was written.
    end: Mutex<Option<(Disconnected, bool)>>,
    ending: AtomicBool,
    driver: AtomicWaker,
    /// The driver was woken and has not run since: one wake-up does for all.
    woken: AtomicBool,
}

/// Forwarded frames below this size are copied: a small part of a read buffer must not keep all of it alive. A larger one keeps
/// at most eight times its size alive.
const COPIED_BELOW: usize = 32 * 1024;

static IDS: AtomicU64 = AtomicU64::new(1);

impl Conn {
    pub(crate) fn new(peer: PeerInfo, config: &NodeConfig, memory: Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            peer,
            outbox: Outbox::new(config.outbox_bytes, Arc::clone(&memory)),
            inbound: Inbound::default(),
            memory,
            ended: CancellationToken::new(),
            gate: Arc::default(),
            gated: AtomicUsize::new(0),
            promised: AtomicUsize::new(0),
            level: AtomicU8::new(Level::THREE.number()),
            draining: AtomicBool::new(false),
            end: Mutex::new(None),
            ending: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            woken: AtomicBool::new(false),
        })
    }

    /// What the peer has shown to speak.
    pub(crate) fn level(&self) -> Level {
        if self.level.load(Ordering::Relaxed) >= Level::FOUR.number() { Level::FOUR } else { Level::THREE }
    }

    pub(crate) fn set_level(&self, level: Level) {
        self.level.store(level.number(), Ordering::Relaxed);
    }

    pub(crate) fn is_gated(&self) -> bool {
        self.gated.load(Ordering::Relaxed) > 0
    }

    /// Queues a frame at once and lets the driver run.
    pub(crate) fn send(&self, frame: &Frame) -> Result<(), Closed> {
        self.send_all(std::slice::from_ref(frame))
    }

    /// Queues frames at once and lets the driver run.
    pub(crate) fn send_all(&self, frames: &[Frame]) -> Result<(), Closed> {
        for frame in frames {
            let (head, payload) = parts(frame, SHARE_FROM);
            self.ask(self.outbox.push(head, payload)?);
        }
        Ok(())
    }

    /// Queues a frame that somebody else sent, byte for byte, and lets the driver run.
    pub(crate) fn forward(&self, frame: &Frame) -> Result<(), Closed> {
        let (head, payload) = parts(frame, COPIED_BELOW);
        self.ask(self.outbox.push(head, payload)?);
        Ok(())
    }

    /// As [`forward`](Self::forward), with something to drop once the frame was written; made only if it is queued.
    pub(crate) fn forward_with(&self, frame: &Frame, receipt: impl FnOnce() -> Receipt) -> Result<(), Closed> {
        let (head, payload) = parts(frame, COPIED_BELOW);
        self.ask(self.outbox.push_with(head, payload, receipt)?);
        Ok(())
    }

    /// Queues a frame in two parts at once and lets the driver run.
    pub(crate) fn send_parts(&self, head: &[u8], payload: Option<Bytes>) -> Result<(), Closed> {
        self.ask(self.outbox.push(head, payload)?);
        Ok(())
    }

    /// The same if there is room. `Ok(false)`: there is none.
    pub(crate) fn try_send(&self, head: &[u8], payload: Option<&Bytes>) -> Result<bool, Closed> {
        let queued = self.outbox.try_push(head, payload)?;
        self.ask(queued);
        Ok(queued != Queued::Full)
    }

    /// A turn holds frames for this connection, which does not end in order before they are queued.
    fn promise(&self) {
        self.promised.fetch_add(1, Ordering::SeqCst);
    }

    /// They are queued. In one order with [`drain`](Self::drain): either who drains sees the promise kept, or who kept it sees
    /// the draining and wakes.
    fn kept(&self) {
        self.promised.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn is_promised(&self) -> bool {
        self.promised.load(Ordering::SeqCst) > 0
    }

    /// Lets the driver run for what was queued, unless it was asked to.
    fn ask(&self, queued: Queued) {
        if queued == Queued::Ask {
            self.driver.wake();
        }
    }

    /// Lets the driver run.
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
    }

    /// The driver runs: `cx` is woken by what happens from here on, and sees what happened before.
    pub(crate) fn runs(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
        self.woken.swap(false, Ordering::AcqRel);
    }

    /// Ends the connection; `flush`: after all that waits was written.
    pub(crate) fn end(&self, reason: Disconnected, flush: bool) {
        {
            let mut end = self.end.lock();
            match &*end {
                Some((_, false)) => {}
                Some((_, true)) if flush => {}
                _ => *end = Some((reason, flush)),
            }
        }
        self.ending.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Ends the connection when what was received has run and what waits was written.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// A frame as an outbox takes it: copied when small, shared when large.
fn parts(frame: &Frame, share_from: usize) -> (&[u8], Option<Bytes>) {
    let bytes = frame.as_bytes();
    if bytes.len() < share_from { (bytes, None) } else { (&[], Some(bytes.clone())) }
}
