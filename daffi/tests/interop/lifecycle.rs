//! Nodes that come, go, come back, and take each other's names.

use std::time::{Duration, Instant};

use daffi::{CallError, Callbacks, Client, Disconnected, Ended, Events, MemberEvent, Service};
use daffi_testing::Peer;
use futures::StreamExt;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{Held, PATIENCE, Transport, endpoint, eventually, python_client, rust_client};

/// What ends "at once" has no time to wait for a poll interval of a second.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(900);

pub(crate) async fn next(events: &mut Events) -> MemberEvent {
    tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time").expect("the node runs")
}

/// A call of `sleep` that runs at `worker` and will not end by itself.
pub(crate) async fn held_call(client: &Client, worker: &Peer) -> tokio::task::JoinHandle<Result<f64, CallError>> {
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().receiver(client_target(&client)).call("sleep", (600,)).await }
    });
    eventually("the callback runs", async || (worker.invoke("peak", json!([])).await == 1).then_some(())).await;
    call
}

fn client_target(client: &Client) -> String {
    client.members().receivers_of("peak").expect("a member exposes it")[0].to_string()
}

#[tokio::test]
async fn a_rust_service_sees_python_clients_come_and_go() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let mut events = service.events();
    let polite = python_client(&service).name("polite").start().await;
    assert_eq!(next(&mut events).await, MemberEvent::Added("polite".into()));
    let doomed = python_client(&service).name("doomed").start().await;
    assert_eq!(next(&mut events).await, MemberEvent::Added("doomed".into()));
    let mut clients = service.clients();
    clients.sort();
    assert_eq!(clients, ["doomed", "polite"]);
    polite.stop().await;
    assert_eq!(next(&mut events).await, MemberEvent::Removed("polite".into()));
    doomed.kill();
    assert_eq!(next(&mut events).await, MemberEvent::Removed("doomed".into()));
    assert!(service.clients().is_empty());
}

#[tokio::test]
async fn the_newer_of_two_python_clients_takes_the_name() {
    let service = Transport::Tcp.rust_service("service", 4).await;
    let mut events = service.events();
    // Not in join(), from where 3.0.1 would reconnect and take the name back.
    let old = python_client(&service).name("same").start().await;
    assert_eq!(next(&mut events).await, MemberEvent::Added("same".into()));
    let open = old.call("sleep", json!([600])).timeout(60);
    let (error, new) = tokio::join!(open.error(), python_client(&service).name("same").start());
    assert!(error.message.starts_with("Unexpected response"), "{error}");
    assert_eq!(next(&mut events).await, MemberEvent::Evicted("same".into()));
    assert_eq!(next(&mut events).await, MemberEvent::Added("same".into()));
    assert_eq!(new.call("add", json!([3, 4])).ok().await, 7);
    assert_eq!(service.clients(), ["same"]);
}

#[tokio::test]
async fn a_rust_client_is_told_by_python_servers_that_it_was_evicted() {
    for server in [Peer::service(), Peer::router()] {
        let server = server.start().await;
        let old = rust_client("same", &server.endpoint()).await;
        let new = rust_client("same", &server.endpoint()).await;
        let ended = tokio::time::timeout(PATIENCE, old.join()).await.expect("told in time");
        assert_eq!(ended.unwrap(), Ended::Evicted, "{server:?}");
        let error = old.rpc().call::<i64>("add", (3, 4)).await.unwrap_err();
        assert!(matches!(error, CallError::Evicted), "{server:?}: {error}");
        assert!(new.is_connected(), "{server:?}: the old one does not fight back");
    }
}

#[tokio::test]
async fn a_killed_python_service_ends_calls_at_once_and_is_found_again() {
    let service = Transport::Tcp.python_service().start().await;
    let at = service.endpoint();
    let client = rust_client("caller", &at).await;
    let open = held_call(&client, &service).await;
    let killed = Instant::now();
    service.kill();
    let error = open.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Disconnected(_)), "{error}");
    assert!(killed.elapsed() < AT_ONCE, "{:?}", killed.elapsed());

    let error = client.rpc().call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected(Disconnected::NotConnected)), "{error}");
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().wait_for_connection().call::<i64>("add", (3, 4)).await }
    });
    let _back = Peer::service().at(&at).start().await;
    assert_eq!(waiting.await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn a_rust_service_that_stops_answers_what_it_has_received() {
    let held = Held::default();
    let service = Service::builder("service").callbacks(held.callbacks()).bind("tcp://127.0.0.1:0").await.unwrap();
    let client = python_client(&service).start().await;
    let stopping = async {
        held.begun.notified().await;
        let stopping = tokio::spawn({
            let service = service.clone();
            async move { service.stop().await }
        });
        // A client of 3.0.1 that is refused never comes back: one that comes now is let in.
        let late = python_client(&service).name("late").start().await;
        let error = late.call("held", json!([])).timeout(20).error().await;
        assert_eq!((error.class.as_str(), error.is_remote()), ("NodeStopping", true), "{error}");
        assert!(error.message.contains("service is stopping: held did not run"), "{error}");
        held.end.notify_one();
        stopping.await.unwrap();
        let at = endpoint(&service).trim_start_matches("tcp://");
        assert!(TcpStream::connect(at).await.is_err());
    };
    let (result, ()) = tokio::join!(client.call("held", json!([])).timeout(20).ok(), stopping);
    assert_eq!(result, 7);
}

#[tokio::test]
async fn late_callbacks_of_a_rust_service_reach_connected_python_clients() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let client = python_client(&service).name("early").start().await;
    assert!(!client.members().await["service"].contains(&"late".to_owned()));
    service.add_callbacks(Callbacks::new().callback_fn("late", |x: i64| async move { x * 2 })).unwrap();
    eventually("the client knows it", async || {
        client.members().await["service"].contains(&"late".to_owned()).then_some(())
    })
    .await;
    assert_eq!(client.call("late", json!([21])).ok().await, 42);
    assert_eq!(client.call("add", json!([3, 4])).ok().await, 7);
    assert_eq!(service.clients(), ["early"]);
}

#[tokio::test]
async fn a_restarted_rust_service_is_found_by_the_next_python_call() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let at = endpoint(&service).to_owned();
    let client = python_client(&service).start().await;
    assert_eq!(client.call("add", json!([3, 4])).ok().await, 7);
    service.stop().await;
    let again = Service::builder("service").callback_fn("add", |a: i64, b: i64| async move { a + b });
    let _again = again.bind(&at).await.unwrap();
    let sum =
        eventually("3.0.1 has reconnected", async || client.call("add", json!([3, 4])).outcome().await.ok()).await;
    assert_eq!(sum, 7);
}
