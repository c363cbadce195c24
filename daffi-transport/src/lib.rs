//! What carries daffi's frames: [`Listener`], [`Connector`] and [`Link`] as traits and types that any transport can
//! fill, links over byte streams, and links inside one process.
//!
//! Use this crate to write a transport of your own, or to exchange daffi's frames without the rest. The transports
//! themselves are crates of their own: `daffi-transport-tcp`, `-uds`, `-tls`.
//!
//! A [`Link`] carries frames, not bytes: a byte stream becomes a link through the codec ([`Link::from_stream`]), and a
//! transport whose messages are frames is a link by itself. Accepting gives a [`Pending`] connection at once; what it
//! takes to make a link of it (a TLS handshake, the opening bytes) happens beside the accept loop.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::future::poll_fn;
//! use daffi_transport::{Batch, LinkConfig, mem};
//! use daffi_wire::{CallId, Frame, Header, Kind, Limits};
//!
//! let (mut client, server) = mem::pair(&LinkConfig::default());
//! let header = Header::control(Kind::Handshake, CallId(1), true);
//! let frame = Frame::new(header, "cli", "", "", b"{}", &Limits::default()).unwrap();
//!
//! let mut batch = Batch::new();
//! batch.push_frame(frame.as_bytes());
//! poll_fn(|cx| client.writer.poll_write(cx, &mut batch)).await.unwrap();
//!
//! let mut server = server.await.unwrap();
//! let received = loop {
//!     if let Some(frame) = server.reader.next_frame().unwrap() {
//!         break frame;
//!     }
//!     poll_fn(|cx| server.reader.poll_fill(cx, usize::MAX)).await.unwrap();
//! };
//! assert_eq!(received, frame);
//! # });
//! ```

mod batch;
mod endpoint;
mod error;
mod link;
pub mod mem;
mod stream;

pub use crate::{
    batch::{Batch, SHARE_FROM},
    endpoint::{Endpoint, EndpointError},
    error::{AcceptError, BindError, ConnectError, LinkError, Phase},
    link::{BoxFuture, Connector, Link, LinkConfig, LinkReader, LinkWriter, Listener, PeerInfo, Pending},
    stream::read_opening,
};
