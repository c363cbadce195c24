//! Services and Routers of Python.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Weak},
    thread::available_parallelism,
};

use daffi_core::{Events, InitializationError, MemberEvent, NodeConfig, Router, Service};
use daffi_transport::{BindError, Endpoint};
use daffi_wire::NodeName;
use futures::{StreamExt, future::BoxFuture};
use pyo3::prelude::*;

use crate::{
    calls::{Node, Outcome},
    desk::{Desk, Inbox, Work},
    endpoints::listen,
    engine::{Engine, engine},
    failures::{initialization, not_started},
    formats::Unread,
    options::NodeOptions,
    serving::{Stop, callbacks, remember},
    waiting,
};

/// Tells Python of members that come and go, until the node ends.
pub(crate) fn watch(engine: &Engine, mut events: Events, inbox: Arc<Inbox>) {
    engine.handle.spawn(async move {
        while let Some(event) = events.next().await {
            let told = match event {
                MemberEvent::Added(name) => inbox.push(Work::Member(true, name)),
                MemberEvent::Removed(name) => inbox.push(Work::Member(false, name)),
                _ => true,
            };
            if !told {
                return;
            }
        }
    });
}

fn parse(py: Python<'_>, options: &NodeOptions) -> PyResult<Vec<Endpoint>> {
    let parse = |text: &String| {
        text.parse().map_err(|error: daffi_transport::EndpointError| initialization(py, error.to_string()))
    };
    options.endpoints.iter().map(parse).collect()
}

async fn bind(
    endpoints: &[Endpoint],
    options: &NodeOptions,
) -> Result<Vec<Box<dyn daffi_transport::Listener>>, BindError> {
    let mut listeners = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        listeners.push(listen(endpoint, &options.tls).await?);
    }
    Ok(listeners)
}

/// Runs a callback's node until it is stopped, in a child of a fork not at all.
macro_rules! server {
    ($(#[$attr:meta])* $name:ident of $inner:ty { $($methods:tt)* }) => {
        $(#[$attr])*
        #[pyclass(frozen, module = "daffi_rs._daffi_rs")]
        pub(crate) struct $name {
            node: Option<Arc<$inner>>,
            engine: Arc<Engine>,
        }

        impl Drop for $name {
            fn drop(&mut self) {
                if self.engine.is_inherited() {
                    // What it would tell the engine would reach that of another process.
                    std::mem::forget(self.node.take());
                }
            }
        }

        impl Stop for $inner {
            fn stopping(&self) -> BoxFuture<'static, ()> {
                let node = self.clone();
                Box::pin(async move { node.stop().await })
            }
        }

        impl $name {
            fn start(node: $inner, engine: Arc<Engine>) -> Self {
                let node = Arc::new(node);
                let weak: Weak<$inner> = Arc::downgrade(&node);
                remember(weak);
                Self { node: Some(node), engine }
            }

            fn node(&self) -> PyResult<&Arc<$inner>> {
                self.engine.check("node")?;
                Ok(self.node.as_ref().expect("only a drop takes it"))
            }
        }

        #[pymethods]
        impl $name {
            /// The endpoints at which it listens.
            fn endpoints(&self) -> PyResult<Vec<String>> {
                Ok(self.node()?.endpoints().iter().map(ToString::to_string).collect())
            }

            /// Stops in order, and waits until it has.
            fn stop(&self, py: Python<'_>) -> PyResult<()> {
                let node = Arc::clone(self.node()?);
                waiting::block(py, &self.engine, async move { node.stop().await })
            }

            /// Stops in order, and tells its end at the desk. It goes on whether or not somebody
            /// waits.
            fn stop_later<'py>(&self, py: Python<'py>, desk: &Desk) -> PyResult<Bound<'py, PyAny>> {
                let node = Arc::clone(self.node()?);
                desk.begin(py, &self.engine, async move {
                    node.stop().await;
                    Ok(Outcome::Nothing)
                })
            }

            /// Begins to stop.
            fn stop_soon(&self) -> PyResult<()> {
                let node = Arc::clone(self.node()?);
                self.engine.handle.spawn(async move { node.stop().await });
                Ok(())
            }

            /// Tells a desk of members that come and go, from now on.
            fn watch(&self, events: &Desk) -> PyResult<()> {
                watch(&self.engine, self.node()?.events(), Arc::clone(&events.inbox));
                Ok(())
            }

            /// Waits until it was stopped.
            fn join(&self, py: Python<'_>) -> PyResult<()> {
                let node = Arc::clone(self.node()?);
                waiting::block(py, &self.engine, async move { _ = node.join().await })
            }

            $($methods)*
        }
    };
}

server! {
    /// A node that listens and runs callbacks.
    ServiceNode of Service {
        /// Exposes a further callback.
        fn add(&self, py: Python<'_>, name: String, streams: bool, desk: &Desk) -> PyResult<()> {
            let limits = daffi_wire::Limits::default();
            let made = callbacks(vec![(name, streams)], &desk.inbox, &limits).map_err(InitializationError::Name);
            let node = self.node()?;
            made.and_then(|made| node.add_callbacks(made)).map_err(|error| not_started(py, &error))
        }

        /// The names of the clients that are connected.
        fn members(&self) -> PyResult<Vec<String>> {
            Ok(self.node()?.clients())
        }
    }
}

server! {
    /// A node that joins others.
    RouterNode of Router {
        /// The members and what they expose.
        fn members(&self) -> PyResult<Vec<(String, Vec<String>)>> {
            let members = self.node()?.members();
            Ok(members.into_iter().map(|m| (m.name.to_string(), m.methods.iter().map(ToString::to_string).collect())).collect())
        }
    }
}

type Starting<N> = BoxFuture<'static, Result<N, InitializationError>>;

/// Starts a Service that has callbacks of these names run at `desk`, and tells `events` of members.
#[pyfunction]
pub(crate) fn serve(
    py: Python<'_>,
    options: NodeOptions,
    names: Vec<(String, bool)>,
    desk: &Desk,
    events: Option<&Desk>,
) -> PyResult<ServiceNode> {
    let engine = engine()?;
    let starting = begin_service(py, options, names, desk, events, &engine)?;
    waiting::block(py, &engine, starting)?.map_err(|error| not_started(py, &error))
}

/// Starts a Service as `serve` does, and tells it at the desk `port`.
#[pyfunction]
pub(crate) fn serve_later<'py>(
    py: Python<'py>,
    port: &Desk,
    options: NodeOptions,
    names: Vec<(String, bool)>,
    desk: &Desk,
    events: Option<&Desk>,
) -> PyResult<Bound<'py, PyAny>> {
    let engine = engine()?;
    let starting = begin_service(py, options, names, desk, events, &engine)?;
    port.begin(py, &engine, async move { Ok(Outcome::Begun(Node::Service(starting.await?))) })
}

/// What starts a Service once it is polled.
fn begin_service(
    py: Python<'_>,
    options: NodeOptions,
    names: Vec<(String, bool)>,
    desk: &Desk,
    events: Option<&Desk>,
    engine: &Arc<Engine>,
) -> PyResult<Starting<ServiceNode>> {
    let config = options.config(NodeConfig::server())?;
    let endpoints = parse(py, &options)?;
    let (inbox, engine) = (Arc::clone(&desk.inbox), Arc::clone(engine));
    let events = events.map(|events| Arc::clone(&events.inbox));
    Ok(Box::pin(async move {
        let callbacks = callbacks(names, &inbox, &config.limits)?;
        let name = NodeName::new(options.name.as_str(), &config.limits)?;
        let listeners = bind(&endpoints, &options).await?;
        let service =
            Service::builder(name, Unread::default()).config(config).callbacks(callbacks).listen(listeners)?;
        if let Some(events) = events {
            watch(&engine, service.events(), events);
        }
        Ok(ServiceNode::start(service, engine))
    }))
}

/// Starts a Router that tells `events` of members.
#[pyfunction]
pub(crate) fn serve_router(py: Python<'_>, options: NodeOptions, events: Option<&Desk>) -> PyResult<RouterNode> {
    let engine = engine()?;
    let starting = begin_router(py, options, events, &engine)?;
    waiting::block(py, &engine, starting)?.map_err(|error| not_started(py, &error))
}

/// Starts a Router as `serve_router` does, and tells it at the desk `port`.
#[pyfunction]
pub(crate) fn serve_router_later<'py>(
    py: Python<'py>,
    port: &Desk,
    options: NodeOptions,
    events: Option<&Desk>,
) -> PyResult<Bound<'py, PyAny>> {
    let engine = engine()?;
    let starting = begin_router(py, options, events, &engine)?;
    port.begin(py, &engine, async move { Ok(Outcome::Begun(Node::Router(starting.await?))) })
}

/// What starts a Router once it is polled.
fn begin_router(
    py: Python<'_>,
    options: NodeOptions,
    events: Option<&Desk>,
    engine: &Arc<Engine>,
) -> PyResult<Starting<RouterNode>> {
    let threads = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let config = options.config(NodeConfig::server())?.threads(threads);
    let endpoints = parse(py, &options)?;
    let engine = Arc::clone(engine);
    let events = events.map(|events| Arc::clone(&events.inbox));
    Ok(Box::pin(async move {
        let name = NodeName::new(options.name.as_str(), &config.limits)?;
        let listeners = bind(&endpoints, &options).await?;
        let router = Router::builder(name).config(config).listen(listeners)?;
        if let Some(events) = events {
            watch(&engine, router.events(), events);
        }
        Ok(RouterNode::start(router, engine))
    }))
}
