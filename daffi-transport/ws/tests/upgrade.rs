//! The request for a WebSocket, and who may make it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{future::poll_fn, sync::Arc};

use common::{BINARY, PATIENCE, RawClient, Server, UPGRADE, frame, upgrade_with, ws};
use daffi_transport::{AcceptError, Connector, HttpOffer, Link, LinkConfig, Listener, PeerInfo};
use daffi_transport_tcp::{TcpConnector, TcpListener};
use daffi_transport_ws::{WebSockets, WsConnector};
use tokio::{
    io::{AsyncWriteExt, duplex, split},
    time::timeout,
};

#[tokio::test]
async fn native_clients_and_websockets_share_a_port() {
    let mut server = Server::new().await;
    let at = server.address().to_owned();
    for (scheme, connector) in [
        ("tcp", Box::new(TcpConnector::new(format!("tcp://{at}").parse().unwrap())) as Box<dyn Connector>),
        ("ws", Box::new(WsConnector::new(format!("ws://{at}/daffi?x=y").parse().unwrap()))),
    ] {
        let config = server.config;
        let connecting = tokio::spawn(async move {
            let mut client = connector.connect(&config).await.unwrap();
            client.send(&frame(1, 10)).await.unwrap();
            client
        });
        let mut link = server.accept().await.unwrap();
        assert_eq!(link.receive().await.unwrap(), Some(frame(1, 10)));
        let mut client = connecting.await.unwrap();
        assert_eq!((link.peer.scheme, client.peer.scheme), (scheme, scheme));
        link.send(&frame(2, 100_000)).await.unwrap();
        assert_eq!(client.receive().await.unwrap(), Some(frame(2, 100_000)));
    }
}

#[tokio::test]
async fn the_first_messages_may_come_with_the_request() {
    let mut server = Server::new().await;
    let mut client = RawClient::connect(server.address()).await;
    let messages = [ws(BINARY, frame(1, 10).as_bytes()), ws(BINARY, frame(2, 20_000).as_bytes())].concat();
    client.send(&[UPGRADE, &messages].concat()).await;
    let mut link = server.accept().await.unwrap();
    assert_eq!(link.receive().await.unwrap(), Some(frame(1, 10)));
    assert_eq!(link.receive().await.unwrap(), Some(frame(2, 20_000)));
}

#[tokio::test]
async fn a_request_may_come_in_pieces_while_others_come_and_go() {
    let mut server = Server::new().await;
    let mut slow = RawClient::connect(server.address()).await;
    slow.send(&UPGRADE[..3]).await;
    let pending = poll_fn(|cx| server.listener.poll_accept(cx, &server.config)).await.unwrap();
    let slow_link = tokio::spawn(pending.upgrade());
    let (_quick, _) = server.meet().await;

    for byte in &UPGRADE[3..] {
        slow.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(slow.head().await.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
    assert!(slow_link.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_peer_that_leaves_early_is_an_error() {
    let mut server = Server::new().await;
    let mut client = RawClient::connect(server.address()).await;
    client.send(&UPGRADE[..30]).await;
    drop(client);
    let AcceptError::Failed { source, .. } = server.accept().await.unwrap_err() else { panic!("it spoke HTTP") };
    assert!(source.to_string().contains("before its request for a WebSocket was whole"), "{source}");
}

#[tokio::test]
async fn what_is_no_request_for_a_websocket_is_answered_with_a_sentence() {
    let mut server = Server::new().await;
    let text = String::from_utf8_lossy(UPGRADE);
    for (request, status, reason) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "426 Upgrade Required", "connect with a WebSocket"),
        (text.replace("13", "12"), "426 Upgrade Required", "must be 13"),
        (text.replace("Sec-WebSocket-Key", "X"), "400 Bad Request", "Sec-WebSocket-Key"),
        (text.replace("HTTP/1.1", "HTTP/1.0"), "400 Bad Request", "HTTP/1.1"),
        ("get lost, please\r\n\r\n".to_owned(), "400 Bad Request", "no HTTP request"),
        ("POST / HTTP/1.1\r\n\r\n".to_owned(), "400 Bad Request", "not HTTP"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(10_000)), "431 Request Header Fields Too Large", "8192 bytes"),
    ] {
        let mut client = RawClient::connect(server.address()).await;
        client.send(request.as_bytes()).await;
        let (accepted, answer) = tokio::join!(server.accept(), async {
            let answer = client.answer().await;
            drop(client);
            answer
        });
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
        assert!(body.contains(reason), "{answer}");
        match accepted.unwrap_err() {
            AcceptError::HttpRefused { status: seen, reason } => {
                assert_eq!((seen, reason + "\n"), (status, body.to_owned()));
            }
            other => panic!("{other}"),
        }
    }
    server.meet().await;
}

async fn with_origin(server: &mut Server, headers: &str) -> Result<Link, String> {
    let mut client = RawClient::connect(server.address()).await;
    client.send(&upgrade_with(headers)).await;
    let answered = async move {
        let head = client.head().await;
        if head.starts_with("HTTP/1.1 101 ") { None } else { Some(head + &client.answer().await) }
    };
    let (accepted, answer) = tokio::join!(server.accept(), answered);
    accepted.map_err(|_| answer.unwrap())
}

#[tokio::test]
async fn pages_from_loopback_may_connect_on_loopback() {
    let mut server = Server::new().await;
    for headers in
        ["X: no origin", "Origin: http://localhost:3000", "origin: https://127.0.0.1", "Origin: http://[::1]:8"]
    {
        with_origin(&mut server, headers).await.unwrap();
    }
    for (headers, seen) in [
        ("Origin: https://evil.example", "https://evil.example:443"),
        ("Host: evil.example\r\nOrigin: http://evil.example", "http://evil.example:80"),
        ("Origin: http://localhost.evil.example", "http://localhost.evil.example:80"),
        ("Origin: http://localhost\r\nOrigin: http://evil.example", "http://evil.example:80"),
        ("Origin: null", "null"),
        ("Origin: nonsense", "\"nonsense\""),
    ] {
        let answer = with_origin(&mut server, headers).await.unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
        assert!(answer.contains(&format!("--allow-origin {seen}")), "{answer}");
    }
}

#[tokio::test]
async fn listed_origins_and_the_same_host_may_connect_elsewhere() {
    let sockets = WebSockets::new().allow_origin("https://app.example".parse().unwrap());
    let sockets = sockets.allow_origin("null".parse().unwrap());
    let mut server = Server::taking(sockets.clone()).await;
    with_origin(&mut server, "Origin: https://APP.example:443").await.unwrap();
    with_origin(&mut server, "Origin: null").await.unwrap();
    with_origin(&mut server, "Origin: http://app.example").await.unwrap_err();
    with_origin(&mut server, "Origin: https://app.example:8443").await.unwrap_err();

    // What counts is where the connection arrives: a listener on all addresses is reached over
    // loopback, too.
    let listener = TcpListener::bind(&"tcp://0.0.0.0:0".parse().unwrap()).await.unwrap();
    let (_, port) = listener.endpoint().host_port().unwrap();
    let mut client = RawClient::connect(&format!("127.0.0.1:{port}")).await;
    let mut everywhere = Server { listener: listener.with_http(Arc::new(sockets.clone())), config: server.config };
    client.send(&upgrade_with("Host: evil.example:5\r\nOrigin: http://evil.example:5")).await;
    let (refused, answer) = tokio::join!(everywhere.accept(), client.answer());
    assert!(answer.starts_with("HTTP/1.1 403 "), "a name that was rebound to loopback: {answer}");
    refused.unwrap_err();

    let arrives = Some("10.0.0.7".parse().unwrap());
    for (over, host, origin, welcome) in [
        // A name is certain where the browser has verified it.
        ("tls", "node.lan:5", "https://Node.LAN:8000", true),
        ("tcp", "node.lan:5", "http://node.lan:5", false),
        ("tcp", "10.0.0.7", "https://10.0.0.7", true),
        ("tls", "node.lan:5", "http://other.lan:5", false),
        ("tls", "node.lan:5", "http://localhost", false),
    ] {
        let (ours, mut client) = duplex(64 * 1024);
        client.write_all(&upgrade_with(&format!("Host: {host}\r\nOrigin: {origin}"))).await.unwrap();
        client.shutdown().await.unwrap();
        let (reader, writer) = split(ours);
        let offer = HttpOffer { upgrade: Arc::new(sockets.clone()), local: arrives };
        let peer = PeerInfo::new(over, "test");
        let accepted = Link::accept_or_upgrade(reader, writer, &LinkConfig::default(), peer, Some(offer)).await;
        assert_eq!(accepted.is_ok(), welcome, "{over} {host} {origin}");
    }
}

#[tokio::test]
async fn without_the_seam_a_listener_says_so() {
    let mut listener = TcpListener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let connector = WsConnector::new(format!("ws://{}", listener.endpoint().address()).parse().unwrap());
    let connecting = tokio::spawn(async move { connector.connect(&Default::default()).await });
    let pending = poll_fn(|cx| listener.poll_accept(cx, &Default::default())).await.unwrap();
    let accepted = timeout(PATIENCE, pending.upgrade()).await.unwrap().unwrap_err();
    assert!(accepted.to_string().contains("WebSocket is not offered"), "{accepted}");
    let error = connecting.await.unwrap().unwrap_err();
    let said = error.to_string();
    assert!(said.contains("status 400") && said.contains("WebSocket is not offered"), "{said}");
}
