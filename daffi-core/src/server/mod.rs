//! What every node that listens has: listeners, connections that are opening, limits on both, and
//! an end in order.

mod guard;
mod handshake;
mod looker;
mod rights;
mod stop;
mod token;

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_serde::RemoteError;
use daffi_transport::{AcceptError, Endpoint, Link, LinkConfig, LinkError, Listener, Pending};
use daffi_wire::{CallId, EncodeError, FormatId, Frame, Header, Kind, Level, NodeName, Role, Shown};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{AbortHandle, yield_now},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::task::TaskTracker;

pub use self::guard::Newcomer;
use self::looker::Door;
pub(crate) use self::{
    guard::{Guard, GuardSettings, guarding},
    rights::Rights,
    stop::begin_stop,
};
use crate::{
    config::NodeConfig,
    conn::{Budget, Class, Conn, Driver, Handler, LongTurns},
    deadline::later,
    error::{Disconnected, Ended, InitializationError},
    events::{EventHub, Events},
    lanes::{self, Lanes},
    refusal::json_error,
    serve::Lifecycle,
    session::Policy,
};

/// Pause after the operating system refused to accept, for want of file descriptors for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening node, whatever it does with the frames it gets.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: NodeName,
    pub(crate) config: NodeConfig,
    pub(crate) life: Lifecycle,
    pub(crate) events: EventHub,
    pub(crate) guard: Guard,
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
        let runtime = Handle::current();
        let lanes = Lanes::on(&runtime, config.threads);
        Ok(Self {
            name,
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
            ended: watch::Sender::new(None),
            endpoints: listeners.iter().map(|l| l.endpoint().clone()).collect(),
            runtime,
        })
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

    /// Says why a named connection ended; loud when this end had to end it.
    pub(crate) fn log_end(&self, conn: &Conn, name: &NodeName, reason: &Disconnected) -> bool {
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
            tracing::warn!(conn = conn.id, node = %self.name, client = %Shown::new(name), %reason, "ended a connection");
            return true;
        }
        tracing::debug!(conn = conn.id, node = %self.name, client = %Shown::new(name), %reason, "a connection ended");
        false
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
        let frame = Frame::new(header, receiver, to, method, &json_error(error), &self.config.limits);
        self.send(conn, Class::Provoked, to, frame);
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

/// Lives on the node's runtime until the node ends: when it is dropped before, the runtime was.
struct Lives<H: Host>(Arc<H>);

impl<H: Host> Drop for Lives<H> {
    fn drop(&mut self) {
        // This has no effect on a node that has ended.
        self.0.server().abandon(Ended::RuntimeGone);
    }
}

/// Accepts on each listener, on tasks of their own, until the node ends.
pub(crate) fn listen<H: Host>(host: &Arc<H>, listeners: Vec<Box<dyn Listener>>) {
    let lives = Lives(Arc::clone(host));
    tokio::spawn(async move {
        lives.0.server().join().await;
    });
    for listener in listeners {
        let server = host.server();
        server.lanes.spawn_first(&server.listening, accept(Arc::clone(host), listener));
    }
}

/// A connection's own handshakes happen beside this loop.
async fn accept<H: Host>(host: Arc<H>, mut listener: Box<dyn Listener>) {
    let server = host.server();
    let config = LinkConfig::default().limits(server.config.limits);
    // What is not accepted from a listener of this process alone is lost; from another one the next
    // process takes it.
    let life = &server.life;
    let over = if listener.is_handed_over() { &life.stopping } else { &life.closing };
    let mut failures: u64 = 0;
    loop {
        let accepted = tokio::select! {
            () = over.cancelled() => return,
            accepted = poll_fn(|cx| listener.poll_accept(cx, &config)) => accepted,
        };
        match accepted {
            Ok(mut pending) => {
                failures = 0;
                pending.peer.listener = Some(listener.endpoint().clone());
                open(&host, pending);
                // However many knock, tasks of those that are in run between two of them.
                yield_now().await;
            }
            Err(error) => {
                failures += 1;
                // It tries ten times a second, so what goes on is told ever more seldom.
                if failures.is_power_of_two() {
                    let endpoint = listener.endpoint();
                    tracing::warn!(%endpoint, %error, failures, "cannot accept connections; trying again{}", remedy(&error));
                }
                tokio::select! {
                    () = over.cancelled() => return,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// What helps where too many files are open, of which each connection is one.
fn remedy(error: &std::io::Error) -> &'static str {
    // Too many are open in this process, or on the whole machine. The numbers are the same on every
    // Unix.
    match error.raw_os_error() {
        Some(23 | 24) if cfg!(unix) => ": raise `ulimit -n`, in systemd LimitNOFILE=, or lower `max_connections`",
        _ => "",
    }
}

/// One open connection, which is counted until this is dropped with its task.
struct OpenConnection<H: Host>(Arc<H>);

impl<H: Host> Drop for OpenConnection<H> {
    fn drop(&mut self) {
        self.0.server().connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes the oldest connection that has not finished its handshake. `false`: there is none.
fn push_out(server: &Server) -> bool {
    match server.opening.lock().pop_first() {
        Some((_, oldest)) => {
            oldest.abort();
            true
        }
        None => false,
    }
}

fn open<H: Host>(host: &Arc<H>, pending: Pending) {
    let server = host.server();
    let config = &server.config;
    if server.connections.fetch_add(1, Ordering::Relaxed) >= config.max_connections && !push_out(server) {
        server.connections.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!(peer = %pending.peer, limit = config.max_connections, "refused a connection: max_connections reached");
        return;
    }
    let counted = OpenConnection(Arc::clone(host));
    let mut opening = server.opening.lock();
    // A flood of silent connections pushes out its own, not the one that speaks.
    while opening.len() >= config.max_pending_handshakes.max(1) {
        let Some((_, oldest)) = opening.pop_first() else { break };
        oldest.abort();
    }
    let this = next_opening_id();
    let until = later(config.handshake_timeout);
    opening.insert(this.0, server.lanes.spawn(&server.tasks, run(counted, pending, this, until)));
}

pub(crate) fn next_opening_id() -> OpeningId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    OpeningId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs one connection, from its upgrade to its end.
async fn run<H: Host>(counted: OpenConnection<H>, pending: Pending, opening: OpeningId, until: Instant) {
    let host = &counted.0;
    let server = host.server();
    let peer = pending.peer.clone();
    let link = match timeout_at(until, pending.upgrade()).await {
        Ok(Ok(mut link)) => {
            link.peer.listener = peer.listener;
            link
        }
        // Load balancers look as often as every second.
        Ok(Err(error @ AcceptError::Silent)) => {
            tracing::debug!(%peer, %error, "a connection was not opened");
            return server.finish_opening(opening);
        }
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::info!(%peer, error, "a connection was not opened");
            return server.finish_opening(opening);
        }
        Err(_) => {
            tracing::info!(%peer, after = ?server.config.handshake_timeout, "a connection was not opened in time");
            return server.finish_opening(opening);
        }
    };
    let driver = driver(host, link, opening, until.saturating_duration_since(Instant::now()));
    server.life.run_until_cut(driver.run()).await;
}

fn driver<H: Host>(host: &Arc<H>, link: Link, opening: OpeningId, time: Duration) -> Driver<Door<H>> {
    let server = host.server();
    let conn = Conn::new(link.peer.clone(), &server.budget);
    let handler = Door::new(host, Arc::clone(&conn), opening);
    Driver::new(link, conn, handler, &server.config, time, Some(server.long_turns.clone()))
}
