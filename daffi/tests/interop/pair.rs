//! One caller and one service, of which one is Python's: checks are written once for both directions.

use std::{collections::BTreeMap, fmt};

use daffi::{CallError, Client, DynArgs, FormatId, RemoteError, Service, Value};
use daffi_testing::{Peer, PyError};
use futures::stream;
use serde_json::Value as Json;

use crate::{
    forms::{from_form, object, to_form},
    support::{Transport, python_client, rust_client, rust_worker},
};

/// The name of every service here.
pub(crate) const SERVICE: &str = "service";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    PythonCallsRust,
    /// The same with 3.0.1's asyncio client.
    AsyncioCallsRust,
    RustCallsPython,
    RustCallsAsyncio,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Rpc,
    RpcNowait,
    Cast,
    CastNowait,
    Stream,
    StreamNowait,
}

impl Style {
    pub(crate) const ALL: [Self; 6] =
        [Self::Rpc, Self::RpcNowait, Self::Cast, Self::CastNowait, Self::Stream, Self::StreamNowait];

    /// Those that hear of an error.
    pub(crate) const ANSWERED: [Self; 3] = [Self::Rpc, Self::Cast, Self::Stream];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::RpcNowait => "rpc_nowait",
            Self::Cast => "cast",
            Self::CastNowait => "cast_nowait",
            Self::Stream => "stream",
            Self::StreamNowait => "stream_nowait",
        }
    }

    pub(crate) const fn gives_results(self) -> bool {
        matches!(self, Self::Rpc | Self::Cast)
    }
}

/// How a call is made. The default is what a call says that says nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) style: Style,
    pub(crate) format: Option<FormatId>,
}

impl How {
    pub(crate) const fn rpc(format: FormatId) -> Self {
        Self { style: Style::Rpc, format: Some(format) }
    }

    pub(crate) const PLAIN: Self = Self { style: Style::Rpc, format: None };
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.style.name())?;
        self.format.map_or(Ok(()), |format| write!(f, " in {format}"))
    }
}

enum Caller {
    Python(Peer),
    Rust(Client),
}

#[expect(dead_code, reason = "held because a node ends with its handle")]
enum Callee {
    Python(Peer),
    Rust(Service),
    RustWorker(Client),
}

pub(crate) struct Pair {
    label: String,
    caller: Caller,
    _callee: Callee,
    _router: Option<Peer>,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl Pair {
    pub(crate) async fn start(direction: Direction, transport: Transport) -> Self {
        let (caller, callee) = match direction {
            Direction::PythonCallsRust | Direction::AsyncioCallsRust => {
                let service = transport.rust_service(SERVICE, 1).await;
                let client = python_client(&service).name("caller");
                let client = if direction == Direction::AsyncioCallsRust { client.aio() } else { client };
                (Caller::Python(client.start().await), Callee::Rust(service))
            }
            Direction::RustCallsPython | Direction::RustCallsAsyncio => {
                let service = transport.python_service().name(SERVICE);
                let service = if direction == Direction::RustCallsAsyncio { service.aio() } else { service };
                let service = service.start().await;
                let client = rust_client("caller", &transport.of_client(&service.endpoint())).await;
                (Caller::Rust(client), Callee::Python(service))
            }
        };
        Self { label: format!("{direction:?} over {transport:?}"), caller, _callee: callee, _router: None }
    }

    /// Two clients of a Python Router, of which one exposes callbacks.
    pub(crate) async fn behind_router(direction: Direction) -> Self {
        Self::behind_router_over(direction, Transport::Tcp).await
    }

    /// The same; the Rust client comes over `transport`.
    pub(crate) async fn behind_router_over(direction: Direction, transport: Transport) -> Self {
        let router = Peer::router().start().await;
        let at = router.endpoint();
        let rust_at = transport.of_client(&at);
        let (caller, callee) = match direction {
            Direction::PythonCallsRust | Direction::AsyncioCallsRust => {
                let worker = rust_worker(SERVICE, &rust_at).await;
                let client = Peer::client(&at).name("caller");
                let client = if direction == Direction::AsyncioCallsRust { client.aio() } else { client };
                (Caller::Python(client.start().await), Callee::RustWorker(worker))
            }
            Direction::RustCallsPython | Direction::RustCallsAsyncio => {
                let worker = Peer::client(&at).name(SERVICE).worker();
                let worker = if direction == Direction::RustCallsAsyncio { worker.aio() } else { worker };
                let worker = worker.start().await;
                (Caller::Rust(rust_client("caller", &rust_at).await), Callee::Python(worker))
            }
        };
        Self {
            label: format!("{direction:?} behind a router over {transport:?}"),
            caller,
            _callee: callee,
            _router: Some(router),
        }
    }

    pub(crate) fn calls_python(&self) -> bool {
        matches!(self.caller, Caller::Rust(_))
    }

    /// Makes a call and gives the result or the callback's error. Anything else fails the test and names the call.
    pub(crate) async fn call(&self, how: How, method: &str, args: DynArgs) -> Result<Value, RemoteError> {
        let cell = format!("{self}: {how} of {method}({args:?})");
        let result = match &self.caller {
            Caller::Python(client) => python(client, how, method, &args).await.map_err(|error| {
                assert!(error.is_remote(), "{cell}: {error}");
                RemoteError { class: error.class, module: error.module, message: error.message }
            }),
            Caller::Rust(client) => rust(client, how, method, args).await.map_err(|error| match error {
                CallError::Remote { error, .. } => error,
                error => panic!("{cell}: {error}"),
            }),
        };
        if how.style == Style::Cast {
            return result.map(|answers| answers.get(SERVICE).unwrap_or_else(|| panic!("{cell}: {answers}")).clone());
        }
        result
    }

    /// A call that must not fail.
    pub(crate) async fn ok(&self, how: How, method: &str, args: DynArgs) -> Value {
        let cell = format!("{self}: {how} of {method}({args:?})");
        self.call(how, method, args).await.unwrap_or_else(|error| panic!("{cell}: {error}"))
    }
}

pub(crate) fn positional(values: impl IntoIterator<Item = impl Into<Value>>) -> DynArgs {
    DynArgs { positional: values.into_iter().map(Into::into).collect(), keywords: Vec::new() }
}

async fn python(client: &Peer, how: How, method: &str, args: &DynArgs) -> Result<Value, PyError> {
    let forms: Json = args.positional.iter().map(to_form).collect();
    let call = match how.style {
        Style::Stream | Style::StreamNowait => client.stream(method, forms),
        _ => client.call(method, forms).kwargs(object(&args.keywords)),
    };
    let call = match how.format {
        Some(format) => call.serde(&format.to_string()),
        None => call,
    };
    let result = call.style(how.style.name()).outcome().await?;
    // A cast that failed somewhere holds the error in that member's place.
    match result.get(SERVICE).and_then(|answer| answer.get("$error")) {
        Some(error) => Err(serde_json::from_value(error.clone()).unwrap()),
        None => Ok(from_form(&result)),
    }
}

/// One style, whatever its result, as a [`Value`].
async fn rust(client: &Client, how: How, method: &str, args: DynArgs) -> Result<Value, CallError> {
    macro_rules! styled {
        ($builder:expr) => {
            match how.format {
                Some(format) => $builder.serde(format),
                None => $builder,
            }
        };
    }
    match how.style {
        Style::Rpc => styled!(client.rpc()).call(method, args).await,
        Style::RpcNowait => styled!(client.rpc_nowait()).call(method, args).await.map(Value::from),
        Style::Cast => {
            let answers: BTreeMap<String, Result<Value, CallError>> = styled!(client.cast()).call(method, args).await?;
            answers
                .into_iter()
                .map(|(name, answer)| Ok((name.into(), answer?)))
                .collect::<Result<_, _>>()
                .map(Value::Map)
        }
        Style::CastNowait => styled!(client.cast_nowait()).call(method, args).await.map(Value::from),
        Style::Stream => {
            let sent = styled!(client.stream()).send(method, stream::iter(args.positional)).await;
            sent.map(|_| Value::Null).map_err(|error| error.source)
        }
        Style::StreamNowait => {
            let sent = styled!(client.stream_nowait()).send(method, stream::iter(args.positional)).await;
            sent.map(|_| Value::Null).map_err(|error| error.source)
        }
    }
}
