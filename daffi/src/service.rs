use daffi_core::{Ended, InitializationError, NodeConfig, Policy, ServiceStats};
use daffi_transport::{Endpoint, Listener};
use daffi_wire::NodeName;

use crate::{
    Callbacks, Events, Formats, IntoCallbacks,
    guarding::{Guarding, guard, warn_of_strangers},
    name::made_up,
    settings::{Layers, Start, listening, node_settings},
    signals,
    transports::ServerSettings,
};

/// A node that listens and exposes callbacks.
///
/// This is a handle, cheap to clone. Dropping the last one ends the service at once;
/// [`stop`](Self::stop) ends it in order.
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// use daffi::Service;
/// let service = Service::builder("calc")
///     .callback_fn("add", |a: i64, b: i64| async move { a + b })
///     .bind("tcp://127.0.0.1:0")
///     .await?;
/// println!("listening on {}", service.endpoints()[0]);
/// service.stop().await;
/// # Ok::<(), daffi::InitializationError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Service {
    inner: daffi_core::Service,
    formats: Formats,
    limits: daffi_wire::Limits,
}

impl Service {
    /// A service under this name, which other nodes see.
    pub fn builder(app_name: impl Into<String>) -> ServiceBuilder {
        ServiceBuilder {
            name: app_name.into(),
            config: NodeConfig::server(),
            callbacks: Callbacks::new(),
            layers: Box::new(|callbacks| callbacks),
            formats: Formats::default(),
            settings: ServerSettings::default(),
            guarding: Guarding::default(),
            also: Vec::new(),
        }
    }

    /// A service under a made-up name.
    pub fn unnamed() -> ServiceBuilder {
        Self::builder(made_up("service"))
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The endpoints at which it listens, with real ports in place of 0.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.inner.endpoints()
    }

    /// The names of the clients that are connected, in no order.
    #[must_use]
    pub fn clients(&self) -> Vec<String> {
        self.inner.clients()
    }

    /// What it counted so far: calls, errors and times of each callback.
    #[must_use]
    pub fn stats(&self) -> ServiceStats {
        self.inner.stats()
    }

    /// The events of those who join and leave from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.inner.events()
    }

    /// Runs `handler` with the name of every client that joins from now on, on a task of its own.
    /// It may be called on any thread.
    pub fn on_member_added(&self, handler: impl FnMut(String) + Send + 'static) {
        crate::events::on_added(self.inner.runtime(), self.events(), handler);
    }

    /// Runs `handler` with the name of every client that leaves from now on, on a task of its own.
    /// It may be called on any thread.
    pub fn on_member_removed(&self, handler: impl FnMut(String) + Send + 'static) {
        crate::events::on_removed(self.inner.runtime(), self.events(), handler);
    }

    /// Exposes further callbacks, and tells all clients at once.
    ///
    #[doc = daffi_core::words!(added_callbacks)]
    ///
    /// # Errors
    /// [`InitializationError`] for a name that can't be used or is taken, and from the moment the node
    /// is asked to stop: none was added.
    pub fn add_callbacks(&self, callbacks: impl IntoCallbacks) -> Result<(), InitializationError> {
        self.inner.add_callbacks(callbacks.into_callbacks().make(&self.formats, &self.limits)?)
    }

    #[doc = daffi_core::words!(set_policy)]
    pub fn set_policy(&self, policy: Option<Policy>) {
        self.inner.set_policy(policy);
    }

    /// Whether it stops or has stopped: calls are not taken any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.inner.is_stopping()
    }

    /// Waits until SIGINT, SIGTERM or [`stop`](Self::stop). A signal stops the service in order. A
    /// second one ends the process at once, and so does one that comes when no `join` waits any
    /// more: see [signals](crate#signals). Cancel safe.
    ///
    /// # Errors
    /// When the process can't listen for signals.
    pub async fn join(&self) -> std::io::Result<Ended> {
        signals::join(self.inner.join(), self.inner.stop()).await
    }

    #[doc = daffi_core::words!(stop_service)]
    pub async fn stop(&self) {
        self.inner.stop().await;
    }
}

/// Builds a [`Service`].
#[must_use = "a builder does nothing until bind() is awaited"]
pub struct ServiceBuilder {
    name: String,
    config: NodeConfig,
    callbacks: Callbacks,
    layers: Layers,
    formats: Formats,
    settings: ServerSettings,
    guarding: Guarding,
    also: Vec<Result<Endpoint, daffi_transport::EndpointError>>,
}

impl std::fmt::Debug for ServiceBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceBuilder")
            .field("name", &self.name)
            .field("callbacks", &self.callbacks)
            .finish_non_exhaustive()
    }
}

impl ServiceBuilder {
    node_settings!();
    listening!(Service);

    /// Serves listeners of any transport. Settings of endpoints, a certificate for one, are theirs
    /// and refused here.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn listen(self, listeners: Vec<Box<dyn Listener>>) -> Result<Service, InitializationError> {
        self.settings.refuse_for_listeners(self.also.len())?;
        let is_open = self.guarding.lets_all_in();
        let node = self.ready()?(listeners)?;
        if is_open {
            // Whom one with TLS lets in its listener says, which cannot be asked.
            warn_of_strangers(node.endpoints(), true);
        }
        Ok(node)
    }

    /// Makes all of it but the listeners.
    fn ready(self) -> Result<Start<Service>, InitializationError> {
        let limits = self.config.limits;
        let name = NodeName::new(self.name, &limits)?;
        self.formats.check()?;
        let callbacks = self.callbacks.make(&self.formats, &limits)?;
        let builder = daffi_core::Service::builder(name, self.formats.clone())
            .config(self.config)
            .callbacks(callbacks)
            .layer(self.layers);
        let ready = guard!(builder, self.guarding).ready()?;
        let formats = self.formats;
        Ok(Box::new(move |listeners| Ok(Service { inner: ready.listen(listeners)?, formats, limits })))
    }
}
