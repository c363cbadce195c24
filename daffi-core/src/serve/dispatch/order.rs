//! Runs one caller's requests one after another.

use std::{collections::HashMap, sync::Arc};

use daffi_wire::{MethodName, NodeName};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::super::request::Request;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Held while a request of an ordered callback runs: the next one of the same caller waits for it.
pub(crate) type InOrder = OwnedMutexGuard<()>;

/// The locks of the callers that have requests for ordered callbacks.
#[derive(Debug, Default)]
pub(crate) struct Order(Mutex<HashMap<(MethodName, NodeName), Lock>>);

impl Order {
    /// The lock of the requests of this caller for this callback.
    pub(crate) fn lock_for(&self, request: &Request) -> Lock {
        let mut locks = self.0.lock();
        // Callers without requests hold no lock: they are forgotten before the table grows.
        if locks.len() == locks.capacity() {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        let (method, caller) = (request.callback.name().clone(), request.context.caller_name().clone());
        Arc::clone(locks.entry((method, caller)).or_default())
    }
}
