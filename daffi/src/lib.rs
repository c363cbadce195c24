//! Remote procedure calls without ceremony.
//!
//! A [`Service`] exposes callbacks, a [`Client`] calls them, over TCP, Unix sockets, TLS and
//! WebSocket, on the wire of the Python library daffi 3.0.1: Rust nodes, Python nodes and browsers
//! form one network, without a line changed on the Python side.
//!
//! ```
//! use daffi::prelude::*;
//!
//! #[callback]
//! fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let service = Service::builder("calc-service").callbacks(callbacks![add]).bind("tcp://127.0.0.1:0").await?;
//!
//!     let client = Client::builder("calc-client").connect(service.endpoints()[0].as_str()).await?;
//!     let sum: i64 = client.rpc().call("add", (3, 4)).await?;
//!     assert_eq!(sum, 7);
//!     let sum: i64 = client.rpc().call("add", args![3, b = 4]).await?;
//!     assert_eq!(sum, 7);
//!     Ok(())
//! }
//! ```
//!
//! # Calls
//!
//! | style | receivers | answer |
//! |---|---|---|
//! | [`Client::rpc`] | one | its result |
//! | [`Client::rpc_nowait`] | one | none: returns once queued |
//! | [`Client::cast`] | all that expose the callback, or some | the result or error of each |
//! | [`Client::cast_nowait`] | all that expose the callback, or some | none |
//! | [`Client::stream`] | one for all chunks | an acknowledgement of each chunk |
//! | [`Client::stream_nowait`] | one for all chunks | none |
//!
//! Every call ends, with its result or with a [`CallError`] that says what happened. A timeout is
//! exact; there is none unless it is set on the call or as the client's `default_timeout`, and the
//! call still ends with its connection or its receiver.
//!
//! # Signals
//!
//! A node's `join` waits for SIGINT and SIGTERM. The first stops the node in order, and `join`
//! returns when it has; a second one, 0.3 s later at the earliest, ends the process at once. From
//! the first `join` of a process on these signals are this library's: one that comes while no
//! `join` waits ends the process at once, with the exit code 130 or 143, as Ctrl-C would without
//! it. A program that handles signals itself uses `stop`, and no `join`.
//!
//! # Streams, deadlines, cancel
//!
//! Results come one by one where a callback returns a stream ([`Rpc::results`]), arguments where it
//! takes an [`Incoming`] ([`Rpc::send`]), and both at once with [`Rpc::duplex`]; what is not read
//! is not made. The timeout of a call travels with it: [`Context::deadline`] says when the caller
//! gives up, [`Context::cancelled`] that it has, because the call was dropped, its time is over, or
//! the caller is gone. Behind a [`Router`] a call goes to one of the members that expose the
//! callback, in turn, or to the one that [`Rpc::receiver`] names.
//!
//! [`Context::deadline`]: daffi_core::Context::deadline
//! [`Context::cancelled`]: daffi_core::Context::cancelled
//!
//! ```
//! use std::time::Duration;
//! use daffi::prelude::*;
//! use futures::{Stream, TryStreamExt, stream};
//!
//! #[callback]
//! fn count(from: u64) -> impl Stream<Item = u64> {
//!     stream::iter(from..)
//! }
//!
//! #[callback]
//! async fn bake(ctx: Context) {
//!     ctx.cancelled().await;
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::builder("router").bind("mem://front-page").await?;
//! let worker = Client::builder("worker").callbacks(callbacks![count, bake]).connect("mem://front-page").await?;
//! let caller = Client::builder("caller").connect("mem://front-page").await?;
//! caller.wait_for_members(&["worker"], None).await?;
//!
//! let mut numbers = caller.rpc().results::<u64>("count", (40,)).await?;
//! assert_eq!((numbers.try_next().await?, numbers.try_next().await?), (Some(40), Some(41)));
//! drop(numbers); // and with it the stream of the callback
//! let hurried = caller.rpc().receiver("worker").timeout(Duration::from_millis(50)).run("bake", ()).await;
//! if let Err(late) = hurried { // or the callback was just quick enough to give up and to answer
//!     println!("{late}");
//! }
//! # Ok(()) }
//! ```
//!
//! # Callbacks
//!
//! Plain functions, async functions, methods (`#[callback]` on the `impl` block) and closures can
//! be callbacks. `workers` of them run at once, 1 by default, in order of arrival over all
//! connections; a caller that has more than 8 requests waiting leaves the others their turn. A
//! callback that returns a `Result` fails with the error's type as the class name that a Python
//! caller sees, or with the class of a [`RemoteError`]; a panic is a `RuntimeError`.
//!
//! A plain `fn` may block, sleep and call `block_on`, in every run: it runs on a thread of its own
//! and holds up nobody but the calls that wait for its worker. (The stream that it may return is
//! not part of that: what is slow between two results belongs into `spawn_blocking`.) An `async
//! fn`, and a plain one under `#[callback(inline)]`, promises to be quick between two awaits: it
//! runs where its request was read, which saves a hand-over to another thread, about a microsecond
//! of CPU a call under load and some ten when calls come one at a time. One that takes longer than
//! a millisecond all the same is named in the log and runs elsewhere until it has been quick many
//! times in a row.
//!
//! Two nodes with `workers=1` whose callbacks call each other in a circle wait for their timeout.
//!
//! # Formats
//!
//! | format | default for | holds |
//! |---|---|---|
//! | [`MSGPACK`](FormatId::MSGPACK) | calls to Rust nodes | plain data, bytes, any map keys |
//! | [`PICKLE`](FormatId::PICKLE) | calls to daffi 3.0.1 | also sets, tuples, big integers, dates, decimals; read as plain data, nothing is executed |
//! | [`JSON`](FormatId::JSON) | | plain data without bytes |
//! | [`OPAQUE`](FormatId::OPAQUE) | streams | one argument: bytes or text, as they are; [`Bytes`] without a copy |
//! | [`POSTCARD`](FormatId::POSTCARD) | | types known on both ends, between Rust nodes, smallest |
//!
//! What a format cannot hold is an error before anything is sent. Two things come back otherwise:
//! `Some(None)` and `Some(())` are `None`, but in postcard; and where serde keeps what comes until
//! it knows the type (tagged and untagged enums, `#[serde(flatten)]`), a [`Value`] that is bytes
//! without any is an empty list. What serde keeps so holds integers of 64 bits: an `i128` or `u128`
//! is sent from there, and refused by whoever reads it, however small. Take `i64` or `u64` there,
//! an enum that is tagged by no field, or a [`Value`].
//!
//! # Further pages
//!
//! [Layers](guide::layers), [logging](guide::logging), [programs without async and callbacks that
//! block](guide::blocking), and [testing](guide::testing).
//!
//! # Features
//!
//! On by default are `json`, `msgpack`, `pickle`, `postcard`, `tcp`, `uds`, `tls`, `ws` and
//! `macros`. Further ones are `blocking`, for a client outside tokio, `fd`, for listening sockets
//! that a supervisor hands over, and `metrics`, for Prometheus. A feature adds, and changes nothing
//! else; `ws` also has TCP and TLS listeners take WebSockets.

/// Pages on what goes around calls and callbacks.
pub mod guide {
    #[doc = include_str!("../guide/blocking.md")]
    pub mod blocking {}
    #[doc = include_str!("../guide/layers.md")]
    pub mod layers {}
    #[doc = include_str!("../guide/logging.md")]
    pub mod logging {}
    #[doc = include_str!("../guide/testing.md")]
    pub mod testing {}
}

#[doc(hidden)]
pub mod __private;
#[cfg(feature = "blocking")]
pub mod blocking;
mod callbacks;
mod calls;
mod client;
mod client_group;
mod client_state;
mod context;
mod events;
mod fitting;
mod formats;
mod guarding;
#[cfg(feature = "fd")]
mod handed_over;
#[cfg(feature = "metrics")]
pub mod metrics;
mod name;
mod router;
mod service;
mod settings;
mod signals;
mod transports;

pub use bytes::Bytes;
pub use daffi_core::{
    Answers, BoxError, ByRouter, CallError, CallOptions, CallbackStats, CalledStats, CastItem, Choice, ClientState,
    ClientStats, Disconnected, Durations, Ended, Events, Incoming, InitializationError, LeastInFlight, MemberEvent,
    MemberStats, Members, NamePolicy, NodeConfig, Picker, Propagator, ProtocolError, RoundRobin, RouterStats,
    SendError, ServiceStats, StickyByKey, StreamError, TimeBucket, TraceContext, UnusableSetting, WaitedFor,
    remote_error,
};
#[cfg(feature = "macros")]
pub use daffi_macros::{callback, callbacks, remote};
pub use daffi_serde::{
    Args, Codec, DynArgs, Format, Owned, Param, RemoteError, Returned, SerdeError, Value, ValueLimits, args, value,
};
#[cfg(feature = "pickle")]
pub use daffi_serde_pickle::{ReadError as PickleReadError, WriteError as PickleWriteError};
pub use daffi_transport::{BindError, ConnectError, LinkError};
#[cfg(feature = "tls")]
pub use daffi_transport_tls::{ClientTls, ServerTls, SettingsError as TlsSettingsError, TlsError};
#[cfg(feature = "ws")]
pub use daffi_transport_ws::{Keepalive, KeepaliveError, Origin, OriginError, UpgradeError};
pub use daffi_wire::{
    BodyError, DecodeError, EncodeError, ExtensionError, FormatId, Level, Limits, Member, MethodName, NameError,
    NodeName, Role, Shown, TraceParent,
};

pub use crate::{
    callbacks::{
        CallbackFn, CallbackItem, CallbackOutput, Callbacks, IntoCallbacks, OneByOne, OneValue, SharedCallbacks,
        TryCallbackOutput,
    },
    calls::{
        Calling, Cast, CastNowait, CastResults, ItemSender, Queueing, Results, Rpc, RpcNowait, StreamCall, StreamNowait,
    },
    client::{Client, ClientBuilder},
    client_group::ClientGroup,
    context::{Context, NotAClient},
    formats::Formats,
    router::{Router, RouterBuilder},
    service::{Service, ServiceBuilder},
};

/// What tower layers see: requests and replies on the serving side, calls and answers on the
/// calling side.
pub mod tower {
    pub use daffi_core::{
        Answer, Call, CallService, CallbackService, CallingOver, ReadAnswer, Reply, Request, RequestExtensions, RpcOver,
    };
}

/// Who may be connected to a node that listens, and what they may do there: the builders' `policy`
/// and `admit`.
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// use daffi::{Client, Router, policy::{Policy, Rule}};
/// let workers = Rule::new("workers").who("uri:spiffe://example/worker/*")?.names(["worker-*"])?.expose(["resize"])?;
/// let here = Rule::new("here").who("addr:127.0.0.0/8")?.names(["*"])?.call(["resize"])?;
/// let policy = Policy::new().rule(workers).rule(here);
/// let router = Router::builder("router").policy(policy).bind("tcp://127.0.0.1:0").await?;
///
/// let caller = Client::builder("caller").connect(router.endpoints()[0].as_str()).await?;
/// let refused = caller.rpc().receiver("worker-1").call::<i64>("delete", ()).await;
/// assert!(refused.is_err());
/// router.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub mod policy {
    pub use daffi_core::{Identity, Newcomer, Others, PatternError, Policy, Rule, RuleError, Token, TokenError};
}

/// The seam for formats of your own: implement [`Codec`] and hand it to the builders' `format`.
pub mod format {
    pub use daffi_serde::{
        Args, ArgsSink, ArgsVisitor, Binding, Body, BytesLike, Codec, Defaulted, DynArgs, Format, FormatSet, Keyword,
        KeywordList, Keywords, Mixed, Opaque, Output, Owned, Param, Params, Positional, RemoteError, ResultSink,
        Returned, SerdeError, Single, Value, ValueLimits, args, envelope, erased, from_value, guard, to_value, value,
    };
}

/// The seam for transports of your own.
pub mod transport {
    pub use daffi_transport::{
        AcceptError, Batch, BindError, BoxFuture, CertificateNames, ConnectError, Connector, Endpoint, EndpointError,
        HttpConnection, HttpOffer, HttpUpgrade, Link, LinkConfig, LinkError, LinkReader, LinkWriter, Listener,
        POOL_BYTES, PeerInfo, Pending, Phase, REFUSAL_TIMEOUT, ReadBuffer, SHARE_FROM, advice_to_listen, blocking, mem,
        read_opening,
    };
    pub use daffi_wire::Foreign;
}

/// What most programs need: `use daffi::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Args as _, CallError, Callbacks, Client, Context, FormatId, Incoming, IntoCallbacks, RemoteError, Router,
        Service, Value, args,
    };
    #[cfg(feature = "macros")]
    pub use crate::{callback, callbacks, remote};
}

/// The program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
