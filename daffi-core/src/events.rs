//! What happens to the other nodes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use daffi_transport::BoxFuture;
use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};

/// The number of events that are kept for a listener that is slow to take them.
const KEPT: usize = 1024;

/// A change among the other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// The node of this name joined.
    Added(String),
    /// The node of this name left.
    Removed(String),
    /// A newer connection took the name of this node.
    Evicted(String),
}

impl MemberEvent {
    /// The name of the node.
    #[must_use]
    pub fn member(&self) -> &str {
        match self {
            Self::Added(member) | Self::Removed(member) | Self::Evicted(member) => member,
        }
    }
}

/// The stream of [`MemberEvent`]s of a node, from the moment it was asked for. Ends with the node.
///
/// A listener that falls more than 1 024 events behind misses the oldest; their number is logged.
/// Cancel safe.
pub struct Events {
    /// `None`: the node has ended.
    next: Option<BoxFuture<'static, NextEvent>>,
}

/// Where a node tells its events. It is closed when the node ends, which ends the streams.
#[derive(Debug)]
pub(crate) struct EventHub(Mutex<Hearing>);

#[derive(Debug)]
enum Hearing {
    /// Nobody has asked yet: what would keep events for listeners takes 64 KiB.
    Unasked,
    Open(Sender<MemberEvent>),
    Closed,
}

impl EventHub {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Hearing::Unasked))
    }

    pub(crate) fn tell(&self, event: MemberEvent) {
        if let Hearing::Open(sender) = &*self.0.lock() {
            // Fails when nobody listens.
            let _nobody = sender.send(event);
        }
    }

    pub(crate) fn subscribe(&self) -> Events {
        let mut hearing = self.0.lock();
        Events::new(match &*hearing {
            Hearing::Open(sender) => sender.subscribe(),
            Hearing::Closed => channel(1).1,
            Hearing::Unasked => {
                let (sender, receiver) = channel(KEPT);
                *hearing = Hearing::Open(sender);
                receiver
            }
        })
    }

    pub(crate) fn close(&self) {
        *self.0.lock() = Hearing::Closed;
    }
}

impl Events {
    fn new(receiver: Receiver<MemberEvent>) -> Self {
        Self { next: Some(receive(receiver)) }
    }
}

type NextEvent = (Result<MemberEvent, RecvError>, Receiver<MemberEvent>);

fn receive(mut receiver: Receiver<MemberEvent>) -> BoxFuture<'static, NextEvent> {
    Box::pin(async move { (receiver.recv().await, receiver) })
}

impl Stream for Events {
    type Item = MemberEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<MemberEvent>> {
        loop {
            let Some(next) = &mut self.next else { return Poll::Ready(None) };
            let (received, receiver) = ready!(next.as_mut().poll(cx));
            self.next = (received != Err(RecvError::Closed)).then(|| receive(receiver));
            match received {
                Ok(event) => return Poll::Ready(Some(event)),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "a listener was too slow for member events"),
                Err(RecvError::Closed) => return Poll::Ready(None),
            }
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
