//! A node that connects: it calls, exposes callbacks, or both.

mod addresses;
mod attempt_numbers;
mod attempts;
#[cfg(test)]
pub(crate) mod bare;
mod builder;
mod call_options;
mod called;
mod callers;
mod connection;
mod contest;
mod context;
mod credit;
mod departing;
mod establish;
mod group;
mod hello_line;
mod moving;
mod numbers;
mod open_streams;
mod pauses;
mod permit;
mod persist;
mod picker;
mod pinned;
mod replacing;
mod schedule;
mod showing;
mod supervisor;
mod token;
mod unsent;
mod watching;
mod withdrawal;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use daffi_serde::FormatSet;
use daffi_transport::Endpoint;
use daffi_wire::{MethodName, Role};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub use self::builder::ClientBuilder;
pub use self::call_options::CallOptions;
pub use self::called::{CalledStats, ClientStats};
pub use self::group::ClientGroup;
pub use self::picker::{ByRouter, Choice, LeastInFlight, Picker, RoundRobin, StickyByKey};
use self::{
    addresses::Addresses, attempt_numbers::AttemptNumbers, contest::Contest, unsent::UnsentCount, watching::Wanted,
};
pub(crate) use self::{
    called::{CalledCallbacks, CountedCall},
    connection::ClientConn,
    credit::{ClientCredit, Flow, Gone, NowaitReceipt, Paid, Style},
    permit::Permit,
    pinned::Pinned,
};
use crate::{
    error::{CallError, Disconnected, Ended, InitializationError},
    events::{EventHub, Events},
    serve::{Callback, Context, Node, ServingNode},
    session::{Members, Token},
    trace::TraceContext,
};

/// A connected node. It reconnects by itself, for as long as wished.
///
/// A handle, cheap to clone. Dropping the last one ends the connection at once;
/// [`stop`](Self::stop) ends it in order.
pub struct Client<F> {
    pub(crate) handle: Arc<ClientOwner<F>>,
    /// The call that a callback serves, and that calls of this handle are made for.
    pub(crate) parent: Option<Arc<Context>>,
    /// The trace that calls of this handle belong to, unless a propagator says another.
    pub(crate) trace: Option<Arc<TraceContext>>,
}

impl<F> Clone for Client<F> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), parent: self.parent.clone(), trace: self.trace.clone() }
    }
}

impl<F> std::fmt::Debug for Client<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("name", &self.handle.shared.node.name).finish_non_exhaustive()
    }
}

/// What the clones of a client share, and the node outlives.
pub(crate) struct ClientOwner<F> {
    pub(crate) shared: Arc<ClientCore>,
    pub(crate) formats: F,
    /// Shared by the clients of a group, which are one node.
    _node: Arc<NodeOwner>,
}

/// Ends a node at once when nobody holds a client of it any more.
struct NodeOwner(Vec<Arc<ClientCore>>);

impl Drop for NodeOwner {
    fn drop(&mut self) {
        for core in &self.0 {
            core.node.life.abandon();
            core.events.close();
            core.set_state(ClientState::Ended(Ended::Stopped));
        }
    }
}

/// How a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientState {
    /// No connection yet; the first one is being made.
    Connecting,
    /// Calls can be made.
    Connected,
    /// The connection was lost; one is being made in its place.
    Reconnecting,
    /// A new connection is taking the place of the old one, to announce callbacks to a 3.0.1
    /// server: calls wait.
    Replacing,
    /// Never again.
    Ended(Ended),
}

pub(crate) struct ClientCore {
    pub(crate) node: Arc<Node>,
    serving: Arc<ServingNode>,
    /// It is told who is there, and nobody is told of it.
    looks: bool,
    /// By what it shows servers who it is.
    token: Option<Token>,
    /// Of whom it wants to be told.
    wanted: Mutex<Wanted>,
    /// How calls are made of which nothing else is said.
    pub(crate) default_options: Arc<CallOptions>,
    pub(crate) picker: Arc<dyn Picker>,
    /// The place of this client among those of its group, who share the picker.
    pub(crate) in_group: usize,
    pub(crate) called: Arc<CalledCallbacks>,
    addresses: Addresses,
    /// Where calls go.
    current: ArcSwapOption<Current>,
    /// Held by whoever changes that, or the members that are shown.
    shows: Mutex<()>,
    pub(crate) state: watch::Sender<ClientState>,
    pub(crate) members: ArcSwap<Members>,
    /// Why the last attempt to connect failed, of those since there is no connection.
    last_failure: Mutex<Option<Arc<str>>>,
    /// Counts changes of `members`.
    changes: watch::Sender<u64>,
    pub(crate) events: EventHub,
    /// Callbacks were added and the server has to be told.
    announce: Notify,
    /// Asks for a new connection whether calls are open or not.
    reannounce: Notify,
    /// The server of the current connection is stopping, or gives no sign of life.
    moves_on: Notify,
    /// It was logged that headers are dropped.
    dropped_headers: AtomicBool,
    /// A HANDSHAKE was said that got no answer. What is on its way of it may still arrive, and then
    /// it takes the name from the connection that stands.
    unanswered: Contest,
    attempts: AttemptNumbers,
    /// What its connections ended with.
    unsent: Mutex<UnsentCount>,
    runtime: tokio::runtime::Handle,
}

/// The connection that calls go to, with its members as they are now, in one piece.
pub(crate) struct Current {
    pub(crate) conn: Arc<ClientConn>,
    pub(crate) members: Arc<Members>,
}

impl std::fmt::Debug for ClientCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCore").field("name", &self.node.name).finish_non_exhaustive()
    }
}

impl ClientCore {
    fn new(
        serving: Arc<ServingNode>,
        looks: bool,
        token: Option<Token>,
        wanted: Wanted,
        (picker, in_group): (Arc<dyn Picker>, usize),
        addresses: Addresses,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let timeout = serving.node.config.default_timeout;
        let default_options = Arc::new(CallOptions { timeout, ..CallOptions::default() });
        let attempts = AttemptNumbers::of_one_of(addresses.len());
        Self {
            node: Arc::clone(&serving.node),
            serving,
            looks,
            token,
            wanted: Mutex::new(wanted),
            default_options,
            picker,
            in_group,
            called: Arc::default(),
            addresses,
            current: ArcSwapOption::empty(),
            shows: Mutex::default(),
            state: watch::Sender::new(ClientState::Connecting),
            members: ArcSwap::default(),
            last_failure: Mutex::default(),
            changes: watch::Sender::new(0),
            events: EventHub::new(),
            announce: Notify::new(),
            reannounce: Notify::new(),
            moves_on: Notify::new(),
            dropped_headers: AtomicBool::default(),
            unanswered: Contest::default(),
            attempts,
            unsent: Mutex::default(),
            runtime,
        }
    }

    /// The names of its callbacks.
    fn methods(&self) -> Vec<MethodName> {
        self.serving.methods()
    }

    /// Headers do not reach their receiver. `true`: for the first time.
    pub(crate) fn note_dropped_headers(&self) -> bool {
        !self.dropped_headers.swap(true, Ordering::Relaxed)
    }

    fn set_state(&self, state: ClientState) {
        self.state.send_if_modified(|current| {
            if matches!(current, ClientState::Ended(_)) || *current == state {
                return false;
            }
            *current = state;
            true
        });
    }

    /// The server of this connection says that it is stopping. What it says again means no more.
    fn on_server_stops(&self, conn: &Arc<ClientConn>) {
        if !conn.server_stops.swap(true, Ordering::Relaxed) && self.is_current(conn) {
            self.moves_on.notify_one();
        }
    }

    /// The server of this connection gives no sign of life, or one again.
    fn on_pulse(&self, conn: &Arc<ClientConn>, stands_still: Option<bool>) {
        if stands_still == Some(true) && self.is_current(conn) {
            self.moves_on.notify_one();
        }
    }

    fn is_current(&self, conn: &Arc<ClientConn>) -> bool {
        self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(&current.conn, conn))
    }

    /// Where calls go, for a moment.
    pub(crate) fn current(&self) -> Guard<Option<Arc<Current>>> {
        self.current.load()
    }

    /// Tells of every change of the members.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn connection_now(&self) -> Option<Arc<ClientConn>> {
        self.current().as_ref().map(|current| Arc::clone(&current.conn))
    }

    /// The connection calls go to. `wait`: for one, if there is none.
    pub(crate) async fn connection(&self, wait: bool) -> Result<Arc<ClientConn>, CallError> {
        if let Some(conn) = self.connection_now() {
            return Ok(conn);
        }
        let mut state = self.state.subscribe();
        loop {
            let now = *state.borrow_and_update();
            match now {
                ClientState::Connected => {
                    if let Some(conn) = self.connection_now() {
                        return Ok(conn);
                    }
                }
                ClientState::Ended(how) => return Err(self.end_error(how)),
                ClientState::Connecting | ClientState::Reconnecting if !wait => {
                    return Err(CallError::Disconnected(Disconnected::NotConnected));
                }
                ClientState::Connecting | ClientState::Reconnecting | ClientState::Replacing => {}
            }
            if state.changed().await.is_err() {
                return Err(CallError::Stopped);
            }
        }
    }
}

impl<F: FormatSet> Client<F> {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared().node.name
    }

    /// Where it is connected to, or tries to next.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.shared().addresses.endpoint()
    }

    /// Whether there is a connection at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.shared().state.borrow() == ClientState::Connected
    }

    #[doc = words!(state)]
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClientState> {
        self.shared().state.subscribe()
    }

    /// Whether the other end is a Service or a Router; `None` while there is no connection, or when
    /// it does not say.
    #[must_use]
    pub fn server_role(&self) -> Option<Role> {
        self.shared().current.load().as_ref().and_then(|current| current.conn.server_role())
    }

    /// What the connection speaks: level 4 with a server of this project, level 3 with daffi 3.0.1;
    /// `None` while there is no connection.
    #[must_use]
    pub fn server_level(&self) -> Option<daffi_wire::Level> {
        self.shared().current.load().as_ref().map(|current| current.conn.conn.level())
    }

    #[doc = words!(members)]
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        self.shared().want_all();
        self.known_members()
    }

    #[doc = words!(known_members)]
    #[must_use]
    pub fn known_members(&self) -> Arc<Members> {
        self.shared().members.load_full()
    }

    /// What it counted so far of the callbacks that it calls and of those that it exposes.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        let shared = self.shared();
        ClientStats {
            reconnects: shared.called.reconnects.load(Ordering::Relaxed),
            queued_bytes: shared.current.load().as_ref().map_or(0, |current| current.conn.conn.unsent_bytes()),
            running: shared.node.running.len(),
            held_bytes: shared.node.budget.used_bytes(),
            budget_bytes: shared.node.config.budget_bytes,
            refused_calls: shared.node.refused_calls(),
            unsent_requests: shared.unsent().requests,
            unsent_bytes: shared.unsent().bytes,
            called: shared.called.snapshot(),
            callbacks: shared.serving.registry.snapshot().stats(),
        }
    }

    /// The runtime that it runs on: for what belongs to it and is begun elsewhere.
    #[must_use]
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.shared().runtime
    }

    #[doc = words!(events)]
    #[must_use]
    pub fn events(&self) -> Events {
        let events = self.shared().events.subscribe();
        self.shared().want_all();
        events
    }

    /// Exposes further callbacks.
    ///
    /// Servers of this project are told at once. A 3.0.1 server takes a second handshake for an
    /// eviction, so it is told by a new connection in place of the old one, as soon as no call is
    /// open; see [`reannounce`](Self::reannounce).
    ///
    #[doc = words!(added_callbacks)]
    ///
    /// # Errors
    /// [`InitializationError::DuplicateCallback`] and [`InitializationError::LooksOnly`];
    /// [`InitializationError::Ended`] from the moment the node is asked to stop. None was added.
    pub fn add_callbacks(&self, callbacks: Vec<Callback>) -> Result<(), InitializationError> {
        if self.shared().looks && !callbacks.is_empty() {
            return Err(InitializationError::LooksOnly);
        }
        if let Some(how) = self.find_end() {
            return Err(InitializationError::Ended(how));
        }
        self.shared().serving.registry.add(callbacks)?;
        self.shared().announce.notify_one();
        Ok(())
    }

    /// How it ended, or what it is about to end as.
    fn find_end(&self) -> Option<Ended> {
        match *self.shared().state.borrow() {
            ClientState::Ended(how) => Some(how),
            _ => self.shared().node.life.is_stopping().then_some(Ended::Stopped),
        }
    }

    /// Tells a 3.0.1 server of added callbacks without waiting for open calls: they end with
    /// `Disconnected`, and whoever calls this node in that moment gets no answer. Servers of this
    /// project need none of it.
    pub fn reannounce(&self) {
        self.shared().reannounce.notify_one();
    }

    /// A handle whose calls are made for themselves: of the client of a callback's
    /// [`Context`](Context::client), for work that goes on when the callback's caller has given up. They
    /// belong to its trace all the same.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { parent: None, ..self.clone() }
    }

    #[doc = words!(wait_for_connection)]
    pub async fn wait_for_connection(&self) -> Result<(), CallError> {
        self.shared().connection(true).await.map(drop)
    }

    /// Waits until the node was stopped or evicted, or cannot connect as it is set up; a lost
    /// connection is no end. Cancel safe.
    pub async fn join(&self) -> Ended {
        let mut state = self.shared().state.subscribe();
        loop {
            if let ClientState::Ended(how) = *state.borrow_and_update() {
                return how;
            }
            if state.changed().await.is_err() {
                return Ended::Stopped;
            }
        }
    }

    #[doc = words!(stop_client)]
    pub async fn stop(&self) {
        self.shared().node.life.stop();
        self.shared().node.running.close();
        self.join().await;
    }

    /// The formats of this node.
    #[must_use]
    pub fn formats(&self) -> &F {
        &self.handle.formats
    }

    /// The wire limits of this node.
    #[must_use]
    pub fn limits(&self) -> &daffi_wire::Limits {
        &self.shared().node.config.limits
    }

    pub(crate) fn shared(&self) -> &Arc<ClientCore> {
        &self.handle.shared
    }
}
