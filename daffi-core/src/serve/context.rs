//! What a callback may know of the call it serves.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{
            Ordering::{Acquire, Relaxed},
            fence,
        },
    },
    time::Instant,
};

use daffi_serde::{FormatSet, Returned};
use daffi_transport::PeerInfo;
use daffi_wire::NodeName;
use tokio_util::sync::CancellationToken;

use super::{
    caller::{Caller, CallerId, Counted},
    extensions::RequestExtensions,
    incoming::Incoming,
    invocation::Invocation,
    node::Node,
    read_extensions::ReadExtensions,
};
use crate::{conn::Conn, session::Identity, trace::TraceContext};

/// What a callback may know of the call it serves: the caller, the peer, cancellation and the node
/// itself.
///
/// A parameter `ctx: Context` of a callback is filled in and is no argument of the call.
#[derive(Clone)]
pub struct Context {
    call: Arc<Invocation>,
    /// The request extensions of this call.
    pub(super) extensions: RequestExtensions,
    pub(super) read_extensions: ReadExtensions,
    /// Its caller waits for the answer.
    is_awaited: bool,
}

impl Context {
    /// A caller at the other end of the connection.
    pub(crate) fn new(caller: NodeName, conn: Arc<Conn>, node: Arc<Node>) -> Self {
        let gone = conn.ended.clone();
        Self::behind(caller, conn, node, gone)
    }

    /// A caller behind a Router. `gone`: cancelled when it is, or the connection.
    pub(crate) fn behind(caller: NodeName, conn: Arc<Conn>, node: Arc<Node>, gone: CancellationToken) -> Self {
        Self::of_any(Caller::new(caller, conn, node, gone))
    }

    /// The context of a call that came over no connection, to test layers and callbacks with:
    /// `caller` calls `node`, and never leaves.
    #[must_use]
    pub fn detached(caller: NodeName, node: NodeName) -> Self {
        Self::of_any(Caller::detached(caller, node))
    }

    /// The context of calls of which nothing is noted.
    fn of_any(caller: Arc<Caller>) -> Self {
        Self::of_call(Arc::new(Invocation::of_any(caller)))
    }

    /// The same context with one more extension, which replaces one of the same type.
    #[must_use]
    pub fn with_extension<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// What layers handed on with this call.
    #[must_use]
    pub const fn extensions(&self) -> &RequestExtensions {
        &self.extensions
    }

    /// The context of one call, for its answer.
    pub(super) fn of_call(call: Arc<Invocation>) -> Self {
        Self::of_request(call, false, ReadExtensions::default())
    }

    /// The context of one call, for its callback.
    pub(super) const fn of_request(call: Arc<Invocation>, is_awaited: bool, read_extensions: ReadExtensions) -> Self {
        Self { call, extensions: RequestExtensions::new(), read_extensions, is_awaited }
    }

    /// Whether its caller waits for the answer. Who asked for none may leave and mean no end.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Counts a request of this caller that has to wait.
    pub(crate) fn count(&self) -> Counted {
        self.call.caller.waiting.fetch_add(1, Relaxed);
        Counted(Arc::clone(&self.call.caller))
    }

    /// Requests of this caller that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.call.caller.waiting.load(Relaxed)
    }

    /// A request of this caller has finished.
    pub(crate) fn note_finished(&self) {
        if !self.is_known() {
            self.call.caller.known.store(true, Relaxed);
        }
    }

    /// Whether one has.
    pub(crate) fn is_known(&self) -> bool {
        self.call.caller.known.load(Relaxed)
    }

    pub(crate) const fn call(&self) -> &Arc<Invocation> {
        &self.call
    }

    /// The caller has left: nobody waits for the answers to its calls.
    pub(crate) fn note_gone(&self) {
        self.call.caller.gone.cancel();
    }

    /// Whether nothing is to be said to this caller, and none of its requests waits or runs. A
    /// program may keep what it knows of a call that has ended.
    ///
    /// `has_open`: whether a call of it is open that can be cancelled.
    pub(crate) fn is_idle(&self, has_open: impl FnOnce(CallerId) -> bool) -> bool {
        let caller = &self.call.caller;
        let is_unseen = Arc::strong_count(&self.call) == 1 && Arc::strong_count(caller) == 1;
        if !is_unseen && (caller.has_unfinished() || has_open(caller.id)) {
            return false;
        }
        // What others said before they forgot it was queued before.
        fence(Acquire);
        !caller.has_data()
    }

    pub(crate) fn caller_id(&self) -> CallerId {
        self.call.caller.id
    }

    pub(crate) fn caller_name(&self) -> &NodeName {
        &self.call.caller.name
    }

    pub(crate) fn conn(&self) -> &Arc<Conn> {
        &self.call.caller.conn
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.call.caller.node
    }

    /// The name of the node that calls.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.call.caller.name
    }

    /// The other end of the connection the call came on: its address and verified certificate.
    /// Behind a Router that is the Router.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.call.caller.conn.peer
    }

    /// Who is at the other end of the connection: by its token, its certificate, its user on this
    /// host, or its address. Behind a Router that is the Router, which has checked its members.
    ///
    /// A client that trusts its Router to say who calls
    /// ([`trust_router_identities`](crate::NodeConfig#structfield.trust_router_identities)) gets
    /// the caller as the Router knows it, and [`Identity::Unknown`] where that says nothing.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let conn = &self.call.caller.conn;
        if conn.tells_identities() {
            return self.read_extensions.identity().map_or(Identity::Unknown, Identity::from_wire);
        }
        conn.identity()
    }

    /// When the caller stops waiting: its timeout travels with the call, less the time that it was
    /// on the way where that is known. Clocks of different hosts need not agree. A call that has
    /// not begun by then does not run; one that runs sees it by [`cancelled`](Self::cancelled).
    ///
    /// `None` for a call without a timeout, for one of a daffi 3.0.1 node, which does not say, and
    /// from when results begin to go one by one: of those the timeout is that of each.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.call.streams() {
            return None;
        }
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

    /// The trace that the call belongs to, and in it the span of the caller. The callback's calls,
    /// those of [`client`](Self::client), belong to it as well. `None` for a call of no trace, and
    /// of a daffi 3.0.1 node, which does not say.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        self.read_extensions.trace()
    }

    /// Whether nobody waits for the answer any more: the caller dropped its call or its timeout
    /// passed, the call's [`deadline`](Self::deadline) passed, the caller has left, or the
    /// connection the call came on has ended. A call that has not begun by then never does.
    ///
    /// A caller of daffi 3.0.1, and one behind a Router of 3.0.1, does not say that it gave a call
    /// up, only that it left.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_given_up() || self.read_extensions.is_expired() && !self.call.streams()
    }

    /// Whether the caller has said that it does not wait any more, or is gone.
    pub(super) fn is_given_up(&self) -> bool {
        self.call.is_cancelled() || self.call.caller.gone.is_cancelled()
    }

    /// The arguments that the caller sends one by one, behind those that came with the call of
    /// `method`; taken once. `None`: none follow, or they are not in one of the formats `F`.
    #[must_use]
    pub fn items<T: Returned, F: FormatSet>(&self, method: &str) -> Option<Incoming<T>> {
        Incoming::of_call(self, method, self.node().formats::<F>()?.clone())
    }

    /// Waits until nobody waits for the answer any more, as [`is_cancelled`](Self::is_cancelled)
    /// says. Cancel safe.
    ///
    /// The callback is not stopped: it decides what to do, and what it returns then is dropped.
    ///
    /// Whoever keeps this for longer than the call runs may never hear that the caller has left: a
    /// node that knows many callers behind a Router forgets those of whom nothing runs.
    pub async fn cancelled(&self) {
        tokio::select! {
            () = self.call.cancelled() => {}
            () = self.call.caller.gone.cancelled() => {}
            () = self.await_deadline() => {}
        }
    }

    /// Waits for the deadline, as long as there is one. Cancel safe.
    async fn await_deadline(&self) {
        self.read_extensions.await_deadline().await;
        if self.call.streams() {
            std::future::pending().await
        }
    }

    /// The name of the node that serves the call.
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.call.caller.node.name
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("caller", self.caller_name()).field("peer", self.peer()).finish_non_exhaustive()
    }
}
