//! What every node that listens has: listeners, connections that are opening, limits on both, and
//! an end in order.

mod accepting;
mod changeable;
mod descriptors;
mod guard;
mod handshake;
mod looker;
mod rights;
mod stop;
mod token;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use daffi_serde::RemoteError;
use daffi_transport::{Endpoint, LinkError, Listener};
use daffi_wire::{CallId, EncodeError, FormatId, Frame, Header, Kind, Level, NodeName, Role, Shown};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::AbortHandle,
};
use tokio_util::task::TaskTracker;

#[cfg(any(test, feature = "internals"))]
pub(crate) use self::accepting::next_opening_id;
use self::changeable::Changeable;
pub use self::guard::Newcomer;
pub(crate) use self::{
    accepting::listen,
    guard::{Guard, GuardSettings, guarding},
    rights::Rights,
    stop::begin_stop,
};
use crate::{
    config::NodeConfig,
    conn::{Budget, Class, Conn, Handler, LongTurns},
    error::{Disconnected, Ended, InitializationError},
    events::{EventHub, Events},
    lanes::{self, Lanes},
    refusal::json_refusal,
    serve::Lifecycle,
    session::Policy,
};

/// A listening node, whatever it does with the frames it gets.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: NodeName,
    pub(crate) config: NodeConfig,
    pub(crate) life: Lifecycle,
    pub(crate) events: EventHub,
    pub(crate) guard: Guard,
    changeable: Mutex<Changeable>,
    /// The tasks of all connections.
    pub(crate) tasks: TaskTracker,
    /// What accepts connections.
    listening: TaskTracker,
    pub(crate) budget: Arc<Budget>,
    long_turns: LongTurns,
    pub(crate) lanes: Lanes,
    /// Connections without a handshake, the oldest first.
    opening: Mutex<BTreeMap<u64, AbortHandle>>,
    /// Connections of clients that only look, which bear no name here.
    lookers: Mutex<HashMap<u64, Arc<Conn>>>,
    connections: AtomicUsize,
    /// Connections of nodes whose name a newer one took, and those that this node ended. Relaxed,
    /// as all that is only counted.
    evictions: AtomicU64,
    cut_connections: AtomicU64,
    /// So many there may be.
    most_connections: usize,
    /// Told when one is gone, with its file descriptor.
    freed: Notify,
    /// It stops, and clients have had their time to find another server.
    has_seen_off: AtomicBool,
    /// Connections that its end cut off with frames that were not sent, and those frames.
    unsent: Mutex<(usize, usize)>,
    ended: watch::Sender<Option<Ended>>,
    endpoints: Vec<Endpoint>,
    /// The runtime on which everything of this node runs.
    runtime: Handle,
}

/// A node around a [`Server`]: it says what a connection's frames mean.
pub(crate) trait Host: Send + Sync + 'static {
    type Handler: Handler;
    /// What the node is.
    const KIND: Role;

    fn server(&self) -> &Server;

    /// The body of the answer to a handshake on a link of this level: who is there.
    fn list(&self, level: Level) -> Vec<u8>;

    /// Answers a request for what the node answers by itself, also to those who only look. `false`:
    /// it is for something else.
    fn answer_own(&self, _conn: &Arc<Conn>, _request: &Frame) -> bool {
        false
    }

    /// The server's end of a new connection, which calls [`Server::finish_opening`] with `opening`
    /// after its handshake and at its end.
    fn handler(self: Arc<Self>, conn: Arc<Conn>, opening: OpeningId) -> Self::Handler;
}

/// A connection without a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpeningId(u64);

impl Server {
    pub(crate) fn new(
        name: NodeName,
        config: NodeConfig,
        budget: Arc<Budget>,
        life: Lifecycle,
        guard: Guard,
        listeners: &[Box<dyn Listener>],
    ) -> Result<Self, InitializationError> {
        if listeners.is_empty() {
            return Err(InitializationError::NoEndpoint);
        }
        let most_connections = config.max_connections.min(descriptors::for_connections());
        let runtime = Handle::try_current().map_err(|_| InitializationError::NoRuntime)?;
        let lanes = Lanes::on(&runtime, config.threads);
        Ok(Self {
            name,
            changeable: Mutex::new(Changeable::from(&config)),
            config,
            life,
            events: EventHub::new(),
            guard,
            tasks: TaskTracker::new(),
            listening: TaskTracker::new(),
            budget,
            long_turns: LongTurns::on(&runtime, lanes.most()),
            lanes,
            opening: Mutex::default(),
            lookers: Mutex::default(),
            connections: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            cut_connections: AtomicU64::new(0),
            most_connections,
            freed: Notify::new(),
            has_seen_off: AtomicBool::new(false),
            unsent: Mutex::default(),
            ended: watch::Sender::new(None),
            endpoints: listeners.iter().map(|l| l.endpoint().clone()).collect(),
            runtime,
        })
    }

    /// The settings that may change, as they are now.
    pub(crate) fn changeable(&self) -> Changeable {
        *self.changeable.lock()
    }

    /// Takes over those of these settings that may change while the node runs.
    pub(crate) fn reconfigure(&self, config: &NodeConfig) {
        *self.changeable.lock() = config.into();
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(crate) fn events(&self) -> Events {
        self.events.subscribe()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.life.is_stopping()
    }

    /// Notes that a connection's handshake is done, or that it ended without one.
    pub(crate) fn finish_opening(&self, opening: OpeningId) {
        lanes::allow_move();
        self.opening.lock().remove(&opening.0);
    }

    /// Says why a named connection ended; loud when this end had to end it, which is counted.
    pub(crate) fn log_end(&self, conn: &Conn, name: &NodeName, reason: &Disconnected) {
        use Disconnected::{Limit, Link, Protocol, Silent, SlowPeer, SlowSender, Unreachable};
        if matches!(
            reason,
            Limit { .. }
                | Protocol(_)
                | Silent(_)
                | Unreachable(_)
                | SlowPeer { .. }
                | SlowSender { .. }
                | Link(LinkError::Protocol(_))
        ) {
            self.cut_connections.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(conn = conn.id, node = %self.name, client = %Shown::name(name), %reason, "ended a connection");
            return;
        }
        tracing::debug!(conn = conn.id, node = %self.name, client = %Shown::name(name), %reason, "a connection ended");
    }

    /// A newer connection took the name of another.
    pub(crate) fn note_eviction(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections whose name a newer one took.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Connections of nodes that this one ended.
    pub(crate) fn cut_connections(&self) -> u64 {
        self.cut_connections.load(Ordering::Relaxed)
    }

    /// Sets another policy. Lookers that it does not let in are ended; members are their host's.
    pub(crate) fn set_policy(&self, policy: Option<Policy>) {
        self.guard.set(policy);
        let lookers: Vec<_> = self.lookers.lock().values().cloned().collect();
        lookers.iter().for_each(|conn| self.guard.expel_looker(conn));
    }

    /// Queues a frame of the server's own.
    pub(crate) fn send(&self, conn: &Conn, class: Class, to: &str, frame: Result<Frame, EncodeError>) {
        match frame {
            // A connection that has just ended needs no notice, and what is the server's own always
            // finds room.
            Ok(frame) => drop(conn.send(class, &frame)),
            Err(error) => tracing::error!(node = %self.name, to, %error, "a notice does not fit into a frame"),
        }
    }

    /// Queues an error of the server's own, in the receiver's name: the answer to a call.
    pub(crate) fn send_error(
        &self,
        conn: &Conn,
        to: &str,
        id: CallId,
        receiver: &str,
        method: &str,
        error: &RemoteError,
    ) {
        let header = Header::new(Kind::Error, id, FormatId::JSON, true, false);
        let frame = Frame::new(header, receiver, to, method, &json_refusal(error), &self.config.limits);
        self.send(conn, Class::Provoked, to, frame);
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Waits until the node was stopped. Cancel safe.
    pub(crate) async fn join(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(how) => how.unwrap_or(Ended::Stopped),
            Err(_) => Ended::Stopped,
        }
    }

    /// How it ended, or what it is about to end as.
    pub(crate) fn how_it_ended(&self) -> Option<Ended> {
        self.ended.borrow().or_else(|| self.is_stopping().then_some(Ended::Stopped))
    }

    /// Ends the node at once.
    pub(crate) fn abandon(&self, how: Ended) {
        self.life.abandon();
        self.end(how);
    }

    /// The node has ended; how it did first counts.
    fn end(&self, how: Ended) {
        self.events.close();
        self.ended.send_if_modified(|ended| ended.replace(ended.unwrap_or(how)).is_none());
    }
}
