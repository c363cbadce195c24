//! The TLS transport of daffi, on rustls: [`TlsListener`] and [`TlsConnector`] for endpoints
//! `tls://host:port`.
//!
//! Use this crate alone to exchange daffi's frames over TLS without a node, or to run another
//! protocol on top of TLS: [`TlsListener::poll_accept_stream`] and [`TlsConnector::connect_stream`]
//! give byte streams.
//!
//! - TLS 1.2 and 1.3, with the cryptography of *ring*, over TCP as `daffi-transport-tcp` sets it
//!   up.
//! - A client verifies the server's certificate and its host name or IP address. It trusts one of:
//!   a file of authorities ([`ClientTls::ca_file`]), what the platform trusts
//!   ([`ClientTls::platform_roots`]), or exactly one certificate ([`ClientTls::pin_certificate`]).
//!   The only ways around are [`ClientTls::dangerous_accept_any_certificate`] and
//!   [`ClientTls::dangerous_ca_file_for_any_host`].
//! - A server may ask for client certificates ([`ServerTls::client_ca_file`]); then nobody gets in
//!   without one, and [`PeerInfo::certificate`] holds it.
//! - Nothing is trusted by leaving something out: an empty path, a file without certificates and an
//!   encrypted key are [`SettingsError`]s.
//! - Certificates are replaced while a listener runs: [`ServerTls::reload`] reads their files anew,
//!   and [`ServerTls::follow_files`] does when they change.
//! - Sessions are not resumed: every connection verifies anew.
//! - Handshakes run in [`Pending::upgrade`], beside the accept loop. Time limits are the caller's.
//!
//! # Beside daffi 3.0.1
//!
//! A 3.0.1 server does with any certificate, and many have one without `subjectAltName`, or of
//! X.509 version 1, which says nothing about the host it is for. [`ServerTls`] takes these too and
//! warns ([`ServerTls::weakness`]), for the sake of clients that do not look: 3.0.1 itself checks
//! the chain of issuers, with a `ca_file`, or nothing. A client of this crate refuses such a
//! certificate with an error that prints the `openssl` line of a better one, or accepts it pinned.
//!
//! [`Pending::upgrade`]: daffi_transport::Pending::upgrade
//! [`PeerInfo::certificate`]: daffi_transport::PeerInfo::certificate
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
//! use std::future::poll_fn;
//! use daffi_transport::{Connector, LinkConfig, Listener};
//! use daffi_transport_tls::{ClientTls, ServerTls, TlsConnector, TlsListener};
//! use daffi_wire::{CallId, Frame, Header, Kind, Limits};
//!
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"))?;
//! let config = LinkConfig::default();
//! let server = ServerTls::from_files("localhost.pem", "localhost.key")?;
//! let mut listener = TlsListener::bind(&"tls://127.0.0.1:0".parse()?, server).await?;
//! let connector = TlsConnector::new(listener.endpoint().clone(), ClientTls::ca_file("authority.pem")?);
//!
//! let accepting = async {
//!     let pending = poll_fn(|cx| listener.poll_accept(cx, &config)).await?;
//!     let mut link = pending.upgrade().await?;
//!     Ok::<_, Box<dyn std::error::Error>>(link.receive().await?)
//! };
//! let connecting = async {
//!     let mut link = connector.connect(&config).await?;
//!     let header = Header::control(Kind::Handshake, CallId(1), true);
//!     let frame = Frame::new(header, "cli", "", "", b"{}", &Limits::default()).unwrap();
//!     link.send(&frame).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(frame)
//! };
//! let (received, sent) = tokio::try_join!(accepting, connecting)?;
//! assert_eq!(received, Some(sent));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod client;
mod error;
mod expiry;
mod identity;
mod issued;
mod key;
mod names;
mod pem;
mod reason;
mod rotation;
mod server;
mod stream;
mod transport;
mod verify;

pub use crate::{
    client::ClientTls,
    error::{SettingsError, TlsError},
    reason::openssl_command,
    server::ServerTls,
    stream::{TlsHandshake, TlsStream},
    transport::{SCHEME, TlsConnector, TlsListener},
};
