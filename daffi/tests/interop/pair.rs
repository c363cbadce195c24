//! One caller and one callee, each of either library: checks are written once for all pairs.

use std::{collections::BTreeMap, fmt};

use daffi::{CallError, Client, DynArgs, FormatId, RemoteError, Service, Value};
use daffi_testing::{Launch, Peer, PyError};
use futures::stream;
use serde_json::Value as Json;

use crate::{
    forms::{from_form, object, to_form},
    routers::{AnyRouter, RouterKind},
    support::{Transport, endpoint, python_client, rust_client, rust_worker},
};

/// The name of every service here.
pub(crate) const SERVICE: &str = "service";

/// Whose node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Rust,
    Python,
    /// 3.0.1's asyncio classes.
    Asyncio,
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
    Python(Box<Peer>),
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
    callee: Callee,
    _router: Option<AnyRouter>,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

fn classes(library: Library, launch: Launch) -> Launch {
    if library == Library::Asyncio { launch.aio() } else { launch }
}

impl Pair {
    /// A client and a service.
    pub(crate) async fn start(caller: Library, callee: Library, transport: Transport) -> Self {
        let label = format!("{caller:?} calls {callee:?} over {transport:?}");
        let (callee, client) = if callee == Library::Rust {
            let service = transport.rust_service(SERVICE, 1).await;
            let client = python_client(&service);
            (Callee::Rust(service), client)
        } else {
            let service = classes(callee, transport.python_service()).name(SERVICE).start().await;
            let client = Peer::client(&service.endpoint());
            (Callee::Python(service), client)
        };
        let caller = match (caller, &callee) {
            (Library::Rust, Callee::Python(service)) => {
                Caller::Rust(rust_client("caller", &transport.of_client(&service.endpoint())).await)
            }
            (Library::Rust, Callee::Rust(service)) => {
                Caller::Rust(rust_client("caller", &transport.of_client(endpoint(service))).await)
            }
            _ => Caller::Python(Box::new(classes(caller, client).name("caller").start().await)),
        };
        Self { label, caller, callee, _router: None }
    }

    /// Two clients of a router, of which one exposes callbacks.
    pub(crate) async fn behind(router: RouterKind, caller: Library, callee: Library) -> Self {
        Self::behind_over(router, caller, callee, Transport::Tcp).await
    }

    /// The same; Rust clients come over `transport`.
    pub(crate) async fn behind_over(
        router: RouterKind,
        caller: Library,
        callee: Library,
        transport: Transport,
    ) -> Self {
        let label = format!("{caller:?} calls {callee:?} behind a router of {router:?} over {transport:?}");
        let router = router.start().await;
        let at = transport.of_client(&router.endpoint());
        let callee = match callee {
            Library::Rust => Callee::RustWorker(rust_worker(SERVICE, &at).await),
            callee => Callee::Python(classes(callee, router.python(SERVICE)).worker().start().await),
        };
        let caller = match caller {
            Library::Rust => Caller::Rust(rust_client("caller", &at).await),
            caller => Caller::Python(Box::new(classes(caller, router.python("caller")).start().await)),
        };
        Self { label, caller, callee, _router: Some(router) }
    }

    pub(crate) const fn calls_python(&self) -> bool {
        matches!(self.callee, Callee::Python(_))
    }

    /// Makes a call and gives the result or the callback's error. Anything else fails the test and
    /// names the call.
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
            sent.map(|_| Value::Null).map_err(|error| *error.source)
        }
        Style::StreamNowait => {
            let sent = styled!(client.stream_nowait()).send(method, stream::iter(args.positional)).await;
            sent.map(|_| Value::Null).map_err(|error| *error.source)
        }
    }
}
