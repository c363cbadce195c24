//! Connections in whose place another comes while they stand, and what goes on there.

use std::{sync::Arc, time::Duration};

use daffi_core::{CallError, Client, ClientState, Disconnected, StreamError};
use daffi_transport::{BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, mem::MemConnector};
use daffi_wire::{FormatId, Frame, Header, Kind, Level, Limits, Ping};
use futures::stream;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};

use crate::{
    level_three::{ROUTER, Server, answer_to, connect, evict},
    peer::{Peer, send},
    support::{Formats, endpoint, formats, node, plain, router},
};

const LONG: Duration = Duration::from_secs(120);

/// The next request.
async fn request(peer: &mut Peer) -> Frame {
    loop {
        let frame = timeout(LONG, peer.receive()).await.expect("in time").expect("a request");
        if frame.kind() == Kind::Request {
            return frame;
        }
    }
}

async fn acknowledge(peer: &mut Peer, request: &Frame) {
    let header = Header::new(Kind::Response, request.header().id(), FormatId::JSON, true, false);
    let [from, to, method] = [request.receiver(), request.transmitter(), request.method()];
    let body = br#"{"args": [null], "kwargs": {}}"#;
    send(peer, &Frame::new(header, from, to, method, body, &Limits::default()).unwrap()).await;
}

/// A stream of the chunks that are sent here, to `w1`.
fn streaming(
    client: &Client<Formats>,
) -> (mpsc::UnboundedSender<i64>, tokio::task::JoinHandle<Result<u64, StreamError>>) {
    let (chunks, mut source) = mpsc::unbounded_channel();
    let call = client.stream().receiver("w1").serde(FormatId::JSON);
    let chunks_of = stream::poll_fn(move |cx| source.poll_recv(cx));
    (chunks, tokio::spawn(async move { call.send("f", chunks_of).await }))
}

#[tokio::test]
async fn a_stream_between_two_chunks_keeps_its_connection() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let (chunks, streamed) = streaming(&client);
    chunks.send(1).unwrap();
    let chunk = request(&mut first).await;
    acknowledge(&mut first, &chunk).await;
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    let replaced = timeout(Duration::from_millis(200), server.accept(ROUTER)).await;
    assert!(replaced.is_err(), "a stream is to send more");
    chunks.send(2).unwrap();
    let chunk = request(&mut first).await;
    acknowledge(&mut first, &chunk).await;
    drop(chunks);
    assert_eq!(streamed.await.unwrap().unwrap(), 2);
    let (_second, hello) = timeout(LONG, server.accept(ROUTER)).await.unwrap();
    assert_eq!(hello.members[0].methods[0].as_str(), "g");
}

/// `reannounce` waits for nobody. An answer to what is sent on the old connection would come on the
/// new one, to a call that has the number there.
#[tokio::test]
async fn while_hands_are_shaken_no_call_number_is_given_out_twice() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let (chunks, streamed) = streaming(&client);
    chunks.send(1).unwrap();
    let chunk = request(&mut first).await;
    acknowledge(&mut first, &chunk).await;
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    client.reannounce();
    let (mut second, hello) = server.accept_unanswered().await;
    chunks.send(2).unwrap();
    let sent = timeout(Duration::from_millis(200), first.receive()).await;
    assert!(sent.is_err(), "the next connection goes on with the numbers");
    send(&mut second, &answer_to(&hello, ROUTER)).await;
    let error = timeout(LONG, streamed).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(*error.source, CallError::Disconnected(Disconnected::Replaced)), "{error}");
    let call = client.rpc().receiver("w1").wait_for_connection();
    let (called, ()) = tokio::join!(call.call::<()>("f", ()), async {
        let call = request(&mut second).await;
        acknowledge(&mut second, &call).await;
    });
    called.unwrap();
}

/// A server of 3.0.1 gives the name to the second HANDSHAKE, which is this node's own.
#[tokio::test]
async fn whose_connection_is_replaced_is_not_told_that_its_node_has_ended() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().receiver("w1").call::<()>("f", ()).await }
    });
    request(&mut first).await;
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    client.reannounce();
    let (mut second, hello) = server.accept_unanswered().await;
    evict(&mut first).await;
    let error = timeout(LONG, open).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, CallError::Disconnected(Disconnected::Replaced)), "{error}");
    send(&mut second, &answer_to(&hello, ROUTER)).await;
    let call = client.rpc().receiver("w1").wait_for_connection();
    let (called, ()) = tokio::join!(call.call::<()>("f", ()), async {
        let call = request(&mut second).await;
        acknowledge(&mut second, &call).await;
    });
    called.unwrap();
    assert_eq!(client.stats().reconnects, 0);
}

/// As much of a long answer comes each moment as is taken for a sign that it goes on.
#[tokio::test(start_paused = true)]
async fn calls_are_held_back_no_longer_than_one_handshake_may_take() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    let (mut second, hello) = server.accept_unanswered().await;
    let dripping = tokio::spawn(async move {
        let long = format!("{ROUTER}{}", " ".repeat(1 << 20));
        for part in answer_to(&hello, &long).as_bytes().chunks(4096) {
            second.send_bytes(part).await;
            sleep(Duration::from_millis(100)).await;
        }
    });
    let call = client.rpc().receiver("w1").timeout(Duration::from_secs(5));
    let (called, ()) = tokio::join!(call.call::<()>("f", ()), async {
        let call = request(&mut first).await;
        acknowledge(&mut first, &call).await;
    });
    called.unwrap();
    assert!(!dripping.is_finished());
    dripping.abort();
}

/// Nothing of it was sent where all numbers were in use.
#[tokio::test]
async fn a_call_that_waits_for_a_number_is_made_on_the_connection_that_comes_next() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let reading = tokio::spawn(async move { while first.receive().await.is_some() {} });
    let mut open = Vec::new();
    for _ in 0..65_535 {
        let mut call = Box::pin(client.rpc().receiver("w2").call::<()>("f", ()));
        assert!(futures::poll!(&mut call).is_pending());
        open.push(call);
    }
    let mut waiting = Box::pin(client.rpc().receiver("w1").call::<()>("f", ()));
    let mut casting = client.cast().receivers(["w1"]).call::<()>("f", ());
    assert!(futures::poll!(&mut waiting).is_pending() && futures::poll!(&mut casting).is_pending());
    let streaming = client.rpc().receiver("w1");
    let mut results = Box::pin(streaming.results::<i64>("f", ()));
    assert!(futures::poll!(&mut results).is_pending(), "all numbers are in use");
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    client.reannounce();
    let (mut second, _) = server.accept(ROUTER).await;
    let error = open.remove(0).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected(Disconnected::Replaced)), "{error}");
    let answering = async {
        for _ in 0..3 {
            let call = request(&mut second).await;
            assert_eq!(call.receiver(), "w1");
            acknowledge(&mut second, &call).await;
        }
    };
    let (called, cast, streamed, ()) = tokio::join!(waiting, casting, results, answering);
    called.unwrap();
    cast.unwrap().remove("w1").unwrap().unwrap();
    streamed.unwrap();
    timeout(LONG, reading).await.unwrap().unwrap();
}

/// Links that stand as soon as there is a permit.
struct Gated(MemConnector, Arc<Semaphore>);

impl Connector for Gated {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (connecting, gate) = (self.0.connect(config), Arc::clone(&self.1));
        Box::pin(async move {
            gate.acquire().await.expect("a test's gate is never closed").forget();
            connecting.await
        })
    }

    fn endpoint(&self) -> &Endpoint {
        self.0.endpoint()
    }
}

#[tokio::test]
async fn calls_go_on_until_the_link_stands_that_is_to_replace_theirs() {
    let at = endpoint();
    let (mut server, gate) = (Server::bind(&at), Arc::new(Semaphore::new(1)));
    let connector = Box::new(Gated(MemConnector::new(at.clone()), Arc::clone(&gate)));
    let connecting = Client::builder(node("me"), connector, formats()).connect();
    let (client, (mut first, _)) = tokio::join!(connecting, server.accept(ROUTER));
    let client = client.unwrap();
    client.add_callbacks(vec![plain("g", |(): ()| Ok(1))]).unwrap();
    client.reannounce();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(*client.state().borrow(), ClientState::Connected);
    let (called, ()) = tokio::join!(client.rpc().receiver("w1").call::<()>("f", ()), async {
        let call = request(&mut first).await;
        acknowledge(&mut first, &call).await;
    });
    called.unwrap();
    gate.add_permits(1);
    let (_second, hello) = timeout(LONG, server.accept(ROUTER)).await.unwrap();
    assert_eq!(hello.members[0].methods[0].as_str(), "g");
}

const SILENT: &str = r#"{"meta":{"type":"router/4","error":null},"members":[{"name":"me","methods":[],"level":4},{"name":"w1","methods":["f"],"level":4}]}"#;

/// Its Router stood still for a while, and goes on.
#[tokio::test(start_paused = true)]
async fn what_goes_on_at_a_server_that_was_left_goes_on_there() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (other, there) = router();
    drop(other);
    let (one, two) = (Box::new(MemConnector::new(at.clone())), Box::new(MemConnector::new(there.clone())));
    let connecting = Client::builder(node("me"), one, formats()).or_at(two).retry(LONG).connect();
    let (client, (mut silent, _)) = tokio::join!(connecting, server.accept(SILENT));
    let client = client.unwrap();
    silent.0.reader.set_level(Level::FOUR);
    let listener = Box::new(daffi_transport::mem::MemListener::bind(&there).unwrap());
    let _router = daffi_core::Router::builder(node("router")).listen(vec![listener]).unwrap();
    let (chunks, streamed) = streaming(&client);
    chunks.send(1).unwrap();
    let chunk = request(&mut silent).await;
    acknowledge(&mut silent, &chunk).await;
    // This one waits for credit.
    let rpc = client.rpc_nowait().receiver("w1");
    let large = "x".repeat(100_000);
    rpc.call("f", (large.clone(),)).await.unwrap();
    let waits = tokio::spawn(async move { rpc.call("f", (large,)).await });
    while client.endpoint() != &there || !client.is_connected() {
        sleep(Duration::from_millis(100)).await;
    }
    // It lives again.
    send(&mut silent, &Ping::Answers(*b"is alive").frame()).await;
    sleep(Duration::from_secs(1)).await;
    chunks.send(2).unwrap();
    let chunk = loop {
        let chunk = request(&mut silent).await;
        if chunk.header().wants_reply() {
            break chunk;
        }
    };
    acknowledge(&mut silent, &chunk).await;
    drop(chunks);
    assert_eq!(streamed.await.unwrap().unwrap(), 2);
    // Nobody is there to grant anything.
    let error = timeout(LONG, waits).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, CallError::Disconnected(Disconnected::Replaced)), "the node lives: {error}");
}
