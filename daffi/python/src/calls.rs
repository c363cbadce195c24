//! The call styles, and how a call ends.

use std::{sync::Arc, time::Duration};

use daffi_core::{Answers, Client, Rpc, StreamError};
use futures::{StreamExt, future::BoxFuture};
use pyo3::{
    prelude::*,
    types::{PyAny, PyBool, PyDict},
};

use crate::{
    client::ClientNode,
    engine::Engine,
    failures::Failure,
    feed::Items,
    formats::{Received, Unread, Written},
    options::CallSettings,
    payload,
    results::{ResultsOut, Source},
    server::{RouterNode, ServiceNode},
};

/// How something ended that was done for Python.
pub(crate) type Ended<T> = Result<T, Failure>;

/// A call waits so long for a connection that is being made anew.
const RECONNECTING: Duration = Duration::from_secs(1);

/// The styles that Python names by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Rpc,
    RpcNowait,
    Cast,
    CastNowait,
    Stream,
    StreamNowait,
    /// Results one by one.
    Results,
    /// Arguments one by one, and one result.
    Send,
    /// Arguments one by one, and results one by one.
    Duplex,
}

impl<'py> FromPyObject<'_, 'py> for Style {
    type Error = PyErr;

    fn extract(number: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let all = [
            Self::Rpc,
            Self::RpcNowait,
            Self::Cast,
            Self::CastNowait,
            Self::Stream,
            Self::StreamNowait,
            Self::Results,
            Self::Send,
            Self::Duplex,
        ];
        let unknown = || pyo3::exceptions::PyValueError::new_err("no such style of a call");
        all.get(number.extract::<usize>()?).copied().ok_or_else(unknown)
    }
}

impl Style {
    /// Whether each chunk is a call of its own.
    pub(crate) const fn is_chunked(self) -> bool {
        matches!(self, Self::Stream | Self::StreamNowait)
    }
}

/// What something gave that was done for Python.
pub(crate) enum Outcome {
    Nothing,
    Value(Received),
    Answers(Answers<Received>),
    /// Results, and whether they are a stream rather than one plain value.
    Results(Arc<Source>, bool, Option<Received>),
    /// One of several; `None`: there are no more.
    Item(Option<Received>),
    /// Whether somebody took what was given.
    Taken(bool),
    /// What is read once Python takes it, by this policy.
    Later(Box<Self>, Py<PyAny>, Arc<Engine>),
    /// A node that has begun. Nobody has it where it is not taken, and it ends.
    Begun(Node),
}

/// A node of one kind.
pub(crate) enum Node {
    Client(ClientNode),
    Service(ServiceNode),
    Router(RouterNode),
}

impl Node {
    fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(match self {
            Self::Client(node) => Bound::new(py, node)?.into_any(),
            Self::Service(node) => Bound::new(py, node)?.into_any(),
            Self::Router(node) => Bound::new(py, node)?.into_any(),
        })
    }
}

impl Outcome {
    /// As Python takes it from a desk. Items are read by who waits for them.
    pub(crate) fn into_python(self, py: Python<'_>) -> Ended<Bound<'_, PyAny>> {
        match self {
            Self::Later(outcome, policy, engine) => outcome.with(py, policy.bind(py), &engine),
            Self::Item(Some(item)) => {
                let item = ResultsOut::item(py, item)?;
                Ok(item)
            }
            Self::Taken(taken) => Ok(PyBool::new(py, taken).to_owned().into_any()),
            Self::Begun(node) => Ok(node.into_python(py)?),
            _ => Ok(py.None().into_bound(py)),
        }
    }

    /// As Python takes it, read by this policy.
    pub(crate) fn with<'py>(
        self,
        py: Python<'py>,
        policy: &Bound<'py, PyAny>,
        engine: &Arc<Engine>,
    ) -> Ended<Bound<'py, PyAny>> {
        Ok(match self {
            Self::Value(received) => payload::read_result(py, &received, policy)?,
            Self::Answers(answers) => {
                let dict = PyDict::new(py);
                for (member, answer) in answers {
                    let value = match answer {
                        Ok(received) => payload::read_result(py, &received, policy)
                            .unwrap_or_else(|error| error.into_value(py).into_bound(py).into_any()),
                        Err(error) => Failure::from(error).into_python(py),
                    };
                    dict.set_item(member, value)?;
                }
                dict.into_any()
            }
            Self::Results(source, true, first) => {
                Bound::new(py, ResultsOut::new(source, first, Arc::clone(engine), policy.clone().unbind()))
                    .map_err(Failure::from)?
                    .into_any()
            }
            Self::Results(_, false, Some(received)) => payload::read_result(py, &received, policy)?,
            other => return other.into_python(py),
        })
    }
}

type Begun = PyResult<BoxFuture<'static, Ended<Outcome>>>;

/// Begins a call. It is sent when the future is first polled.
pub(crate) fn begin(
    node: &Arc<Client<Unread>>,
    style: Style,
    method: String,
    payload: Option<Written>,
    settings: &CallSettings,
    items: Option<Items>,
) -> Begun {
    let call = Begin { node: Arc::clone(node), method, timeout: settings.timeout, settings };
    let missing = || pyo3::exceptions::PyTypeError::new_err("nothing to send was given");
    match (style, payload, items) {
        (Style::Rpc, Some(payload), _) => Ok(call.rpc(payload)),
        (Style::Results, Some(payload), _) => Ok(call.results(payload)),
        (Style::Send, Some(payload), Some(items)) => Ok(call.send(payload, items)),
        (Style::Duplex, Some(payload), Some(items)) => Ok(call.duplex(payload, items)),
        (Style::RpcNowait, Some(payload), _) => Ok(call.rpc_nowait(payload)),
        (Style::Cast, Some(payload), _) => Ok(call.cast(payload)),
        (Style::CastNowait, Some(payload), _) => Ok(call.cast_nowait(payload)),
        (Style::Stream, _, Some(items)) => Ok(call.stream(items)),
        (Style::StreamNowait, _, Some(items)) => Ok(call.stream_nowait(items)),
        _ => Err(missing()),
    }
}

/// A call as far as Python described it.
struct Begin<'a> {
    node: Arc<Client<Unread>>,
    method: String,
    timeout: Option<Duration>,
    settings: &'a CallSettings,
}

impl Begin<'_> {
    fn to_one(&self) -> Rpc<Unread> {
        let mut rpc = self.node.rpc().serde(self.settings.format);
        if let Some(timeout) = self.timeout {
            rpc = rpc.timeout(timeout);
        }
        if let Some(receiver) = self.settings.receiver() {
            rpc = rpc.receiver(receiver);
        }
        if let Some(key) = &self.settings.key {
            rpc = rpc.key(key);
        }
        if self.settings.wait {
            rpc = rpc.wait_for_receiver();
        }
        if self.settings.by_router {
            rpc = rpc.by_router();
        }
        self.settings.headers().fold(rpc, |rpc, (key, value)| rpc.header(key, value))
    }

    fn rpc(self, payload: Written) -> BoxFuture<'static, Ended<Outcome>> {
        let rpc = self.to_one();
        let Self { node, method, timeout, .. } = self;
        Box::pin(async move {
            await_connection(&node, timeout).await;
            Ok(Outcome::Value(rpc.call(&method, payload).await?))
        })
    }

    fn results(self, payload: Written) -> BoxFuture<'static, Ended<Outcome>> {
        let rpc = self.to_one();
        let Self { node, method, timeout, .. } = self;
        Box::pin(async move {
            await_connection(&node, timeout).await;
            let mut results = rpc.results::<Received>(&method, payload).await?;
            let first = if results.is_stream() { None } else { results.next().await.transpose()? };
            // What ends before its first result is an empty stream.
            let is_stream = results.is_stream() || first.is_none();
            Ok(Outcome::Results(Source::new(results), is_stream, first))
        })
    }

    fn duplex(self, payload: Written, mut items: Items) -> BoxFuture<'static, Ended<Outcome>> {
        let rpc = self.to_one();
        let Self { node, method, timeout, .. } = self;
        Box::pin(async move {
            await_connection(&node, timeout).await;
            let (mut sender, results) = rpc.duplex::<Written, Received>(&method, payload).await?;
            let source = Source::new(results);
            let told = Arc::downgrade(&source);
            tokio::spawn(async move {
                while let Some(item) = items.next().await {
                    match item {
                        Ok(item) => {
                            if sender.send(item).await.is_err() {
                                // The results say how it ended.
                                return;
                            }
                        }
                        Err(failure) => {
                            if let Some(source) = told.upgrade() {
                                source.fail(failure);
                            }
                            return;
                        }
                    }
                }
                sender.finish();
            });
            Ok(Outcome::Results(source, true, None))
        })
    }

    fn send(self, payload: Written, items: Items) -> BoxFuture<'static, Ended<Outcome>> {
        let rpc = self.to_one();
        let Self { node, method, timeout, .. } = self;
        Box::pin(async move {
            await_connection(&node, timeout).await;
            Ok(Outcome::Value(rpc.try_send(&method, payload, items).await?))
        })
    }

    fn rpc_nowait(self, payload: Written) -> BoxFuture<'static, Ended<Outcome>> {
        let mut rpc = self.node.rpc_nowait().serde(self.settings.format);
        if let Some(receiver) = self.settings.receiver() {
            rpc = rpc.receiver(receiver);
        }
        let rpc = self.settings.headers().fold(rpc, |rpc, (key, value)| rpc.header(key, value));
        let Self { node, method, .. } = self;
        Box::pin(async move {
            await_connection(&node, None).await;
            rpc.call(&method, payload).await?;
            Ok(Outcome::Nothing)
        })
    }

    fn cast(self, payload: Written) -> BoxFuture<'static, Ended<Outcome>> {
        let mut cast = self.node.cast().serde(self.settings.format);
        if let Some(timeout) = self.timeout {
            cast = cast.timeout(timeout);
        }
        if let Some(receivers) = self.settings.receivers() {
            cast = cast.receivers(receivers);
        }
        let cast = self.settings.headers().fold(cast, |cast, (key, value)| cast.header(key, value));
        let Self { node, method, timeout, .. } = self;
        Box::pin(async move {
            await_connection(&node, timeout).await;
            Ok(Outcome::Answers(cast.call(&method, payload).await?))
        })
    }

    fn cast_nowait(self, payload: Written) -> BoxFuture<'static, Ended<Outcome>> {
        let mut cast = self.node.cast_nowait().serde(self.settings.format);
        if let Some(receivers) = self.settings.receivers() {
            cast = cast.receivers(receivers);
        }
        let Self { node, method, .. } = self;
        Box::pin(async move {
            await_connection(&node, None).await;
            cast.call(&method, payload).await?;
            Ok(Outcome::Nothing)
        })
    }

    fn stream(self, items: Items) -> BoxFuture<'static, Ended<Outcome>> {
        let mut stream = self.node.stream().serde(self.settings.format).window(self.settings.window);
        if let Some(timeout) = self.timeout {
            stream = stream.timeout(timeout);
        }
        if let Some(receiver) = self.settings.receiver() {
            stream = stream.receiver(receiver);
        }
        let Self { node, method, timeout, .. } = self;
        Box::pin(async move {
            await_connection(&node, timeout).await;
            let (chunks, failed) = items.until_failure();
            finish(stream.send(&method, chunks).await, &failed)
        })
    }

    fn stream_nowait(self, items: Items) -> BoxFuture<'static, Ended<Outcome>> {
        let mut stream = self.node.stream_nowait().serde(self.settings.format);
        if let Some(receiver) = self.settings.receiver() {
            stream = stream.receiver(receiver);
        }
        let Self { node, method, .. } = self;
        Box::pin(async move {
            await_connection(&node, None).await;
            let (chunks, failed) = items.until_failure();
            finish(stream.send(&method, chunks).await, &failed)
        })
    }
}

/// What a stream ended with: what its source raised goes first.
fn finish(sent: Result<u64, StreamError>, failed: &parking_lot::Mutex<Option<PyErr>>) -> Ended<Outcome> {
    if let Some(error) = failed.lock().take() {
        return Err(Failure::Raised(error));
    }
    match sent {
        Ok(_) => Ok(Outcome::Nothing),
        Err(error) => Err(Failure::Chunk(error.chunk, error.source)),
    }
}

/// Waits a moment for a connection that is being made anew: a call finds a server that was
/// restarted, as one of 3.0.1 does.
async fn await_connection(node: &Client<Unread>, timeout: Option<Duration>) {
    if !node.is_connected() {
        let within = timeout.map_or(RECONNECTING, |timeout| timeout.min(RECONNECTING));
        let _the_call_says_it = tokio::time::timeout(within, node.wait_for_connection()).await;
    }
}

impl From<daffi_core::SendError<Self>> for Failure {
    fn from(error: daffi_core::SendError<Self>) -> Self {
        match error {
            daffi_core::SendError::Call(error) => Self::from(error),
            daffi_core::SendError::Source(error) => error,
            _ => Self::Raised(pyo3::exceptions::PyRuntimeError::new_err("the arguments could not be sent")),
        }
    }
}
