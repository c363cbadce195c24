//! What those who are connected, and those who come, see of a node that stops: clients of 3.0.1
//! come back only once.

use std::{
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use daffi_core::{Router, Service};
use daffi_transport::{Connector, Endpoint, LinkConfig, Listener, Pending, mem};
use daffi_wire::{CallId, Extensions, Kind};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::{
    peer::{Peer, handshake, request},
    support::{asynchronous, endpoint, formats, node, service},
};

/// Longer than answers settle and connections linger.
const LONG: Duration = Duration::from_secs(3);

/// A callback that ends when it is told.
fn held(end: &Arc<Notify>) -> daffi_core::Callback {
    let end = Arc::clone(end);
    asynchronous("held", move |(): ()| {
        let end = Arc::clone(&end);
        async move {
            end.notified().await;
            7
        }
    })
}

async fn is_refused(at: &Endpoint) -> bool {
    mem::MemConnector::new(at.clone()).connect(&LinkConfig::default()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn old_clients_are_let_in_to_the_end_and_all_end_together() {
    let end = Arc::new(Notify::new());
    let (service, at) = service(vec![held(&end)]);
    let mut busy = Peer::connect(&at).await;
    busy.hello("busy").await;
    let mut idle = Peer::connect(&at).await;
    idle.hello("idle").await;
    busy.send(Kind::Request, 2, "busy", "held", r#"{"args": [], "kwargs": {}}"#).await;
    tokio::time::sleep(LONG).await;
    let stopping = tokio::spawn({
        let service = service.clone();
        async move { service.stop().await }
    });
    tokio::task::yield_now().await;

    let mut late = Peer::connect(&at).await;
    assert_eq!(late.hello("late").await.error, None, "one of 3.0.1 would not try again");
    late.send(Kind::Request, 2, "late", "held", r#"{"args": [], "kwargs": {}}"#).await;
    assert!(late.expect(Kind::Error).await.contains("svc is stopping: held did not run"));
    let new = Peer::connect(&at).await.hello_with("new", "client/4", "null").await;
    assert_eq!(new.error.as_deref(), Some("svc is stopping"), "one of level 4 tries again");
    for peer in [&mut idle, &mut late] {
        assert!(timeout(LONG, peer.receive()).await.is_err(), "a call is still open");
    }

    let ended = Instant::now();
    end.notify_one();
    let (answer, old, come) = tokio::join!(busy.expect(Kind::Response), idle.receive(), late.receive());
    assert!(answer.contains('7') && old.is_none() && come.is_none());
    let settled = ended.elapsed();
    assert!((Duration::from_millis(250)..Duration::from_millis(300)).contains(&settled), "{settled:?}");
    assert!(is_refused(&at).await, "who has lost its connection finds nobody");
    assert!(busy.receive().await.is_none());
    stopping.await.unwrap();
    assert_eq!(ended.elapsed(), settled, "and it is over at that moment");
}

/// It says again that it moves on, when clients have had their time to do so.
#[tokio::test(start_paused = true)]
async fn a_client_that_found_no_other_server_does_not_get_its_time_again() {
    let end = Arc::new(Notify::new());
    let (service, at) = service(vec![held(&end)]);
    let mut peer = Peer::connect(&at).await;
    peer.hello_saying("x", "client/4", "null", "moves:on").await;
    let call = |id| request(id, ["x", "svc", "held"], &Extensions::default(), r#"{"args": [], "kwargs": {}}"#);
    peer.send_bytes(call(2).as_bytes()).await;
    let stopping = tokio::spawn({
        let service = service.clone();
        async move { service.stop().await }
    });
    tokio::time::sleep(LONG).await;
    peer.send_bytes(handshake("x", "client/4", "null", "moves:on").as_bytes()).await;
    peer.send_bytes(call(3).as_bytes()).await;
    loop {
        let frame = peer.receive().await.expect("an answer");
        if frame.header().id() == CallId(3) {
            assert_eq!(frame.kind(), Kind::Error, "{frame:?}");
            break;
        }
        assert_ne!(frame.kind(), Kind::Response, "{frame:?}");
    }
    end.notify_one();
    drop(peer);
    stopping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn idle_clients_take_no_time() {
    let at = endpoint();
    let listener = Box::new(mem::MemListener::bind(&at).unwrap());
    let router = Router::builder(node("router")).listen(vec![listener]).unwrap();
    let mut peers = Vec::new();
    for number in 0..20 {
        let mut peer = Peer::connect(&at).await;
        peer.hello(&format!("idle-{number}")).await;
        peers.push(peer);
    }
    tokio::time::sleep(LONG).await;
    let begun = Instant::now();
    router.stop().await;
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
}

/// A member that can be told of a restart, and comes back, does not make those wait that cannot.
#[tokio::test(start_paused = true)]
async fn new_clients_end_before_the_listener_does() {
    let (service, at) = service(Vec::new());
    let mut new = Peer::connect(&at).await;
    new.hello_with("new", "client/4", "null").await;
    let mut old = Peer::connect(&at).await;
    old.hello("old").await;
    let stopping = tokio::spawn({
        let service = service.clone();
        async move { service.stop().await }
    });
    // It does not close its end: for as long as a connection lingers.
    new.sees_a_farewell().await;
    assert!(timeout(Duration::from_millis(500), old.receive()).await.is_err());
    assert!(!is_refused(&at).await);
    let begun = Instant::now();
    drop(new);
    assert!(old.receive().await.is_none());
    stopping.await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
}

/// A listener of which a supervisor keeps the socket.
struct Kept(Arc<Mutex<mem::MemListener>>, Endpoint);

impl Listener for Kept {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        self.0.lock().unwrap().poll_accept(cx, config)
    }

    fn endpoint(&self) -> &Endpoint {
        &self.1
    }

    fn is_handed_over(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_to_a_listener_that_was_handed_over_waits_for_the_next_node() {
    let (at, end) = (endpoint(), Arc::new(Notify::new()));
    let socket = Arc::new(Mutex::new(mem::MemListener::bind(&at).unwrap()));
    let start = |callback| {
        let kept: Box<dyn Listener> = Box::new(Kept(Arc::clone(&socket), at.clone()));
        Service::builder(node("svc"), formats()).callbacks(vec![callback]).listen(vec![kept]).unwrap()
    };
    let first = start(held(&end));
    let mut busy = Peer::connect(&at).await;
    busy.hello("busy").await;
    busy.send(Kind::Request, 2, "busy", "held", r#"{"args": [], "kwargs": {}}"#).await;
    tokio::time::sleep(LONG).await;
    let stopping = tokio::spawn({
        let first = first.clone();
        async move { first.stop().await }
    });
    tokio::task::yield_now().await;
    let mut late = Peer::connect(&at).await;
    let answered = async {
        let hello = late.hello("late").await;
        (hello, Instant::now())
    };
    let restarted = async {
        tokio::time::sleep(LONG).await;
        end.notify_one();
        stopping.await.unwrap();
        let begun = Instant::now();
        (start(held(&end)), begun)
    };
    let ((hello, answered), (second, begun)) = tokio::join!(answered, restarted);
    assert!(hello.error.is_none() && answered >= begun, "the one that stops accepts nobody");
    late.send(Kind::Request, 2, "late", "held", r#"{"args": [], "kwargs": {}}"#).await;
    end.notify_one();
    assert!(late.expect(Kind::Response).await.contains('7'));
    drop(second);
}
