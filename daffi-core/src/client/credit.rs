//! Credit on a connection to a level 4 Router: what this node may send to each receiver without waiting for answers, and
//! what it has worked off for each sender.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use daffi_wire::{CREDIT_WINDOW, Limits, NodeName, credit_cost, credit_frame};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ClientConn;
use crate::{conn::Class, keyed::ByName, session::Owed};

/// Senders to whom credit may be owed at once; what is owed to more is granted before its part is full.
const MOST_OWED: usize = 4096;

/// The credit of one connection, both ways. Everything is free on a connection to anything but a level 4 Router.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    governed: AtomicBool,
    windows: Mutex<ByName<NodeName, Arc<Semaphore>>>,
    owed: Mutex<ByName<NodeName, Owed>>,
}

/// A request that is paid for. Dropped, it gives its price back: it was not sent, or its answer came.
#[derive(Debug)]
pub(crate) struct Paid(Option<OwnedSemaphorePermit>);

impl Paid {
    /// The request was sent, and only the receiver gives the price back.
    pub(crate) fn spend(self) {
        if let Some(permit) = self.0 {
            permit.forget();
        }
    }
}

/// The receiver, or the connection, ended while credit was waited for.
#[derive(Debug)]
pub(crate) struct Gone;

impl Credit {
    /// The server is a level 4 Router.
    pub(crate) fn govern(&self) {
        self.governed.store(true, Ordering::Relaxed);
    }

    fn is_governed(&self) -> bool {
        self.governed.load(Ordering::Relaxed)
    }

    /// Pays for a request at once, as far as nobody counts it.
    pub(crate) fn pay_now(&self) -> Option<Paid> {
        (!self.is_governed()).then_some(Paid(None))
    }

    /// Pays for a request of `frame_bytes` to `receiver`; waits in order of arrival until there is credit. Cancel safe.
    pub(crate) async fn pay(&self, receiver: &NodeName, frame_bytes: usize) -> Result<Paid, Gone> {
        if let Some(free) = self.pay_now() {
            return Ok(free);
        }
        let window = {
            let mut windows = self.windows.lock();
            match windows.get(receiver) {
                Some(window) => Arc::clone(window),
                None => Arc::clone(
                    windows.entry(receiver.clone()).or_insert_with(|| Arc::new(Semaphore::new(CREDIT_WINDOW))),
                ),
            }
        };
        let cost = u32::try_from(credit_cost(frame_bytes)).expect("a cost is at most a window, which fits");
        window.acquire_many_owned(cost).await.map(|permit| Paid(Some(permit))).map_err(|_| Gone)
    }

    /// `receiver` takes so much more.
    pub(crate) fn granted(&self, receiver: &str, amount: usize) {
        let windows = self.windows.lock();
        if let Some(window) = windows.get(receiver)
            && !window.is_closed()
        {
            // Never above a window, whatever a server says.
            window.add_permits(amount.min(CREDIT_WINDOW - window.available_permits().min(CREDIT_WINDOW)));
        }
    }

    /// A member left: who bears its name next has a window of its own.
    pub(crate) fn forget(&self, member: &str) {
        if let Some(window) = self.windows.lock().remove(member) {
            window.close();
        }
        self.owed.lock().remove(member);
    }

    /// The connection ended.
    pub(crate) fn close(&self) {
        for (_, window) in self.windows.lock().drain() {
            window.close();
        }
    }

    /// A request of `sender` was worked off. Gives what to grant now, and to whom.
    fn worked_off(&self, sender: &NodeName, cost: usize) -> Vec<(NodeName, usize)> {
        let mut owed = self.owed.lock();
        let everything = owed.len() >= MOST_OWED && !owed.contains_key(sender);
        let mut grants = Vec::new();
        if everything {
            grants.extend(owed.drain().map(|(name, owed)| (name, owed.take())));
        }
        grants.extend(owed.entry(sender.clone()).or_default().add(cost).map(|amount| (sender.clone(), amount)));
        grants
    }
}

/// A nowait request that came through a level 4 Router. Dropped when it is worked off, which its sender hears of.
#[derive(Debug)]
pub(crate) struct Receipt {
    link: Arc<ClientConn>,
    sender: NodeName,
    cost: usize,
    limits: Limits,
}

impl Receipt {
    /// `None`: nobody counts this request.
    pub(crate) fn new(link: &Arc<ClientConn>, sender: &NodeName, frame_bytes: usize, limits: Limits) -> Option<Self> {
        let counted = link.credit.is_governed();
        counted.then(|| Self { link: Arc::clone(link), sender: sender.clone(), cost: credit_cost(frame_bytes), limits })
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        for (sender, amount) in self.link.credit.worked_off(&self.sender, self.cost) {
            if let Ok(frame) = credit_frame(&self.link.name, &sender, amount, &self.limits) {
                // Without the connection there is no credit to grant.
                drop(self.link.conn.send(Class::Notice, &frame));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text, &Limits::default()).unwrap()
    }

    #[tokio::test]
    async fn credit_is_waited_for_and_comes_from_the_receiver() {
        let (credit, worker) = (Credit::default(), name("worker"));
        credit.pay(&worker, usize::MAX).await.unwrap().spend();
        credit.govern();
        credit.pay(&worker, usize::MAX).await.unwrap().spend();
        let mut waiting = Box::pin(credit.pay(&worker, 100));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        credit.granted("other", 1000);
        credit.granted("worker", 355);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        credit.granted("worker", 1);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_receiver_that_leaves_ends_the_waiting_and_the_next_has_its_own_window() {
        let (credit, worker) = (Credit::default(), name("worker"));
        credit.govern();
        credit.pay(&worker, usize::MAX).await.unwrap().spend();
        let mut waiting = Box::pin(credit.pay(&worker, 100));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        credit.forget("worker");
        assert!(waiting.await.is_err());
        credit.pay(&worker, usize::MAX).await.unwrap().spend();
        credit.granted("worker", usize::MAX);
        credit.pay(&worker, usize::MAX).await.unwrap();
    }

    #[test]
    fn very_many_senders_are_granted_early() {
        let credit = Credit::default();
        for n in 0..MOST_OWED {
            assert!(credit.worked_off(&name(&format!("s{n}")), 300).is_empty());
        }
        let grants = credit.worked_off(&name("one more"), 300);
        assert_eq!((grants.len(), grants[0].1), (MOST_OWED, 300));
        assert_eq!(credit.owed.lock().len(), 1);
    }
}
