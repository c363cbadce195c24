use std::time::Duration;

use daffi_core::{CallError, ClientStats, Ended, InitializationError, Members, NodeConfig, Picker, RoundRobin};
use daffi_transport::{Connector, Endpoint};
use daffi_wire::{Level, NodeName, Role};

use crate::{
    Callbacks, Cast, CastNowait, ClientGroup, Events, Formats, IntoCallbacks, Rpc, RpcNowait, StreamCall, StreamNowait,
    name::made_up,
    settings::{Layers, node_settings},
    signals,
    transports::{ClientSettings, connectors},
};

/// A node that connects: it calls, exposes callbacks, or both.
///
/// It reconnects by itself, for as long as wished; calls that were open fail with `Disconnected`
/// and are never repeated silently. This is a handle, cheap to clone. Dropping the last one ends
/// the connection at once; [`stop`](Self::stop) ends it in order.
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// # let service = daffi::Service::builder("calc")
/// #     .callback_fn("add", |a: i64, b: i64| async move { a + b }).bind("tcp://127.0.0.1:0").await?;
/// # let endpoint = service.endpoints()[0].as_str();
/// use daffi::Client;
/// let client = Client::builder("calc-client").connect(endpoint).await?;
/// let sum: i64 = client.rpc().call("add", (3, 4)).await?;
/// assert_eq!(sum, 7);
/// client.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: daffi_core::Client<Formats>,
}

impl Client {
    pub(crate) const fn new(inner: daffi_core::Client<Formats>) -> Self {
        Self { inner }
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        self.inner.runtime()
    }

    /// A client under this name, which must be unique: a newer connection of the same name evicts
    /// an older one.
    pub fn builder(app_name: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            name: app_name.into(),
            config: NodeConfig::client(),
            callbacks: Callbacks::new(),
            layers: Box::new(|callbacks| callbacks),
            formats: Formats::default(),
            settings: ClientSettings::default(),
            picker: Box::new(RoundRobin::default()),
            retry: None,
            looks: false,
            watches_called: false,
            token: None,
        }
    }

    /// A client under a made-up name.
    pub fn unnamed() -> ClientBuilder {
        Self::builder(made_up("client"))
    }

    /// A handle whose calls are made for themselves. It is for the client that a callback's
    /// [`Context::node`](crate::Context::node) gives, and for work that goes on when the callback's
    /// caller has given up.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { inner: self.inner.detached() }
    }

    /// Makes calls to one receiver, which answers.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(self.inner.rpc())
    }

    /// Makes calls to one receiver, which does not answer: they return once the request is queued.
    pub fn rpc_nowait(&self) -> RpcNowait {
        RpcNowait::new(self.inner.rpc_nowait())
    }

    /// Makes calls to every member that exposes the callback, or to some, each of which answers.
    pub fn cast(&self) -> Cast {
        Cast::new(self.inner.cast())
    }

    /// Makes calls to every member that exposes the callback, or to some, none of which answers.
    pub fn cast_nowait(&self) -> CastNowait {
        CastNowait::new(self.inner.cast_nowait())
    }

    /// Sends streams of chunks to one receiver, each chunk acknowledged before the next is sent,
    /// unless a larger window is asked for.
    pub fn stream(&self) -> StreamCall {
        StreamCall::new(self.inner.stream())
    }

    /// Sends streams of chunks to one receiver, no chunk acknowledged.
    pub fn stream_nowait(&self) -> StreamNowait {
        StreamNowait::new(self.inner.stream_nowait())
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The endpoint that it is connected to, or tries next.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.inner.endpoint()
    }

    /// Whether the other end is a Service or a Router; `None` while there is no connection, or when
    /// it does not say.
    #[must_use]
    pub fn server_role(&self) -> Option<Role> {
        self.inner.server_role()
    }

    /// What the connection speaks: level 4 with a server of this project, level 3 with daffi 3.0.1;
    /// `None` while there is no connection.
    #[must_use]
    pub fn server_level(&self) -> Option<Level> {
        self.inner.server_level()
    }

    #[doc = daffi_core::words!(members)]
    #[must_use]
    pub fn members(&self) -> std::sync::Arc<Members> {
        self.inner.members()
    }

    #[doc = daffi_core::words!(known_members)]
    #[must_use]
    pub fn known_members(&self) -> std::sync::Arc<Members> {
        self.inner.known_members()
    }

    /// What it counted so far: calls, errors and times of each callback that it called, and of each
    /// that it exposes.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.inner.stats()
    }

    #[doc = daffi_core::words!(wait_for_members)]
    pub async fn wait_for_members(&self, names: &[&str], within: Option<Duration>) -> Result<(), CallError> {
        self.inner.wait_for_members(names, within).await
    }

    #[doc = daffi_core::words!(wait_for_connection)]
    pub async fn wait_for_connection(&self) -> Result<(), CallError> {
        self.inner.wait_for_connection().await
    }

    #[doc = daffi_core::words!(events)]
    #[must_use]
    pub fn events(&self) -> Events {
        self.inner.events()
    }

    /// Exposes further callbacks. Servers of this project are told at once. A 3.0.1 server is told
    /// as soon as no call is open, by a new connection in place of the old one. See
    /// [`reannounce`](Self::reannounce).
    ///
    #[doc = daffi_core::words!(added_callbacks)]
    ///
    /// # Errors
    /// [`InitializationError`] for a name that can't be used or is taken, and from the moment the node
    /// is asked to stop: none was added.
    pub fn add_callbacks(&self, callbacks: impl IntoCallbacks) -> Result<(), InitializationError> {
        let made = callbacks.into_callbacks().make(self.inner.formats(), self.inner.limits())?;
        self.inner.add_callbacks(made)
    }

    /// Tells a 3.0.1 server of added callbacks without waiting. Open calls of this node end with
    /// `Disconnected`, and whoever calls it in that moment gets no answer. Servers of this project
    /// need none of it.
    pub fn reannounce(&self) {
        self.inner.reannounce();
    }

    /// Waits until SIGINT, SIGTERM, [`stop`](Self::stop) or an eviction, or until it is clear that
    /// the node cannot connect as it is set up. A signal stops the node in order. A second one ends
    /// the process at once, and so does one that comes when no `join` waits any more: see
    /// [signals](crate#signals). A lost connection is no end. Cancel safe.
    ///
    /// # Errors
    /// When the process can't listen for signals.
    pub async fn join(&self) -> std::io::Result<Ended> {
        signals::join(self.inner.join(), self.inner.stop()).await
    }

    #[doc = daffi_core::words!(stop_client)]
    pub async fn stop(&self) {
        self.inner.stop().await;
    }

    /// Gives the calling side as a [`tower_service::Service`] of [`Call`](crate::tower::Call)s, to
    /// put middleware around; see [`Rpc::over`]. It is ready when a call could be made at once, so
    /// that load shedding and balancing work.
    #[must_use]
    pub fn into_service(self) -> crate::tower::CallService<Formats> {
        self.inner.into_service()
    }
}

/// Builds a [`Client`].
#[must_use = "a builder does nothing until connect() is awaited"]
pub struct ClientBuilder {
    name: String,
    config: NodeConfig,
    callbacks: Callbacks,
    layers: Layers,
    formats: Formats,
    settings: ClientSettings,
    picker: Box<dyn Picker>,
    retry: Option<Duration>,
    looks: bool,
    watches_called: bool,
    token: Option<daffi_core::Token>,
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("name", &self.name)
            .field("callbacks", &self.callbacks)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    node_settings!();

    /// Sets how `tls://` and `wss://` endpoints are verified. Without it they are verified against
    /// the platform's roots. With it, an endpoint that would be plain is refused.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: daffi_transport_tls::ClientTls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// Sets when a silent server is pinged over `ws://` and `wss://`, and given up. Choose less
    /// than a proxy on the way allows. Default: after 20 seconds, and 20 seconds later. A server of
    /// daffi 3.0.1, which breaks on a ping, is sent none.
    #[cfg(feature = "ws")]
    pub fn websocket_keepalive(mut self, keepalive: daffi_transport_ws::Keepalive) -> Self {
        self.settings.keepalive = Some(keepalive);
        self
    }

    /// Sets the timeout of calls that set none.
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.config.default_timeout = Some(timeout);
        self
    }

    /// Chooses among several members that expose a callback. Default: [`RoundRobin`].
    pub fn picker(mut self, picker: impl Picker) -> Self {
        self.picker = Box::new(picker);
        self
    }

    /// Makes [`connect`](Self::connect) try again for so long, with the pauses of a reconnect, when
    /// nobody listens there yet or the handshake fails. What cannot work later
    /// ([`is_retryable`](InitializationError::is_retryable)) ends it at once. Without it the first
    /// attempt decides. [`connect_lazy`](Self::connect_lazy) tries for ever, and refuses it.
    pub fn connect_retry(mut self, within: Duration) -> Self {
        self.retry = Some(within);
        self
    }

    /// Believes the Router who calls the callbacks of this node: `Context::identity` is then the
    /// caller as the Router knows it, by its token, certificate, user or address, whatever the
    /// caller says of itself, and `Identity::Unknown` where the Router says nothing, as one of
    /// daffi 3.0.1 does. For Routers that are yours. Default: no; the Router is who calls.
    pub const fn trust_router_identities(mut self, trust: bool) -> Self {
        self.config.trust_router_identities = trust;
        self
    }

    #[doc = daffi_core::words!(token)]
    pub fn token(mut self, token: crate::policy::Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Makes a client that only looks who is there, and disturbs nobody. It is for health checks
    /// and lists.
    ///
    /// A server of this project lists this client to nobody, tells no node of its coming and going,
    /// and gives it no name, so that it evicts nobody. It gets the [`members`](Client::members) as
    /// they are when it connects and hears nothing after that, and a call of it fails with
    /// `PermissionError`. To a server of daffi 3.0.1 it is a member like others. It cannot expose
    /// callbacks.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
    /// use daffi::{Client, Service};
    /// let service = Service::builder("calc").bind("mem://watched").await?;
    /// let looker = Client::unnamed().look_only().connect("mem://watched").await?;
    /// assert!(looker.members().get("calc").is_some());
    /// assert!(service.clients().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn look_only(mut self) -> Self {
        self.looks = true;
        self
    }

    #[doc = daffi_core::words!(watch_called)]
    pub fn watch_called(mut self) -> Self {
        self.watches_called = true;
        self
    }

    /// Connects to `endpoint`: `tcp://host:port`, `tls://host:port`, `unix:///path`, `mem://name`,
    /// and through what only lets HTTP pass `ws://host:port/path` or `wss://host:port/path`.
    ///
    /// The first attempt decides, unless [`connect_retry`](Self::connect_retry) gives it time; once
    /// connected, lost connections are made again for as long as the node lives.
    ///
    #[doc = daffi_core::words!(connect)]
    pub async fn connect(self, endpoint: &str) -> Result<Client, InitializationError> {
        self.connect_any([endpoint]).await
    }

    /// Connects to one of several endpoints at which the same network is found, those of two
    /// Routers for one, and goes to the next when the one in use fails.
    ///
    /// Which is tried first is left to chance, so that the clients of several Routers spread over
    /// them. An endpoint that refuses gives way to the next at once; beside one to which no link
    /// comes about the next is tried after 250 ms. One that takes connections and says nothing is
    /// waited for 1.5 s while one waits that was not tried yet, and from the second time on 250 ms.
    /// When a node of this project that listens there is stopped, the client moves on before it is
    /// gone: new calls go to the next, and those that are open end where they are.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
    /// use daffi::{Client, Service};
    /// let _service = Service::builder("calc").bind("mem://second").await?;
    /// let client = Client::builder("caller").connect_any(["mem://first", "mem://second"]).await?;
    /// assert_eq!(client.endpoint().as_str(), "mem://second");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    #[doc = daffi_core::words!(connect)]
    /// [`InitializationError::AllFailed`] says of each endpoint why it does not work.
    pub async fn connect_any<E: AsRef<str>>(
        self,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Client, InitializationError> {
        let connectors = connectors(endpoints, &self.settings)?;
        Ok(Client { inner: self.core(connectors)?.connect().await? })
    }

    /// Connects to each of several endpoints, as one node that serves at all of them: a worker of
    /// two Routers. One that works is enough to begin with; the others are tried for as long as the
    /// node lives.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
    /// use daffi::{Client, Router};
    /// let one = Router::builder("one").bind("mem://router-one").await?;
    /// let two = Router::builder("two").bind("mem://router-two").await?;
    /// let worker = Client::builder("worker").callback_fn("double", |n: i64| async move { n * 2 });
    /// let worker = worker.connect_all(["mem://router-one", "mem://router-two"]).await?;
    ///
    /// let caller = Client::builder("caller").connect_any(["mem://router-one", "mem://router-two"]).await?;
    /// assert_eq!(caller.rpc().wait_for_receiver().call::<i64>("double", (21,)).await?, 42);
    /// worker.stop().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    #[doc = daffi_core::words!(connect)]
    /// [`InitializationError::AllFailed`] says of each endpoint why it does not work.
    pub async fn connect_all<E: AsRef<str>>(
        self,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<ClientGroup, InitializationError> {
        let connectors = connectors(endpoints, &self.settings)?;
        Ok(ClientGroup::new(self.core(connectors)?.connect_all().await?))
    }

    /// Connects over any transport. Settings of endpoints, whom TLS trusts for one, are the
    /// connector's and refused here.
    ///
    #[doc = daffi_core::words!(connect)]
    pub async fn connect_with(self, connector: Box<dyn Connector>) -> Result<Client, InitializationError> {
        self.settings.refuse_for_connector()?;
        Ok(Client { inner: self.core(vec![connector])?.connect().await? })
    }

    /// Gives the client at once, and connects in the background, so that it may start before its
    /// server does.
    ///
    /// It tries for as long as it lives, unless what fails before its first connection can never
    /// work as it is set up ([`is_retryable`](InitializationError::is_retryable)): then it ends as
    /// [`Ended::CannotConnect`], and what waits for it says why. A server that refuses it, is not
    /// there or shows a wrong certificate may do otherwise later. Until there is a connection
    /// [`Client::state`] is
    /// `Connecting`, there are no [`members`](Client::members), and calls fail at once with
    /// [`Disconnected`](crate::CallError::Disconnected) unless they `wait_for_connection()` or
    /// `wait_for_receiver()`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
    /// use daffi::{Client, Service};
    /// let client = Client::builder("early").connect_lazy("mem://late")?;
    /// let sum = client.rpc().wait_for_receiver().call::<i64>("add", (3, 4));
    ///
    /// let add = |a: i64, b: i64| async move { a + b };
    /// let _service = Service::builder("calc").callback_fn("add", add).bind("mem://late").await?;
    /// assert_eq!(sum.await?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`InitializationError`] for what can't work whoever is there: a name, an endpoint, a setting;
    /// outside a tokio runtime.
    pub fn connect_lazy(self, endpoint: &str) -> Result<Client, InitializationError> {
        self.connect_any_lazy([endpoint])
    }

    /// [`connect_lazy`](Self::connect_lazy) for several endpoints, as those of
    /// [`connect_any`](Self::connect_any).
    ///
    /// # Errors
    /// The errors of [`connect_lazy`](Self::connect_lazy).
    pub fn connect_any_lazy<E: AsRef<str>>(
        self,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Client, InitializationError> {
        let connectors = connectors(endpoints, &self.settings)?;
        Ok(Client { inner: self.core(connectors)?.connect_lazy()? })
    }

    fn core(
        self,
        connectors: Vec<Box<dyn Connector>>,
    ) -> Result<daffi_core::ClientBuilder<Formats>, InitializationError> {
        let limits = self.config.limits;
        self.formats.check()?;
        let callbacks = self.callbacks.make(&self.formats, &limits)?;
        let mut connectors = connectors.into_iter();
        let first = connectors.next().ok_or(InitializationError::NoAddress)?;
        let builder = daffi_core::Client::builder(NodeName::new(self.name, &limits)?, first, self.formats);
        let builder = connectors
            .fold(builder, daffi_core::ClientBuilder::or_at)
            .config(self.config)
            .callbacks(callbacks)
            .layer(self.layers)
            .picker(self.picker);
        let builder = if self.looks { builder.look_only() } else { builder };
        let builder = if self.watches_called { builder.watch_called() } else { builder };
        let builder = match self.token {
            Some(token) => builder.token(token),
            None => builder,
        };
        Ok(match self.retry {
            Some(within) => builder.retry(within),
            None => builder,
        })
    }
}
