//! A client in front of a server of 3.0.1, played by hand.

use std::{future::poll_fn, time::Duration};

use daffi_core::{CallError, Client, ClientState, Ended, MemberEvent, NodeConfig};
use daffi_transport::{Endpoint, LinkConfig, Listener, mem::MemListener};
use daffi_wire::{CallId, Frame, Handshake, Header, Kind, Limits};
use futures::StreamExt;
use tokio::time::Instant;

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
        let (mut peer, hello) = self.accept_unanswered().await;
        peer.send_bytes(answer_to(&hello, answer).as_bytes()).await;
        (peer, Handshake::parse(hello.payload(), &Limits::default()).unwrap())
    }

    /// The same before it is answered.
    pub(crate) async fn accept_unanswered(&mut self) -> (Peer, Frame) {
        let config = LinkConfig::default();
        let pending = poll_fn(|cx| self.0.poll_accept(cx, &config)).await.unwrap();
        let mut peer = Peer(pending.upgrade().await.unwrap());
        let hello = peer.receive().await.unwrap();
        assert_eq!(hello.kind(), Kind::Handshake);
        (peer, hello)
    }
}

pub(crate) fn answer_to(hello: &Frame, answer: &str) -> Frame {
    Frame::new(hello.header(), hello.transmitter(), "", "", answer.as_bytes(), &Limits::default()).unwrap()
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

async fn control(peer: &mut Peer, kind: Kind, body: &str) {
    let header = Header::control(kind, daffi_wire::CallId::NONE, false);
    let frame = Frame::new(header, "", "", "", body.as_bytes(), &Limits::default()).unwrap();
    peer.send_bytes(frame.as_bytes()).await;
}

#[tokio::test(start_paused = true)]
async fn who_joins_while_a_connection_is_replaced_in_vain_is_shown() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let (mut state, mut events) = (client.state(), client.events());
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    let (second, _) = server.accept_unanswered().await;
    assert_eq!(*state.borrow(), ClientState::Replacing);
    control(
        &mut first,
        Kind::Handshake,
        r#"{"meta":{"type":"router","error":null},"members":[{"name":"w3","methods":["f"]}]}"#,
    )
    .await;
    control(&mut first, Kind::Events, r#"{"type":"connected","member":"w3"}"#).await;
    control(&mut first, Kind::Events, r#"{"type":"disconnected","member":"w1"}"#).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(*state.borrow(), ClientState::Replacing);
    drop(second);
    state.wait_for(|state| *state == ClientState::Connected).await.unwrap();
    assert!(client.members().get("w3").is_some() && client.members().get("w1").is_none());
    client.wait_for_members(&["w3"], Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!(events.next().await, Some(MemberEvent::Removed("w1".into())));
    assert_eq!(events.next().await, Some(MemberEvent::Added("w3".into())));
    let (_third, hello) = server.accept(ROUTER).await;
    assert_eq!(hello.members[0].methods[0].as_str(), "g", "they are announced all the same");
}

/// Nobody can say whether answers to what was open on the connection before still come.
#[tokio::test(start_paused = true)]
async fn what_was_open_on_the_connection_before_holds_nothing_up() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().receiver("w1").call::<i64>("f", ()).await }
    });
    assert_eq!(first.receive().await.unwrap().method(), "f");
    drop(first);
    assert!(open.await.unwrap().is_err());
    let (mut second, _) = server.accept(ROUTER).await;
    client.wait_for_connection().await.unwrap();
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    let announced = tokio::time::timeout(Duration::from_secs(5), server.accept(ROUTER)).await;
    let (third, hello) = announced.expect("they are announced");
    assert_eq!(hello.members[0].methods[0].as_str(), "g");
    assert!(second.receive().await.is_none());

    // Nor is the end of the node.
    client.wait_for_connection().await.unwrap();
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().receiver("w1").call::<i64>("f", ()).await }
    });
    let mut third = third;
    assert_eq!(third.receive().await.unwrap().method(), "f");
    drop(third);
    assert!(open.await.unwrap().is_err());
    let (_fourth, _) = server.accept(ROUTER).await;
    client.wait_for_connection().await.unwrap();
    let begun = tokio::time::Instant::now();
    client.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_connection_soon_is_come_back_to_ever_more_rarely() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (_client, (first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let begun = Instant::now();
    drop(first);
    for _ in 0..20 {
        drop(server.accept(ROUTER).await);
    }
    assert!(begun.elapsed() > Duration::from_secs(5), "{:?}", begun.elapsed());
    // One that stood for some time is made again at once.
    let (stands, _) = server.accept(ROUTER).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    drop(stands);
    drop(server.accept(ROUTER).await);
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
}

/// What was on its way of an attempt that was given up may arrive behind the next one's handshake,
/// and then the server evicts the connection that stands.
#[tokio::test(start_paused = true)]
async fn an_earlier_attempt_that_takes_the_name_ends_no_client() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    drop(first);
    // This one gets no answer in time.
    let config = LinkConfig::default();
    let pending = poll_fn(|cx| server.0.poll_accept(cx, &config)).await.unwrap();
    let _silent = pending.upgrade().await.unwrap();
    for contested in [true, false] {
        let (mut peer, _) = server.accept(ROUTER).await;
        evict(&mut peer).await;
        if !contested {
            // By another node of this name, as nothing of this one is on its way.
            assert_eq!(client.join().await, Ended::Evicted);
        }
    }
}

/// Tells "me" that another one bears its name.
pub(crate) async fn evict(peer: &mut Peer) {
    let evicted = br#"{"type":"evicted","member":"me"}"#;
    let header = Header::new(Kind::Events, CallId::NONE, daffi_wire::FormatId::JSON, false, false);
    let evicted = Frame::new(header, "", "", "", evicted, &Limits::default()).unwrap();
    peer.send_bytes(evicted.as_bytes()).await;
}

/// By then nothing of it is on its way any more.
#[tokio::test(start_paused = true)]
async fn long_after_an_attempt_that_was_given_up_another_node_is_believed_to_have_the_name() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    drop(first);
    let _silent = server.accept_unanswered().await;
    let (mut peer, _) = server.accept(ROUTER).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    evict(&mut peer).await;
    assert_eq!(client.join().await, Ended::Evicted);
}

/// What was refused takes no name.
#[tokio::test(start_paused = true)]
async fn after_an_attempt_that_was_refused_another_node_is_believed_to_have_the_name() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    drop(first);
    drop(server.accept_unanswered().await);
    let (mut peer, _) = server.accept(ROUTER).await;
    evict(&mut peer).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), client.join()).await;
    assert_eq!(ended, Ok(Ended::Evicted));
}

/// The one that works is no sign that those which were given up before it have arrived.
#[tokio::test(start_paused = true)]
async fn each_attempt_that_was_given_up_may_take_the_name_once() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    drop(first);
    let _silent = [server.accept_unanswered().await, server.accept_unanswered().await];
    for _ in 0..3 {
        let accepted = tokio::time::timeout(Duration::from_secs(60), server.accept(ROUTER)).await;
        let (mut peer, _) = accepted.expect("the client comes back");
        evict(&mut peer).await;
    }
    let ended = tokio::time::timeout(Duration::from_secs(5), client.join()).await;
    assert_eq!(ended, Ok(Ended::Evicted));
}
