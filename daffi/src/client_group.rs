use daffi_core::{Ended, InitializationError};

use crate::{Client, ClientStats, Formats, IntoCallbacks, signals};

/// One node that is a client of several servers at once: a worker that several Routers can call.
/// [`ClientBuilder::connect_all`](crate::ClientBuilder::connect_all) makes it.
///
/// Its clients share name, callbacks, `workers`, memory and end: to stop one of them is to stop
/// all. A callback that calls on ([`Context::node`](crate::Context::node)) does it through the
/// server that its own call came through. This is a handle, cheap to clone; dropping the last one,
/// those of its clients included, ends the connections at once.
#[derive(Clone, Debug)]
pub struct ClientGroup {
    inner: daffi_core::ClientGroup<Formats>,
}

impl ClientGroup {
    pub(crate) const fn new(inner: daffi_core::ClientGroup<Formats>) -> Self {
        Self { inner }
    }

    /// Its clients, in the order of the endpoints. Calls of one of them go to the members that its
    /// server knows.
    pub fn clients(&self) -> impl ExactSizeIterator<Item = Client> + '_ {
        self.inner.clients().iter().cloned().map(Client::new)
    }

    /// What its clients counted together: what they called by receiver and callback, whichever
    /// server it went through.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.inner.stats()
    }

    /// Exposes further callbacks, at all servers; see [`Client::add_callbacks`].
    ///
    /// # Errors
    /// [`InitializationError`] for a name that can't be used or is taken, and from the moment the
    /// node is asked to stop: none was added.
    pub fn add_callbacks(&self, callbacks: impl IntoCallbacks) -> Result<(), InitializationError> {
        let Some(first) = self.inner.clients().first() else { return Ok(()) };
        self.inner.add_callbacks(callbacks.into_callbacks().make(first.formats(), first.limits())?)
    }

    /// Waits until SIGINT, SIGTERM, [`stop`](Self::stop), or until each of its names was evicted. A
    /// signal stops the node in order. A second one ends the process at once, and so does one that
    /// comes when no `join` waits any more: see [signals](crate#signals). Cancel safe.
    ///
    /// # Errors
    /// When the process can't listen for signals.
    pub async fn join(&self) -> std::io::Result<Ended> {
        signals::join(self.inner.join(), self.inner.stop()).await
    }

    /// Stops the node in order at all servers, as [`Client::stop`] does at one. Cancel safe:
    /// dropped, the node goes on stopping.
    pub async fn stop(&self) {
        self.inner.stop().await;
    }
}
