//! How a client is set up.

use std::{fmt, sync::Arc, time::Duration};

use daffi_serde::FormatSet;
use daffi_transport::{ConnectError, Connector};
use daffi_wire::NodeName;

use super::{
    Addresses, Client, ClientCore, ClientGroup, ClientOwner, NodeOwner, Picker, RoundRobin, context::WeakClients,
    supervisor, watching::Wanted,
};
use crate::{
    config::NodeConfig,
    error::InitializationError,
    serve::{Callback, CallbackService, ServingNode},
    session::Token,
};

/// Sets up a [`Client`]: [`Client::builder`].
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder<F> {
    name: NodeName,
    connectors: Vec<Box<dyn Connector>>,
    formats: F,
    config: NodeConfig,
    callbacks: Vec<Callback>,
    layer: Box<dyn FnOnce(CallbackService) -> CallbackService + Send>,
    picker: Box<dyn Picker>,
    retry: Option<Duration>,
    looks: bool,
    watches_all: bool,
    token: Option<Token>,
}

impl<F> fmt::Debug for ClientBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: FormatSet> Client<F> {
    /// A client of this name that connects through `connector`.
    pub fn builder(name: NodeName, connector: Box<dyn Connector>, formats: F) -> ClientBuilder<F> {
        ClientBuilder {
            name,
            connectors: vec![connector],
            formats,
            config: NodeConfig::client(),
            callbacks: Vec::new(),
            layer: Box::new(|callbacks| callbacks),
            picker: Box::new(RoundRobin::default()),
            retry: None,
            looks: false,
            watches_all: true,
            token: None,
        }
    }
}

impl<F: FormatSet> ClientBuilder<F> {
    /// Adds an address at which the same network is found, that of another Router for one. Which
    /// one is tried first is left to chance; each is given 2 s at first, twice as much each time
    /// that it was silent, and no more than [`connect_timeout`](NodeConfig::connect_timeout) to
    /// connect and
    /// [`handshake_timeout`](NodeConfig::handshake_timeout) for the handshake.
    ///
    /// One to which no link comes about within 250 ms holds the others up no more: their links are
    /// made beside it. Hands are shaken over one link after another, because two addresses may be
    /// ways to one server, where the second handshake takes the name from the first. While one
    /// waits that was not tried yet, an answer is waited for 1.5 s, and for 250 ms at an address
    /// that was silent before; twice as long each time that the one that waits has refused, or has
    /// ended the connection soon.
    ///
    /// When the connection is lost the next address is tried; when a server of this project is
    /// stopping, the client moves on before that, and what is open ends where it is. When a
    /// handshake that was given up arrives late after all and takes the name from the connection
    /// by another address, the client goes back to that one.
    pub fn or_at(mut self, connector: Box<dyn Connector>) -> Self {
        self.connectors.push(connector);
        self
    }

    /// Sets limits and times. Default: [`NodeConfig::client`].
    pub fn config(mut self, config: NodeConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets what it exposes. Default: nothing.
    pub fn callbacks(mut self, callbacks: Vec<Callback>) -> Self {
        self.callbacks = callbacks;
        self
    }

    /// Sets what stands around all its callbacks. Default: nothing.
    pub fn layer(mut self, layer: impl FnOnce(CallbackService) -> CallbackService + Send + 'static) -> Self {
        self.layer = Box::new(layer);
        self
    }

    /// Chooses among several members that expose a callback. Default: [`RoundRobin`]. The clients
    /// of [`connect_all`](Self::connect_all) share it: [`Choice::client`](crate::Choice) tells
    /// whose call it is.
    pub fn picker(mut self, picker: Box<dyn Picker>) -> Self {
        self.picker = picker;
        self
    }

    /// Makes a client that only looks who is there. A server of this project tells nobody of it,
    /// and it cannot call and hears nothing after the list of members. To one of daffi 3.0.1 it is
    /// a member like others. It exposes nothing.
    pub const fn look_only(mut self) -> Self {
        self.looks = true;
        self
    }

    #[doc = words!(watch_called)]
    pub const fn watch_called(mut self) -> Self {
        self.watches_all = false;
        self
    }

    #[doc = words!(token)]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Makes [`connect`](Self::connect) try again for so long, with the pauses of a reconnect,
    /// after errors that [may pass](InitializationError::is_retryable). Default: the first attempt
    /// decides.
    pub const fn retry(mut self, within: Duration) -> Self {
        self.retry = Some(within);
        self
    }

    /// Connects, and keeps the connection.
    ///
    /// The first attempt decides, unless [`retry`](Self::retry) was set; then the last one does.
    /// Must be called within a tokio runtime.
    ///
    #[doc = words!(connect)]
    pub async fn connect(self) -> Result<Client<F>, InitializationError> {
        let retry = self.retry;
        let client = self.build_one()?;
        supervisor::start(Arc::clone(client.shared()), retry).await?;
        Ok(client)
    }

    /// Gives the client at once; it connects in the background, and tries for as long as it lives,
    /// unless what fails before its first connection can never work as it is set up: then it ends
    /// as [`Ended::CannotConnect`](crate::Ended::CannotConnect). Calls made before there is a
    /// connection fail at once unless they wait for one.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InitializationError`] for settings that can't work, and for [`retry`](Self::retry), which
    /// has no meaning here.
    pub fn connect_lazy(self) -> Result<Client<F>, InitializationError> {
        if self.retry.is_some() {
            return Err(InitializationError::Meaningless {
                setting: "connect_retry",
                with: "connect_lazy".to_owned(),
                rule: "the client tries for as long as it lives; leave connect_retry out",
            });
        }
        let client = self.build_one()?;
        supervisor::start_lazily(Arc::clone(client.shared()));
        Ok(client)
    }

    /// Connects to each of its addresses, as a node that serves at all of them, and keeps the
    /// connections. One that works is enough to begin with; the others are tried for as long as the
    /// node lives.
    ///
    /// Must be called within a tokio runtime.
    ///
    #[doc = words!(connect)]
    pub async fn connect_all(mut self) -> Result<ClientGroup<F>, InitializationError> {
        let retry = self.retry;
        let each = std::mem::take(&mut self.connectors).into_iter();
        let group =
            ClientGroup::new(self.build(each.filter_map(|connector| Addresses::new(vec![connector])).collect())?);
        group.start(retry).await?;
        Ok(group)
    }

    pub(super) fn build_one(mut self) -> Result<Client<F>, InitializationError> {
        let addresses = Addresses::new(std::mem::take(&mut self.connectors));
        let mut clients = self.build(addresses.into_iter().collect())?;
        clients.pop().ok_or(InitializationError::NoAddress)
    }

    /// Makes one node, with a client for each of `places`.
    fn build(self, places: Vec<Addresses>) -> Result<Vec<Client<F>>, InitializationError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| InitializationError::NoRuntime)?;
        if self.looks && !self.callbacks.is_empty() {
            return Err(InitializationError::LooksOnly);
        }
        for place in &places {
            place.check().map_err(ConnectError::from)?;
        }
        let serving = ServingNode::new(self.name, self.config, self.layer, self.callbacks, self.formats.clone())?;
        let (serving, picker) = (Arc::new(serving), Arc::from(self.picker));
        let core = |(in_group, addresses)| {
            Arc::new(ClientCore::new(
                Arc::clone(&serving),
                self.looks,
                self.token.clone(),
                if self.watches_all { Wanted::everything() } else { Wanted::default() },
                (Arc::clone(&picker), in_group),
                addresses,
                runtime.clone(),
            ))
        };
        let cores: Vec<_> = places.into_iter().enumerate().map(core).collect();
        let node = Arc::new(NodeOwner(cores.clone()));
        let owner = |shared| Arc::new(ClientOwner { shared, formats: self.formats.clone(), _node: Arc::clone(&node) });
        let handles: Vec<_> = cores.into_iter().map(owner).collect();
        // The node knows this before the first request can arrive, so that the first callback can
        // call on.
        serving.node.set_client(Box::new(WeakClients(handles.iter().map(Arc::downgrade).collect())));
        Ok(handles.into_iter().map(|handle| Client { handle, parent: None, trace: None }).collect())
    }
}
