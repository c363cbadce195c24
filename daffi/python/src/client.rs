//! Clients of Python.

use std::{
    future::pending,
    sync::{Arc, Weak},
    time::Duration,
};

use daffi_core::{Client, ClientBuilder, ClientState, Ended, InitializationError, NodeConfig, StickyByKey, Token};
use daffi_wire::{NodeName, Role};
use futures::future::BoxFuture;
use pyo3::{
    prelude::*,
    types::{PyAny, PyDict, PyTuple},
};

use crate::{
    calls::{Node, Outcome, Style, begin},
    desk::Desk,
    endpoints::connector,
    engine::{Engine, engine},
    failures::{initialization, not_started},
    feed::Feed,
    formats::Unread,
    options::{CallSettings, NodeOptions, number_of_seconds, seconds},
    payload,
    server::watch,
    serving::{Stop, callbacks, remember},
    waiting,
};

/// A node that connects.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct ClientNode {
    node: Option<Arc<Client<Unread>>>,
    engine: Arc<Engine>,
}

impl Drop for ClientNode {
    fn drop(&mut self) {
        if self.engine.is_inherited() {
            std::mem::forget(self.node.take());
        }
    }
}

impl Stop for Client<Unread> {
    fn stopping(&self) -> BoxFuture<'static, ()> {
        let node = self.clone();
        Box::pin(async move { node.stop().await })
    }
}

impl ClientNode {
    fn node(&self) -> PyResult<&Arc<Client<Unread>>> {
        self.engine.check("client")?;
        Ok(self.node.as_ref().expect("only a drop takes it"))
    }
}

#[pymethods]
impl ClientNode {
    /// Makes a call and waits for how it ends.
    #[pyo3(signature = (style, method, args, kwargs, settings, policy, items=None))]
    #[allow(clippy::too_many_arguments, reason = "each is a part of one call, which Python makes")]
    fn call<'py>(
        &self,
        py: Python<'py>,
        style: Style,
        method: &str,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        settings: &CallSettings,
        policy: &Bound<'py, PyAny>,
        items: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // What is sent beside results is fed by another thread, which ends once this is dropped: so
        // it is taken before anything can fail.
        let items = items.map(|items| match items.cast::<Feed>() {
            Ok(feed) => Ok((feed.get().take()?, None)),
            Err(_) => crate::feed::of_python(items, settings.serde).map(|(items, giver)| (items, Some(giver))),
        });
        let (items, giver) = items.transpose()?.map_or((None, None), |(items, giver)| (Some(items), giver));
        let node = self.node()?;
        let payload =
            if style.is_chunked() { None } else { Some(payload::write_arguments(settings.serde, args, Some(kwargs))?) };
        let call = begin(node, style, method.to_owned(), payload, settings, items)?;
        let ended = waiting::block_giving(py, &self.engine, call, giver.as_ref())?;
        match ended {
            Ok(outcome) => outcome.with(py, policy, &self.engine).map_err(|failure| failure.raise(py)),
            Err(failure) => Err(failure.raise(py)),
        }
    }

    /// Makes a call whose end is told at the desk, as `Desk::begin` gives it. One that is fed goes
    /// on by itself.
    #[pyo3(signature = (desk, style, method, args, kwargs, settings, policy, items=None))]
    #[allow(clippy::too_many_arguments, reason = "each is a part of one call, which Python makes")]
    fn call_later<'py>(
        &self,
        py: Python<'py>,
        desk: &Desk,
        style: Style,
        method: &str,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        settings: &CallSettings,
        policy: &Bound<'py, PyAny>,
        items: Option<&Feed>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (fed, items) = (items.is_some(), items.map(Feed::take).transpose()?);
        let node = self.node()?;
        let payload =
            if style.is_chunked() { None } else { Some(payload::write_arguments(settings.serde, args, Some(kwargs))?) };
        let (engine, policy) = (Arc::clone(&self.engine), policy.clone().unbind());
        let call = begin(node, style, method.to_owned(), payload, settings, items)?;
        let call = async move { call.await.map(|outcome| Outcome::Later(Box::new(outcome), policy, engine)) };
        if fed {
            let number = desk.inbox.spawn(&self.engine, call);
            return Ok(number.into_pyobject(py)?.into_any());
        }
        desk.begin(py, &self.engine, call)
    }

    /// Waits for members.
    #[pyo3(signature = (names, timeout=None))]
    fn wait_for_members(&self, py: Python<'_>, names: Vec<String>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let waiting = members_there(self.node()?, names, timeout)?;
        waiting::block(py, &self.engine, waiting)?.map_err(|failure| failure.raise(py)).map(drop)
    }

    /// Waits for members, and tells it at the desk.
    #[pyo3(signature = (desk, names, timeout=None))]
    fn wait_for_members_later<'py>(
        &self,
        py: Python<'py>,
        desk: &Desk,
        names: Vec<String>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        desk.begin(py, &self.engine, members_there(self.node()?, names, timeout)?)
    }

    /// The members as last told, and what they expose.
    fn members(&self) -> PyResult<Vec<(String, Vec<String>)>> {
        let members = self.node()?.members();
        Ok(members.iter().map(|m| (m.name.to_string(), m.methods.iter().map(ToString::to_string).collect())).collect())
    }

    /// The level that the receiver of a call of `method` speaks, 0 if there is none.
    fn level(&self, method: &str) -> PyResult<u8> {
        let members = self.node()?.members();
        let first = members.receivers_of(method).and_then(|names| names.first());
        Ok(first.map_or(0, |name| if members.level(name).at_least(daffi_wire::Level::FOUR) { 4 } else { 3 }))
    }

    /// Exposes a further callback.
    fn add(&self, py: Python<'_>, name: String, streams: bool, desk: &Desk) -> PyResult<()> {
        let node = self.node()?;
        let made = callbacks(vec![(name, streams)], &desk.inbox, node.limits()).map_err(InitializationError::Name);
        let _entered = self.engine.handle.enter();
        made.and_then(|made| node.add_callbacks(made)).map_err(|error| not_started(py, &error))
    }

    /// `"service"` or `"router"`, `None` while there is no connection.
    fn server(&self) -> PyResult<Option<&'static str>> {
        Ok(self.node()?.server_role().map(|role| if role == Role::Service { "service" } else { "router" }))
    }

    /// Whether its connection was lost, or it has ended. One whose connection another takes the
    /// place of, while calls go on over it, has not lost it.
    fn is_lost(&self) -> PyResult<bool> {
        Ok(matches!(*self.node()?.state().borrow(), ClientState::Reconnecting | ClientState::Ended(_)))
    }

    /// How it ended: `"evicted"`, `"cannot connect"` or `"stopped"`, `None` while it lives.
    fn ended(&self) -> PyResult<Option<&'static str>> {
        Ok(match *self.node()?.state().borrow() {
            ClientState::Ended(Ended::Evicted) => Some("evicted"),
            ClientState::Ended(Ended::CannotConnect) => Some("cannot connect"),
            ClientState::Ended(_) => Some("stopped"),
            _ => None,
        })
    }

    /// Why the last attempt to connect failed, of those since there is no connection.
    fn last_failure(&self) -> PyResult<Option<String>> {
        Ok(self.node()?.last_failure().map(|reason| reason.as_ref().to_owned()))
    }

    /// Stops in order, and waits until it has.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let node = Arc::clone(self.node()?);
        waiting::block(py, &self.engine, async move { node.stop().await })
    }

    /// Stops in order, and tells its end at the desk. It goes on whether or not somebody waits.
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

    /// Waits until it was stopped or evicted. `false`: its connection was lost before, for as many
    /// seconds as `lost_after` says.
    #[pyo3(signature = (lost_after=None))]
    fn join(&self, py: Python<'_>, lost_after: Option<f64>) -> PyResult<bool> {
        let node = Arc::clone(self.node()?);
        let lost_after = lost_after.map(|after| seconds("lost_after", after)).transpose()?;
        waiting::block(py, &self.engine, async move {
            tokio::select! {
                biased;
                _ = node.join() => true,
                () = await_loss(&node, lost_after) => false,
            }
        })
    }
}

/// Waits until there was no connection for so long.
async fn await_loss(node: &Client<Unread>, after: Option<Duration>) {
    let Some(after) = after else { return pending().await };
    let mut state = node.state();
    loop {
        if state.wait_for(|state| *state == ClientState::Reconnecting).await.is_err() {
            return pending().await;
        }
        let back = state.wait_for(|state| *state != ClientState::Reconnecting);
        if tokio::time::timeout(after, back).await.is_err() {
            return;
        }
    }
}

fn members_there(
    node: &Arc<Client<Unread>>,
    names: Vec<String>,
    timeout: Option<&Bound<'_, PyAny>>,
) -> PyResult<impl Future<Output = crate::calls::Ended<Outcome>> + Send + 'static> {
    // An endless one is none, as in 3.0.1.
    let given = timeout.map(number_of_seconds).transpose()?.filter(|given| *given != f64::INFINITY);
    let within = given.map(|given| seconds("timeout", given.max(0.0))).transpose()?;
    let node = Arc::clone(node);
    Ok(async move {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        node.wait_for_members(&names, within).await?;
        Ok(Outcome::Nothing)
    })
}

/// Connects a Client that has callbacks of these names run at `desk`, and tells `events` of
/// members. Of several endpoints it uses one at a time, and goes to the next when that fails.
#[pyfunction]
pub(crate) fn connect(
    py: Python<'_>,
    options: NodeOptions,
    names: Vec<(String, bool)>,
    desk: &Desk,
    events: Option<&Desk>,
) -> PyResult<ClientNode> {
    let engine = engine()?;
    let connecting = begin_to_connect(py, options, names, desk, events, &engine)?;
    waiting::block(py, &engine, connecting)?.map_err(|error| not_started(py, &error))
}

/// Connects a Client as `connect` does, and tells it at the desk `port`. Given up, it connects no
/// further.
#[pyfunction]
pub(crate) fn connect_later<'py>(
    py: Python<'py>,
    port: &Desk,
    options: NodeOptions,
    names: Vec<(String, bool)>,
    desk: &Desk,
    events: Option<&Desk>,
) -> PyResult<Bound<'py, PyAny>> {
    let engine = engine()?;
    let connecting = begin_to_connect(py, options, names, desk, events, &engine)?;
    port.begin(py, &engine, async move { Ok(Outcome::Begun(Node::Client(connecting.await?))) })
}

type Connecting = BoxFuture<'static, Result<ClientNode, InitializationError>>;

/// What connects a Client once it is polled.
fn begin_to_connect(
    py: Python<'_>,
    options: NodeOptions,
    names: Vec<(String, bool)>,
    desk: &Desk,
    events: Option<&Desk>,
    engine: &Arc<Engine>,
) -> PyResult<Connecting> {
    let config = options.config(NodeConfig::client())?;
    let (inbox, engine) = (Arc::clone(&desk.inbox), Arc::clone(engine));
    let events = events.map(|events| Arc::clone(&events.inbox));
    let token =
        options.token.as_deref().map(Token::new).transpose().map_err(|error| initialization(py, error.to_string()))?;
    if options.endpoints.is_empty() {
        return Err(initialization(
            py,
            "there is no address to connect to: give host and port, or unix_sock_path".into(),
        ));
    }
    Ok(Box::pin(async move {
        let made = options.endpoints.iter().map(|endpoint| {
            let endpoint = endpoint.parse().map_err(daffi_transport::ConnectError::from)?;
            connector(endpoint, &options.tls)
        });
        let mut connectors = made.collect::<Result<Vec<_>, _>>()?.into_iter();
        let first = connectors.next().ok_or(InitializationError::NoAddress)?;
        let callbacks = callbacks(names, &inbox, &config.limits)?;
        let name = NodeName::new(options.name.as_str(), &config.limits)?;
        let builder = Client::builder(name, first, Unread::default());
        let builder = connectors.fold(builder, ClientBuilder::or_at).config(config).callbacks(callbacks);
        // Calls without a key go round.
        let builder = builder.picker(Box::new(StickyByKey::default()));
        let builder = match token {
            Some(token) => builder.token(token),
            None => builder,
        };
        let node = Arc::new(builder.connect().await?);
        if let Some(events) = events {
            watch(&engine, node.events(), events);
        }
        let weak: Weak<Client<Unread>> = Arc::downgrade(&node);
        remember(weak);
        Ok(ClientNode { node: Some(node), engine })
    }))
}
