//! What happens to the other nodes, for programs that block.

use std::sync::Arc;

use daffi_core::{CallError, MemberEvent};
use futures::StreamExt;

use super::{Client, background::Background};

/// The events of a client, one by one: what [`Client::events`] gives. Each step blocks until the
/// next is there; it ends with the node.
///
/// A listener that falls more than 1 024 events behind misses the oldest; their number is logged.
/// On the client's own thread, which an async callback of it runs on, the first step is an error
/// and the second the end.
#[derive(Debug)]
pub struct Events {
    inner: crate::Events,
    has_failed: bool,
    background: Arc<Background>,
}

impl Iterator for Events {
    type Item = Result<MemberEvent, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        match self.background.run(self.inner.next()) {
            Ok(event) => event.map(Ok),
            Err(error) => {
                self.has_failed = true;
                Some(Err(error))
            }
        }
    }
}

impl Client {
    #[doc = daffi_core::words!(events)]
    #[must_use]
    pub fn events(&self) -> Events {
        Events { inner: self.inner.events(), has_failed: false, background: Arc::clone(&self.background) }
    }

    /// Runs `handler` with the name of every node that joins from now on, on the client's thread: a
    /// handler that blocks holds up the client.
    pub fn on_member_added(&self, handler: impl FnMut(String) + Send + 'static) {
        self.inner.on_member_added(handler);
    }

    /// Runs `handler` with the name of every node that leaves from now on, on the client's thread:
    /// a handler that blocks holds up the client.
    pub fn on_member_removed(&self, handler: impl FnMut(String) + Send + 'static) {
        self.inner.on_member_removed(handler);
    }
}
