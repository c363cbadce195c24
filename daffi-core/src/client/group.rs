//! One node at several servers.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use daffi_serde::FormatSet;
use tokio::sync::mpsc;

use super::{Client, ClientStats, supervisor};
use crate::{
    error::{Ended, InitializationError},
    serve::Callback,
};

/// One node that is a client of several servers at once, of Routers for one: a worker that each of
/// them can call. [`ClientBuilder::connect_all`](super::ClientBuilder::connect_all) makes it.
///
/// Its clients share name, callbacks, `workers`, memory and end: to stop one of them is to stop
/// all. A callback that calls on does it through the server that its own call came through.
#[derive(Clone, Debug)]
pub struct ClientGroup<F> {
    clients: Vec<Client<F>>,
}

impl<F: FormatSet> ClientGroup<F> {
    pub(super) const fn new(clients: Vec<Client<F>>) -> Self {
        Self { clients }
    }

    /// Connects them side by side, and comes back when the first one is, or when all have failed.
    /// The others go on.
    pub(super) async fn start(&self, retry: Option<Duration>) -> Result<(), InitializationError> {
        let (told, mut tells) = mpsc::channel(self.clients.len().max(1));
        let left = Arc::new(AtomicUsize::new(self.clients.len()));
        for client in &self.clients {
            supervisor::start_telling(Arc::clone(client.shared()), retry, told.clone(), Arc::clone(&left));
        }
        drop(told);
        let mut failed = Vec::new();
        while let Some(made) = tells.recv().await {
            match made {
                Ok(()) => return Ok(()),
                Err(error) => failed.push(error),
            }
        }
        Err(InitializationError::of_all(failed))
    }

    /// Its clients, in the order of the addresses. Calls of one of them go to what its server
    /// knows.
    #[must_use]
    pub fn clients(&self) -> &[Client<F>] {
        &self.clients
    }

    /// What its clients counted together: what they called by receiver and callback, whichever
    /// server it went through.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        ClientStats::of_all(self.clients.iter().map(Client::stats)).unwrap_or_default()
    }

    /// Exposes further callbacks, at all servers; see [`Client::add_callbacks`].
    ///
    /// # Errors
    /// The errors of [`Client::add_callbacks`]: none was added.
    pub fn add_callbacks(&self, callbacks: Vec<Callback>) -> Result<(), InitializationError> {
        // One whose name was taken at its server has ended, and the others live on.
        let Some(one) = self.clients.iter().find(|client| client.find_end().is_none()).or(self.clients.first()) else {
            return Ok(());
        };
        one.add_callbacks(callbacks)?;
        self.clients.iter().for_each(|client| client.shared().announce.notify_one());
        Ok(())
    }

    /// Waits until all have ended: the node was stopped, or each was evicted. Cancel safe.
    pub async fn join(&self) -> Ended {
        let mut how = Ended::Evicted;
        for client in &self.clients {
            how = match (how, client.join().await) {
                (Ended::CutOff(one), Ended::CutOff(other)) => Ended::CutOff(one.max(other)),
                (first, Ended::Evicted) => first,
                // One server that cannot be used does not say how the node ended at the others.
                (first, Ended::CannotConnect) if first != Ended::Evicted => first,
                (Ended::Unsent { requests, bytes }, Ended::Unsent { requests: more, bytes: more_bytes }) => {
                    Ended::Unsent { requests: requests + more, bytes: bytes + more_bytes }
                }
                (Ended::RuntimeGone, _) | (_, Ended::RuntimeGone) => Ended::RuntimeGone,
                (Ended::CutOff(one), _) => Ended::CutOff(one),
                (Ended::Unsent { requests, bytes }, Ended::Stopped) => Ended::Unsent { requests, bytes },
                (_, other) => other,
            };
        }
        how
    }

    /// Stops all of them in order, as [`Client::stop`] does. Cancel safe: dropped, the node goes on
    /// stopping.
    pub async fn stop(&self) {
        futures::future::join_all(self.clients.iter().map(Client::stop)).await;
    }
}
