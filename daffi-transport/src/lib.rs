//! What carries daffi's frames: [`Listener`], [`Connector`] and [`Link`] as traits and types that
//! any transport can fill, links over byte streams, and links inside one process.
//!
//! Use this crate to write a transport of your own, or to exchange daffi's frames without the rest.
//! The transports themselves are crates of their own: `daffi-transport-tcp`, `-uds`, `-tls`, `-ws`.
//!
//! A [`Link`] carries frames, not bytes: a byte stream becomes a link through the codec
//! ([`Link::from_stream`]), and a transport whose messages are frames is a link by itself.
//! Accepting gives a [`Pending`] connection at once; what it takes to make a link of it (a TLS
//! handshake, the opening bytes) happens beside the accept loop.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use daffi_transport::{LinkConfig, mem};
//! use daffi_wire::{CallId, Frame, Header, Kind, Limits};
//!
//! let (mut client, server) = mem::pair(&LinkConfig::default());
//! let header = Header::control(Kind::Handshake, CallId(1), true);
//! let frame = Frame::new(header, "cli", "", "", b"{}", &Limits::default()).unwrap();
//! client.send(&frame).await.unwrap();
//!
//! let mut server = server.await.unwrap();
//! assert_eq!(server.receive().await.unwrap(), Some(frame));
//! # });
//! ```

mod advice;
mod batch;
pub mod blocking;
mod endpoint;
mod error;
mod http;
mod lane;
mod large;
mod link;
pub mod mem;
mod peer;
mod read_buffer;
mod stream;

pub use crate::{
    advice::{AllRefused, advice_to_listen},
    batch::{Batch, SHARE_FROM},
    endpoint::{Endpoint, EndpointError},
    error::{AcceptError, BindError, ConnectError, LinkError, Phase},
    http::{HttpConnection, HttpOffer, HttpUpgrade, REFUSAL_TIMEOUT},
    lane::{Movable, run_on_lane},
    large::{LargeBuffer, OWN_FROM, POOL_BYTES},
    link::{
        BoxFuture, Connector, Link, LinkConfig, LinkReader, LinkWriter, Listener, PATH_DEAD_AFTER, Path, Pending, Way,
        keep,
    },
    peer::{CertificateNames, PeerInfo},
    read_buffer::ReadBuffer,
    stream::read_opening,
};

/// The program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct TransportReadme;
