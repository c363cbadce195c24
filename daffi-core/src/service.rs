//! A node that listens and exposes callbacks.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_serde::{FormatSet, RemoteError};
use daffi_transport::{Endpoint, Link, LinkConfig, Listener, Pending};
use daffi_wire::{
    CallId, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Member, NodeName, NodeType, Role as NodeRole,
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

use crate::{
    Callback, Callbacks, Context, Disconnected, Ended, Events, InitializationError, MemberEvent, NodeConfig,
    ProtocolError, Reply,
    conn::{Conn, Driver, Role},
    error::shortened,
    events::EventHub,
    node::Node,
    request::ReplyTo,
    session::Hub,
};

/// Pause after the operating system refused to accept, for want of file descriptors for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running service: listens, and runs callbacks for those who connect.
///
/// A handle, cheap to clone. Dropping the last one ends the service at once; [`stop`](Self::stop) ends it in order.
#[derive(Clone, Debug)]
pub struct Service {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.node.stopping.cancel();
        self.shared.node.killed.cancel();
        self.shared.node.cut.cancel();
        self.shared.events.close();
        let _nobody_waits = self.shared.ended.send_replace(Some(Ended::Stopped));
    }
}

#[derive(Debug)]
struct Shared {
    node: Arc<Node>,
    hub: Mutex<Hub<Arc<Conn>>>,
    /// Connections without a handshake, the oldest first.
    opening: Mutex<BTreeMap<u64, AbortHandle>>,
    connections: AtomicUsize,
    tasks: TaskTracker,
    events: EventHub,
    ended: watch::Sender<Option<Ended>>,
    endpoints: Vec<Endpoint>,
}

impl Service {
    /// Starts a service on listeners that are bound already.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InitializationError`] for settings that can't work.
    pub fn start<F: FormatSet>(
        name: NodeName,
        config: NodeConfig,
        listeners: Vec<Box<dyn Listener>>,
        callbacks: Vec<Callback>,
        layer: impl FnOnce(Callbacks) -> Callbacks,
        formats: F,
    ) -> Result<Self, InitializationError> {
        if listeners.is_empty() {
            return Err(InitializationError::NoEndpoint);
        }
        let shared = Arc::new(Shared {
            node: Node::new(name, config, layer, callbacks, formats)?,
            hub: Mutex::default(),
            opening: Mutex::default(),
            connections: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            events: EventHub::new(),
            ended: watch::Sender::new(None),
            endpoints: listeners.iter().map(|l| l.endpoint().clone()).collect(),
        });
        for listener in listeners {
            shared.tasks.spawn(accept(Arc::clone(&shared), listener));
        }
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.handle.shared.node.name
    }

    /// Where it listens, with real ports in place of 0.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.handle.shared.endpoints
    }

    /// The names of the clients that are connected, in no order.
    #[must_use]
    pub fn clients(&self) -> Vec<String> {
        self.handle.shared.hub.lock().iter().map(|(name, _)| name.to_string()).collect()
    }

    /// Who joins and leaves from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.handle.shared.events.subscribe()
    }

    /// Exposes further callbacks, and tells all clients at once.
    ///
    /// # Errors
    /// [`InitializationError::DuplicateCallback`]: none was added.
    pub fn add_callbacks(&self, callbacks: Vec<Callback>) -> Result<(), InitializationError> {
        let shared = &self.handle.shared;
        shared.node.registry.add(callbacks)?;
        // A notice, which clients of 3.0.1 take from any server (protocol notes, section 5.3). Who joins meanwhile is
        // answered with the new list, or is in the hub already.
        let header = Header::control(Kind::Handshake, CallId::NONE, false);
        let [three, four] = [Level::THREE, Level::FOUR]
            .map(|level| Frame::new(header, "", "", "", &shared.hello(level).to_json(), &shared.node.config.limits));
        for (name, conn) in shared.hub.lock().iter() {
            shared.send(conn, name, if conn.level().at_least(Level::FOUR) { four.clone() } else { three.clone() });
        }
        Ok(())
    }

    /// Waits until the service was stopped. Cancel safe.
    pub async fn join(&self) -> Ended {
        let mut ended = self.handle.shared.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(how) => how.unwrap_or(Ended::Stopped),
            Err(_) => Ended::Stopped,
        }
    }

    /// Stops in order: closes the listeners, lets run what was received, sends the replies and closes the connections.
    /// What takes longer than `grace` is cut off. Further calls wait for the same end.
    ///
    /// Not cancel safe: dropped, it leaves the service stopping, and connections may stay open until the handle is
    /// dropped.
    pub async fn stop(&self) {
        let shared = &self.handle.shared;
        shared.node.stopping.cancel();
        shared.tasks.close();
        shared.node.running.close();
        for abort in std::mem::take(&mut *shared.opening.lock()).into_values() {
            abort.abort();
        }
        let conns: Vec<_> = shared.hub.lock().iter().map(|(_, conn)| Arc::clone(conn)).collect();
        for conn in &conns {
            conn.drain();
        }
        let config = &shared.node.config;
        let all = async {
            shared.tasks.wait().await;
            shared.node.running.wait().await;
        };
        if timeout(config.grace, all).await.is_err() {
            let open = shared.node.running.len();
            tracing::warn!(service = %shared.node.name, callbacks = open, grace = ?config.grace, "stopping cut callbacks off");
            shared.node.killed.cancel();
            for conn in &conns {
                conn.end(Disconnected::Stopped, true);
            }
            if timeout(config.linger.saturating_mul(2), shared.tasks.wait()).await.is_err() {
                shared.node.cut.cancel();
                shared.tasks.wait().await;
            }
        }
        shared.events.close();
        shared.ended.send_replace(Some(Ended::Stopped));
    }
}

impl Shared {
    /// What this service says of itself.
    fn hello(&self, level: Level) -> Handshake {
        let member = Member::new(self.node.name.clone(), self.node.methods());
        Handshake::new(NodeType::new(NodeRole::Service, level), vec![member])
    }

    fn send(&self, conn: &Conn, to: &str, frame: Result<Frame, daffi_wire::EncodeError>) {
        match frame {
            // A connection that has just ended needs no notice.
            Ok(frame) => drop(conn.send(&frame)),
            Err(error) => tracing::error!(service = %self.node.name, to, %error, "a notice does not fit into a frame"),
        }
    }
}

/// Accepts until the service stops; a connection's own handshakes happen beside this loop.
async fn accept(shared: Arc<Shared>, mut listener: Box<dyn Listener>) {
    let config = LinkConfig { limits: shared.node.config.limits };
    loop {
        let accepted = tokio::select! {
            () = shared.node.stopping.cancelled() => return,
            accepted = poll_fn(|cx| listener.poll_accept(cx, &config)) => accepted,
        };
        match accepted {
            Ok(pending) => open(&shared, pending),
            Err(error) => {
                tracing::warn!(endpoint = %listener.endpoint(), %error, "cannot accept a connection; trying again");
                tokio::select! {
                    () = shared.node.stopping.cancelled() => return,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// One connection counted; dropped with its task.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes the oldest connection that has not finished its handshake. `false`: there is none.
fn push_out(shared: &Shared) -> bool {
    match shared.opening.lock().pop_first() {
        Some((_, oldest)) => {
            oldest.abort();
            true
        }
        None => false,
    }
}

fn open(shared: &Arc<Shared>, pending: Pending) {
    let config = &shared.node.config;
    if shared.connections.fetch_add(1, Ordering::Relaxed) >= config.max_connections && !push_out(shared) {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!(peer = %pending.peer, limit = config.max_connections, "refused a connection: max_connections reached");
        return;
    }
    let counted = Counted(Arc::clone(shared));
    let mut opening = shared.opening.lock();
    // A flood of silent connections pushes out its own, not the one that speaks.
    while opening.len() >= config.max_pending_handshakes.max(1) {
        let Some((_, oldest)) = opening.pop_first() else { break };
        oldest.abort();
    }
    let conn_budget = Arc::clone(&shared.node.budget);
    let limit = config.handshake_timeout;
    let until = crate::call::later(limit);
    let conn_id = next_opening();
    let task = shared.tasks.spawn({
        let shared = Arc::clone(shared);
        async move {
            let _counted = counted;
            let peer = pending.peer.clone();
            let link = timeout_at(until, pending.upgrade()).await;
            let link = match link {
                Ok(Ok(link)) => link,
                Ok(Err(error)) => {
                    tracing::info!(%peer, %error, "a connection was not opened");
                    shared.opening.lock().remove(&conn_id);
                    return;
                }
                Err(_) => {
                    tracing::info!(%peer, after = ?limit, "a connection was not opened in time");
                    shared.opening.lock().remove(&conn_id);
                    return;
                }
            };
            let cut = shared.node.cut.clone();
            let driver = driver(shared, link, conn_id, conn_budget, until.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = driver.run() => {}
                () = cut.cancelled() => {}
            }
        }
    });
    opening.insert(conn_id, task.abort_handle());
}

fn next_opening() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn driver(
    shared: Arc<Shared>,
    link: Link,
    opening: u64,
    budget: Arc<crate::conn::Budget>,
    time: Duration,
) -> Driver<ServiceRole> {
    let conn = Conn::new(link.peer.clone(), &shared.node.config, budget);
    let config = shared.node.config.clone();
    let role = ServiceRole { shared, conn: Arc::clone(&conn), opening, name: None };
    Driver::new(link, conn, role, &config, time)
}

/// A service's end of one connection.
struct ServiceRole {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    opening: u64,
    name: Option<NodeName>,
}

impl Role for ServiceRole {
    fn handle(&mut self, frame: Frame) -> Result<(), Disconnected> {
        match (frame.kind(), &self.name) {
            (Kind::Handshake, _) => self.handshake(&frame),
            (Kind::Request, Some(name)) => {
                if name.as_str() == frame.transmitter() {
                    self.shared.node.serve(&self.conn, name.clone(), &frame);
                } else {
                    self.refuse_transmitter(name.clone(), &frame);
                }
                Ok(())
            }
            (Kind::Request, None) => Err(ProtocolError::BeforeHandshake(frame.kind()).into()),
            (kind, _) => Err(ProtocolError::Direction(kind).into()),
        }
    }

    fn is_open(&self) -> bool {
        self.name.is_some()
    }

    fn may_stop_reading(&self) -> bool {
        true
    }

    fn ended(&mut self, reason: &Disconnected) {
        self.shared.opening.lock().remove(&self.opening);
        match &self.name {
            Some(name) if self.shared.hub.lock().leave(name, self.conn.id) => {
                tracing::debug!(client = %name, %reason, "a client left");
                self.shared.events.tell(MemberEvent::Removed(name.to_string()));
            }
            Some(_) => {}
            None => tracing::info!(peer = %self.conn.peer, %reason, "a connection ended before its handshake"),
        }
    }
}

/// An error and its cause in one line: the peer reads nothing else.
fn explained(error: &daffi_wire::BodyError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl ServiceRole {
    fn handshake(&mut self, frame: &Frame) -> Result<(), Disconnected> {
        let limits = self.shared.node.config.limits;
        let name = NodeName::new(frame.transmitter(), &limits).map_err(daffi_wire::BodyError::from);
        let body = Handshake::parse(frame.payload(), &limits);
        let (name, body) = match (name, body) {
            (Ok(name), Ok(body)) => (name, body),
            (Err(error), _) | (_, Err(error)) => {
                self.refuse(frame, explained(&error));
                return Ok(());
            }
        };
        if self.name.as_ref().is_some_and(|known| *known != name) {
            let error = ProtocolError::Renamed(name.to_string());
            self.refuse(frame, error.to_string());
            return Ok(());
        }
        if self.shared.node.stopping.is_cancelled() {
            self.refuse(frame, format!("{} is stopping", self.shared.node.name));
            return Ok(());
        }
        let offered = body.node_type;
        let level =
            if offered.role() == Some(NodeRole::Client) { Level::agreed(offered.level()) } else { Level::THREE };
        if self.name.is_some() {
            // A second handshake is an update; what a client exposes means nothing to a Service.
            let reply = self.reply(frame, &self.shared.hello(self.conn.level()));
            self.shared.send(&self.conn, &name, reply);
            return Ok(());
        }
        self.conn.set_level(level);
        self.name = Some(name.clone());
        self.shared.opening.lock().remove(&self.opening);
        // In the hub first: callbacks added from here on are told to this client too.
        let evicted = self.shared.hub.lock().join(name.clone(), self.conn.id, Arc::clone(&self.conn));
        let reply = self.reply(frame, &self.shared.hello(level));
        self.shared.send(&self.conn, &name, reply);
        if let Some(old) = evicted {
            self.evict(&old, &name);
        }
        if self.shared.node.stopping.is_cancelled() {
            // `stop` may have looked through the hub just before.
            self.conn.drain();
        }
        tracing::debug!(client = %name, peer = %self.conn.peer, ?level, "a client joined");
        self.shared.events.tell(MemberEvent::Added(name.to_string()));
        Ok(())
    }

    fn evict(&self, old: &Conn, name: &NodeName) {
        let body = EventBody { kind: EventKind::Evicted, member: name.to_string() }.to_json();
        let header = Header::control(Kind::Events, CallId::NONE, false);
        self.shared.send(old, name, Frame::new(header, "", "", "", &body, &self.shared.node.config.limits));
        old.end(Disconnected::Evicted, true);
        self.shared.events.tell(MemberEvent::Evicted(name.to_string()));
    }

    /// Answers a handshake in the only form of refusal that 3.0.1 clients read, and ends the connection.
    fn refuse(&self, frame: &Frame, reason: String) {
        let reason = shortened(&reason);
        tracing::info!(peer = %self.conn.peer, reason, "refused a handshake");
        let refusal = Handshake::refusal(NodeType::new(NodeRole::Service, Level::THREE), reason.clone());
        let reply = self.reply(frame, &refusal);
        self.shared.send(&self.conn, frame.transmitter(), reply);
        self.conn.end(Disconnected::Refused(reason), true);
    }

    /// Header and names are copied from the request, as 3.0.1 does (protocol notes, section 3).
    fn reply(&self, frame: &Frame, body: &Handshake) -> Result<Frame, daffi_wire::EncodeError> {
        Frame::new(
            frame.header().handshake_reply(),
            frame.transmitter(),
            frame.receiver(),
            frame.method(),
            &body.to_json(),
            &self.shared.node.config.limits,
        )
    }

    /// A transmitter must be who its handshake said.
    fn refuse_transmitter(&self, name: NodeName, frame: &Frame) {
        let text = format!("this connection is {name:?} and cannot speak for {:?}", frame.transmitter());
        let header = frame.header();
        let context = Context { caller: name, conn: Arc::clone(&self.conn), node: Arc::clone(&self.shared.node) };
        let format = header.format(self.conn.level());
        let answer = ReplyTo { context, id: header.id(), format, wants_reply: header.wants_reply() };
        answer.send(frame.method(), Reply::error(RemoteError::new("PermissionError", text)));
    }
}
