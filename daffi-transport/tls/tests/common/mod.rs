//! What the tests share.

#![allow(dead_code, clippy::unwrap_used, reason = "each test crate uses a part, and may panic")]

use std::{error::Error, future::poll_fn, path::PathBuf};

use daffi_transport::{AcceptError, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, Pending};
use daffi_transport_tls::{ClientTls, ServerTls, TlsConnector, TlsListener};
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};

pub(crate) fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name].iter().collect()
}

/// A server with the certificate of this name.
pub(crate) fn server(name: &str) -> ServerTls {
    ServerTls::from_files(fixture(&format!("{name}.pem")), fixture(&format!("{name}.key"))).unwrap()
}

pub(crate) fn trusting(name: &str) -> ClientTls {
    ClientTls::ca_file(fixture(&format!("{name}.pem"))).unwrap()
}

pub(crate) fn pinning(name: &str) -> ClientTls {
    ClientTls::pin_certificate(fixture(&format!("{name}.pem"))).unwrap()
}

pub(crate) async fn listen(host: &str, tls: ServerTls) -> TlsListener {
    TlsListener::bind(&Endpoint::new("tls", &format!("{host}:0")).unwrap(), tls).await.unwrap()
}

/// A connector to the listener, under the name `host`.
pub(crate) fn connector(listener: &impl Listener, host: &str, tls: ClientTls) -> TlsConnector {
    let (_, port) = listener.endpoint().host_port().unwrap();
    TlsConnector::new(Endpoint::new("tls", &format!("{host}:{port}")).unwrap(), tls)
}

pub(crate) async fn accept(listener: &mut impl Listener) -> Pending {
    poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap()
}

/// Connects and sends a frame, which is what the accepting side waits for.
pub(crate) async fn connect(connector: &TlsConnector) -> Result<Link, ConnectError> {
    let mut link = connector.connect(&LinkConfig::default()).await?;
    // A server may have refused our certificate by now; what it says comes when reading.
    let _ = link.send(&frame(1, 1)).await;
    Ok(link)
}

/// Both sides of one connection.
pub(crate) async fn meet(
    host: &str,
    server: ServerTls,
    client: ClientTls,
) -> (Result<Link, AcceptError>, Result<Link, ConnectError>) {
    let bound = if host == "localhost" { "127.0.0.1" } else { host };
    let mut listener = listen(bound, server).await;
    let connector = connector(&listener, host, client);
    tokio::join!(async { accept(&mut listener).await.upgrade().await }, connect(&connector))
}

pub(crate) fn frame(id: u16, size: usize) -> Frame {
    let payload: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let header = Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true);
    Frame::new(header, "cli", "svc", "echo", &payload, &Limits::default()).unwrap()
}

/// An error and all its sources.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}
