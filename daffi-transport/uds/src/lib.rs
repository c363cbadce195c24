//! The Unix socket transport of daffi: [`UnixListener`] and [`UnixConnector`] for endpoints
//! `unix:///absolute/path` and `unix://relative/path`.
//!
//! Use this crate alone to exchange daffi's frames between processes of one machine without a node.
//! The crate is empty on systems that are not Unix.
//!
//! - A path holds at most [`MAX_PATH_BYTES`] bytes; a longer one is an error.
//! - A socket file that nobody listens on is replaced. One that a process listens on is never taken
//!   from it, and a path that is something else than a socket is never touched: both are errors.
//! - The file goes away with the listener, unless somebody has put another one in its place.
//! - A socket that listens already is taken, too ([`UnixListener::handed_over`]), from a supervisor
//!   for one. Its file stays.
//! - Who may connect is decided by the permissions of the socket file and its directories: what the
//!   process's umask leaves, or those of [`SocketOptions`].
//!
//! # Beside daffi 3.0.1
//!
//! 3.0.1 takes a path as `host`, with any port. Its servers cut the path to 26 bytes when they bind
//! it, so a longer one is found under the cut name only. Its clients do not cut: they reach a
//! listener of this crate whatever the length of its path. A 3.0.1 server removes any file at its
//! path, a live socket of this crate included.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
//! use std::future::poll_fn;
//! use daffi_transport::{Connector, Endpoint, LinkConfig, Listener};
//! use daffi_transport_uds::{UnixConnector, UnixListener};
//! use daffi_wire::{CallId, Frame, Header, Kind, Limits};
//!
//! let config = LinkConfig::default();
//! let path = std::env::temp_dir().join(format!("daffi-doc-{}.sock", std::process::id()));
//! let endpoint = Endpoint::new("unix", path.to_str().unwrap())?;
//! let mut listener = UnixListener::bind(&endpoint)?;
//! let mut client = UnixConnector::new(endpoint).connect(&config).await?;
//!
//! let header = Header::control(Kind::Handshake, CallId(1), true);
//! let frame = Frame::new(header, "cli", "", "", b"{}", &Limits::default()).unwrap();
//! client.send(&frame).await?;
//!
//! let mut server = poll_fn(|cx| listener.poll_accept(cx, &config)).await?.upgrade().await?;
//! assert_eq!(server.receive().await?, Some(frame));
//!
//! drop(listener);
//! assert!(!path.exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#![cfg(unix)]

mod file;
mod options;
mod transport;

pub use crate::{
    file::MAX_PATH_BYTES,
    options::SocketOptions,
    transport::{SCHEME, UnixConnector, UnixListener},
};
