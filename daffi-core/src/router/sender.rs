//! What one member of a Router sends: calls, and its nowait traffic as far as each receiver takes it.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use daffi_wire::{Frame, Limits, credit_cost, credit_frame};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::Peer;
use crate::{
    conn::{Class, Closed, Ticket, Turn},
    session::{Flow, Owed},
};

/// What a held request takes beside its frame.
const HOLDING_COST: usize = 256;

/// A member as the sender of requests. Held by its connection, by the table while it bears its name, and by what it sent to
/// receivers of level 3 and was not written yet: with the last of them goes what is held.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) peer: Arc<Peer>,
    /// By the connection of the receiver.
    flows: Mutex<FxHashMap<u64, Outgoing>>,
    /// Requests held in all flows, so that calls need not look while there are none.
    held: AtomicUsize,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Outgoing {
    flow: Flow<Held>,
    /// What a level 3 receiver was written and this sender was not granted again yet.
    owed: Owed,
}

/// A request that waits for credit. Counted as received from its sender, which is so slowed down.
#[derive(Debug)]
struct Held {
    frame: Frame,
    _counted: Ticket,
}

impl Sender {
    pub(super) fn new(peer: Arc<Peer>, limits: Limits) -> Arc<Self> {
        Arc::new(Self { peer, flows: Mutex::default(), held: AtomicUsize::new(0), limits })
    }

    pub(super) fn held_requests(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Sends a call of this member on, behind what is held for the same receiver. `false`: the receiver's queue is full.
    pub(super) fn pass_call(&self, receiver: &Peer, frame: &Frame, turn: &mut Turn) -> bool {
        if self.held_requests() > 0
            && let Some(out) = self.flows.lock().get_mut(&receiver.id())
            && !out.flow.pay(0)
        {
            self.hold(out, 0, frame.clone());
            return true;
        }
        turn.forward(&receiver.conn, Class::Request, frame)
    }

    /// Sends a nowait request of this member on, as far as the receiver's credit goes; else it is held.
    pub(super) fn pass_nowait(self: &Arc<Self>, receiver: &Arc<Peer>, frame: Frame) -> Result<(), Closed> {
        let cost = credit_cost(frame.as_bytes().len());
        // Held over the queueing, so that nothing overtakes what `granted` lets go at the same time.
        let mut flows = self.flows.lock();
        let out = flows.entry(receiver.id()).or_default();
        if !out.flow.pay(cost) {
            self.hold(out, cost, frame);
            return Ok(());
        }
        let passed = self.forward_nowait(receiver, &frame, cost);
        if passed.is_err() {
            // It left just now, and `forget` may have been before.
            flows.remove(&receiver.id());
        }
        passed
    }

    fn hold(&self, out: &mut Outgoing, cost: usize, frame: Frame) {
        self.held.fetch_add(1, Ordering::Relaxed);
        let counted = Ticket::new(Arc::clone(&self.peer.conn), frame.as_bytes().len() + HOLDING_COST);
        out.flow.hold(cost, Held { frame, _counted: counted });
    }

    /// A level 4 receiver grants credit itself when it worked the request off. For one of level 3, being written counts.
    fn forward_nowait(self: &Arc<Self>, receiver: &Arc<Peer>, frame: &Frame, cost: usize) -> Result<(), Closed> {
        if receiver.is_level_four() {
            return receiver.conn.forward(Class::Nowait, frame).map(drop);
        }
        receiver.conn.forward_with(frame, || {
            Box::new(Written { sender: Arc::clone(self), receiver: Arc::downgrade(receiver), cost })
        })
    }

    /// `receiver` takes so much more from this member: what was held goes on.
    pub(super) fn granted(self: &Arc<Self>, receiver: &Arc<Peer>, amount: usize) {
        let mut flows = self.flows.lock();
        let Some(out) = flows.get_mut(&receiver.id()) else { return };
        out.flow.grant(amount);
        while let Some((cost, held)) = out.flow.release() {
            // To a connection that has just ended nothing goes any more.
            let _gone = if cost == 0 {
                receiver.conn.forward(Class::Nowait, &held.frame).map(drop)
            } else {
                self.forward_nowait(receiver, &held.frame, cost)
            };
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A nowait request was written to a level 3 receiver.
    fn worked_off(self: &Arc<Self>, receiver: &Arc<Peer>, cost: usize) {
        self.granted(receiver, cost);
        if !self.peer.is_level_four() {
            return;
        }
        let owed = self.flows.lock().get_mut(&receiver.id()).and_then(|out| out.owed.add(cost));
        if let Some(amount) = owed
            && let Ok(frame) = credit_frame(&receiver.name, &self.peer.name, amount, &self.limits)
        {
            // A sender that has just gone needs no credit.
            drop(self.peer.conn.send(Class::Notice, &frame));
        }
    }

    /// `receiver` left. Gives the number of nowait requests that are lost.
    pub(super) fn forget(&self, receiver: u64) -> usize {
        let lost = self.flows.lock().remove(&receiver).map_or(0, |out| out.flow.held());
        self.held.fetch_sub(lost, Ordering::Relaxed);
        lost
    }
}

/// Lies in the outbox of a level 3 receiver behind a nowait request.
struct Written {
    sender: Arc<Sender>,
    receiver: Weak<Peer>,
    cost: usize,
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.upgrade() {
            self.sender.worked_off(&receiver, self.cost);
        }
    }
}
