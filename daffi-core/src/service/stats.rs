//! What a Service tells of what it does.

use std::sync::Arc;

use super::ServiceCore;
use crate::stats::{CallbackStats, keep_heaviest};

/// What a Service counted since its start, and how things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceStats {
    /// Clients now.
    pub clients: usize,
    /// Clients now that are held back: not read, or slowly, until what they sent has run or they
    /// take their answers.
    pub held_back_clients: usize,
    /// Calls now that run, or wait for their turn.
    pub running: usize,
    /// Bytes of the budget that are held now for clients, beyond the part that each connection
    /// owns.
    pub held_bytes: usize,
    /// The budget, in bytes.
    pub budget_bytes: usize,
    /// Bytes that wait now to be sent to the client for whom most do.
    pub longest_queue_bytes: usize,
    /// Requests that ran no callback: it is not exposed, the service stops, or the caller may not
    /// call it.
    pub refused_calls: u64,
    /// Handshakes and requests that the policy, or `admit`, refused.
    pub denied: u64,
    /// Clients whose name a newer connection took while they were connected.
    pub evictions: u64,
    /// Connections of clients that this Service ended, because they broke a rule or a limit, gave
    /// no sign of life or took too little of what waited.
    pub cut_connections: u64,
    /// Each callback, in the order in which they were added. A call counts as ended when its answer
    /// is ready; one that gives results one by one, when it has begun to.
    pub callbacks: Vec<CallbackStats>,
}

impl ServiceStats {
    /// Leaves so many callbacks out of all that there are: those that most is to be said of, by how
    /// many of their calls are open, failed, had no answer, and by all of them.
    pub fn keep_busiest(&mut self, most: usize) {
        keep_heaviest(&mut self.callbacks, most, &CallbackStats::WAYS);
    }
}

impl ServiceCore {
    pub(super) fn stats(&self) -> ServiceStats {
        let conns: Vec<_> = self.hub.lock().iter().map(|(_, conn)| Arc::clone(conn)).collect();
        ServiceStats {
            clients: conns.len(),
            held_back_clients: conns.iter().filter(|conn| conn.is_held_back()).count(),
            running: self.node.running.len(),
            held_bytes: self.node.budget.used_bytes(),
            budget_bytes: self.node.config.budget_bytes,
            longest_queue_bytes: conns.iter().map(|conn| conn.outbox.bytes()).max().unwrap_or(0),
            refused_calls: self.node.refused_calls(),
            denied: self.server.guard.denied_count(),
            evictions: self.server.evictions(),
            cut_connections: self.server.cut_connections(),
            callbacks: self.serving.registry.snapshot().stats(),
        }
    }
}
