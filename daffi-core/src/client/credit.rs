//! Credit on a connection to a level 4 Router: what this node may send to each receiver without
//! waiting for answers, and what it has worked off for each sender.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use daffi_wire::{Credit, FlowId, Grant, NodeName, credit_cost};
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::ClientConn;
use crate::{
    conn::{Account, Class},
    keyed::ByName,
    session::{Members, Outgoing, Receiving},
};

/// Bytes of chunks of acknowledged streams to one receiver that may be unacknowledged at once. A
/// larger chunk goes alone.
const UNACKNOWLEDGED: u64 = 512 * 1024;

/// Of the node's budget, what requests of all senders may cost together. What a small one really
/// holds while it waits is four times that.
const POOL: usize = 64;

/// What a sender that has begun a flow takes beside its name.
const SENDER_COST: usize = 192;

/// The credit of one connection, both ways. Everything is free on a connection to anything but a
/// level 4 Router.
#[derive(Debug)]
pub(crate) struct ClientCredit {
    governed: AtomicBool,
    sending: Mutex<Sending>,
    receiving: Mutex<ReceivingFlows>,
    /// What counts the senders.
    account: Arc<Account>,
}

#[derive(Debug, Default)]
struct Sending {
    flows: ByName<NodeName, Arc<Flow>>,
    /// Ends all flows when the connection has ended.
    closed: bool,
}

#[derive(Debug)]
struct ReceivingFlows {
    senders: Receiving<NodeName, RandomState>,
    /// A turn of the driver goes on, which tells all that is owed when it ends.
    in_turn: bool,
    /// Bytes of their names.
    names: usize,
    /// Bytes that are counted for the senders.
    counted: usize,
}

impl ReceivingFlows {
    /// Counts what the senders take now.
    fn count(&mut self, account: &Account) {
        let held = self.senders.len() * SENDER_COST + self.names;
        account.change(std::mem::replace(&mut self.counted, held), held);
    }
}

/// What this node sends to one receiver, until that leaves or loses its name.
#[derive(Debug)]
pub(crate) struct Flow {
    account: Mutex<FlowAccount>,
    /// Those who wait to pay, the first at its head; one line for requests that nobody answers, one
    /// for chunks.
    lines: [AsyncMutex<()>; 2],
    /// More can be paid in that line, or the flow has ended.
    more: [Notify; 2],
}

#[derive(Debug)]
struct FlowAccount {
    nowait: Outgoing,
    unacknowledged: u64,
    ended: bool,
}

/// What is paid for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    /// A request that nobody answers: its receiver tells when it is worked off.
    Nowait = 0,
    /// A chunk of an acknowledged stream: its answer tells that.
    Chunk = 1,
}

impl FlowAccount {
    /// `None`: not now.
    fn pay(&mut self, style: Style, cost: u64) -> Result<bool, Gone> {
        if self.ended {
            return Err(Gone);
        }
        Ok(match style {
            Style::Nowait => self.nowait.pay(cost),
            Style::Chunk => {
                let pays = self.unacknowledged == 0 || self.unacknowledged + cost <= UNACKNOWLEDGED;
                self.unacknowledged += if pays { cost } else { 0 };
                pays
            }
        })
    }
}

impl Flow {
    fn new(flow: FlowId) -> Arc<Self> {
        let account = FlowAccount { nowait: Outgoing::new(flow), unacknowledged: 0, ended: false };
        Arc::new(Self { account: Mutex::new(account), lines: Default::default(), more: Default::default() })
    }

    fn end(&self) {
        self.account.lock().ended = true;
        self.more.iter().for_each(Notify::notify_one);
    }

    /// Pays if nobody waits for that.
    fn pay_now(self: &Arc<Self>, style: Style, payload: usize) -> Result<Option<Paid>, Gone> {
        let cost = credit_cost(payload);
        let Ok(_first) = self.lines[style as usize].try_lock() else { return Ok(None) };
        let paid = self.account.lock().pay(style, cost)?;
        Ok(paid.then(|| self.receipt(style, cost)))
    }

    /// Pays for a request with such a payload; waits in order of arrival until the receiver takes
    /// more. Cancel safe.
    pub(crate) async fn pay(self: &Arc<Self>, style: Style, payload: usize) -> Result<Paid, Gone> {
        let cost = credit_cost(payload);
        let _first = self.lines[style as usize].lock().await;
        loop {
            if self.account.lock().pay(style, cost)? {
                return Ok(self.receipt(style, cost));
            }
            self.more[style as usize].notified().await;
        }
    }

    fn receipt(self: &Arc<Self>, style: Style, cost: u64) -> Paid {
        Paid(Some((Arc::clone(self), style, cost)))
    }
}

/// A request that is paid for. Dropped, it gives its price back: it was not sent, or its answer
/// came.
#[derive(Debug)]
pub(crate) struct Paid(Option<(Arc<Flow>, Style, u64)>);

impl Paid {
    /// Keeps the price of a request that was sent: only its receiver gives it back.
    pub(crate) fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        let Some((flow, style, cost)) = self.0.take() else { return };
        let mut account = flow.account.lock();
        match style {
            Style::Nowait => account.nowait.refund(cost),
            Style::Chunk => account.unacknowledged = account.unacknowledged.saturating_sub(cost),
        }
        drop(account);
        flow.more[style as usize].notify_one();
    }
}

/// The receiver is not there any more, or the connection is not.
#[derive(Debug)]
pub(crate) struct Gone;

impl ClientCredit {
    /// `budget`: what the node may hold.
    pub(crate) fn new(budget: usize, account: Arc<Account>) -> Self {
        let senders = Receiving::new((budget / POOL) as u64);
        Self {
            governed: AtomicBool::new(false),
            sending: Mutex::default(),
            receiving: Mutex::new(ReceivingFlows { senders, in_turn: false, names: 0, counted: 0 }),
            account,
        }
    }

    /// Turns credit on: the server is a level 4 Router. Relaxed: callers find the connection only
    /// after this, through what publishes it.
    pub(crate) fn govern(&self) {
        self.governed.store(true, Ordering::Relaxed);
    }

    /// Whether the server is a level 4 Router.
    pub(crate) fn is_governed(&self) -> bool {
        self.governed.load(Ordering::Relaxed)
    }

    /// The flow to `receiver`, if that is one of `members`. `begin` tells it of a new one, before
    /// anybody can pay.
    fn flow(
        &self,
        receiver: &NodeName,
        members: impl Fn() -> Arc<Members>,
        begin: impl FnOnce(FlowId),
    ) -> Result<Arc<Flow>, Gone> {
        let mut sending = self.sending.lock();
        if let Some(flow) = sending.flows.get(receiver) {
            return Ok(Arc::clone(flow));
        }
        // This looks under the lock, because who leaves is no member any more before it is
        // forgotten.
        if sending.closed || members().get(receiver).is_none() {
            return Err(Gone);
        }
        // It must be no number of an earlier connection, whose grants may still be on their way.
        let number = FlowId(fastrand::u32(..));
        begin(number);
        let flow = Flow::new(number);
        sending.flows.insert(receiver.clone(), Arc::clone(&flow));
        Ok(flow)
    }

    /// Takes a grant of `receiver`.
    pub(crate) fn on_grant(&self, receiver: &str, grant: Grant) {
        let sending = self.sending.lock();
        if let Some(flow) = sending.flows.get(receiver)
            && flow.account.lock().nowait.take_grant(grant)
        {
            flow.more[Style::Nowait as usize].notify_one();
        }
    }

    /// Begins a flow of `sender`.
    pub(crate) fn on_begin(&self, sender: NodeName, flow: FlowId) {
        let mut receiving = self.receiving.lock();
        let (before, name) = (receiving.senders.len(), sender.len());
        receiving.senders.begin(sender, flow);
        receiving.names += if receiving.senders.len() > before { name } else { 0 };
        receiving.count(&self.account);
    }

    /// Whether there is room for a flow of one of whom nothing bounds how many there are.
    pub(crate) fn admits_sender(&self, name: &str) -> bool {
        self.account.admits(SENDER_COST + name.len())
    }

    /// Ends the flows from and to a member that left, or whose name another bears.
    pub(crate) fn forget(&self, member: &str) {
        let flow = self.sending.lock().flows.remove(member);
        if let Some(flow) = flow {
            flow.end();
        }
        let mut receiving = self.receiving.lock();
        let before = receiving.senders.len();
        receiving.senders.forget(member);
        receiving.names -= if receiving.senders.len() < before { member.len() } else { 0 };
        receiving.count(&self.account);
    }

    /// The connection ended.
    pub(crate) fn close(&self) {
        let flows = {
            let mut sending = self.sending.lock();
            sending.closed = true;
            std::mem::take(&mut sending.flows)
        };
        flows.values().for_each(|flow| flow.end());
    }
}

impl ClientConn {
    /// Pays for a request with such a payload to `receiver` at once. `None`: that has to be waited
    /// for.
    pub(crate) fn pay_now(&self, receiver: &NodeName, style: Style, payload: usize) -> Result<Option<Paid>, Gone> {
        if !self.credit.is_governed() {
            return Ok(Some(Paid(None)));
        }
        self.flow(receiver)?.pay_now(style, payload)
    }

    /// Pays for a request with such a payload to `receiver`; waits in order of arrival until that
    /// takes more. Cancel safe.
    pub(crate) async fn pay(&self, receiver: &NodeName, style: Style, payload: usize) -> Result<Paid, Gone> {
        if !self.credit.is_governed() {
            // Nothing is counted here, and still nothing is sent to a receiver that is not there.
            return self.members().get(receiver).map(|_| Paid(None)).ok_or(Gone);
        }
        let flow = self.flow(receiver)?;
        let _waits = self.wait_for_credit();
        flow.pay(style, payload).await
    }

    /// What is sent to `receiver` from here on, for as long as it keeps its name; `None`: nobody
    /// counts it.
    pub(crate) fn flow_to(&self, receiver: &NodeName) -> Result<Option<Arc<Flow>>, Gone> {
        self.credit.is_governed().then(|| self.flow(receiver)).transpose()
    }

    fn flow(&self, receiver: &NodeName) -> Result<Arc<Flow>, Gone> {
        let begin = |flow| self.say(Credit::Begins(flow), receiver);
        self.credit.flow(receiver, || self.members(), begin)
    }

    fn say(&self, credit: Credit, to: &NodeName) {
        if let Ok(frame) = credit.frame(&self.name, to, &self.limits) {
            // Without the connection there is no credit.
            drop(self.conn.send(Class::Notice, &frame));
        }
    }

    /// Tells senders of whom nothing waits any more, when the turn that read requests is over.
    pub(crate) fn tell_owed(self: &Arc<Self>) {
        if !self.credit.is_governed() {
            return;
        }
        let is_over = std::mem::take(&mut self.credit.receiving.lock().in_turn);
        if is_over {
            self.tell();
        }
    }

    /// Tells senders what they are owed. One grant of each flow waits to be written, at most: the
    /// newest says it all, whether the server takes what waits for it or not.
    fn tell(self: &Arc<Self>) {
        let grants = {
            let senders = &mut self.credit.receiving.lock().senders;
            let grants = senders.grants();
            grants.iter().for_each(|(sender, grant)| senders.note_queued(sender, grant.flow()));
            grants
        };
        for (sender, grant) in grants {
            if let Ok(frame) = Credit::Grants(grant).frame(&self.name, &sender, &self.limits) {
                let written = OwnGrantWritten { conn: Arc::downgrade(self), sender, flow: grant.flow() };
                // Without the connection there is no credit.
                drop(self.conn.forward_with(&frame, || Box::new(written)));
            }
        }
    }
}

/// A nowait request that came through a level 4 Router. Dropped when it is worked off, which its
/// sender hears of.
#[derive(Debug)]
pub(crate) struct NowaitReceipt {
    conn: Arc<ClientConn>,
    sender: NodeName,
    flow: FlowId,
    cost: u64,
}

impl NowaitReceipt {
    /// `None`: nobody counts this request.
    pub(crate) fn new(conn: &Arc<ClientConn>, sender: &NodeName, payload: usize) -> Option<Self> {
        if !conn.credit.is_governed() {
            return None;
        }
        let cost = credit_cost(payload);
        let flow = {
            let mut receiving = conn.credit.receiving.lock();
            receiving.in_turn = true;
            receiving.senders.receive(sender, cost)?
        };
        Some(Self { conn: Arc::clone(conn), sender: sender.clone(), flow, cost })
    }
}

impl Drop for NowaitReceipt {
    fn drop(&mut self) {
        let is_owed = {
            let mut receiving = self.conn.credit.receiving.lock();
            receiving.senders.work_off(&self.sender, self.flow, self.cost) && !receiving.in_turn
        };
        if is_owed {
            self.conn.tell();
        }
    }
}

/// Lies in the outbox behind a grant.
struct OwnGrantWritten {
    conn: Weak<ClientConn>,
    sender: NodeName,
    flow: FlowId,
}

impl Drop for OwnGrantWritten {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.upgrade() {
            let is_owed = conn.credit.receiving.lock().senders.note_written(&self.sender, self.flow);
            if is_owed {
                conn.tell();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::{Limits, Member};

    use super::*;
    use crate::{conn::Budget, session::MemberList};

    fn name(text: &str) -> NodeName {
        NodeName::new(text, &Limits::default()).unwrap()
    }

    fn credit() -> ClientCredit {
        ClientCredit::new(1 << 28, Budget::new(1 << 28, 1.0, 2, 1 << 20).open())
    }

    fn flow(credit: &ClientCredit) -> Result<Arc<Flow>, Gone> {
        let mut members = MemberList::new(name("me"));
        members.replace(vec![Member::new(name("worker"), Vec::new())]);
        let members = Arc::new(members.snapshot());
        credit.flow(&name("worker"), || Arc::clone(&members), |_| {})
    }

    fn grant(flow: &Flow, worked_off: u64, window: u32) -> Grant {
        Grant::new(flow.account.lock().nowait.flow(), worked_off, window).unwrap()
    }

    #[tokio::test]
    async fn credit_is_waited_for_in_order_and_comes_from_the_receiver() {
        let credit = credit();
        let flow = flow(&credit).unwrap();
        flow.pay_now(Style::Nowait, 1 << 20).unwrap().unwrap().spend();
        let mut first = Box::pin(flow.pay(Style::Nowait, 1 << 20));
        assert!(futures::poll!(first.as_mut()).is_pending());
        let mut second = Box::pin(flow.pay(Style::Nowait, 10));
        assert!(futures::poll!(second.as_mut()).is_pending());
        credit.on_grant("other", grant(&flow, credit_cost(1 << 20), 9000));
        assert!(futures::poll!(first.as_mut()).is_pending());
        credit.on_grant("worker", grant(&flow, credit_cost(1 << 20), 9000));
        assert!(futures::poll!(second.as_mut()).is_pending(), "behind the first");
        first.await.unwrap().spend();
        assert!(futures::poll!(second.as_mut()).is_pending());
        credit.on_grant("worker", grant(&flow, 2 * credit_cost(1 << 20), 9000));
        second.await.unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_line_to_the_next() {
        let credit = credit();
        let flow = flow(&credit).unwrap();
        let large = flow.pay_now(Style::Chunk, 1 << 20).unwrap().unwrap();
        let mut first = Box::pin(flow.pay(Style::Chunk, 10));
        let mut second = Box::pin(flow.pay(Style::Chunk, 10));
        assert!(futures::poll!(first.as_mut()).is_pending() && futures::poll!(second.as_mut()).is_pending());
        drop(large);
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn a_receiver_that_leaves_ends_the_waiting_and_the_next_has_its_own_window() {
        let credit = credit();
        let before = flow(&credit).unwrap();
        before.pay_now(Style::Nowait, 1 << 20).unwrap().unwrap().spend();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(before.pay(Style::Nowait, 100))).collect();
        for one in &mut waiting {
            assert!(futures::poll!(one.as_mut()).is_pending());
        }
        credit.forget("worker");
        for one in waiting {
            assert!(one.await.is_err());
        }
        let after = flow(&credit).unwrap();
        assert_ne!(before.account.lock().nowait.flow(), after.account.lock().nowait.flow());
        after.pay_now(Style::Nowait, 1 << 20).unwrap().unwrap().spend();
        credit.on_grant("worker", grant(&before, credit_cost(1 << 20), 9000));
        assert!(after.pay_now(Style::Nowait, 10).unwrap().is_none(), "a grant of the flow before");
        credit.close();
        assert!(matches!(flow(&credit), Err(Gone)), "nothing begins on a connection that has ended");
    }
}
