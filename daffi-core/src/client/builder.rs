//! How a client is set up.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use daffi_serde::FormatSet;
use daffi_transport::Connector;
use daffi_wire::NodeName;
use tokio::sync::{Notify, watch};

use super::{Client, ClientCore, ClientOwner, ClientState, Picker, RoundRobin, context::WeakClient, supervisor};
use crate::{
    config::NodeConfig,
    error::InitializationError,
    events::EventHub,
    serve::{Callback, CallbackService, ServingNode},
    session::Token,
};

/// Sets up a [`Client`]: [`Client::builder`].
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder<F> {
    name: NodeName,
    connector: Box<dyn Connector>,
    formats: F,
    config: NodeConfig,
    callbacks: Vec<Callback>,
    layer: Box<dyn FnOnce(CallbackService) -> CallbackService + Send>,
    picker: Box<dyn Picker>,
    retry: Option<Duration>,
    looks: bool,
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
            connector,
            formats,
            config: NodeConfig::client(),
            callbacks: Vec::new(),
            layer: Box::new(|callbacks| callbacks),
            picker: Box::new(RoundRobin::default()),
            retry: None,
            looks: false,
            token: None,
        }
    }
}

impl<F: FormatSet> ClientBuilder<F> {
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

    /// Chooses among several members that expose a callback. Default: [`RoundRobin`].
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

    #[doc = words!(token)]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Makes [`connect`](Self::connect) try again for so long, with the pauses of a reconnect.
    /// Default: the first attempt decides.
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
        let client = self.build()?;
        supervisor::start(Arc::clone(client.shared()), retry).await?;
        Ok(client)
    }

    /// Gives the client at once; it connects in the background, and tries for as long as it lives.
    /// Calls made before there is a connection fail at once unless they wait for one.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InitializationError`] for settings that can't work.
    pub fn connect_lazy(self) -> Result<Client<F>, InitializationError> {
        let client = self.build()?;
        supervisor::start_lazily(Arc::clone(client.shared()));
        Ok(client)
    }

    fn build(self) -> Result<Client<F>, InitializationError> {
        if self.looks && !self.callbacks.is_empty() {
            return Err(InitializationError::LooksOnly);
        }
        let serving = ServingNode::new(self.name, self.config, self.layer, self.callbacks, self.formats.clone())?;
        let shared = Arc::new(ClientCore {
            node: Arc::clone(&serving.node),
            serving,
            looks: self.looks,
            token: self.token,
            picker: self.picker.into(),
            connector: self.connector,
            current: ArcSwapOption::empty(),
            state: watch::Sender::new(ClientState::Connecting),
            members: ArcSwap::default(),
            changes: watch::Sender::new(0),
            events: EventHub::new(),
            announce: Notify::new(),
            reannounce: Notify::new(),
            dropped_headers: Default::default(),
        });
        let handle = Arc::new(ClientOwner { shared: Arc::clone(&shared), formats: self.formats });
        // The node knows this before the first request can arrive, so that the first callback can
        // call on.
        shared.node.set_client(Box::new(WeakClient { handle: Arc::downgrade(&handle) }));
        Ok(Client { handle, parent: None, trace: None })
    }
}
