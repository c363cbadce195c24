//! What one member of a Router sends: calls, and its nowait traffic as far as each receiver takes
//! it.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use daffi_wire::{CallId, Credit, FlowId, Frame, Grant, Limits, credit_cost};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{
    Peer,
    held::{Held, HeldFrame, Released, WaitsFor},
    streams::key,
};
use crate::{
    conn::{Charge, Class, Closed, Ticket, Turn},
    session::{IncomingFlow, Outgoing},
};

/// What a flow takes: here, and with what its receiver knows of its sender.
const FLOW_COST: usize = 384;

/// A member as the sender of requests. It is held by its connection, by the table while it bears
/// its name, and by what it sent to receivers of level 3 and was not written yet: with the last of
/// them goes what is held.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) peer: Arc<Peer>,
    /// The flows by the connection of the receiver.
    flows: Mutex<FxHashMap<u64, RoutedFlow>>,
    /// Requests held in all flows, so that calls need not look while there are none. Relaxed: it
    /// grows on the sender's own connection, whose calls look; one that sees it shrink late looks
    /// once more.
    held: AtomicUsize,
    limits: Limits,
}

/// One flow as the Router keeps it: the sender's account, and the requests beyond it in order.
#[derive(Debug)]
struct RoutedFlow {
    account: Outgoing,
    held: Held,
    /// What stands in the place of a receiver that knows nothing of credit.
    local: Option<Local>,
    telling: Telling,
    /// What the flow takes, counted as received from its sender.
    _counted: Charge,
}

/// What the sender is being told of its credit: one CREDIT frame at a time lies in its outbox.
#[derive(Clone, Copy, Debug)]
enum Telling {
    /// Nothing lies there.
    Idle,
    /// A frame lies there, and says the newest.
    Queued,
    /// A frame lies there, and this newer grant is to follow when that was written.
    Outdated(Grant),
}

/// What a level 3 receiver was written, which counts as worked off.
#[derive(Debug)]
struct Local {
    incoming: IncomingFlow,
    receiver: Weak<Peer>,
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.upgrade() {
            self.incoming.end(&mut receiver.pool.lock());
        }
    }
}

/// Why a nowait request went nowhere.
#[derive(Debug)]
pub(super) enum Lost {
    /// The receiver's connection ended just now.
    Left,
    /// Its sender believes in a receiver that bore the name before.
    OldFlow,
}

impl Lost {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Left => "it has just left",
            Self::OldFlow => "it was meant for one that bore the name before",
        }
    }
}

impl RoutedFlow {
    /// `None`: the receiver has left.
    fn new(flow: FlowId, sender: &Arc<Sender>, receiver: &Arc<Peer>) -> Option<Self> {
        if !receiver.remember(sender) {
            return None;
        }
        let local = || Local { incoming: IncomingFlow::new(flow), receiver: Arc::downgrade(receiver) };
        Some(Self {
            account: Outgoing::new(flow),
            held: Held::default(),
            local: (!receiver.is_level_four()).then(local),
            telling: Telling::Idle,
            _counted: sender.peer.conn.inbound.account().charge(FLOW_COST),
        })
    }

    /// Nothing is outstanding, and a flow of another number begins; `begins` says so to the
    /// receiver.
    fn renew(&mut self, number: FlowId, receiver: &Arc<Peer>, begins: &Frame) -> Result<(), Closed> {
        self.account = Outgoing::new(number);
        let Some(local) = &mut self.local else {
            return receiver.conn.forward(Class::Notice, begins).map(drop);
        };
        local.incoming.end(&mut receiver.pool.lock());
        local.incoming = IncomingFlow::new(number);
        Ok(())
    }
}

impl Sender {
    pub(super) fn new(peer: Arc<Peer>, limits: Limits) -> Arc<Self> {
        Arc::new(Self { peer, flows: Mutex::default(), held: AtomicUsize::new(0), limits })
    }

    pub(super) fn held_requests(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Sends a call of this member on, behind what is held for the same receiver. `false`: the
    /// receiver's queue is full.
    pub(super) fn pass_call(&self, receiver: &Peer, frame: &Frame, turn: &mut Turn) -> bool {
        if self.held_requests() > 0
            && let Some(flow) = self.flows.lock().get_mut(&receiver.id())
            && !flow.held.is_empty()
        {
            let replaces = flow.held.push_call(self.held_frame(frame.clone()));
            self.held.fetch_add(usize::from(!replaces), Ordering::Relaxed);
            return true;
        }
        turn.forward(&receiver.conn, Class::Request, frame)
    }

    /// Keeps DATA of a call of this member with the call, if that waits to go to `receiver` under
    /// this number. `false`: it has gone.
    pub(super) fn hold_data(&self, receiver: u64, number: CallId, frame: &Frame) -> bool {
        self.held_requests() > 0
            && self.flows.lock().get_mut(&receiver).is_some_and(|flow| {
                // Counted only for a call that waits.
                flow.held.push_data(number, || self.held_frame(frame.clone()))
            })
    }

    /// Takes a call back that waits to go to `receiver` under this number. `false`: it has gone.
    pub(super) fn take_back(&self, receiver: u64, number: CallId) -> bool {
        let is_held = self.held_requests() > 0
            && self.flows.lock().get_mut(&receiver).is_some_and(|flow| flow.held.take_back(number));
        self.held.fetch_sub(usize::from(is_held), Ordering::Relaxed);
        is_held
    }

    /// Takes all calls back that wait, and gives their numbers and the connections of those whom
    /// they were for.
    pub(super) fn take_calls_back(&self) -> Vec<(CallId, u64)> {
        let mut flows = self.flows.lock();
        let numbers = flows
            .iter_mut()
            .flat_map(|(receiver, flow)| flow.held.take_calls_back().into_iter().map(|number| (number, *receiver)));
        let taken: Vec<_> = numbers.collect();
        self.held.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }

    /// Begins a flow to `receiver`, as this member says.
    ///
    /// `in_step`: the receiver has heard of this member. What it is told of one that bore the name
    /// before ends that one's flow, and not this, which else begins later.
    pub(super) fn on_begin(self: &Arc<Self>, receiver: &Arc<Peer>, number: FlowId, frame: Frame, in_step: bool) {
        let mut flows = self.flows.lock();
        if let Some(flow) = flows.get_mut(&receiver.id()) {
            // The sender heard late that another bears the name now, which this flow went to
            // already.
            if flow.held.is_empty() && flow.account.is_quiet() {
                let _gone = flow.renew(number, receiver, &frame);
            } else {
                self.hold(flow, WaitsFor::Quiet(number), frame);
            }
            return;
        }
        let Some(mut flow) = RoutedFlow::new(number, self, receiver) else { return };
        if !in_step {
            self.begin_later(&mut flow, receiver, frame);
        } else if receiver.is_level_four() && receiver.conn.forward(Class::Notice, &frame).is_err() {
            // The receiver left just now, and `forget` may have been called before.
            return;
        }
        flows.insert(receiver.id(), flow);
    }

    fn begin_later(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Peer, begins: Frame) {
        self.hold(flow, WaitsFor::News, begins);
        receiver.introduce_later(self);
    }

    /// Begins a flow that waited until `receiver` was told of this member.
    pub(super) fn on_heard_of(self: &Arc<Self>, receiver: &Arc<Peer>) {
        let mut flows = self.flows.lock();
        let Some(flow) = flows.get_mut(&receiver.id()) else { return };
        if flow.held.waits_for_news()
            && let Some(Released::Frame(frame, _)) = flow.held.pop(|_| true)
        {
            self.held.fetch_sub(1, Ordering::Relaxed);
            if receiver.is_level_four() {
                // To a connection that has just ended nothing goes any more.
                let _gone = receiver.conn.forward(Class::Notice, &frame);
            }
            self.release(flow, receiver);
        }
    }

    /// Sends a nowait request of this member on, as far as the receiver's credit goes; else it is
    /// held. `in_step`: the receiver has heard of this member.
    pub(super) fn pass_nowait(self: &Arc<Self>, receiver: &Arc<Peer>, frame: Frame, in_step: bool) -> Result<(), Lost> {
        let cost = credit_cost(frame.payload().len());
        // The lock is held over the queueing, so that nothing overtakes what `on_grant` lets go at
        // the same time.
        let mut flows = self.flows.lock();
        let flow = match flows.get_mut(&receiver.id()) {
            Some(flow) => flow,
            None if self.peer.is_level_four() => return Err(Lost::OldFlow),
            None => {
                let number = FlowId(fastrand::u32(..));
                let mut flow = RoutedFlow::new(number, self, receiver).ok_or(Lost::Left)?;
                if receiver.is_level_four()
                    && let Ok(begins) = Credit::Begins(number).frame(&self.peer.name, &receiver.name, &self.limits)
                {
                    if in_step {
                        receiver.conn.send(Class::Notice, &begins).map_err(|Closed| Lost::Left)?;
                    } else {
                        self.begin_later(&mut flow, receiver, begins);
                    }
                }
                flows.entry(receiver.id()).or_insert(flow)
            }
        };
        if !flow.held.is_empty() || !flow.account.pay(cost) {
            self.hold(flow, WaitsFor::Credit(cost), frame);
            return Ok(());
        }
        if self.forward_nowait(flow, receiver, &frame, cost).is_err() {
            // The receiver left just now, and `forget` may have been called before.
            flows.remove(&receiver.id());
            return Err(Lost::Left);
        }
        Ok(())
    }

    fn hold(&self, flow: &mut RoutedFlow, waits: WaitsFor, frame: Frame) {
        self.held.fetch_add(1, Ordering::Relaxed);
        flow.held.push(self.held_frame(frame), waits);
    }

    fn held_frame(&self, frame: Frame) -> HeldFrame {
        HeldFrame::new(frame, |bytes| Ticket::new(Arc::clone(&self.peer.conn), bytes))
    }

    /// A level 4 receiver grants credit itself when it worked the request off. For one of level 3,
    /// being written counts.
    fn forward_nowait(
        self: &Arc<Self>,
        flow: &mut RoutedFlow,
        receiver: &Arc<Peer>,
        frame: &Frame,
        cost: u64,
    ) -> Result<(), Closed> {
        let Some(local) = &mut flow.local else {
            return receiver.conn.forward(Class::Nowait, frame).map(drop);
        };
        local.incoming.receive(cost);
        receiver.conn.forward_with(frame, || {
            Box::new(RequestWritten { sender: Arc::clone(self), receiver: Arc::downgrade(receiver), cost })
        })
    }

    /// Takes a grant of `receiver`: what was held goes on, and the member hears of it.
    pub(super) fn on_grant(self: &Arc<Self>, receiver: &Arc<Peer>, grant: Grant) {
        let mut flows = self.flows.lock();
        if let Some(flow) = flows.get_mut(&receiver.id()) {
            self.grant(flow, receiver, grant);
        }
    }

    fn grant(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Arc<Peer>, grant: Grant) {
        if !flow.account.take_grant(grant) {
            return;
        }
        self.release(flow, receiver);
        if self.peer.is_level_four() {
            self.tell(flow, receiver, grant);
        }
    }

    /// Sends on what was held, as far as it may go by now.
    fn release(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Arc<Peer>) {
        while let Some(released) = {
            let account = &mut flow.account;
            flow.held.pop(|waits| match waits {
                WaitsFor::Credit(cost) => account.pay(cost),
                WaitsFor::Quiet(_) => account.is_quiet(),
                WaitsFor::News => false,
            })
        } {
            // To a connection that has just ended nothing goes any more.
            let _gone = match released {
                Released::Call { number, frame, data } => self.forward_call(receiver, number, (&frame, &data)),
                Released::Frame(frame, WaitsFor::News) => receiver.conn.forward(Class::Nowait, &frame).map(drop),
                Released::Frame(frame, WaitsFor::Credit(cost)) => self.forward_nowait(flow, receiver, &frame, cost),
                Released::Frame(frame, WaitsFor::Quiet(number)) => flow.renew(number, receiver, &frame),
            };
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A call that waited goes, and what came for it goes with it.
    fn forward_call(&self, receiver: &Peer, number: CallId, (call, data): (&Frame, &[Frame])) -> Result<(), Closed> {
        receiver.conn.forward(Class::Nowait, call)?;
        data.iter().try_for_each(|frame| receiver.conn.forward_data(key(self.peer.id(), number, true), frame))
    }

    /// Tells this member what it may send. One frame for each flow waits to be written, at most:
    /// the newest says it all.
    fn tell(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Arc<Peer>, grant: Grant) {
        if !matches!(flow.telling, Telling::Idle) {
            flow.telling = Telling::Outdated(grant);
            return;
        }
        let Ok(frame) = Credit::Grants(grant).frame(&receiver.name, &self.peer.name, &self.limits) else { return };
        let receipt = || GrantWritten { sender: Arc::downgrade(self), receiver: Arc::downgrade(receiver) };
        // A sender that has just gone needs no credit.
        if self.peer.conn.forward_with(&frame, || Box::new(receipt())).is_ok() {
            flow.telling = Telling::Queued;
        }
    }

    /// Tells this member the newest grant of a flow when the one before was written.
    fn on_grant_written(self: &Arc<Self>, receiver: &Arc<Peer>) {
        if let Some(flow) = self.flows.lock().get_mut(&receiver.id())
            && let Telling::Outdated(newer) = std::mem::replace(&mut flow.telling, Telling::Idle)
        {
            self.tell(flow, receiver, newer);
        }
    }

    /// Counts a nowait request that was written to a level 3 receiver as worked off.
    fn on_request_written(self: &Arc<Self>, receiver: &Arc<Peer>, cost: u64) {
        let mut flows = self.flows.lock();
        if let Some(flow) = flows.get_mut(&receiver.id())
            && let Some(local) = &mut flow.local
            && local.incoming.work_off(cost)
            && let Some(grant) = local.incoming.grant(&mut receiver.pool.lock())
        {
            self.grant(flow, receiver, grant);
        }
    }

    /// Forgets a receiver that left. Gives the number of nowait requests that are lost.
    pub(super) fn forget(&self, receiver: u64) -> usize {
        let Some(flow) = self.flows.lock().remove(&receiver) else { return 0 };
        self.held.fetch_sub(flow.held.len(), Ordering::Relaxed);
        flow.held.nowait_requests()
    }
}

/// Lies in the outbox of a level 3 receiver behind a nowait request.
struct RequestWritten {
    sender: Arc<Sender>,
    receiver: Weak<Peer>,
    cost: u64,
}

impl Drop for RequestWritten {
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.upgrade() {
            self.sender.on_request_written(&receiver, self.cost);
        }
    }
}

/// Lies in the outbox of a level 4 sender behind a CREDIT frame.
struct GrantWritten {
    sender: Weak<Sender>,
    receiver: Weak<Peer>,
}

impl Drop for GrantWritten {
    fn drop(&mut self) {
        if let (Some(sender), Some(receiver)) = (self.sender.upgrade(), self.receiver.upgrade()) {
            sender.on_grant_written(&receiver);
        }
    }
}
