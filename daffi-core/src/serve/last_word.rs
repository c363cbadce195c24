//! What a node says last about the calls of a caller that has left.

use std::sync::Arc;

use daffi_wire::{CallerLeft, NodeName};

use super::{caller::CallerId, node::Node};
use crate::conn::{Class, Conn};

/// It counts as provoked by whoever asked for it, which may say as often as it likes that a caller
/// has left.
///
/// Said when this is dropped by the last who has it: by all whose answers to calls of that caller
/// are just on their way, and by whoever handles the word that it has left.
pub(crate) struct LastWord {
    conn: Arc<Conn>,
    node: Arc<Node>,
    caller: NodeName,
    /// The caller as its calls know it, if it made some.
    id: Option<CallerId>,
    says: CallerLeft,
}

impl LastWord {
    /// What answers this word about a caller. `None`: it wants no answer.
    pub(crate) fn answering(
        says: CallerLeft,
        (conn, node): (&Arc<Conn>, &Arc<Node>),
        caller: NodeName,
        id: Option<CallerId>,
    ) -> Option<Arc<Self>> {
        let (conn, node) = (Arc::clone(conn), Arc::clone(node));
        says.answer().map(|says| Arc::new(Self { conn, node, caller, id, says }))
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        // DATA lets other frames pass: what waits of its calls would come behind this.
        if let Some(id) = self.id {
            self.conn.forget_data_from(id.data_from());
        }
        let Ok(frame) = self.says.frame(&self.node.name, &self.caller, &self.node.config.limits) else { return };
        // A connection that has ended has no open calls.
        drop(self.conn.send(Class::Provoked, &frame));
    }
}
