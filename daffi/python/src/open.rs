//! What an event loop waits for: a future that is polled on the loop's own thread. A call costs no
//! task of the engine so, and what is there at once is given at once.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    calls::{Ended, Outcome},
    desk::{Inbox, Work},
};

/// A future that is open under its number.
pub(crate) struct Open {
    pub(crate) number: u64,
    inbox: Weak<Inbox>,
    engine: Handle,
    future: Mutex<Option<BoxFuture<'static, Ended<Outcome>>>>,
    /// Whether the loop was told to look at it, and has not yet.
    woken: AtomicBool,
}

impl Open {
    pub(crate) fn new(
        number: u64,
        inbox: &Arc<Inbox>,
        engine: Handle,
        future: impl Future<Output = Ended<Outcome>> + Send + 'static,
    ) -> Arc<Self> {
        let future = Mutex::new(Some(Box::pin(future) as BoxFuture<'static, _>));
        Arc::new(Self { number, inbox: Arc::downgrade(inbox), engine, future, woken: AtomicBool::new(false) })
    }

    /// How it ended, once it has.
    pub(crate) fn poll(self: &Arc<Self>) -> Option<Ended<Outcome>> {
        // What wakes it from here on has it looked at again.
        self.woken.store(false, Release);
        let _entered = self.engine.enter();
        let waker = Waker::from(Arc::clone(self));
        let mut future = self.future.lock();
        match future.as_mut()?.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(ended) => {
                future.take();
                Some(ended)
            }
        }
    }

    pub(crate) fn give_up(&self) {
        let _entered = self.engine.enter();
        self.future.lock().take();
    }
}

impl Wake for Open {
    fn wake(self: Arc<Self>) {
        if self.woken.swap(true, AcqRel) {
            return;
        }
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.push(Work::Woken(self));
        }
    }
}
