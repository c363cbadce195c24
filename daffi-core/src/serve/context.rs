//! What a callback may know of the call it serves.

use std::{any::Any, fmt, sync::Arc, time::Instant};

use daffi_serde::{Opaque, Single};
use daffi_transport::PeerInfo;
use daffi_wire::NodeName;
use tokio_util::sync::CancellationToken;

use super::{extensions::Extensions, invocation::Invocation, node::Node};
use crate::{config::NodeConfig, conn::Conn};

/// What a callback may know of the call it serves: the caller, the peer, cancellation and the node
/// itself.
///
/// A parameter `ctx: Context` of a callback is filled in and is no argument of the call.
#[derive(Clone)]
pub struct Context {
    parts: Arc<Parts>,
    /// Those of this call.
    pub(super) extensions: Extensions,
    /// The call, if its caller can cancel it.
    pub(super) call: Option<Arc<Invocation>>,
}

/// The same for all calls of one caller on one connection, so that a call shares it and makes none.
struct Parts {
    caller: NodeName,
    conn: Arc<Conn>,
    node: Arc<Node>,
    /// Cancelled when the caller is gone, or the connection.
    gone: CancellationToken,
}

impl Context {
    /// A caller at the other end of the connection.
    pub(crate) fn new(caller: NodeName, conn: Arc<Conn>, node: Arc<Node>) -> Self {
        let gone = conn.ended.clone();
        Self::behind(caller, conn, node, gone)
    }

    /// A caller behind a Router. `gone`: cancelled when it is, or the connection.
    pub(crate) fn behind(caller: NodeName, conn: Arc<Conn>, node: Arc<Node>, gone: CancellationToken) -> Self {
        Self { parts: Arc::new(Parts { caller, conn, node, gone }), extensions: Extensions::new(), call: None }
    }

    /// The context of a call that came over no connection, to test layers and callbacks with:
    /// `caller` calls `node`, and never leaves.
    #[must_use]
    pub fn detached(caller: NodeName, node: NodeName) -> Self {
        let node = Node::new(node, NodeConfig::server(), Single::new(Opaque));
        let conn = Conn::new(PeerInfo::new("detached", caller.as_str()), &node.budget);
        Self::new(caller, conn, node)
    }

    /// The same context with one more extension, which replaces one of the same type.
    #[must_use]
    pub fn with_extension<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// What layers handed on with this call.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// That of one call of this caller.
    pub(crate) fn of_call(&self, call: Option<Arc<Invocation>>) -> Self {
        Self { parts: Arc::clone(&self.parts), extensions: Extensions::new(), call }
    }

    /// The call is to be answered. `false`: it has ended for its caller.
    pub(super) fn end_call(&self) -> bool {
        self.call.as_ref().is_none_or(|call| call.end())
    }

    pub(crate) fn caller_name(&self) -> &NodeName {
        &self.parts.caller
    }

    pub(crate) fn conn(&self) -> &Arc<Conn> {
        &self.parts.conn
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.parts.node
    }

    /// The name of the node that calls.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.parts.caller
    }

    /// The other end of the connection the call came on: its address and verified certificate.
    /// Behind a Router that is the Router.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.parts.conn.peer
    }

    /// When the caller stops waiting. Always `None` for now: the wire of level 3 does not carry it.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether nobody waits for the answer any more: the caller dropped its call or its timeout
    /// passed, it has left, or the connection the call came on has ended. A call that has not begun
    /// by then never does.
    ///
    /// A caller of daffi 3.0.1, and one behind a Router of 3.0.1, does not say that it gave a call
    /// up, only that it left.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.parts.gone.is_cancelled() || self.call.as_ref().is_some_and(|call| call.is_cancelled())
    }

    /// Waits until nobody waits for the answer any more, as [`is_cancelled`](Self::is_cancelled)
    /// says. Cancel safe.
    ///
    /// The callback is not stopped: it decides what to do, and what it returns then is dropped.
    pub async fn cancelled(&self) {
        match &self.call {
            None => self.parts.gone.cancelled().await,
            Some(call) => tokio::select! {
                () = call.cancelled() => {}
                () = self.parts.gone.cancelled() => {}
            },
        }
    }

    /// The name of the node that serves the call.
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.parts.node.name
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("caller", &self.parts.caller)
            .field("peer", &self.parts.conn.peer)
            .finish_non_exhaustive()
    }
}
