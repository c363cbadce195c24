//! Clients that only look who is there.

use std::time::Duration;

use daffi_core::{Client, InitializationError, NodeConfig};
use daffi_transport::{Endpoint, mem::MemConnector};
use daffi_wire::{Handshake, Kind, Ping};
use futures::{FutureExt, StreamExt};
use tokio::time::timeout;

use crate::{
    peer::{Peer, handshake},
    support::{Formats, client, endpoint, formats, node, plain, router, router_with, service, service_at, worker},
};

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(300), future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

async fn look(at: &Endpoint, name: &str) -> (Peer, Handshake) {
    let mut peer = Peer::connect(at).await;
    let list = peer.hello_saying(name, "client/4", "null", "look:only").await;
    (peer, list)
}

fn names(list: &Handshake) -> Vec<&str> {
    list.members.iter().map(|member| member.name.as_str()).collect()
}

/// All that had come when a question that was asked last is answered.
async fn hear(peer: &mut Peer) -> Vec<Kind> {
    peer.send_bytes(Ping::Asks(*b"anything").frame().as_bytes()).await;
    let mut heard = Vec::new();
    loop {
        let frame = soon("an answer", peer.receive()).await.expect("the connection lives");
        if matches!(Ping::read(&frame), Ok(ping) if ping.answer().is_none()) {
            return heard;
        }
        heard.push(frame.kind());
    }
}

#[tokio::test]
async fn a_router_tells_nobody_of_a_client_that_looks() {
    let (router, at) = router();
    let mut events = router.events();
    let mut worker = Peer::connect(&at).await;
    worker.hello_with("w", "client/4", r#"["f"]"#).await;
    // Its name is another's, and costs that one nothing.
    let (mut looker, list) = look(&at, "w").await;
    assert_eq!((names(&list), list.members[0].methods.len()), (vec!["w"], 1));
    assert_eq!(router.members().len(), 1);
    let mut late = Peer::connect(&at).await;
    assert_eq!(names(&late.hello_with("late", "client/4", "null").await), ["w", "late"]);
    assert_eq!(worker.expect(Kind::Handshake).await.matches("late").count(), 1);
    assert!(worker.expect(Kind::Events).await.contains("late"));
    assert_eq!(hear(&mut looker).await, [], "nothing of what came after");
    let again = looker.hello_saying("w", "client/4", "null", "look:only").await;
    assert!(names(&again).is_empty() && again.error.is_none(), "the list is given once");
    // A call to the name reaches who bears it, and not who looks.
    late.send_to(Kind::Request, 2, ["late", "w", "f"], "{}", true).await;
    worker.expect(Kind::Request).await;
    drop(looker);
    assert_eq!(hear(&mut worker).await, [], "its end is told to nobody");
    let told: Vec<_> = [events.next().await, events.next().await].into_iter().flatten().collect();
    assert_eq!(told.iter().map(|event| event.member()).collect::<Vec<_>>(), ["w", "late"]);
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_service_tells_nobody_of_a_client_that_looks() {
    let (service, at) = service(vec![plain("f", |(n,): (i64,)| Ok(n))]);
    let mut events = service.events();
    let first = client(&at, "same").await;
    let (mut looker, list) = look(&at, "same").await;
    assert_eq!(names(&list), ["svc"]);
    assert_eq!(service.clients(), ["same"]);
    assert_eq!(first.rpc().call::<i64>("f", (5,)).await.unwrap(), 5);
    service.add_callbacks(vec![plain("g", |(n,): (i64,)| Ok(n))]).unwrap();
    assert_eq!(hear(&mut looker).await, []);
    drop(looker);
    first.stop().await;
    let told: Vec<_> = [events.next().await, events.next().await].into_iter().flatten().collect();
    assert!(told.iter().all(|event| event.member() == "same"), "{told:?}");
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_client_that_looks_neither_calls_nor_exposes() {
    let config = NodeConfig::server();
    let (at_service, (_router, at_router)) = (endpoint(), router_with(config.clone()));
    let _service = service_at(&at_service, config, vec![plain("f", |(n,): (i64,)| Ok(n))]);
    let _worker = worker(&at_router, "svc", vec![plain("f", |(n,): (i64,)| Ok(n))]).await;
    for at in [at_service, at_router] {
        let (mut looker, _) = look(&at, "looker").await;
        looker.send_to(Kind::Request, 0, ["looker", "svc", "f"], "{}", false).await;
        looker.send_to(Kind::Request, 7, ["looker", "svc", "f"], "{}", true).await;
        assert!(looker.expect(Kind::Error).await.contains("PermissionError"));
        let mut exposing = Peer::connect(&at).await;
        let refused = exposing.hello_saying("exposing", "client/4", r#"["f"]"#, "look:only").await;
        assert!(refused.error.is_some_and(|why| why.contains("look:only")));
        assert!(soon("the end", exposing.receive()).await.is_none());
        // The section means nothing on a link of level 3.
        let mut old = Peer::connect(&at).await;
        let list = old.hello_saying("old", "client", r#"["f"]"#, "look:only").await;
        assert!(list.error.is_none());
        old.send_to(Kind::Request, 7, ["old", "svc", "f"], r#"{"args":[5],"kwargs":{}}"#, true).await;
        assert!(soon("an answer", old.expect(Kind::Response)).await.contains('5'));
    }
}

#[tokio::test]
async fn who_looks_counts_as_a_connection_and_holds_up_no_end() {
    let (router, at) = router_with(NodeConfig::server().max_connections(1).grace(Duration::from_secs(3000)));
    let (mut looker, _) = look(&at, "looker").await;
    let mut refused = Peer::connect(&at).await;
    assert!(soon("the end of the second", refused.receive()).await.is_none());
    let stopping = tokio::spawn({
        let router = router.clone();
        async move { router.stop().await }
    });
    assert!(soon("the end of the first", looker.receive()).await.is_none());
    drop(looker);
    soon("the end of the router", stopping).await.unwrap();
}

fn looking(at: &Endpoint) -> daffi_core::ClientBuilder<Formats> {
    Client::builder(node("looker"), Box::new(MemConnector::new(at.clone())), formats()).look_only()
}

#[tokio::test]
async fn a_client_of_this_crate_looks() {
    let (router, at) = router();
    let _worker = worker(&at, "w", vec![plain("f", |(n,): (i64,)| Ok(n))]).await;
    let looker = looking(&at).connect().await.unwrap();
    assert_eq!(looker.members().iter().map(|member| member.name.to_string()).collect::<Vec<_>>(), ["w"]);
    assert_eq!(router.members().len(), 1);
    let refused = looker.rpc().call::<i64>("f", (5,)).await.unwrap_err();
    assert_eq!(refused.remote().map(|error| error.class.as_str()), Some("PermissionError"));
    let callback = || vec![plain("f", |(n,): (i64,)| Ok(n))];
    assert!(matches!(looker.add_callbacks(callback()), Err(InitializationError::LooksOnly)));
    let refused = looking(&at).callbacks(callback()).connect().await;
    assert!(matches!(refused, Err(InitializationError::LooksOnly)));
    looker.stop().await;
}

/// Who lists no callbacks is not in the line of those whose long lists are read one by one.
#[tokio::test]
async fn long_handshakes_that_are_to_list_nothing_are_refused_by_their_length() {
    let (router, at) = router();
    let list = format!("[{}]", vec![r#""callback""#; 10_000].join(","));
    for says in ["look:only", "token:follows"] {
        let mut peer = Peer::connect(&at).await;
        peer.send_bytes(handshake("long", "client/4", &list, says).as_bytes()).await;
        let answer = soon("an answer", peer.receive()).await.expect("an answer");
        let text = String::from_utf8_lossy(answer.payload()).into_owned();
        assert!(text.contains(says) && text.contains("65536 bytes at most"), "{text}");
        assert!(soon("its end", peer.receive()).await.is_none());
    }
    assert!(router.members().is_empty());
}
