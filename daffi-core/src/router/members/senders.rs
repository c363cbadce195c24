//! Members that are remembered without being kept.

use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;

use crate::router::flow::sender::Sender;

/// Senders, by their connection. Of those that have gone at most as many are remembered as of
/// others, and adding one costs the same with few as with many.
#[derive(Debug, Default)]
pub(crate) struct Senders(FxHashMap<u64, Weak<Sender>>);

impl Senders {
    pub(crate) fn add(&mut self, sender: &Arc<Sender>) {
        if self.0.len() == self.0.capacity() {
            self.0.retain(|_, other| other.strong_count() > 0);
        }
        self.0.insert(sender.peer.id(), Arc::downgrade(sender));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The senders that have not gone.
    pub(crate) fn present(&self) -> Vec<Arc<Sender>> {
        self.0.values().filter_map(Weak::upgrade).collect()
    }
}
