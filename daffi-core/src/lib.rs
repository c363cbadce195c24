//! The engine of daffi: sessions, the table of open calls, membership, the registry of callbacks,
//! dispatch through tower, and the drivers that move connections. It names no format and no
//! transport: it is generic over a [`FormatSet`](daffi_serde::FormatSet) and takes any
//! [`Listener`](daffi_transport::Listener) and [`Connector`](daffi_transport::Connector).
//!
//! Use the crate `daffi` to write services and clients. Use this one to build a node of other
//! parts: a format of your own and nothing else, a transport of your own, callbacks that are known
//! only at run time.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! use daffi_core::{Callback, CallbackOptions, Client, Service};
//! use daffi_serde::{Opaque, Single};
//! use daffi_transport::{Endpoint, mem::{MemConnector, MemListener}};
//! use daffi_wire::{FormatId, Limits, MethodName, NodeName};
//!
//! let (limits, formats) = (Limits::default(), Single::new(Opaque::default()));
//! let endpoint: Endpoint = "mem://shouting".parse()?;
//!
//! let shout = Callback::plain(
//!     MethodName::new("shout", &limits)?,
//!     CallbackOptions::default(),
//!     formats.clone(),
//!     |(text,): (String,), _context| Ok(text.to_uppercase()),
//! );
//! let listener = Box::new(MemListener::bind(&endpoint)?);
//! let service = Service::builder(NodeName::new("service", &limits)?, formats.clone())
//!     .callbacks(vec![shout])
//!     .listen(vec![listener])?;
//!
//! let connector = Box::new(MemConnector::new(endpoint));
//! let client = Client::builder(NodeName::new("client", &limits)?, connector, formats).connect().await?;
//! let loud: String = client.rpc().serde(FormatId::OPAQUE).call("shout", ("hello",)).await?;
//! assert_eq!(loud, "HELLO");
//! service.stop().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # How a call travels
//!
//! The caller's future chooses a receiver and a format, writes the request into a buffer of its
//! thread, takes a number from the connection's table and queues the frame. The connection's
//! driver, one task for both directions, lets other ready tasks queue theirs and writes all in one
//! system call. At the other end a driver cuts frames out of what one read brought and polls each
//! request once where it is: quick callbacks cost no task and no wake-up, and their replies leave
//! together. What does not finish at once joins the queue in order of arrival, on a task of its
//! own. A plain function runs on a thread that may block, in every run, unless it is exposed as
//! quick. An async function that held a reader up for a millisecond runs elsewhere until it has
//! proved quick more often than before; many requests in a row are timed in groups, so that it may
//! take a second slow run to find the callback.
//!
//! # What bounds what
//!
//! [`NodeConfig`] lists every bound. All memory that peers can make a node hold is one budget, of
//! which each connection has a small part of its own and a share of what is free. A server stops
//! reading a peer whose requests wait beyond its share, which TCP turns into waiting at the sender;
//! a peer of daffi 3.0.1, which would break its stream, is read slowly instead. A call for which
//! there is no room is refused as `Overloaded`, and an answer for which there is none becomes
//! `AnswerLost`.

// First, since what it defines is seen below it only.
#[macro_use]
mod words;

mod call;
mod client;
mod config;
mod conn;
mod data;
mod deadline;
mod error;
mod events;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod keyed;
mod lanes;
mod recent;
mod refusal;
mod router;
mod scratch;
mod serve;
mod server;
mod service;
mod session;
mod stats;
mod trace;

pub use crate::{
    call::{
        Answer, Answers, Call, CallService, Calling, CallingOver, Cast, CastItem, CastNowait, CastResults, ItemSender,
        Queueing, ReadAnswer, Results, Rpc, RpcNowait, RpcOver, SendError, StreamCall, StreamNowait,
    },
    client::{
        ByRouter, CallOptions, CalledStats, Choice, Client, ClientBuilder, ClientGroup, ClientState, ClientStats,
        LeastInFlight, Picker, RoundRobin, StickyByKey,
    },
    config::{NamePolicy, NodeConfig, UnusableSetting},
    error::{BoxError, CallError, Disconnected, Ended, InitializationError, ProtocolError, StreamError, WaitedFor},
    events::{Events, MemberEvent},
    router::{MemberStats, ReadyRouter, Router, RouterBuilder, RouterStats},
    serve::{
        Callback, CallbackOptions, CallbackService, Context, Dispatch, Dispatched, Incoming, Reply, Request,
        RequestExtensions, Serving, remote_error,
    },
    server::Newcomer,
    service::{ReadyService, Service, ServiceBuilder, ServiceStats},
    session::{Identity, Members, Others, PatternError, Policy, Rule, RuleError, Token, TokenError},
    stats::{CallbackStats, Durations, TimeBucket},
    trace::{Propagator, TraceContext},
};
