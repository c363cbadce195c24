//! Remote procedure calls without ceremony.
//!
//! A [`Service`] exposes callbacks, a [`Client`] calls them, over TCP, Unix sockets and TLS, on the wire of the Python
//! library daffi 3.0.1: Rust and Python nodes form one network.

#[doc(hidden)]
pub mod __private;
mod callbacks;
mod client;
mod context;
mod events;
mod formats;
mod name;
mod service;
mod settings;
mod signals;
mod transports;

pub use daffi_core::{
    BoxError, CallError, CallOptions, Disconnected, Ended, Events, InitializationError, MemberEvent, Members,
    NodeConfig, Picker, RoundRobin, StreamError, remote_error,
};
#[cfg(feature = "macros")]
pub use daffi_macros::{callback, callbacks, remote};
pub use daffi_serde::{Args, Codec, DynArgs, Format, Param, RemoteError, SerdeError, Value, ValueLimits, args, value};
#[cfg(feature = "tls")]
pub use daffi_transport_tls::{ClientTls, ServerTls};
pub use daffi_wire::{FormatId, Limits, Role};

pub use crate::{
    callbacks::{CallbackFn, CallbackItem, Callbacks, IntoCallbacks},
    client::{Cast, CastNowait, Client, ClientBuilder, Rpc, RpcNowait, StreamCall, StreamNowait},
    context::{Context, NotAClient},
    formats::Formats,
    service::{Service, ServiceBuilder},
};

/// What tower layers see: requests and replies on the serving side, calls and answers on the calling side.
pub mod tower {
    pub use daffi_core::{Answer, Call, Callbacks, Reply, Request, RpcOver};
}

/// The seam for transports of your own.
pub mod transport {
    pub use daffi_transport::*;
}

/// What most programs need: `use daffi::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Args as _, CallError, Callbacks, Client, Context, FormatId, IntoCallbacks, RemoteError, Service, Value, args,
    };
    #[cfg(feature = "macros")]
    pub use crate::{callback, callbacks, remote};
}
