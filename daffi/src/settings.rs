//! Setters that builders share.

/// The settings of every node.
macro_rules! limits {
    () => {
        /// Changes limits and times: `.configure(|c| c.grace = Duration::from_secs(30))`.
        pub fn configure(mut self, change: impl FnOnce(&mut crate::NodeConfig)) -> Self {
            change(&mut self.config);
            self
        }
    };
}
pub(crate) use limits;

/// The settings of nodes that listen. `$node` is what `$builder.listen(listeners)` starts.
macro_rules! listening {
    ($node:ident) => {
        /// Sets certificate and key for `tls://` endpoints. Without one to use them for, the node
        /// does not start.
        #[cfg(feature = "tls")]
        pub fn tls(mut self, tls: daffi_transport_tls::ServerTls) -> Self {
            self.settings.tls = Some(tls);
            self
        }

        /// Lets web pages of this origin connect by WebSocket: `https://app.example`, with a port
        /// where it is not the scheme's own; `null` for pages from files. May be called several
        /// times.
        ///
        /// Without it, pages from loopback may connect to endpoints on loopback, and pages from the
        /// host that they connect to, to any other. Requests that come from no page always may.
        /// Where no endpoint takes WebSockets it is refused.
        #[cfg(feature = "ws")]
        pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
            self.settings.origins.push(origin.into());
            self
        }

        /// Sets when silent WebSocket peers are pinged and given up. Default: after 20 seconds, and
        /// 20 seconds later.
        #[cfg(feature = "ws")]
        pub fn websocket_keepalive(mut self, keepalive: daffi_transport_ws::Keepalive) -> Self {
            self.settings.keepalive = Some(keepalive);
            self
        }

        /// Sets the permissions of the Unix sockets that are listened on, as `chmod` takes them:
        /// with `0o660` the owner and its group may connect. Default: what the process's umask
        /// leaves. Without a `unix://` endpoint it is refused; of a socket that is handed over the
        /// supervisor sets it.
        #[cfg(feature = "uds")]
        pub fn socket_mode(mut self, mode: u32) -> Self {
            self.settings.socket_mode = Some(mode);
            self
        }

        /// Sets the group of the Unix sockets that are listened on, by its number. Default: that of
        /// the process. Without a `unix://` endpoint it is refused, as
        /// [`socket_mode`](Self::socket_mode) is.
        #[cfg(feature = "uds")]
        pub fn socket_group(mut self, group: u32) -> Self {
            self.settings.socket_group = Some(group);
            self
        }

        #[doc = daffi_core::words!(policy)]
        pub fn policy(mut self, policy: crate::policy::Policy) -> Self {
            self.guarding.policy = Some(policy);
            self
        }

        #[doc = daffi_core::words!(admit)]
        pub fn admit(
            mut self,
            admit: impl Fn(&crate::policy::Newcomer<'_>, &str) -> Result<(), String> + Send + Sync + 'static,
        ) -> Self {
            self.guarding.admit = Some(std::sync::Arc::new(admit));
            self
        }

        /// Adds a further endpoint to listen on, beside the one given to [`bind`](Self::bind).
        pub fn also_bind(mut self, endpoint: &str) -> Self {
            self.also.push(endpoint.parse());
            self
        }

        /// Listens on `endpoint`: `tcp://host:port`, `tls://host:port`, `unix:///path` or
        /// `mem://name`; port 0 takes a free one. TCP and TLS endpoints also take WebSockets, on
        /// the same port.
        ///
        /// With the feature `fd`: `fd://3`, or `fd://NAME`, is a listening socket, of TCP or Unix,
        /// that a supervisor such as systemd hands over (`LISTEN_FDS`), and `tls+fd://3` the same
        /// with TLS. The supervisor keeps it, so that nobody is refused while the node restarts:
        /// whoever connects meanwhile waits for the next process.
        ///
        /// An endpoint that others than this machine reach is warned of once, through `tracing`,
        /// where nothing says who may come in: neither [`policy`](Self::policy) nor
        /// [`admit`](Self::admit), nor over TLS the authority of clients' certificates.
        ///
        /// Cancelling: dropping the future leaves nothing listening.
        ///
        /// # Errors
        /// [`InitializationError`] says what can't be used, and which setting would do nothing at
        /// these endpoints ([`Meaningless`](InitializationError::Meaningless)). Nothing is
        /// listening then.
        pub async fn bind(mut self, endpoint: &str) -> Result<$node, InitializationError> {
            // Sockets are opened before the node itself would notice.
            if tokio::runtime::Handle::try_current().is_err() {
                return Err(InitializationError::NoRuntime);
            }
            let also = std::mem::take(&mut self.also);
            let endpoints: Result<Vec<_>, _> = std::iter::once(endpoint.parse()).chain(also).collect();
            let endpoints = endpoints.map_err(daffi_transport::BindError::from)?;
            let plans = endpoints.iter().map(|endpoint| crate::transports::Plan::of(endpoint, &self.settings));
            // A scheme that there is not is told before what a setting means there.
            let plans = plans.collect::<Result<Vec<_>, _>>()?;
            self.settings.check(&endpoints)?;
            let settings = std::mem::take(&mut self.settings);
            let (is_open, asks) = (self.guarding.lets_all_in(), settings.asks_for_certificates());
            let start = self.ready()?;
            // Whatever fails from here on gives sockets back that were handed over.
            let bound = crate::transports::Bound::all(plans).await?;
            settings.check_bound(&bound.endpoints())?;
            let node = start(bound.keep())?;
            if is_open {
                crate::guarding::warn_of_strangers(node.endpoints(), asks);
            }
            Ok(node)
        }
    };
}
pub(crate) use listening;

/// The settings of nodes that expose callbacks.
macro_rules! node_settings {
    () => {
        crate::settings::limits!();

        /// Exposes callbacks: `callbacks![add, greet]`, an instance of a class of callbacks, or
        /// [`Callbacks`](crate::Callbacks). May be called several times.
        pub fn callbacks(mut self, callbacks: impl crate::IntoCallbacks) -> Self {
            self.callbacks = self.callbacks.and(callbacks);
            self
        }

        /// Exposes an async closure that cannot fail: `.callback_fn("double", |x: i64| async move {
        /// x * 2 })`.
        /// It may give a stream, and take arguments one by one, as
        /// [`Callbacks::callback_fn`](crate::Callbacks::callback_fn) says.
        pub fn callback_fn<M, C, K>(mut self, name: impl Into<String>, function: C) -> Self
        where
            C: crate::CallbackFn<M>,
            C::Output: crate::CallbackOutput<K>,
        {
            self.callbacks = self.callbacks.callback_fn(name, function);
            self
        }

        /// Exposes an async closure that returns a `Result`, or a stream of them.
        pub fn try_callback_fn<M, C, K>(mut self, name: impl Into<String>, function: C) -> Self
        where
            C: crate::CallbackFn<M>,
            C::Output: crate::TryCallbackOutput<K>,
        {
            self.callbacks = self.callbacks.try_callback_fn(name, function);
            self
        }

        /// Sets how many callbacks run at once. Default 1: one at a time, in order of arrival over
        /// all connections.
        pub fn workers(mut self, workers: usize) -> Self {
            self.config.workers = workers;
            self
        }

        /// Puts a tower layer around all callbacks, outside the limit of `workers`. The last one
        /// added is the outermost.
        ///
        /// A layer's failure becomes an error reply: tower's `Elapsed` a `TimeoutError`, tower's
        /// `Overloaded` an `Overloaded`, a [`RemoteError`](crate::RemoteError) itself, anything
        /// else a `RuntimeError`.
        pub fn layer<L>(mut self, layer: L) -> Self
        where
            L: tower_layer::Layer<crate::tower::CallbackService> + Send + 'static,
            L::Service: tower_service::Service<crate::tower::Request, Response = crate::tower::Reply>
                + Clone
                + Send
                + Sync
                + 'static,
            <L::Service as tower_service::Service<crate::tower::Request>>::Error: Into<crate::BoxError>,
            <L::Service as tower_service::Service<crate::tower::Request>>::Future: Send + 'static,
        {
            let inner = self.layers;
            self.layers =
                Box::new(move |callbacks| crate::tower::CallbackService::from_service(layer.layer(inner(callbacks))));
            self
        }

        /// Ties calls and callbacks to a system of traces: the crate `daffi-otel` has one for
        /// OpenTelemetry. Without one, what a callback calls by its [`Context`](crate::Context)
        /// belongs to the trace that its own call does.
        pub fn propagator(mut self, propagator: impl crate::Propagator + 'static) -> Self {
            self.config.propagator = Some(std::sync::Arc::new(propagator));
            self
        }

        /// Adds a format of your own, numbered 64 to 127. Nodes of daffi 3.0.1 can't read it. With
        /// another number the node is not started
        /// ([`NotOwnFormat`](crate::InitializationError::NotOwnFormat)).
        pub fn format(mut self, format: impl crate::Format) -> Self {
            self.formats = self.formats.with(format);
            self
        }

        /// Sets what a payload may make this node hold, in every built-in format.
        pub fn value_limits(mut self, limits: crate::ValueLimits) -> Self {
            self.formats = self.formats.with_limits(limits);
            self
        }
    };
}
pub(crate) use node_settings;

/// Starts a node that is made but for its listeners.
pub(crate) type Start<N> =
    Box<dyn FnOnce(Vec<Box<dyn daffi_transport::Listener>>) -> Result<N, daffi_core::InitializationError> + Send>;

/// What the layers make of the innermost service.
pub(crate) type Layers = Box<dyn FnOnce(daffi_core::CallbackService) -> daffi_core::CallbackService + Send>;
