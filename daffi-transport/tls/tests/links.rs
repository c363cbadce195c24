//! Links over TLS: frames, hanging peers, peers that do not speak TLS, and how connections end.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{future::poll_fn, io, sync::Arc};

use common::{accept, chain, connect, connector, fixture, frame, listen, meet, server, trusting};
use daffi_transport::{AcceptError, Connector, Endpoint, LinkConfig, LinkError, Listener};
use daffi_transport_tcp::{StreamListener, TcpConnector, TcpListener};
use daffi_transport_tls::{ClientTls, TlsConnector};
use daffi_wire::{Foreign, SYN};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

#[tokio::test]
async fn frames_of_any_size_go_both_ways() {
    let mut listener = listen("127.0.0.1", server("localhost")).await;
    let connector = connector(&listener, "localhost", trusting("authority"));
    let there = async {
        let mut client = connector.connect(&LinkConfig::default()).await.unwrap();
        assert_eq!(client.peer.scheme, "tls");
        for (id, size) in (1..).zip([0, 1, 5000, 16 << 20]) {
            let frame = frame(id, size);
            client.send(&frame).await.unwrap();
            assert_eq!(client.receive().await.unwrap(), Some(frame));
        }
    };
    let back = async {
        let mut server = accept(&mut listener).await.upgrade().await.unwrap();
        assert!(server.peer.address.starts_with("127.0.0.1:"));
        assert_eq!(server.peer.certificate, None);
        while let Some(frame) = server.receive().await.unwrap() {
            server.send(&frame).await.unwrap();
        }
    };
    tokio::join!(there, back);
}

#[tokio::test]
async fn a_silent_connection_does_not_stop_the_next() {
    let mut listener = listen("127.0.0.1", server("localhost")).await;
    let _silent = TcpStream::connect(listener.endpoint().address()).await.unwrap();
    let hanging = tokio::spawn(accept(&mut listener).await.upgrade());
    let connector = connector(&listener, "localhost", trusting("authority"));
    let (server, client) =
        tokio::join!(async { accept(&mut listener).await.upgrade().await.unwrap() }, connect(&connector));
    client.unwrap();
    assert_eq!({ server }.receive().await.unwrap(), Some(frame(1, 1)));
    assert!(!hanging.is_finished());
}

#[tokio::test]
async fn a_plain_client_is_told_that_the_port_speaks_tls() {
    let mut listener = listen("127.0.0.1", server("localhost")).await;
    let plain: Endpoint = listener.endpoint().as_str().replace("tls", "tcp").parse().unwrap();
    let mut client = TcpConnector::new(plain).connect(&LinkConfig::default()).await.unwrap();
    client.send(&frame(1, 100)).await.unwrap();
    let error = accept(&mut listener).await.upgrade().await.unwrap_err();
    assert_eq!(
        chain(&error),
        "the TLS handshake failed: the peer does not speak TLS there: use tcp:// in place of tls://, and ws:// in place of wss://, or TLS at both ends"
    );
    let error = client.receive().await.unwrap_err();
    assert!(matches!(error, LinkError::Foreign(Foreign::Tls)), "{error}");
}

#[tokio::test]
async fn a_tls_client_is_told_that_the_port_is_plain() {
    let mut listener = TcpListener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let connector = connector(&listener, "localhost", trusting("authority"));
    let (server, client) = tokio::join!(async { accept(&mut listener).await.upgrade().await }, connect(&connector));
    assert!(matches!(server, Err(AcceptError::Foreign(Foreign::Tls))));
    let text = chain(&client.unwrap_err());
    assert!(text.contains("the TLS handshake with tls://localhost:"), "{text}");
}

#[tokio::test]
async fn a_server_that_answers_anything_else_is_not_tls() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0; 64], &[0x1f; 9], b""] {
        let mut listener = StreamListener::bind(&"tls://127.0.0.1:0".parse().unwrap()).await.unwrap();
        let connector = TlsConnector::new(listener.endpoint().clone(), ClientTls::dangerous_accept_any_certificate());
        let answering = async {
            let (mut stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
            stream.write_all(answer).await.unwrap();
        };
        let ((), client) = tokio::join!(answering, connect(&connector));
        let text = chain(&client.unwrap_err());
        let expected = if answer.is_empty() {
            "it may be restarting, or refuse this client"
        } else {
            "the peer does not speak TLS"
        };
        assert!(text.contains(expected), "{answer:?}: {text}");
    }
}

/// A client that is stricter than ours about how streams end.
async fn raw_client(address: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("authority.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(&SYN).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

#[tokio::test]
async fn shutting_down_says_so_and_ends_one_direction_only() {
    let mut listener = listen("127.0.0.1", server("localhost")).await;
    let address = listener.endpoint().address().to_owned();
    let (server, mut peer) =
        tokio::join!(async { accept(&mut listener).await.upgrade().await.unwrap() }, raw_client(&address));
    let mut server = server;
    poll_fn(|cx| server.writer.poll_shutdown(cx)).await.unwrap();
    // Without close_notify this would be an error.
    assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    peer.write_all(frame(1, 10).as_bytes()).await.unwrap();
    peer.flush().await.unwrap();
    assert_eq!(server.receive().await.unwrap(), Some(frame(1, 10)));
    // The peer ends without close_notify.
    drop(peer);
    assert_eq!(server.receive().await.unwrap(), None);
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_an_error() {
    let mut listener = listen("127.0.0.1", server("localhost")).await;
    let address = listener.endpoint().address().to_owned();
    let (server, mut peer) =
        tokio::join!(async { accept(&mut listener).await.upgrade().await.unwrap() }, raw_client(&address));
    peer.write_all(&frame(1, 10).as_bytes()[..15]).await.unwrap();
    peer.flush().await.unwrap();
    drop(peer);
    assert!(matches!({ server }.receive().await, Err(LinkError::Protocol(_))));
}

#[tokio::test]
async fn a_writer_that_is_held_back_goes_on_later() {
    let (server, client) = meet("localhost", server("localhost"), trusting("authority")).await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    assert_eq!(server.receive().await.unwrap(), Some(frame(1, 1)));
    let sending = tokio::spawn(async move {
        client.send(&frame(2, 16 << 20)).await.unwrap();
        poll_fn(|cx| client.writer.poll_shutdown(cx)).await.unwrap();
        client
    });
    // Small bites, so that the sender meets a full buffer many times.
    let received = loop {
        if let Some(frame) = server.reader.next_frame().unwrap() {
            break frame;
        }
        assert_ne!(poll_fn(|cx| server.reader.poll_fill(cx, 16 << 10)).await.unwrap(), 0);
    };
    assert_eq!(received, frame(2, 16 << 20));
    assert_eq!(server.receive().await.unwrap(), None);
    sending.await.unwrap();
}

#[tokio::test]
async fn byte_streams_can_be_had_without_links() {
    let mut listener = listen("127.0.0.1", server("localhost")).await;
    let connector = connector(&listener, "localhost", trusting("authority"));
    let serving = async {
        let handshake = poll_fn(|cx| listener.poll_accept_stream(cx)).await.unwrap();
        let (mut stream, _) = handshake.complete().await.unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let asking = async {
        let (mut stream, peer) = connector.connect_stream().await.unwrap();
        assert!(peer.certificate.is_some());
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "hello");
    };
    tokio::join!(serving, asking);
}

#[tokio::test]
async fn endpoints_of_other_transports_are_refused() {
    use daffi_transport::{BindError, ConnectError};
    for text in ["tcp://127.0.0.1:1", "tls://127.0.0.1", "tls://::1:5001"] {
        let endpoint: Endpoint = text.parse().unwrap();
        let bound = daffi_transport_tls::TlsListener::bind(&endpoint, server("localhost")).await;
        assert!(matches!(bound, Err(BindError::Endpoint(_))));
        let connected = connect(&TlsConnector::new(endpoint, trusting("authority"))).await;
        assert!(matches!(connected, Err(ConnectError::Endpoint(_))));
    }
    let odd = TlsConnector::new("tls://not a name:1".parse().unwrap(), trusting("authority"));
    assert!(matches!(connect(&odd).await, Err(ConnectError::Endpoint(_))));
}

#[tokio::test]
async fn a_refused_connection_keeps_its_kind() {
    use daffi_transport::{ConnectError, Phase};
    let listener = listen("127.0.0.1", server("localhost")).await;
    let connector = connector(&listener, "localhost", trusting("authority"));
    drop(listener);
    let Err(ConnectError::Failed { phase: Phase::Connect, source, .. }) = connect(&connector).await else {
        panic!("another error")
    };
    let error: &io::Error = source.downcast_ref().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
