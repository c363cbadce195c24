//! The client that a callback runs on, through which it can call on.

use std::sync::{Arc, Weak};

use daffi_serde::FormatSet;

use super::Client;
use super::ClientOwner;
use crate::{conn::Conn, serve::Context};

/// The [`Client`]s of a node, which keep nothing alive.
pub(super) struct WeakClients<F>(pub(super) Vec<Weak<ClientOwner<F>>>);

impl<F: FormatSet> WeakClients<F> {
    /// The client that has this connection; of one that has ended, any.
    fn at(&self, conn: &Arc<Conn>) -> Option<Arc<ClientOwner<F>>> {
        let has = |owner: &Arc<ClientOwner<F>>| {
            owner.shared.current().as_ref().is_some_and(|current| Arc::ptr_eq(&current.conn.conn, conn))
        };
        let mut clients = self.0.iter().filter_map(Weak::upgrade).peekable();
        let first = clients.peek().cloned();
        clients.find(has).or(first)
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
        let handle = self.node().client()?.downcast_ref::<WeakClients<F>>()?.at(self.conn())?;
        let parent = self.is_awaited().then(|| Arc::new(self.clone()));
        Some(Client { handle, parent, trace: self.trace().map(Arc::new) })
    }
}
