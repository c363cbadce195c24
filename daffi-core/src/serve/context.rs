//! What a callback may know of the call it serves.

use std::{any::Any, fmt, sync::Arc, time::Instant};

use daffi_serde::{Opaque, Single};
use daffi_transport::PeerInfo;
use daffi_wire::NodeName;
use tokio_util::sync::CancellationToken;

use super::{extensions::Extensions, invocation::Invocation, node::Node, read_extensions::ReadExtensions};
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
    pub(super) read_extensions: ReadExtensions,
    /// Its caller waits for the answer.
    is_awaited: bool,
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
        Self {
            parts: Arc::new(Parts { caller, conn, node, gone }),
            extensions: Extensions::new(),
            call: None,
            read_extensions: ReadExtensions::default(),
            is_awaited: false,
        }
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
    pub(super) fn of_call(
        &self,
        is_awaited: bool,
        call: Option<Arc<Invocation>>,
        read_extensions: ReadExtensions,
    ) -> Self {
        Self { parts: Arc::clone(&self.parts), extensions: Extensions::new(), call, read_extensions, is_awaited }
    }

    /// Whether its caller waits for the answer. Who asked for none may leave and mean no end.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.is_awaited
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

    /// When the caller stops waiting: its timeout travels with the call, less the time that it was
    /// on the way where that is known. Clocks of different hosts need not agree. A call that has
    /// not begun by then does not run; one that runs sees it by [`cancelled`](Self::cancelled).
    ///
    /// `None` for a call without a timeout, and for one of a daffi 3.0.1 node, which does not say.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.read_extensions.deadline().map(tokio::time::Instant::into_std)
    }

    /// The keys and values that the caller sent with the call, in the order in which it set them.
    /// Anybody who may call may write anything there.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.read_extensions.headers()
    }

    /// The value that the caller sent with the call under this key; the first, if there are
    /// several.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&str> {
        self.headers().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// Whether nobody waits for the answer any more: the caller dropped its call or its timeout
    /// passed, the call's [`deadline`](Self::deadline) passed, the caller has left, or the
    /// connection the call came on has ended. A call that has not begun by then never does.
    ///
    /// A caller of daffi 3.0.1, and one behind a Router of 3.0.1, does not say that it gave a call
    /// up, only that it left.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_given_up() || self.read_extensions.is_expired()
    }

    /// Whether the caller has said that it does not wait any more, or is gone.
    pub(super) fn is_given_up(&self) -> bool {
        self.parts.gone.is_cancelled() || self.call.as_ref().is_some_and(|call| call.is_cancelled())
    }

    /// Waits until nobody waits for the answer any more, as [`is_cancelled`](Self::is_cancelled)
    /// says. Cancel safe.
    ///
    /// The callback is not stopped: it decides what to do, and what it returns then is dropped.
    pub async fn cancelled(&self) {
        let given_up = async {
            match &self.call {
                None => std::future::pending().await,
                Some(call) => call.cancelled().await,
            }
        };
        tokio::select! {
            () = given_up => {}
            () = self.parts.gone.cancelled() => {}
            () = self.read_extensions.expired() => {}
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
