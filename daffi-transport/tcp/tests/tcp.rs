//! Links over real sockets of the loopback interface.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{future::poll_fn, io};

use daffi_transport::{
    AcceptError, BindError, ConnectError, Connector, Endpoint, Link, LinkConfig, LinkError, Listener, Pending, Phase,
};
use daffi_transport_tcp::{
    KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, StreamListener, TcpConnector, TcpListener, connect_stream,
};
use daffi_wire::{CallId, Foreign, FormatId, Frame, Header, Kind, Limits};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

async fn accept(listener: &mut TcpListener) -> Pending {
    poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap()
}

async fn connect(endpoint: &Endpoint) -> Result<Link, ConnectError> {
    TcpConnector::new(endpoint.clone()).connect(&LinkConfig::default()).await
}

async fn bind(text: &str) -> TcpListener {
    TcpListener::bind(&endpoint(text)).await.unwrap()
}

fn frame(id: u16, size: usize) -> Frame {
    let payload: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let header = Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true);
    Frame::new(header, "cli", "svc", "echo", &payload, &Limits::default()).unwrap()
}

/// The peer's address without the port, which the system chose.
fn host(link: &Link) -> &str {
    link.peer.address.rsplit_once(':').unwrap().0
}

fn source_of(error: ConnectError) -> (Phase, String) {
    match error {
        ConnectError::Failed { phase, source, .. } => (phase, source.to_string()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn frames_of_any_size_go_both_ways() {
    let mut listener = bind("tcp://127.0.0.1:0").await;
    let mut client = connect(listener.endpoint()).await.unwrap();
    let sizes = [0, 1, 5000, 16 << 20];
    let there = async {
        for (id, size) in (1..).zip(sizes) {
            let frame = frame(id, size);
            client.send(&frame).await.unwrap();
            assert_eq!(client.receive().await.unwrap(), Some(frame));
        }
        drop(client);
    };
    let back = async {
        let mut server = accept(&mut listener).await.upgrade().await.unwrap();
        assert_eq!((server.peer.scheme, host(&server)), ("tcp", "127.0.0.1"));
        while let Some(frame) = server.receive().await.unwrap() {
            server.send(&frame).await.unwrap();
        }
    };
    tokio::join!(there, back);
}

#[tokio::test]
async fn a_silent_connection_does_not_stop_the_next() {
    let mut listener = bind("tcp://127.0.0.1:0").await;
    let _silent = connect(listener.endpoint()).await.unwrap();
    let hanging = tokio::spawn(accept(&mut listener).await.upgrade());
    let mut client = connect(listener.endpoint()).await.unwrap();
    client.send(&frame(1, 1)).await.unwrap();
    let mut server = accept(&mut listener).await.upgrade().await.unwrap();
    assert_eq!(server.receive().await.unwrap(), Some(frame(1, 1)));
    assert!(!hanging.is_finished());
}

#[tokio::test]
async fn ipv6_addresses_stand_in_brackets() {
    let mut listener = bind("tcp://[::1]:0").await;
    assert!(listener.endpoint().as_str().starts_with("tcp://[::1]:"));
    let mut client = connect(listener.endpoint()).await.unwrap();
    client.send(&frame(1, 1)).await.unwrap();
    let server = accept(&mut listener).await.upgrade().await.unwrap();
    assert_eq!((host(&client), host(&server)), ("[::1]", "[::1]"));
}

#[tokio::test]
async fn host_names_are_resolved_on_both_sides() {
    let mut listener = bind("tcp://localhost:0").await;
    assert!(listener.endpoint().as_str().starts_with("tcp://localhost:"));
    let mut client = connect(listener.endpoint()).await.unwrap();
    client.send(&frame(1, 1)).await.unwrap();
    accept(&mut listener).await.upgrade().await.unwrap();
}

#[tokio::test]
async fn an_unknown_host_is_named() {
    let nowhere = endpoint("tcp://no-such-host.invalid:5001");
    let BindError::Io { source, .. } = TcpListener::bind(&nowhere).await.unwrap_err() else { panic!("of the system") };
    let text = source.to_string();
    assert!(text.contains("\"no-such-host.invalid\" cannot be resolved"), "{text}");
    let (phase, text) = source_of(connect(&nowhere).await.unwrap_err());
    assert_eq!(phase, Phase::Resolve);
    assert!(text.contains("\"no-such-host.invalid\" cannot be resolved"), "{text}");
}

#[tokio::test]
async fn a_refused_connection_and_a_taken_port_are_errors() {
    let listener = bind("tcp://127.0.0.1:0").await;
    let taken = TcpListener::bind(listener.endpoint()).await.unwrap_err();
    assert!(matches!(taken, BindError::Io { source, .. } if source.kind() == io::ErrorKind::AddrInUse));
    let gone = listener.endpoint().clone();
    drop(listener);
    let (phase, text) = source_of(connect(&gone).await.unwrap_err());
    assert_eq!(phase, Phase::Connect);
    assert!(text.contains("refused"), "{text}");
    // The port is free again although it was used a moment ago.
    TcpListener::bind(&gone).await.unwrap();
}

#[tokio::test]
async fn endpoints_of_other_transports_are_refused() {
    for text in ["unix:///tmp/x", "tcp://127.0.0.1", "tcp://::1:5001", "tcp://:5001", "tcp://127.0.0.1:70000"] {
        let bind = TcpListener::bind(&endpoint(text)).await.unwrap_err();
        assert!(matches!(bind, BindError::Endpoint(_)), "{bind}");
        let connect = connect(&endpoint(text)).await.unwrap_err();
        assert!(matches!(connect, ConnectError::Endpoint(_)), "{connect}");
    }
}

#[tokio::test]
async fn both_sides_set_the_same_options() {
    let mut listener = StreamListener::bind(&endpoint("tcp://127.0.0.1:0")).await.unwrap();
    let (client, _) = connect_stream(listener.endpoint()).await.unwrap();
    let (server, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    for stream in [&client, &server] {
        let socket = SockRef::from(stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    }
}

#[tokio::test]
async fn other_protocols_on_the_port_are_named() {
    let mut listener = bind("tcp://127.0.0.1:0").await;
    let (mut peer, _) = connect_stream(listener.endpoint()).await.unwrap();
    peer.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    let error = accept(&mut listener).await.upgrade().await.unwrap_err();
    assert!(matches!(error, AcceptError::Foreign(Foreign::Tls)), "{error}");

    let mut server = StreamListener::bind(&endpoint("tcp://127.0.0.1:0")).await.unwrap();
    let mut client = connect(server.endpoint()).await.unwrap();
    let (mut peer, _) = poll_fn(|cx| server.poll_accept(cx)).await.unwrap();
    peer.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
    let error = client.receive().await.unwrap_err();
    assert!(matches!(error, LinkError::Foreign(Foreign::Http)), "{error}");
}

#[tokio::test]
async fn shutting_down_ends_one_direction_only() {
    let mut listener = bind("tcp://127.0.0.1:0").await;
    let address = listener.endpoint().address().to_owned();
    let mut peer = TcpStream::connect(address).await.unwrap();
    peer.write_all(&daffi_wire::SYN).await.unwrap();
    let mut server = accept(&mut listener).await.upgrade().await.unwrap();
    poll_fn(|cx| server.writer.poll_shutdown(cx)).await.unwrap();
    assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    peer.write_all(frame(1, 10).as_bytes()).await.unwrap();
    assert_eq!(server.receive().await.unwrap(), Some(frame(1, 10)));
}

#[tokio::test]
async fn a_socket_that_is_handed_over_goes_on_without_its_listener() {
    let kept = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let take = || TcpListener::handed_over(kept.try_clone().unwrap()).unwrap();
    let mut first = take();
    let at = first.endpoint().clone();
    assert_eq!(at.as_str(), format!("tcp://{}", kept.local_addr().unwrap()));
    assert!(first.is_handed_over() && !bind("tcp://127.0.0.1:0").await.is_handed_over());
    let _client = connect(&at).await.unwrap();
    accept(&mut first).await;
    drop(first);
    let mut client = connect(&at).await.unwrap();
    client.send(&frame(1, 10)).await.unwrap();
    let mut server = accept(&mut take()).await.upgrade().await.unwrap();
    assert_eq!(server.receive().await.unwrap(), Some(frame(1, 10)));
}
