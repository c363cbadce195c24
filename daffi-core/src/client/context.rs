//! The client that a callback runs on, through which it can call on.

use std::sync::{Arc, Weak};

use daffi_serde::FormatSet;

use super::{Client, ClientOwner};
use crate::serve::Context;

/// A [`Client`] that keeps nothing alive.
pub(super) struct WeakClient<F> {
    pub(super) handle: Weak<ClientOwner<F>>,
}

impl<F: FormatSet> WeakClient<F> {
    fn upgrade(&self) -> Option<Client<F>> {
        Some(Client { handle: self.handle.upgrade()?, parent: None, trace: None })
    }
}

impl Context {
    /// The node that serves the call as a Client, through which the callback can call on. `None` on
    /// a Service, which can't call.
    ///
    /// Its calls are made for the call of this context: they have no more time than is left of
    /// that, and when nobody waits for it any more ([`cancelled`](Self::cancelled)) they end with
    /// [`CallError::Cancelled`](crate::CallError::Cancelled). [`Client::detached`] unties them. Of
    /// a nowait call, for which nobody waits from the beginning, they are untied. All belong to the
    /// [`trace`](Self::trace) that the call does.
    #[must_use]
    pub fn client<F: FormatSet>(&self) -> Option<Client<F>> {
        let client = self.node().client()?.downcast_ref::<WeakClient<F>>()?.upgrade()?;
        let parent = self.is_awaited().then(|| Arc::new(self.clone()));
        Some(Client { parent, trace: self.trace().map(Arc::new), ..client })
    }
}
