//! The TCP transport of daffi: [`TcpListener`] and [`TcpConnector`] for endpoints
//! `tcp://host:port`.
//!
//! Use this crate alone to exchange daffi's frames over TCP without a node, or to build a transport
//! on top of TCP: [`StreamListener`] and [`connect_stream`] give the same sockets as plain byte
//! streams, for endpoints of any scheme. The TLS transport is made of them.
//!
//! - Host names are resolved; an IPv6 address is written in brackets, `tcp://[::1]:5001`; port 0
//!   takes a free port.
//! - Of a name with several addresses the first that answers is taken, each tried a moment after
//!   the one before ([`ATTEMPT_DELAY`]). A listener takes the first one it can bind, so write
//!   `127.0.0.1` and not `localhost` where the peer writes an address.
//! - Both sides set `TCP_NODELAY` and keepalive ([`KEEPALIVE_IDLE`] and so on), so a peer that
//!   vanished while nothing was on its way is found after 25 seconds. `TCP_USER_TIMEOUT` is never
//!   set: it would cut a sender that is held back on purpose. While something is unacknowledged
//!   keepalive asks nothing; then the way tells on Linux ([`TcpPath`]), as soon: the silence before
//!   it was sent counts as well.
//! - Before its handshake a connection holds at most 8 KiB of first bytes, beside the buffers of
//!   the system.
//! - What begins with an HTTP request is refused with a sentence, or handed on
//!   ([`TcpListener::with_http`]): WebSockets.
//! - A socket that listens already is taken, too ([`TcpListener::handed_over`]), from a supervisor
//!   for one.
//! - Time limits are the caller's: put a timeout around connecting and around [`Pending::upgrade`].
//!
//! [`Pending::upgrade`]: daffi_transport::Pending::upgrade
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
//! use std::future::poll_fn;
//! use daffi_transport::{Connector, LinkConfig, Listener};
//! use daffi_transport_tcp::{TcpConnector, TcpListener};
//! use daffi_wire::{CallId, Frame, Header, Kind, Limits};
//!
//! let config = LinkConfig::default();
//! let mut listener = TcpListener::bind(&"tcp://127.0.0.1:0".parse()?).await?;
//! let mut client = TcpConnector::new(listener.endpoint().clone()).connect(&config).await?;
//!
//! let header = Header::control(Kind::Handshake, CallId(1), true);
//! let frame = Frame::new(header, "cli", "", "", b"{}", &Limits::default()).unwrap();
//! client.send(&frame).await?;
//!
//! let mut server = poll_fn(|cx| listener.poll_accept(cx, &config)).await?.upgrade().await?;
//! assert_eq!(server.receive().await?, Some(frame));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod connect;
mod listen;
mod movable;
mod path;
mod resolve;
mod socket;
mod transport;

pub use crate::{
    connect::{ATTEMPT_DELAY, AddressOrder, check_to_connect, connect_stream, connect_stream_by},
    listen::StreamListener,
    movable::movable,
    path::TcpPath,
    socket::{BACKLOG, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES},
    transport::{SCHEME, TcpConnector, TcpListener},
};
