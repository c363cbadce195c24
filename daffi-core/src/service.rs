//! A node that listens and exposes callbacks.

mod stats;

use std::{fmt, sync::Arc, time::Instant};

use daffi_serde::FormatSet;
use daffi_transport::{Endpoint, Listener};
use daffi_wire::{
    CallId, CallerLeft, EventKind, Frame, Handshake, Header, Kind, Level, Member, NodeName, NodeType, Role, Shown,
};
use parking_lot::Mutex;

pub use self::stats::ServiceStats;
use crate::{
    config::NodeConfig,
    conn::{Alive, Class, Conn, Handler, Turn},
    error::{Disconnected, Ended, InitializationError, ProtocolError},
    events::{Events, MemberEvent},
    serve::{Callback, CallbackService, Context, Intake, Node, ServingNode},
    server::{self, Guard, GuardSettings, Host, OpeningId, Rights, Server, guarding},
    session::{Denied, Hello, Hub, Policy, event_frame, name_of_service, reply_to_member, routing},
};

/// A running service: listens, and runs callbacks for those who connect.
///
/// A handle, cheap to clone. Dropping the last one ends the service at once; [`stop`](Self::stop)
/// ends it in order.
#[derive(Clone, Debug)]
pub struct Service {
    handle: Arc<ServiceOwner>,
}

#[derive(Debug)]
struct ServiceOwner {
    shared: Arc<ServiceCore>,
}

impl Drop for ServiceOwner {
    fn drop(&mut self) {
        self.shared.server.abandon(Ended::Stopped);
    }
}

#[derive(Debug)]
struct ServiceCore {
    server: Server,
    node: Arc<Node>,
    serving: ServingNode,
    hub: Mutex<Hub<Arc<Conn>>>,
}

/// Sets up a [`Service`]: [`Service::builder`].
#[must_use = "a builder does nothing until it listens"]
pub struct ServiceBuilder<F> {
    name: NodeName,
    formats: F,
    config: NodeConfig,
    callbacks: Vec<Callback>,
    layer: Box<dyn FnOnce(CallbackService) -> CallbackService + Send>,
    guard: GuardSettings,
}

impl<F> fmt::Debug for ServiceBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: FormatSet> ServiceBuilder<F> {
    /// Limits and times. Default: [`NodeConfig::server`].
    pub fn config(mut self, config: NodeConfig) -> Self {
        self.config = config;
        self
    }

    /// What it exposes. Default: nothing.
    pub fn callbacks(mut self, callbacks: Vec<Callback>) -> Self {
        self.callbacks = callbacks;
        self
    }

    /// What stands around all its callbacks. Default: nothing.
    pub fn layer(mut self, layer: impl FnOnce(CallbackService) -> CallbackService + Send + 'static) -> Self {
        self.layer = Box::new(layer);
        self
    }

    guarding!();

    /// Serves listeners that are bound already.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InitializationError`] for settings that can't work.
    pub fn listen(self, listeners: Vec<Box<dyn Listener>>) -> Result<Service, InitializationError> {
        self.ready()?.listen(listeners)
    }

    /// Makes all of it but the listeners, so that nothing is bound in vain.
    ///
    /// # Errors
    /// [`InitializationError`] for settings that can't work.
    pub fn ready(self) -> Result<ReadyService, InitializationError> {
        let Self { name, formats, config, callbacks, layer, guard } = self;
        let serving = ServingNode::new(name.clone(), config.clone(), layer, callbacks, formats)?;
        Ok(ReadyService { name, config, serving, guard })
    }
}

/// A service that lacks nothing but listeners: [`ServiceBuilder::ready`].
#[derive(Debug)]
#[must_use = "it does nothing until it listens"]
pub struct ReadyService {
    name: NodeName,
    config: NodeConfig,
    serving: ServingNode,
    guard: GuardSettings,
}

impl ReadyService {
    /// Serves listeners that are bound already.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InitializationError::NoEndpoint`].
    pub fn listen(self, listeners: Vec<Box<dyn Listener>>) -> Result<Service, InitializationError> {
        let Self { name, config, serving, guard } = self;
        let node = Arc::clone(&serving.node);
        let server =
            Server::new(name, config, Arc::clone(&node.budget), node.life.clone(), Guard::new(guard), &listeners)?;
        let shared = Arc::new(ServiceCore { server, node, serving, hub: Mutex::default() });
        server::listen(&shared, listeners);
        Ok(Service { handle: Arc::new(ServiceOwner { shared }) })
    }
}

impl Service {
    /// A service of this name, which other nodes see.
    pub fn builder<F: FormatSet>(name: NodeName, formats: F) -> ServiceBuilder<F> {
        ServiceBuilder {
            name,
            formats,
            config: NodeConfig::server(),
            callbacks: Vec::new(),
            layer: Box::new(|callbacks| callbacks),
            guard: GuardSettings::default(),
        }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.handle.shared.node.name
    }

    /// Where it listens, with real ports in place of 0.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.handle.shared.server.endpoints()
    }

    /// The names of the clients that are connected, in no order.
    #[must_use]
    pub fn clients(&self) -> Vec<String> {
        self.handle.shared.hub.lock().iter().map(|(name, _)| name.to_string()).collect()
    }

    /// What it counted so far of each callback.
    #[must_use]
    pub fn stats(&self) -> ServiceStats {
        self.handle.shared.stats()
    }

    /// The runtime that it runs on: for what belongs to it and is begun elsewhere.
    #[must_use]
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        self.handle.shared.server.runtime()
    }

    /// Who joins and leaves from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.handle.shared.server.events()
    }

    /// Exposes further callbacks, and tells all clients at once.
    ///
    #[doc = words!(added_callbacks)]
    ///
    /// # Errors
    /// [`InitializationError::DuplicateCallback`], and [`InitializationError::Ended`] from the
    /// moment the node is asked to stop: none was added.
    pub fn add_callbacks(&self, callbacks: Vec<Callback>) -> Result<(), InitializationError> {
        let shared = &self.handle.shared;
        if let Some(how) = shared.server.how_it_ended() {
            return Err(InitializationError::Ended(how));
        }
        shared.serving.registry.add(callbacks)?;
        // A notice, which clients of 3.0.1 take from any server (docs/protocol.md#5.3). Who joins
        // meanwhile is answered with the new list, or is in the hub already.
        let header = Header::control(Kind::Handshake, CallId::NONE, false);
        let [three, four] = [Level::THREE, Level::FOUR]
            .map(|level| Frame::new(header, "", "", "", &shared.hello(level).to_json(), &shared.node.config.limits));
        for (name, conn) in shared.hub.lock().iter() {
            shared.server.send(
                conn,
                Class::Notice,
                name,
                if conn.level().at_least(Level::FOUR) { four.clone() } else { three.clone() },
            );
        }
        Ok(())
    }

    #[doc = words!(set_policy)]
    pub fn set_policy(&self, policy: Option<Policy>) {
        let shared = &self.handle.shared;
        shared.server.set_policy(policy);
        let clients: Vec<_> = shared.hub.lock().iter().map(|(name, conn)| (name.clone(), Arc::clone(conn))).collect();
        for (name, conn) in clients {
            shared.server.guard.expel(&conn, &name, std::iter::empty());
        }
    }

    /// Whether it stops or has stopped: calls are not taken any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.handle.shared.server.is_stopping()
    }

    /// Waits until the service was stopped. Cancel safe.
    pub async fn join(&self) -> Ended {
        self.handle.shared.server.join().await
    }

    #[doc = words!(stop_service)]
    pub async fn stop(&self) {
        let shared = &self.handle.shared;
        server::begin_stop(shared, || stop(Arc::clone(shared)));
        shared.server.join().await;
    }
}

async fn stop(shared: Arc<ServiceCore>) {
    let running = &shared.node.running;
    running.close();
    let conns = || shared.hub.lock().iter().map(|(_, conn)| Arc::clone(conn)).collect();
    shared.server.finish(async { running.wait().await }, conns, || running.len()).await;
}

impl ServiceCore {
    /// What this service says of itself.
    fn hello(&self, level: Level) -> Handshake {
        let member = Member::new(self.node.name.clone(), self.serving.methods());
        Handshake::new(NodeType::new(Role::Service, level), vec![member])
    }
}

impl Host for ServiceCore {
    type Handler = ServiceHandler;
    const KIND: Role = Role::Service;

    fn server(&self) -> &Server {
        &self.server
    }

    fn list(&self, level: Level) -> Vec<u8> {
        self.hello(level).to_json()
    }

    fn handler(self: Arc<Self>, conn: Arc<Conn>, opening: OpeningId) -> ServiceHandler {
        let intake = self.serving.intake();
        let rights = Rights::new(Arc::clone(&conn));
        ServiceHandler { shared: self, conn, opening, caller: None, rights, intake, alive: Alive::default() }
    }
}

/// A service's end of one connection.
struct ServiceHandler {
    shared: Arc<ServiceCore>,
    conn: Arc<Conn>,
    opening: OpeningId,
    /// The client, after its handshake.
    caller: Option<Context>,
    rights: Rights,
    intake: Intake,
    alive: Alive,
}

impl Handler for ServiceHandler {
    const SERVES: bool = true;

    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        match (frame.kind(), &self.caller) {
            (Kind::Handshake, _) => {
                self.handshake(&frame);
                Ok(())
            }
            (Kind::Request, Some(caller)) => {
                let guard = &self.shared.server.guard;
                self.rights.refresh(guard);
                match routing::check_transmitter(&frame, caller.caller_name()) {
                    Ok(()) => match check_request(&mut self.rights, &mut self.intake, &frame) {
                        Ok(()) => self.shared.serving.serve(turn, &mut self.intake, caller, frame, ()),
                        Err(denied) => {
                            let denied = guard.note_denied(&mut self.rights, caller.caller(), denied);
                            caller.answer_error(turn, &frame, denied.into_error());
                        }
                    },
                    Err(error) => caller.answer_error(turn, &frame, error),
                }
                Ok(())
            }
            (Kind::Ping, Some(_)) => self.conn.answer_ping(&frame),
            (Kind::Cancel, Some(_)) if frame.header().id() == CallId::NONE => {
                // Here no caller has others behind it.
                CallerLeft::read(&frame)?;
                tracing::debug!("skipped a CANCEL about no call");
                Ok(())
            }
            (Kind::Cancel, Some(caller)) if frame.is_from(caller.caller()) => {
                self.shared.serving.cancel(turn, &mut self.intake, caller, &frame)
            }
            (Kind::Data | Kind::Credit, Some(caller)) if frame.header().id() != CallId::NONE => {
                if frame.is_from(caller.caller()) {
                    return self.shared.serving.take(turn, &mut self.intake, caller, frame);
                }
                tracing::debug!(kind = %frame.kind(), "skipped a frame about a call of another");
                Ok(())
            }
            // Nothing of them is used here; which links carry them the driver knows.
            (Kind::Cancel | Kind::Data | Kind::Credit | Kind::Watch | Kind::Unknown(_), Some(_)) => {
                tracing::debug!(kind = %frame.kind(), "skipped a frame");
                Ok(())
            }
            (Kind::Request, None) => Err(ProtocolError::BeforeHandshake(frame.kind()).into()),
            (kind, _) => Err(ProtocolError::Direction(kind).into()),
        }
    }

    fn settle(&mut self, _: &mut Turn) {
        self.shared.serving.settle(&mut self.intake, self.conn.inbound.frames());
    }

    fn next_time(&self) -> Option<Instant> {
        self.alive.next()
    }

    fn on_time(&mut self, now: Instant, _: &mut Turn) -> Result<(), Disconnected> {
        self.alive.on_time(&self.conn, now).map(drop)
    }

    fn is_open(&self) -> bool {
        self.caller.is_some()
    }

    fn farewell(&self) -> Option<Frame> {
        self.shared.server.farewell()
    }

    fn may_stop_reading(&self) -> bool {
        true
    }

    fn unbounded_bytes(&self) -> usize {
        self.conn.inbound.bytes()
    }

    fn on_end(&mut self, reason: &Disconnected) {
        self.shared.server.finish_opening(self.opening);
        match self.caller.as_ref().map(Context::caller_name) {
            Some(name) if self.shared.hub.lock().leave(name, self.conn.id) => {
                self.shared.server.log_end(&self.conn, name, reason);
                self.shared.server.events.tell(MemberEvent::Removed(name.to_string()));
            }
            Some(_) => {}
            None => {
                tracing::info!(conn = self.conn.id, peer = %self.conn.peer, %reason, "a connection ended before its handshake")
            }
        }
    }
}

/// Whether a client may make a request.
fn check_request(rights: &mut Rights, intake: &mut Intake, frame: &Frame) -> Result<(), Denied> {
    let level = rights.level();
    rights.check_format(frame, level, level)?;
    rights.check_call_of(frame, || intake.callback_name(frame))
}

impl ServiceHandler {
    fn handshake(&mut self, frame: &Frame) {
        let server = &self.shared.server;
        let known = self.caller.as_ref().map(Context::caller_name);
        let Some(Hello { name, level, .. }) = server.hello(Role::Service, &self.conn, known, frame) else {
            return;
        };
        let is_known = known.is_some();
        let done = match self.check(&name, is_known) {
            // A second handshake is an update; what a client exposes means nothing to a Service.
            Ok(()) if is_known => {
                self.answer(frame, &name);
                Ok(())
            }
            Ok(()) => self.join(&name, level, frame),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = done {
            self.shared.server.refuse_handshake(Role::Service, &self.conn, frame, &reason);
        }
    }

    /// Whether a client may be called so.
    fn check(&mut self, name: &NodeName, is_known: bool) -> Result<(), String> {
        if *name == self.shared.node.name {
            return Err(name_of_service(name));
        }
        self.shared.server.guard.check_handshake(&mut self.rights, name, std::iter::empty(), is_known)
    }

    /// Lets a client in by its first handshake.
    fn join(&mut self, name: &NodeName, level: Level, frame: &Frame) -> Result<(), String> {
        let server = &self.shared.server;
        // In the hub first: callbacks added from here on are told to this client too, at the level
        // that it has by then.
        let evicted = {
            let mut hub = self.shared.hub.lock();
            server.check_name(name, &self.conn, hub.get(name).map(|holder| &**holder), false)?;
            self.conn.set_level(level);
            hub.join(name.clone(), self.conn.id, Arc::clone(&self.conn))
        };
        if !self.rights.is_current(&server.guard) {
            // Whoever set another policy may have looked through the hub just before.
            server.guard.expel(&self.conn, name, std::iter::empty());
        }
        self.caller = Some(Context::new(name.clone(), Arc::clone(&self.conn), Arc::clone(&self.shared.node)));
        server.finish_opening(self.opening);
        self.alive.begin(&self.conn);
        self.answer(frame, name);
        if let Some(old) = evicted {
            server.note_eviction();
            server.send(&old, Class::Notice, name, event_frame(EventKind::Evicted, name, &server.config.limits));
            old.end(Disconnected::Evicted, true);
            server.events.tell(MemberEvent::Evicted(name.to_string()));
        }
        if server.life.is_closing() {
            // `stop` may have looked through the hub just before.
            self.conn.drain();
        }
        tracing::debug!(
            conn = self.conn.id,
            client = %Shown::name(name),
            peer = %self.conn.peer,
            identity = %self.conn.identity(),
            ?level,
            "a client joined"
        );
        server.events.tell(MemberEvent::Added(name.to_string()));
        Ok(())
    }

    fn answer(&self, request: &Frame, name: &NodeName) {
        let server = &self.shared.server;
        let level = self.conn.level();
        let reply = reply_to_member(request, level, &self.shared.list(level), &server.config.limits);
        server.send(&self.conn, Class::Provoked, name, reply);
    }
}
