//! The WebSocket transport of daffi: one frame per binary message, each way.
//!
//! A server needs no port of its own for it: [`WebSockets`], given to a TCP or TLS listener, takes
//! the connections that begin with an HTTP request. [`WsConnector`] connects to
//! `ws://host:port/path` and, with the feature `tls`, to `wss://host:port/path`. Use this crate
//! alone to exchange daffi's frames with a browser without a node.
//!
//! - **What is a message.** Exactly one whole frame; anything else closes the connection with a
//!   code and a sentence. Text and binary messages are taken alike and fragments are joined, up to
//!   the limit of a frame; unmasked messages of clients are taken too ([protocol,
//!   9](daffi_wire::protocol#9)). Memory grows with the bytes that arrive.
//! - **Who may connect.** Browsers tell a page's origin; see [`WebSockets::allow_origin`] for the
//!   rule.
//! - **Pings** of the peer are answered. A peer that was silent for [`Keepalive::interval`] is
//!   pinged, and ended when nothing comes from it within [`Keepalive::patience`]. A server of daffi
//!   3.0.1 breaks on a ping, so a connector pings only servers that say in the header
//!   [`PING_HEADER`] of their answer that they take it.
//! - **Closing.** Shutting down sends a close frame with code 1000; a peer's is answered, then the
//!   connection ends. Nobody waits longer than [`CLOSE_TIMEOUT`] for the other.
//! - **Time limits** of connecting and of the upgrade are the caller's. Links need a runtime with
//!   time enabled.
//!
//! Headers of frames and the handshake's keys are tungstenite's. Its own message layer is not used:
//! it reserves what a header announces, does not tell how much of a message it holds, and refuses
//! text that is not UTF-8.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::{future::poll_fn, sync::Arc};
//! use daffi_transport::{Connector, LinkConfig, Listener};
//! use daffi_transport_tcp::TcpListener;
//! use daffi_transport_ws::{WebSockets, WsConnector};
//! use daffi_wire::{CallId, Frame, Header, Kind, Limits};
//!
//! let config = LinkConfig::default();
//! let sockets = WebSockets::new().allow_origin("https://app.example".parse()?);
//! let mut listener = TcpListener::bind(&"tcp://127.0.0.1:0".parse()?).await?.with_http(Arc::new(sockets));
//!
//! let endpoint = format!("ws://{}/daffi", listener.endpoint().address()).parse()?;
//! let client = tokio::spawn(WsConnector::new(endpoint).connect(&config));
//! let mut server = poll_fn(|cx| listener.poll_accept(cx, &config)).await?.upgrade().await?;
//! let mut client = client.await??;
//!
//! let header = Header::control(Kind::Handshake, CallId(1), true);
//! let frame = Frame::new(header, "cli", "", "", b"{}", &Limits::default())?;
//! client.send(&frame).await?;
//! assert_eq!(server.receive().await?, Some(frame));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod accept;
mod address;
mod connect;
mod keepalive;
mod link;
mod mask;
mod messages;
mod origin;
mod reader;
mod request;
mod response;
mod sink;

pub use crate::{
    accept::WebSockets,
    connect::WsConnector,
    keepalive::{Keepalive, KeepaliveError},
    origin::{Origin, OriginError},
    reader::CLOSE_TIMEOUT,
    request::MAX_HEAD_BYTES,
    response::{PING_HEADER, UpgradeError},
};

/// What errors call this transport.
const NAME: &str = "WebSocket";
