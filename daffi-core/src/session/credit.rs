//! Nowait traffic of one sender to one receiver, held back to what the receiver takes
//! (`LEVEL_FOUR.md`, "Credit").
//!
//! Both sides count from the beginning of the flow: the sender what it sent, the receiver what it
//! is done with. A grant is the receiver's count and a window beyond it, so one that is lost in a
//! newer one, or told twice, leaves both sides in agreement.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher, Hash},
};

use daffi_wire::{FIRST_WINDOW, FlowId, Grant, MAX_WINDOW};

/// The sender's side of a flow; a Router keeps the same account of what passes it.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    flow: FlowId,
    sent: u64,
    worked_off: u64,
    limit: u64,
}

impl Outgoing {
    pub(crate) const fn new(flow: FlowId) -> Self {
        Self { flow, sent: 0, worked_off: 0, limit: FIRST_WINDOW as u64 }
    }

    #[cfg(test)]
    pub(crate) const fn flow(&self) -> FlowId {
        self.flow
    }

    /// Pays for a request of that cost, so that it may go on now. One that is larger than the
    /// window passes when nothing else is outstanding.
    pub(crate) fn pay(&mut self, cost: u64) -> bool {
        let pays = self.can_pay(cost);
        if pays {
            self.sent = self.sent.saturating_add(cost);
        }
        pays
    }

    /// What is outstanding.
    pub(crate) const fn outstanding(&self) -> u64 {
        self.sent - self.worked_off
    }

    /// Whether a request of that cost may go on now.
    pub(crate) const fn can_pay(&self, cost: u64) -> bool {
        self.is_quiet() || self.sent.saturating_add(cost) <= self.limit
    }

    /// Whether nothing is outstanding.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.sent == self.worked_off
    }

    /// Gives back the price of a request that was paid for and not sent.
    pub(crate) fn refund(&mut self, cost: u64) {
        self.sent = self.sent.saturating_sub(cost).max(self.worked_off);
    }

    /// What its receiver granted last, with a window of at most that size, and with what `dropped`
    /// requests cost that it never got, and that their sender counts.
    pub(crate) fn newest_grant(&self, dropped: u64, most: u32) -> Option<Grant> {
        let window = u32::try_from(self.limit - self.worked_off).unwrap_or(MAX_WINDOW).min(most);
        Grant::new(self.flow, self.worked_off.saturating_add(dropped), window).ok()
    }

    /// Takes a grant of the receiver. `false`: it is of another flow, no newer than the one
    /// before, or of what was never sent.
    pub(crate) fn take_grant(&mut self, grant: Grant) -> bool {
        let worked_off = grant.worked_off();
        if grant.flow() != self.flow || worked_off < self.worked_off || worked_off > self.sent {
            return false;
        }
        let limit = worked_off.saturating_add(grant.window().min(MAX_WINDOW).into());
        let news = (worked_off, limit) != (self.worked_off, self.limit);
        (self.worked_off, self.limit) = (worked_off, limit);
        news
    }
}

/// What a receiver can take of all its senders together, beyond the [`FIRST_WINDOW`] that each has
/// of its own.
///
/// A sender gets a part of what the others have left over, as the switches share a buffer that
/// divide it by a dynamic threshold: one sender alone gets a full window, and very many still leave
/// something for the next.
#[derive(Debug)]
pub(crate) struct CreditPool {
    size: u64,
    /// What windows are larger than the first one.
    promised: u64,
}

/// A sender gets so large a part of what is free.
const PART: u64 = 8;

impl CreditPool {
    /// A pool of this size, in what requests cost.
    pub(crate) const fn new(size: u64) -> Self {
        Self { size, promised: 0 }
    }

    const fn free(&self) -> u64 {
        self.size.saturating_sub(self.promised)
    }

    /// Whether windows that nobody uses are wanted back.
    const fn is_scarce(&self) -> bool {
        self.free() < self.size / 4
    }

    /// A window, in exchange for one of the size `before`.
    fn exchange(&mut self, before: u32) -> u32 {
        self.give_back(before);
        let part = self.free() / PART;
        let window = u64::from(FIRST_WINDOW).saturating_add(part).min(MAX_WINDOW.into());
        let window = u32::try_from(window).unwrap_or(MAX_WINDOW);
        self.promised += u64::from(window - FIRST_WINDOW);
        window
    }

    fn give_back(&mut self, window: u32) {
        self.promised = self.promised.saturating_sub(window.saturating_sub(FIRST_WINDOW).into());
    }
}

/// The receiver's side of a flow.
#[derive(Clone, Debug)]
pub(crate) struct IncomingFlow {
    flow: FlowId,
    received: u64,
    worked_off: u64,
    /// The part of `worked_off` that the sender was told.
    told: u64,
    window: u32,
    /// The sender is among those who are to be told.
    in_line: bool,
    /// Grants that wait to be written to it.
    unwritten: usize,
    /// There is more to tell when those were written.
    outdated: bool,
}

impl IncomingFlow {
    pub(crate) const fn new(flow: FlowId) -> Self {
        Self {
            flow,
            received: 0,
            worked_off: 0,
            told: 0,
            window: FIRST_WINDOW,
            in_line: false,
            unwritten: 0,
            outdated: false,
        }
    }

    /// Counts a request that came.
    pub(crate) const fn receive(&mut self, cost: u64) {
        self.received = self.received.saturating_add(cost);
    }

    /// Counts a request as worked off. `true`: the sender should hear of it soon.
    pub(crate) fn work_off(&mut self, cost: u64) -> bool {
        self.worked_off = self.worked_off.saturating_add(cost).min(self.received);
        self.is_due() || self.is_quiet()
    }

    /// Enough was worked off since the last grant to be worth another.
    fn is_due(&self) -> bool {
        self.worked_off - self.told >= u64::from(self.window / 4)
    }

    /// Nothing of the sender waits any more: what is owed must be told now, for it may wait for
    /// that.
    const fn is_quiet(&self) -> bool {
        self.worked_off == self.received
    }

    /// The grant to send now, if the sender was not told all.
    pub(crate) fn grant(&mut self, pool: &mut CreditPool) -> Option<Grant> {
        if self.told == self.worked_off {
            return None;
        }
        self.window = pool.exchange(self.window);
        self.tell()
    }

    /// The window of a sender that uses none of it, made small for the others.
    fn shrink(&mut self, pool: &mut CreditPool) -> Option<Grant> {
        pool.give_back(self.window);
        self.window = FIRST_WINDOW;
        self.tell()
    }

    fn tell(&mut self) -> Option<Grant> {
        self.told = self.worked_off;
        // A total that overflows has been a flow for longer than any link lasts.
        Grant::new(self.flow, self.told, self.window).ok()
    }

    /// Gives the window back when the flow is over.
    pub(crate) fn end(&self, pool: &mut CreditPool) {
        pool.give_back(self.window);
    }
}

/// The flows that end at one node, by their senders.
#[derive(Debug)]
pub(crate) struct Receiving<K, S> {
    flows: HashMap<K, IncomingFlow, S>,
    pool: CreditPool,
    /// Senders with a large window of which nothing waited at some time, the first of them first.
    quiet: VecDeque<K>,
    /// Senders that are to be told at the end of the turn.
    due: Vec<K>,
}

/// Windows taken back for one that is given.
const TAKEN_BACK: usize = 2;

impl<K: Clone + Eq + Hash, S: BuildHasher + Default> Receiving<K, S> {
    /// `size` is that of the pool, in what requests cost.
    pub(crate) fn new(size: u64) -> Self {
        Self { flows: HashMap::default(), pool: CreditPool::new(size), quiet: VecDeque::new(), due: Vec::new() }
    }

    /// Senders that have begun a flow.
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Begins a flow, as its sender says.
    pub(crate) fn begin(&mut self, sender: K, flow: FlowId) {
        let next = IncomingFlow::new(flow);
        match self.flows.entry(sender) {
            Entry::Vacant(vacant) => drop(vacant.insert(next)),
            Entry::Occupied(mut before) => {
                before.get().end(&mut self.pool);
                let in_line = before.get().in_line;
                before.insert(IncomingFlow { in_line, ..next });
            }
        }
    }

    /// Counts a request that came. Gives its flow; `None`: the sender has begun none.
    pub(crate) fn receive(&mut self, sender: &K, cost: u64) -> Option<FlowId> {
        let flow = self.flows.get_mut(sender)?;
        flow.receive(cost);
        Some(flow.flow)
    }

    /// Counts a request of that flow as worked off. The sender is told [at the end of the
    /// turn](Self::grants), if it has to be. `true`: there is something to tell.
    pub(crate) fn work_off(&mut self, sender: &K, flow: FlowId, cost: u64) -> bool {
        let Some(incoming) = self.flows.get_mut(sender).filter(|incoming| incoming.flow == flow) else { return false };
        if incoming.work_off(cost) {
            if incoming.unwritten > 0 {
                incoming.outdated = true;
            } else if !std::mem::replace(&mut incoming.in_line, true) {
                self.due.push(sender.clone());
            }
        }
        !self.due.is_empty()
    }

    /// A [grant](Self::grants) of that flow is on its way, and waits to be written.
    pub(crate) fn note_queued<Q>(&mut self, sender: &Q, flow: FlowId)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(incoming) = self.flows.get_mut(sender).filter(|incoming| incoming.flow == flow) {
            incoming.unwritten += 1;
        }
    }

    /// Such a grant was written. `true`: there is something to tell by now.
    pub(crate) fn note_written(&mut self, sender: &K, flow: FlowId) -> bool {
        let Some(incoming) = self.flows.get_mut(sender).filter(|incoming| incoming.flow == flow) else { return false };
        incoming.unwritten = incoming.unwritten.saturating_sub(1);
        if incoming.unwritten == 0
            && std::mem::take(&mut incoming.outdated)
            && !std::mem::replace(&mut incoming.in_line, true)
        {
            self.due.push(sender.clone());
        }
        !self.due.is_empty()
    }

    /// The grants to send now.
    pub(crate) fn grants(&mut self) -> Vec<(K, Grant)> {
        let mut grants = Vec::new();
        for sender in std::mem::take(&mut self.due) {
            let Some(incoming) = self.flows.get_mut(&sender) else { continue };
            incoming.in_line = false;
            let Some(grant) = incoming.grant(&mut self.pool) else { continue };
            let (window, quiet) = (incoming.window, incoming.is_quiet());
            if quiet && window > FIRST_WINDOW && self.quiet.back() != Some(&sender) {
                self.quiet.push_back(sender.clone());
            }
            grants.push((sender, grant));
            self.take_back(&mut grants);
        }
        grants
    }

    /// Takes windows back that lie idle, when there is little left to share. The list of such
    /// senders stays as long as the list of flows, at most.
    fn take_back(&mut self, grants: &mut Vec<(K, Grant)>) {
        for _ in 0..TAKEN_BACK {
            if !self.pool.is_scarce() && self.quiet.len() <= self.flows.len() {
                return;
            }
            if self.quiet.front().is_none_or(|first| grants.last().is_some_and(|(told, _)| told == first)) {
                // What it was told just now is no older than what any other was told.
                return;
            }
            let Some(sender) = self.quiet.pop_front() else { return };
            if let Some(incoming) = self.flows.get_mut(&sender)
                && incoming.is_quiet()
                && incoming.window > FIRST_WINDOW
                && self.pool.is_scarce()
            {
                grants.extend(incoming.shrink(&mut self.pool).map(|grant| (sender, grant)));
            }
        }
    }

    /// Forgets a sender that left.
    pub(crate) fn forget<Q>(&mut self, sender: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(flow) = self.flows.remove(sender) {
            flow.end(&mut self.pool);
            if flow.in_line {
                self.due.retain(|other| other.borrow() != sender);
            }
        }
    }
}

#[cfg(test)]
#[path = "credit_tests.rs"]
mod tests;
