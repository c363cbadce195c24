//! The client that a callback runs on, to call on.

use std::sync::Weak;

use daffi_serde::FormatSet;

use super::{Client, ClientOwner};
use crate::serve::Context;

/// A [`Client`] that keeps nothing alive.
pub(super) struct WeakClient<F> {
    pub(super) handle: Weak<ClientOwner<F>>,
}

impl<F: FormatSet> WeakClient<F> {
    fn upgrade(&self) -> Option<Client<F>> {
        Some(Client { handle: self.handle.upgrade()? })
    }
}

impl Context {
    /// The node that serves the call as a Client, to call on. `None` on a Service, which can't
    /// call.
    #[must_use]
    pub fn client<F: FormatSet>(&self) -> Option<Client<F>> {
        self.node().client()?.downcast_ref::<WeakClient<F>>()?.upgrade()
    }
}
