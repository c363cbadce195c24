//! What one member of a Router sends: calls, and its nowait traffic as each receiver takes it.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use daffi_wire::{
    CallId, Credit, Data, EncodeError, FIRST_WINDOW, FlowId, Frame, Grant, Limits, MAX_WINDOW, credit_cost,
};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{
    RoutedFlow, Telling,
    held::{HeldFrame, Released, WaitsFor},
    lining::GoesBy,
    receipts::{GrantWritten, RequestWritten},
};
use crate::{
    conn::{Class, Closed, Ticket, Turn},
    router::{Peer, RouterShared},
};

/// A member as the sender of requests. It is held by its connection, by the table while it bears
/// its name, and by what it sent to receivers of level 3 and was not written yet: with the last of
/// them goes what is held.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) peer: Arc<Peer>,
    /// The flows by the connection of the receiver.
    pub(crate) flows: Mutex<FxHashMap<u64, RoutedFlow>>,
    /// Requests held in all flows, so that calls need not look while there are none. Relaxed: it
    /// grows on the sender's own connection, whose calls look; one that sees it shrink late looks
    /// once more.
    pub(crate) held: AtomicUsize,
    /// Calls that wait until somebody takes them.
    waiting: AtomicUsize,
    /// Waiting calls that this member's driver is to send on.
    anew: Mutex<Vec<CallId>>,
    pub(super) router: Weak<RouterShared>,
    limits: Limits,
}

/// One receiver may grant a sender so large a part of what the Router holds for that before it
/// reads it more slowly.
const GRANTED_PART: usize = 8;

/// Why a nowait request went nowhere.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The receiver's connection ended just now.
    Left,
    /// Its sender believes in a receiver that bore the name before.
    OldFlow,
    /// Its sender has left, and the receiver was told so.
    Silent,
}

impl Lost {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Left => "it has just left",
            Self::OldFlow => "it was meant for one that bore the name before",
            Self::Silent => "its sender has left",
        }
    }
}

impl Sender {
    pub(crate) fn new(peer: Arc<Peer>, router: &Arc<RouterShared>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            peer,
            flows: Mutex::default(),
            held: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            anew: Mutex::default(),
            router: Arc::downgrade(router),
            limits,
        })
    }

    pub(crate) fn held_requests(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// A call of this member begins to wait until somebody takes it.
    pub(crate) fn note_waits(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_waits_no_more(&self) {
        self.waiting.fetch_sub(1, Ordering::Release);
    }

    /// Whether calls of this member wait, so that its driver need not look for one while none does.
    /// Only that driver adds some; of one that has gone it finds what was done to let it go.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Has a call that waits sent on by the driver of this member, as if it came now.
    pub(crate) fn send_anew(&self, id: CallId) {
        self.anew.lock().push(id);
        self.peer.conn.ask_for_room();
    }

    /// The calls that are to be sent on so.
    pub(crate) fn take_anew(&self) -> Vec<CallId> {
        std::mem::take(&mut *self.anew.lock())
    }

    /// Sends a call of this member on, behind what is held for the same receiver and, if it
    /// `asks_much`, in the line of those who do while others ask little. The error says why there
    /// is no room.
    pub(crate) fn pass_call(
        self: &Arc<Self>,
        receiver: &Arc<Peer>,
        frame: &Frame,
        asks_much: bool,
        turn: &mut Turn,
    ) -> Result<(), String> {
        if self.held_requests() > 0
            && let Some(flow) = self.flows.lock().get_mut(&receiver.id())
            && !flow.held.is_empty()
        {
            if self.is_silent_for(receiver) {
                return Ok(());
            }
            self.check_room_to_wait(receiver, frame.as_bytes().len())?;
            let replaces = flow.held.push_call(self.held_frame(frame.clone()));
            self.held.fetch_add(usize::from(!replaces), Ordering::Relaxed);
            return Ok(());
        }
        if asks_much && receiver.line.is_for(self.peer.id()) {
            return self.pass_in_line(receiver, frame, turn);
        }
        let passes = turn.forward_call(&receiver.conn, &self.peer.voice, frame);
        if passes { Ok(()) } else { Err(receiver.conn.outbox.crowd(&receiver.name)) }
    }

    /// Keeps DATA of a call of this member with the call, if that waits to go to `receiver` under
    /// this number. `false`: it has gone.
    pub(crate) fn hold_data(&self, receiver: u64, number: CallId, frame: &Frame) -> bool {
        self.held_requests() > 0
            && self.flows.lock().get_mut(&receiver).is_some_and(|flow| {
                // Counted only for a call that waits.
                flow.held.push_data(number, || self.held_frame(frame.clone()))
            })
    }

    /// Whether a call waits to go to `receiver` under this number.
    pub(crate) fn holds_call(&self, receiver: u64, number: CallId) -> bool {
        self.held_requests() > 0 && self.flows.lock().get(&receiver).is_some_and(|flow| flow.held.holds_call(number))
    }

    /// Takes a call back that waits to go to `receiver` under this number. `false`: it has gone.
    pub(crate) fn take_back(&self, receiver: u64, number: CallId) -> bool {
        let is_held = self.held_requests() > 0
            && self.flows.lock().get_mut(&receiver).is_some_and(|flow| flow.held.take_back(number));
        self.held.fetch_sub(usize::from(is_held), Ordering::Relaxed);
        is_held
    }

    /// Takes all calls back that wait, and gives their numbers and the connections of those whom
    /// they were for.
    pub(crate) fn take_calls_back(&self) -> Vec<(CallId, u64)> {
        let mut flows = self.flows.lock();
        let numbers = flows
            .iter_mut()
            .flat_map(|(receiver, flow)| flow.held.take_calls_back().into_iter().map(|number| (number, *receiver)));
        let taken: Vec<_> = numbers.collect();
        self.held.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }

    /// Whether `receiver` was told that this member has left, or is about to be: nothing of it goes
    /// there any more, and nothing begins to wait. Whoever asks has the lock of the flows, without
    /// which nobody is told: what is queued then goes before that word.
    fn is_silent_for(&self, receiver: &Peer) -> bool {
        receiver.is_level_four() && self.peer.voice.is_silent()
    }

    /// Begins a flow to `receiver`, as this member says.
    ///
    /// `in_step`: the receiver has heard of this member. What it is told of one that bore the name
    /// before ends that one's flow, and not this, which else begins later.
    pub(crate) fn on_begin(self: &Arc<Self>, receiver: &Arc<Peer>, number: FlowId, frame: Frame, in_step: bool) {
        let mut flows = self.flows.lock();
        if self.is_silent_for(receiver) {
            return;
        }
        if let Some(flow) = flows.get_mut(&receiver.id()) {
            // The sender heard late that another bears the name now, which this flow went to
            // already.
            if flow.held.is_empty() && flow.may_renew() {
                let _gone = flow.renew(number, self, receiver, &frame);
            } else {
                flow.await_next();
                let replaces = flow.held.push_begin(self.uncredited_frame(frame), number);
                self.held.fetch_add(usize::from(!replaces), Ordering::Relaxed);
            }
            return;
        }
        let Some(mut flow) = RoutedFlow::new(number, self, receiver) else { return };
        if !in_step {
            self.begin_later(&mut flow, receiver, frame);
        } else if receiver.is_level_four() && flow.tell_begin(self, receiver, &frame).is_err() {
            // The receiver left just now, and `forget` may have been called before.
            return;
        }
        flows.insert(receiver.id(), flow);
    }

    fn begin_later(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Peer, begins: Frame) {
        // Of each receiver this is one.
        flow.held.push(self.held_frame(begins), WaitsFor::News);
        self.held.fetch_add(1, Ordering::Relaxed);
        receiver.introduce_later(self);
    }

    /// Begins a flow that waited until `receiver` was told of this member.
    pub(crate) fn on_heard_of(self: &Arc<Self>, receiver: &Arc<Peer>) {
        let mut flows = self.flows.lock();
        let Some(flow) = flows.get_mut(&receiver.id()).filter(|_| !self.is_silent_for(receiver)) else { return };
        if flow.held.waits_for_news()
            && let Some(Released::Frame(frame, _)) = flow.held.pop(|_| true)
        {
            self.held.fetch_sub(1, Ordering::Relaxed);
            if receiver.is_level_four() {
                // To a connection that has just ended nothing goes any more.
                let _gone = flow.tell_begin(self, receiver, &frame);
            }
            self.release(flow, receiver, GoesBy::Line);
        }
    }

    /// What a nowait request of this member costs, as it came. On a link of level 3 there are no
    /// extensions, whatever its header says.
    pub(crate) fn cost_of(&self, frame: &Frame) -> u64 {
        credit_cost(match self.peer.is_level_four() {
            true => frame.credit_bytes(),
            false => frame.payload().len(),
        })
    }

    /// Gives the price of a request back that `receiver` never gets: this member has paid for it,
    /// and would wait for ever for the other to work it off.
    pub(crate) fn note_dropped(self: &Arc<Self>, receiver: &Arc<Peer>, cost: u64) {
        if self.peer.is_level_four()
            && let Some(flow) = self.flows.lock().get_mut(&receiver.id())
            && flow.is_announced
        {
            flow.note_dropped(cost);
            self.tell(flow, receiver);
        }
    }

    /// Sends a nowait request of this member on, as far as the receiver's credit goes; else it is
    /// held. `in_step`: the receiver has heard of this member.
    pub(crate) fn pass_nowait(
        self: &Arc<Self>,
        receiver: &Arc<Peer>,
        (frame, cost): (Frame, u64),
        in_step: bool,
        turn: &mut Turn,
    ) -> Result<(), Lost> {
        // The lock is held over the queueing, so that nothing overtakes what `on_grant` lets go at
        // the same time.
        let mut flows = self.flows.lock();
        if self.is_silent_for(receiver) {
            return Err(Lost::Silent);
        }
        let flow = match flows.get_mut(&receiver.id()) {
            Some(flow) if flow.is_announced => flow,
            _ if self.peer.is_level_four() => return Err(Lost::OldFlow),
            Some(flow) => {
                let number = FlowId(fastrand::u32(..));
                if let Ok(begins) = self.begins(number, receiver) {
                    if flow.held.is_empty() {
                        flow.renew(number, self, receiver, &begins).map_err(|Closed| Lost::Left)?;
                    } else {
                        flow.await_next();
                        let replaces = flow.held.push_begin(self.uncredited_frame(begins), number);
                        self.held.fetch_add(usize::from(!replaces), Ordering::Relaxed);
                    }
                }
                flow
            }
            None => {
                let number = FlowId(fastrand::u32(..));
                let mut flow = RoutedFlow::new(number, self, receiver).ok_or(Lost::Left)?;
                if receiver.is_level_four()
                    && let Ok(begins) = self.begins(number, receiver)
                {
                    if in_step {
                        flow.tell_begin(self, receiver, &begins).map_err(|Closed| Lost::Left)?;
                    } else {
                        self.begin_later(&mut flow, receiver, begins);
                    }
                }
                flows.entry(receiver.id()).or_insert(flow)
            }
        };
        let has_credit = flow.note_asked(cost);
        let passes = flow.held.is_empty()
            && flow.account.can_pay(cost)
            && self.finds_room(&mut flow.awaits_room, receiver, (cost, GoesBy::Line))
            && self.nowait_may_go(flow, receiver, (frame.as_bytes().len(), cost), turn);
        if !passes || !flow.account.pay(cost) {
            let held = if has_credit { self.held_frame(frame) } else { self.uncredited_frame(frame) };
            flow.held.push(held, WaitsFor::Credit(cost));
            self.held.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if self.forward_nowait(flow, receiver, &frame, cost).is_err() {
            // The receiver left just now, and `forget` may have been called before.
            flows.remove(&receiver.id());
            return Err(Lost::Left);
        }
        receiver.line.mark(&receiver.conn);
        Ok(())
    }

    /// The word that a flow begins, for a sender that knows nothing of flows.
    fn begins(&self, number: FlowId, receiver: &Peer) -> Result<Frame, EncodeError> {
        Credit::Begins(number).frame(&self.peer.name, &receiver.name, &self.limits)
    }

    /// A call that waits, or a part of one, or a nowait request for which there is credit.
    pub(crate) fn held_frame(&self, frame: Frame) -> HeldFrame {
        HeldFrame::new(frame, |bytes| Ticket::new(Arc::clone(&self.peer.conn), bytes))
    }

    /// A nowait request beyond what its sender may, or the word that a flow begins in the place of
    /// another.
    fn uncredited_frame(&self, frame: Frame) -> HeldFrame {
        HeldFrame::new(frame, |bytes| Ticket::without_credit(Arc::clone(&self.peer.conn), bytes))
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
    pub(crate) fn on_grant(self: &Arc<Self>, receiver: &Arc<Peer>, grant: Grant) {
        let mut flows = self.flows.lock();
        if let Some(flow) = flows.get_mut(&receiver.id()) {
            self.grant(flow, receiver, grant);
        }
    }

    fn grant(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Arc<Peer>, grant: Grant) {
        if !flow.take_grant(grant) {
            return;
        }
        self.release(flow, receiver, GoesBy::Line);
        self.tell_newest(flow, receiver);
    }

    /// Sends on what was held, as far as it may go by now.
    pub(crate) fn release(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Arc<Peer>, by: GoesBy) {
        if !self.is_silent_for(receiver) {
            self.let_go(flow, receiver, by);
        }
    }

    /// Sends on what was held of a member of which `receiver` was not told yet that it has left.
    pub(crate) fn let_go(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Arc<Peer>, mut by: GoesBy) {
        let before = by;
        while let Some(released) = {
            let may_renew = flow.may_renew();
            let RoutedFlow { account, held, lined, awaits_room, .. } = flow;
            let mut may_go = |cost| {
                self.finds_room(awaits_room, receiver, (cost, before)) && self.may_go(lined, receiver, cost, &mut by)
            };
            held.pop(|waits| match waits {
                WaitsFor::Place(cost) => may_go(cost),
                WaitsFor::Credit(cost) => account.can_pay(cost) && may_go(cost) && account.pay(cost),
                WaitsFor::Quiet(_) => may_renew,
                WaitsFor::News => false,
            })
        } {
            // To a connection that has just ended nothing goes any more.
            let _gone = match released {
                Released::Call { number, frame, data } => self.forward_call(receiver, number, (&frame, &data)),
                Released::Frame(frame, WaitsFor::News | WaitsFor::Place(_)) => {
                    receiver.conn.forward(Class::Nowait, &frame).map(drop)
                }
                Released::Frame(frame, WaitsFor::Credit(cost)) => self.forward_nowait(flow, receiver, &frame, cost),
                Released::Frame(frame, WaitsFor::Quiet(number)) => self.renew(flow, number, receiver, &frame),
            };
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
        receiver.line.mark(&receiver.conn);
    }

    /// A flow that waited begins.
    fn renew(
        self: &Arc<Self>,
        flow: &mut RoutedFlow,
        number: FlowId,
        receiver: &Arc<Peer>,
        begins: &Frame,
    ) -> Result<(), Closed> {
        let renewed = flow.renew(number, self, receiver, begins);
        if flow.dropped > 0 && self.peer.is_level_four() {
            self.tell(flow, receiver);
        }
        renewed
    }

    /// A call that waited goes, and what came for it goes with it.
    fn forward_call(&self, receiver: &Peer, number: CallId, (call, data): (&Frame, &[Frame])) -> Result<(), Closed> {
        receiver.conn.forward(Class::Nowait, call)?;
        data.iter().try_for_each(|frame| {
            let cost = Data::read(frame.clone()).map_or(0, |data| data.cost());
            self.peer.queue_item(&receiver.conn, number, (frame, cost))
        })
    }

    /// Tells this member what it may send. One frame for each flow waits to be written, at most:
    /// the newest says it all.
    pub(super) fn tell(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Arc<Peer>) {
        if flow.telling != Telling::Idle {
            flow.telling = Telling::Outdated;
            return;
        }
        // A part of what it may have here: so what all receivers grant becomes less as memory does.
        let most = self.peer.conn.inbound.account().soft_share() / GRANTED_PART;
        let most = u32::try_from(most).unwrap_or(MAX_WINDOW).max(FIRST_WINDOW);
        let Some(grant) = flow.newest_grant(most) else { return };
        let Ok(frame) = Credit::Grants(grant).frame(&receiver.name, &self.peer.name, &self.limits) else { return };
        let receipt = || GrantWritten { sender: Arc::downgrade(self), receiver: Arc::downgrade(receiver) };
        // A sender that has just gone needs no credit.
        if self.peer.conn.forward_with(&frame, || Box::new(receipt())).is_ok() {
            flow.telling = Telling::Queued;
        }
    }

    /// Tells this member the newest grant of a flow when the one before was written.
    pub(crate) fn on_grant_written(self: &Arc<Self>, receiver: &Arc<Peer>) {
        if let Some(flow) = self.flows.lock().get_mut(&receiver.id())
            && std::mem::replace(&mut flow.telling, Telling::Idle) == Telling::Outdated
        {
            self.tell(flow, receiver);
        }
    }

    /// The receiver has taken the word that a flow begins: the next may begin.
    pub(crate) fn on_begin_written(self: &Arc<Self>, receiver: &Arc<Peer>) {
        if let Some(flow) = self.flows.lock().get_mut(&receiver.id()) {
            flow.begins = false;
            self.release(flow, receiver, GoesBy::Line);
        }
    }

    /// Counts a nowait request that was written to a level 3 receiver as worked off.
    pub(crate) fn on_request_written(self: &Arc<Self>, receiver: &Arc<Peer>, cost: u64) {
        let mut flows = self.flows.lock();
        let Some(flow) = flows.get_mut(&receiver.id()) else { return };
        // The pool is free again before what waits goes on: the next flow takes its part of it.
        let grant = flow.local.as_mut().and_then(|local| {
            let wants_grant = local.incoming.work_off(cost);
            wants_grant.then(|| local.incoming.grant(&mut receiver.pool.lock())).flatten()
        });
        if let Some(grant) = grant {
            self.grant(flow, receiver, grant);
        }
    }

    /// The connections of those of level 4 who were told of a flow of it.
    pub(crate) fn receivers(&self) -> Vec<u64> {
        self.flows.lock().iter().filter(|(_, flow)| flow.is_told).map(|(receiver, _)| *receiver).collect()
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
