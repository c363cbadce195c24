//! One member of a Router, as all connections see it.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use daffi_wire::{CallId, Frame, Level, Limits, MethodName, NodeName, credit_cost, credit_frame};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::{
    conn::{Closed, Conn, Ticket, Turn},
    keyed::Names,
    session::{Flow, OpenCalls, Owed},
};

/// What a held request takes beside its frame.
const HOLDING_COST: usize = 256;

/// A member: its connection, what it exposes, the calls it made, and its nowait traffic to each receiver.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: NodeName,
    pub(super) conn: Arc<Conn>,
    /// It bears its name in the table.
    named: AtomicBool,
    methods: ArcSwap<Names<MethodName>>,
    /// Counts changes of `methods`.
    exposed: AtomicU64,
    calls: Mutex<OpenCalls>,
    /// By the connection of the receiver.
    flows: Mutex<FxHashMap<u64, Outgoing>>,
    /// Requests held in all flows, so that calls need not look while there are none.
    held: AtomicUsize,
    /// The number of the next notice of members that this one was not told.
    told: AtomicU64,
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

impl Peer {
    pub(super) fn new(name: NodeName, conn: Arc<Conn>, methods: &[MethodName], limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            name,
            conn,
            named: AtomicBool::new(false),
            methods: ArcSwap::from_pointee(methods.iter().cloned().collect()),
            exposed: AtomicU64::new(0),
            calls: Mutex::default(),
            flows: Mutex::default(),
            held: AtomicUsize::new(0),
            told: AtomicU64::new(0),
            limits,
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.conn.id
    }

    pub(super) fn is_level_four(&self) -> bool {
        self.conn.level().at_least(Level::FOUR)
    }

    /// It entered the table.
    pub(super) fn named(&self) {
        self.named.store(true, Ordering::Release);
    }

    /// It left the table, or its name passed on.
    pub(super) fn unnamed(&self) {
        self.named.store(false, Ordering::Release);
    }

    /// Whether the table still has it, for those who remember that it had.
    pub(super) fn is_named(&self) -> bool {
        self.named.load(Ordering::Acquire)
    }

    /// The callback of that name, if it is exposed.
    pub(super) fn callback(&self, method: &str) -> Option<MethodName> {
        self.methods.load().get(method).cloned()
    }

    /// Another number whenever other callbacks are exposed.
    pub(super) fn exposed(&self) -> u64 {
        self.exposed.load(Ordering::Acquire)
    }

    pub(super) fn expose(&self, methods: &[MethodName]) {
        self.methods.store(Arc::new(methods.iter().cloned().collect()));
        self.exposed.fetch_add(1, Ordering::Release);
    }

    /// Answers may come to what an older connection of the same name asked.
    pub(super) fn inherit(&self, calls: OpenCalls) {
        *self.calls.lock() = calls;
    }

    /// All notices before that number were queued for this member.
    pub(super) fn was_told(&self, until: u64) {
        self.told.fetch_max(until, Ordering::Release);
    }

    /// Whether `other` was told something that this member was not.
    pub(super) fn is_behind(&self, other: &Self) -> bool {
        self.told.load(Ordering::Acquire) < other.told.load(Ordering::Acquire)
    }

    /// A call of this member to `receiver` is open from now on. Gives the number under which it travels.
    pub(super) fn open_call(&self, id: CallId, receiver: &Self) -> Option<CallId> {
        self.calls.lock().open(id, receiver.id())
    }

    /// A reply came on the connection `receiver`, or there will be none. Gives the caller's number; `None`: nobody waits for
    /// it.
    pub(super) fn complete_call(&self, number: CallId, receiver: u64) -> Option<CallId> {
        self.calls.lock().complete(number, receiver)
    }

    pub(super) fn open_calls(&self) -> usize {
        self.calls.lock().waiting()
    }

    /// The connection ended: what receivers may still answer to its name.
    pub(super) fn close_calls(&self) -> OpenCalls {
        self.calls.lock().close()
    }

    pub(super) fn held_requests(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Sends a call of this member on, behind what is held for the same receiver. `false`: the receiver's queue is full.
    pub(super) fn pass_call(&self, receiver: &Self, frame: &Frame, turn: &mut Turn) -> bool {
        if self.held_requests() > 0
            && let Some(out) = self.flows.lock().get_mut(&receiver.id())
            && !out.flow.pay(0)
        {
            self.hold(out, 0, frame.clone());
            return true;
        }
        if receiver.conn.outbox.is_full() {
            return false;
        }
        turn.forward(&receiver.conn, frame);
        true
    }

    /// Sends a nowait request of this member on, as far as the receiver's credit goes; else it is held.
    pub(super) fn pass_nowait(self: &Arc<Self>, receiver: &Arc<Self>, frame: Frame) -> Result<(), Closed> {
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
        let counted = Ticket::new(Arc::clone(&self.conn), frame.as_bytes().len() + HOLDING_COST);
        out.flow.hold(cost, Held { frame, _counted: counted });
    }

    /// A level 4 receiver grants credit itself when it worked the request off. For one of level 3, being written counts.
    fn forward_nowait(self: &Arc<Self>, receiver: &Arc<Self>, frame: &Frame, cost: usize) -> Result<(), Closed> {
        if receiver.is_level_four() {
            return receiver.conn.forward(frame);
        }
        receiver.conn.forward_with(frame, || {
            Box::new(Written { sender: Arc::clone(self), receiver: Arc::downgrade(receiver), cost })
        })
    }

    /// `receiver` takes so much more from this member: what was held goes on.
    pub(super) fn granted(self: &Arc<Self>, receiver: &Arc<Self>, amount: usize) {
        let mut flows = self.flows.lock();
        let Some(out) = flows.get_mut(&receiver.id()) else { return };
        out.flow.grant(amount);
        while let Some((cost, held)) = out.flow.release() {
            // To a connection that has just ended nothing goes any more.
            let _gone = if cost == 0 {
                receiver.conn.forward(&held.frame)
            } else {
                self.forward_nowait(receiver, &held.frame, cost)
            };
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A nowait request was written to a level 3 receiver.
    fn worked_off(self: &Arc<Self>, receiver: &Arc<Self>, cost: usize) {
        self.granted(receiver, cost);
        if !self.is_level_four() {
            return;
        }
        let owed = self.flows.lock().get_mut(&receiver.id()).and_then(|out| out.owed.add(cost));
        if let Some(amount) = owed
            && let Ok(frame) = credit_frame(&receiver.name, &self.name, amount, &self.limits)
        {
            // A sender that has just gone needs no credit.
            drop(self.conn.send(&frame));
        }
    }

    /// `receiver` left. Gives the calls to it that end now, and the number of nowait requests that are lost.
    pub(super) fn forget(&self, receiver: &Self) -> (Vec<CallId>, usize) {
        let lost = self.flows.lock().remove(&receiver.id()).map_or(0, |out| out.flow.held());
        self.held.fetch_sub(lost, Ordering::Relaxed);
        (self.calls.lock().receiver_gone(receiver.id()), lost)
    }
}

/// Lies in the outbox of a level 3 receiver behind a nowait request.
struct Written {
    sender: Arc<Peer>,
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
