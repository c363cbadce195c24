//! The flow of one sender to one receiver, as a Router keeps it.

pub(crate) mod asked;
pub(crate) mod held;
#[cfg(test)]
mod held_orders_tests;
pub(crate) mod line;
pub(crate) mod lining;
mod lost;
pub(crate) mod receipts;
pub(crate) mod room;
pub(crate) mod sender;

use std::sync::{Arc, Weak};

use daffi_wire::{FlowId, Frame, Grant};

use self::{asked::AskedCost, held::Held, lining::Lined, receipts::BeginWritten, sender::Sender};
use crate::{
    conn::{Charge, Closed},
    router::Peer,
    session::{IncomingFlow, Outgoing},
};

/// What a flow takes: here, and with what its receiver knows of its sender.
const FLOW_COST: usize = 384;

const _: () = assert!(size_of::<RoutedFlow>() < FLOW_COST);

/// One flow as the Router keeps it: the sender's account, and the requests beyond it in order.
#[derive(Debug)]
pub(crate) struct RoutedFlow {
    pub(crate) account: Outgoing,
    pub(crate) held: Held,
    asked: AskedCost,
    /// What is asked of the flow that is to take its place, if one waits to.
    asked_of_next: Option<AskedCost>,
    /// Its sender has said that it begins, if only behind what is held. Before that only calls wait
    /// in it.
    pub(crate) is_announced: bool,
    /// The place in the line before its receiver.
    pub(crate) lined: Option<Lined>,
    /// It goes on when it is not much any more that waits for its receiver.
    pub(crate) awaits_room: bool,
    /// What stands in the place of a receiver that knows nothing of credit.
    pub(crate) local: Option<Local>,
    pub(crate) telling: Telling,
    /// What requests of it cost that nobody got: its sender counts them, its receiver does not.
    pub(crate) dropped: u64,
    /// What requests cost that nobody got of the flow that is to take its place, if one waits to.
    pub(crate) dropped_of_next: Option<u64>,
    /// The word that it begins waits to be written to its receiver.
    pub(crate) begins: bool,
    /// A receiver of level 4 was told of one between these two.
    pub(crate) is_told: bool,
    /// What the flow takes, counted as received from its sender.
    _counted: Charge,
}

/// What the sender is being told of its credit: one CREDIT frame at a time lies in its outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Nothing lies there.
    Idle,
    /// A frame lies there, and says the newest.
    Queued,
    /// A frame lies there, and what is newer is to follow when that was written.
    Outdated,
}

/// What a level 3 receiver was written, which counts as worked off.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) incoming: IncomingFlow,
    receiver: Weak<Peer>,
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.upgrade() {
            self.incoming.end(&mut receiver.pool.lock());
        }
    }
}

impl RoutedFlow {
    /// `None`: the receiver has left.
    pub(crate) fn new(flow: FlowId, sender: &Arc<Sender>, receiver: &Arc<Peer>) -> Option<Self> {
        if !receiver.remember(sender) {
            return None;
        }
        let local = || Local { incoming: IncomingFlow::new(flow), receiver: Arc::downgrade(receiver) };
        Some(Self {
            account: Outgoing::new(flow),
            held: Held::default(),
            asked: AskedCost::new(),
            asked_of_next: None,
            is_announced: true,
            lined: None,
            awaits_room: false,
            local: (!receiver.is_level_four()).then(local),
            telling: Telling::Idle,
            dropped: 0,
            dropped_of_next: None,
            begins: false,
            is_told: false,
            _counted: sender.peer.conn.inbound.account().charge(FLOW_COST),
        })
    }

    /// One in which only calls wait, in the line before a receiver of level 4, which has heard of
    /// its sender. `None`: the receiver has left.
    pub(crate) fn of_calls(sender: &Arc<Sender>, receiver: &Arc<Peer>) -> Option<Self> {
        Some(Self { is_announced: false, ..Self::new(FlowId(0), sender, receiver)? })
    }

    /// Whether a flow of another number may take its place: nothing is outstanding, and the
    /// receiver has taken the word that this one begins. So one word of each flow lies before a
    /// receiver, however many its sender begins.
    pub(crate) fn may_renew(&self) -> bool {
        self.account.is_quiet() && !self.begins
    }

    /// A flow of another number begins; `begins` says so to the receiver.
    pub(crate) fn renew(
        &mut self,
        number: FlowId,
        sender: &Arc<Sender>,
        receiver: &Arc<Peer>,
        begins: &Frame,
    ) -> Result<(), Closed> {
        self.account = Outgoing::new(number);
        self.asked = self.asked_of_next.take().unwrap_or(AskedCost::new());
        self.dropped = self.dropped_of_next.take().unwrap_or(0);
        self.is_announced = true;
        let Some(local) = &mut self.local else { return self.tell_begin(sender, receiver, begins) };
        local.incoming.end(&mut receiver.pool.lock());
        local.incoming = IncomingFlow::new(number);
        Ok(())
    }

    /// A flow waits to take its place.
    pub(crate) fn await_next(&mut self) {
        self.is_announced = true;
        self.dropped_of_next = Some(0);
        // One after another, each with a window, would be without end.
        self.asked_of_next.get_or_insert_with(AskedCost::new);
    }

    /// A request of this cost came. Gives whether its sender has credit for it.
    pub(crate) fn note_asked(&mut self, cost: u64) -> bool {
        match &mut self.asked_of_next {
            Some(next) => next.note(cost),
            None => self.asked.note(cost),
        }
    }

    /// Takes a grant of its receiver. `false`: there is nothing new in it.
    pub(crate) fn take_grant(&mut self, grant: Grant) -> bool {
        self.account.take_grant(grant)
    }

    /// Counts a request that its sender paid for and nobody gets.
    pub(crate) fn note_dropped(&mut self, cost: u64) {
        let dropped = self.dropped_of_next.as_mut().unwrap_or(&mut self.dropped);
        *dropped = dropped.saturating_add(cost);
    }

    /// What its sender is told now: what its receiver granted last, with a window of at most that
    /// size, and in which those requests count as worked off that nobody got.
    pub(crate) fn newest_grant(&mut self, most: u32) -> Option<Grant> {
        let grant = self.account.newest_grant(self.dropped, most)?;
        self.asked.grant((grant.worked_off() - self.dropped).saturating_add(grant.window().into()));
        Some(grant)
    }

    /// Tells a receiver of level 4 that the flow begins.
    pub(crate) fn tell_begin(
        &mut self,
        sender: &Arc<Sender>,
        receiver: &Arc<Peer>,
        begins: &Frame,
    ) -> Result<(), Closed> {
        let receipt = || BeginWritten { sender: Arc::downgrade(sender), receiver: Arc::downgrade(receiver) };
        receiver.conn.forward_with(begins, || Box::new(receipt()))?;
        (self.begins, self.is_told) = (true, true);
        Ok(())
    }
}
