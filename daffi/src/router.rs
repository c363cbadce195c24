use daffi_core::{Ended, InitializationError, NodeConfig, Policy, RouterStats};
use daffi_transport::{Endpoint, Listener};
use daffi_wire::{Member, NodeName};

use crate::{
    Events,
    guarding::{Guarding, guard, warn_of_strangers},
    name::made_up,
    settings::{Start, limits, listening},
    signals,
    transports::ServerSettings,
};

/// A node that joins many clients, which call each other through it.
///
/// Every member may call, expose callbacks, or both. Payloads are forwarded byte for byte, whatever
/// their format. A call that cannot be delivered is answered at once with an error: unknown
/// receiver, callback not exposed, receiver gone, receiver overloaded.
///
/// This is a handle, cheap to clone. Dropping the last one ends the router at once;
/// [`stop`](Self::stop) ends it in order.
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// use daffi::{Client, Router};
/// let router = Router::builder("crossing").bind("tcp://127.0.0.1:0").await?;
/// let at = router.endpoints()[0].as_str();
///
/// let _worker = Client::builder("worker").callback_fn("double", |x: i64| async move { x * 2 }).connect(at).await?;
/// let caller = Client::builder("caller").connect(at).await?;
/// let doubled: i64 = caller.rpc().call("double", (21,)).await?;
/// assert_eq!(doubled, 42);
/// router.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Router {
    inner: daffi_core::Router,
}

impl Router {
    /// A router under this name, which shows in its logs and refusals; members do not see it.
    pub fn builder(app_name: impl Into<String>) -> RouterBuilder {
        RouterBuilder {
            name: app_name.into(),
            config: NodeConfig::server(),
            settings: ServerSettings::default(),
            guarding: Guarding::default(),
            also: Vec::new(),
        }
    }

    /// A router under a made-up name.
    pub fn unnamed() -> RouterBuilder {
        Self::builder(made_up("router"))
    }

    /// The router's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The endpoints at which it listens, with real ports in place of 0.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.inner.endpoints()
    }

    /// The members and what they expose, in the order that members see.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.inner.members()
    }

    /// What it counted so far, and how things stand: calls, errors and times of each callback, and
    /// each member. It costs as much as there are members: once a second is often enough.
    #[must_use]
    pub fn stats(&self) -> RouterStats {
        self.inner.stats()
    }

    /// The events of those who join and leave from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.inner.events()
    }

    /// Runs `handler` with the name of every member that joins from now on, on a task of its own.
    /// It may be called on any thread.
    pub fn on_member_added(&self, handler: impl FnMut(String) + Send + 'static) {
        crate::events::on_added(self.inner.runtime(), self.events(), handler);
    }

    /// Runs `handler` with the name of every member that leaves from now on, on a task of its own.
    /// It may be called on any thread.
    pub fn on_member_removed(&self, handler: impl FnMut(String) + Send + 'static) {
        crate::events::on_removed(self.inner.runtime(), self.events(), handler);
    }

    #[doc = daffi_core::words!(set_policy)]
    pub fn set_policy(&self, policy: Option<Policy>) {
        self.inner.set_policy(policy);
    }

    #[doc = daffi_core::words!(reconfigure)]
    pub fn reconfigure(&self, config: &NodeConfig) {
        self.inner.reconfigure(config);
    }

    /// Whether it stops or has stopped: calls are not taken any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.inner.is_stopping()
    }

    /// Waits until SIGINT, SIGTERM or [`stop`](Self::stop). A signal stops the router in order. A
    /// second one ends the process at once, and so does one that comes when no `join` waits any
    /// more: see [signals](crate#signals). Cancel safe.
    ///
    /// # Errors
    /// When the process can't listen for signals.
    pub async fn join(&self) -> std::io::Result<Ended> {
        signals::join(self.inner.join(), self.inner.stop()).await
    }

    #[doc = daffi_core::words!(stop_router)]
    pub async fn stop(&self) {
        self.inner.stop().await;
    }
}

/// Builds a [`Router`].
#[derive(Debug)]
#[must_use = "a builder does nothing until bind() is awaited"]
pub struct RouterBuilder {
    name: String,
    config: NodeConfig,
    settings: ServerSettings,
    guarding: Guarding,
    also: Vec<Result<Endpoint, daffi_transport::EndpointError>>,
}

impl RouterBuilder {
    limits!();
    listening!(Router);

    /// Serves listeners of any transport. Settings of endpoints, a certificate for one, are theirs
    /// and refused here.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn listen(self, listeners: Vec<Box<dyn Listener>>) -> Result<Router, InitializationError> {
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
    fn ready(self) -> Result<Start<Router>, InitializationError> {
        let name = NodeName::new(self.name, &self.config.limits)?;
        let builder = daffi_core::Router::builder(name).config(self.config);
        let ready = guard!(builder, self.guarding).ready()?;
        Ok(Box::new(move |listeners| Ok(Router { inner: ready.listen(listeners)? })))
    }
}
