//! The engine of daffi.

mod call;
mod callback;
mod client;
mod config;
mod conn;
mod dispatch;
mod error;
mod events;
mod layers;
mod node;
mod picker;
mod registry;
mod request;
mod scratch;
mod service;
mod session;

pub use crate::{
    call::{Answer, Call, CallOptions, Cast, CastNowait, Rpc, RpcNowait, RpcOver, StreamCall, StreamNowait},
    callback::{Callback, CallbackOptions, remote_error},
    client::Client,
    config::NodeConfig,
    dispatch::{Dispatch, Dispatched},
    error::{CallError, Disconnected, Ended, InitializationError, ProtocolError, StreamError},
    events::{Events, MemberEvent},
    layers::{BoxError, Callbacks, Serving},
    picker::{Picker, RoundRobin},
    request::{Context, Reply, Request},
    service::Service,
    session::Members,
};
