//! A client in front of a server of 3.0.1, played by hand.

use std::{future::poll_fn, time::Duration};

use daffi_core::{CallError, Client, NodeConfig};
use daffi_transport::{Endpoint, LinkConfig, Listener, mem::MemListener};
use daffi_wire::{Frame, Handshake, Header, Kind, Limits};

use crate::{
    peer::Peer,
    support::{Formats, endpoint, formats, node, plain},
};

pub(crate) struct Server(MemListener);

impl Server {
    pub(crate) fn bind(at: &Endpoint) -> Self {
        Self(MemListener::bind(at).unwrap())
    }

    /// The next connection, its handshake read and answered as a 3.0.1 server does.
    pub(crate) async fn accept(&mut self, answer: &str) -> (Peer, Handshake) {
        let config = LinkConfig::default();
        let pending = poll_fn(|cx| self.0.poll_accept(cx, &config)).await.unwrap();
        let mut peer = Peer(pending.upgrade().await.unwrap());
        let hello = peer.receive().await.unwrap();
        assert_eq!(hello.kind(), Kind::Handshake);
        let reply = Frame::new(hello.header(), hello.transmitter(), "", "", answer.as_bytes(), &Limits::default());
        peer.send_bytes(reply.unwrap().as_bytes()).await;
        (peer, Handshake::parse(hello.payload(), &Limits::default()).unwrap())
    }
}

pub(crate) const ROUTER: &str = r#"{"meta":{"type":"router","error":null},"members":[{"name":"me","methods":null},{"name":"w1","methods":["f"]},{"name":"w2","methods":["f"]}]}"#;

pub(crate) async fn connect(at: &Endpoint) -> Client<Formats> {
    let connector = Box::new(daffi_transport::mem::MemConnector::new(at.clone()));
    let config = NodeConfig::client();
    Client::builder(node("me"), connector, formats()).config(config).connect().await.unwrap()
}

#[tokio::test]
async fn added_callbacks_are_told_by_a_new_connection_when_no_call_is_open() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, hello)) = tokio::join!(connect(&at), server.accept(ROUTER));
    assert!(hello.members[0].methods.is_empty());
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().receiver("w1").call::<i64>("f", ()).await }
    });
    let request = first.receive().await.unwrap();
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    // As long as a call is open nothing happens, on this connection or on another.
    let nothing = tokio::time::timeout(Duration::from_millis(200), server.accept(ROUTER)).await;
    assert!(nothing.is_err(), "a call is open");
    let header = Header::new(Kind::Response, request.header().id(), daffi_wire::FormatId::JSON, true, false);
    let reply = Frame::new(header, "w1", "me", "f", br#"{"args": [5], "kwargs": {}}"#, &Limits::default()).unwrap();
    first.send_bytes(reply.as_bytes()).await;
    assert_eq!(open.await.unwrap().unwrap(), 5);
    let (mut second, hello) = server.accept(ROUTER).await;
    assert_eq!(hello.members[0].methods[0].as_str(), "g");
    assert!(first.receive().await.is_none(), "the old connection is closed, with no second handshake on it");
    // Calls go on over the new connection.
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.rpc_nowait().call("f", ()).await }
    });
    assert_eq!(second.receive().await.unwrap().method(), "f");
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_member_that_leaves_ends_its_calls_at_once() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut router, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().receiver("w2").call::<i64>("f", ()).await }
    });
    router.receive().await.unwrap();
    let header = Header::control(Kind::Events, daffi_wire::CallId::NONE, false);
    let event = br#"{"type":"disconnected","member":"w2"}"#;
    router.send_bytes(Frame::new(header, "", "", "", event, &Limits::default()).unwrap().as_bytes()).await;
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::ReceiverGone { receiver, .. } if receiver == "w2"), "{error}");
    let error = client.rpc().receiver("w2").call::<i64>("f", ()).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
}

#[tokio::test]
async fn calls_take_turns_among_workers() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut router, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let mut seen = Vec::new();
    for _ in 0..4 {
        client.rpc_nowait().call("f", ()).await.unwrap();
        seen.push(router.receive().await.unwrap().receiver().to_owned());
    }
    // The first turn is anybody's.
    let expected = if seen[0] == "w1" { ["w1", "w2", "w1", "w2"] } else { ["w2", "w1", "w2", "w1"] };
    assert_eq!(seen, expected);
}

const SERVICE: &str =
    r#"{"meta":{"type":"service","error":null},"members":[{"name":"svc","methods":["slow","fast"]}]}"#;

#[tokio::test]
async fn a_late_answer_on_the_next_connection_reaches_no_other_call() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(SERVICE));
    let short = client.rpc().timeout(Duration::from_millis(50));
    let (given_up, slow) = tokio::join!(short.call::<String>("slow", ()), first.receive());
    given_up.unwrap_err();
    let slow = slow.unwrap();
    drop(first);
    let (mut second, _) = server.accept(SERVICE).await;
    client.wait_for_connection().await.unwrap();
    let answers = async {
        let fast = second.receive().await.unwrap();
        // 3.0.1 sends the late answer to whoever bears the name by now (docs/protocol.md#4).
        for (request, text) in [(&slow, "answer of slow"), (&fast, "answer of fast")] {
            let header = Header::new(Kind::Response, request.header().id(), daffi_wire::FormatId::JSON, true, false);
            let body = format!(r#"{{"args": ["{text}"], "kwargs": {{}}}}"#);
            let answer = Frame::new(header, "svc", "me", request.method(), body.as_bytes(), &Limits::default());
            second.send_bytes(answer.unwrap().as_bytes()).await;
        }
    };
    let rpc = client.rpc().wait_for_connection();
    let (answer, ()) = tokio::join!(rpc.call::<String>("fast", ()), answers);
    assert_eq!(answer.unwrap(), "answer of fast");
}

#[tokio::test]
async fn a_client_leaves_a_3_0_1_server_only_when_its_calls_are_answered() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut service, _)) = tokio::join!(connect(&at), server.accept(SERVICE));
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().call::<String>("slow", ()).await }
    });
    let slow = service.receive().await.unwrap();
    let stopping = tokio::spawn({
        let client = client.clone();
        async move { client.stop().await }
    });
    let early = tokio::time::timeout(Duration::from_millis(100), service.receive()).await;
    assert!(early.is_err(), "the thread of a 3.0.1 service dies when its caller is gone");
    let header = Header::new(Kind::Response, slow.header().id(), daffi_wire::FormatId::JSON, true, false);
    let answer = Frame::new(header, "svc", "me", "slow", br#"{"args": ["done"], "kwargs": {}}"#, &Limits::default());
    service.send_bytes(answer.unwrap().as_bytes()).await;
    assert_eq!(open.await.unwrap().unwrap(), "done");
    assert!(service.receive().await.is_none());
    stopping.await.unwrap();
}
