//! The flow of one sender to one receiver, as a Router keeps it.

use std::sync::{Arc, Weak};

use daffi_wire::{FlowId, Frame, Grant};

use super::{Peer, held::Held, lining::Lined, receipts::BeginWritten, sender::Sender};
use crate::{
    conn::{Charge, Closed},
    session::{IncomingFlow, Outgoing},
};

/// What a flow takes: here, and with what its receiver knows of its sender.
const FLOW_COST: usize = 384;

/// One flow as the Router keeps it: the sender's account, and the requests beyond it in order.
#[derive(Debug)]
pub(super) struct RoutedFlow {
    pub(super) account: Outgoing,
    pub(super) held: Held,
    /// Its sender has said that it begins, if only behind what is held. Before that only calls wait
    /// in it.
    pub(super) is_announced: bool,
    /// The place in the line before its receiver.
    pub(super) lined: Option<Lined>,
    /// What stands in the place of a receiver that knows nothing of credit.
    pub(super) local: Option<Local>,
    pub(super) telling: Telling,
    /// What requests of it cost that nobody got: its sender counts them, its receiver does not.
    pub(super) dropped: u64,
    /// The same of the flow that is to take its place, if one waits to.
    pub(super) dropped_of_next: Option<u64>,
    /// The word that it begins waits to be written to its receiver.
    pub(super) begins: bool,
    /// What the flow takes, counted as received from its sender.
    _counted: Charge,
}

/// What the sender is being told of its credit: one CREDIT frame at a time lies in its outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// Nothing lies there.
    Idle,
    /// A frame lies there, and says the newest.
    Queued,
    /// A frame lies there, and what is newer is to follow when that was written.
    Outdated,
}

/// What a level 3 receiver was written, which counts as worked off.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) incoming: IncomingFlow,
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
    pub(super) fn new(flow: FlowId, sender: &Arc<Sender>, receiver: &Arc<Peer>) -> Option<Self> {
        if !receiver.remember(sender) {
            return None;
        }
        let local = || Local { incoming: IncomingFlow::new(flow), receiver: Arc::downgrade(receiver) };
        Some(Self {
            account: Outgoing::new(flow),
            held: Held::default(),
            is_announced: true,
            lined: None,
            local: (!receiver.is_level_four()).then(local),
            telling: Telling::Idle,
            dropped: 0,
            dropped_of_next: None,
            begins: false,
            _counted: sender.peer.conn.inbound.account().charge(FLOW_COST),
        })
    }

    /// One in which only calls wait, in the line before a receiver of level 4, which has heard of
    /// its sender. `None`: the receiver has left.
    pub(super) fn of_calls(sender: &Arc<Sender>, receiver: &Arc<Peer>) -> Option<Self> {
        Some(Self { is_announced: false, ..Self::new(FlowId(0), sender, receiver)? })
    }

    /// Whether a flow of another number may take its place: nothing is outstanding, and the
    /// receiver has taken the word that this one begins. So one word of each flow lies before a
    /// receiver, however many its sender begins.
    pub(super) fn may_renew(&self) -> bool {
        self.account.is_quiet() && !self.begins
    }

    /// A flow of another number begins; `begins` says so to the receiver.
    pub(super) fn renew(
        &mut self,
        number: FlowId,
        sender: &Arc<Sender>,
        receiver: &Arc<Peer>,
        begins: &Frame,
    ) -> Result<(), Closed> {
        self.account = Outgoing::new(number);
        self.dropped = self.dropped_of_next.take().unwrap_or(0);
        self.is_announced = true;
        let Some(local) = &mut self.local else { return self.tell_begin(sender, receiver, begins) };
        local.incoming.end(&mut receiver.pool.lock());
        local.incoming = IncomingFlow::new(number);
        Ok(())
    }

    /// A flow waits to take its place.
    pub(super) fn await_next(&mut self) {
        self.is_announced = true;
        self.dropped_of_next = Some(0);
    }

    /// Counts a request that its sender paid for and nobody gets.
    pub(super) fn note_dropped(&mut self, cost: u64) {
        let dropped = self.dropped_of_next.as_mut().unwrap_or(&mut self.dropped);
        *dropped = dropped.saturating_add(cost);
    }

    /// What its sender is to be told: what its receiver granted last, in which those requests count
    /// as worked off that nobody got.
    pub(super) fn newest_grant(&self) -> Option<Grant> {
        self.account.newest_grant(self.dropped)
    }

    /// Tells a receiver of level 4 that the flow begins.
    pub(super) fn tell_begin(
        &mut self,
        sender: &Arc<Sender>,
        receiver: &Arc<Peer>,
        begins: &Frame,
    ) -> Result<(), Closed> {
        let receipt = || BeginWritten { sender: Arc::downgrade(sender), receiver: Arc::downgrade(receiver) };
        receiver.conn.forward_with(begins, || Box::new(receipt()))?;
        self.begins = true;
        Ok(())
    }
}
