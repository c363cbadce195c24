//! Rust nodes behind a Router of 3.0.1.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use daffi::{CallError, Callbacks, Client, MemberEvent};
use daffi_testing::Peer;
use futures::future::join_all;
use serde_json::json;

use crate::{
    lifecycle::{AT_ONCE, held_call, next},
    support::{Held, eventually, rust_client, rust_worker},
};

#[tokio::test]
async fn one_worker_can_be_named_among_several() {
    let router = Peer::router().start().await;
    let at = router.endpoint();
    let _rust = rust_worker("rust", &at).await;
    let _python = Peer::client(&at).name("python").worker().start().await;
    let rust_caller = rust_client("rust-caller", &at).await;
    let python_caller = Peer::client(&at).name("python-caller").start().await;
    for name in ["rust", "python", "rust"] {
        let called: String = rust_caller.rpc().receiver(name).call("whoami", ()).await.unwrap();
        assert_eq!(called, name);
        assert_eq!(python_caller.call("whoami", json!([])).receiver(name).ok().await, name);
        rust_caller.rpc_nowait().receiver(name).call("record", (name,)).await.unwrap();
        let recorded: Vec<String> = rust_caller.rpc().receiver(name).call("recorded", ()).await.unwrap();
        assert_eq!(recorded.last().map(String::as_str), Some(name));
    }
    let both = BTreeMap::from([("python".to_owned(), "python".to_owned()), ("rust".to_owned(), "rust".to_owned())]);
    let answers = rust_caller.cast().call::<String>("whoami", ()).await.unwrap();
    assert_eq!(answers.into_iter().map(|(name, answer)| (name, answer.unwrap())).collect::<BTreeMap<_, _>>(), both);
    assert_eq!(python_caller.call("whoami", json!([])).style("cast").ok().await, json!(both));
    let one = rust_caller.cast().receivers(["python", "nobody"]).call::<String>("whoami", ()).await.unwrap();
    assert_eq!(one["python"].as_deref().unwrap(), "python");
    assert!(matches!(one["nobody"], Err(CallError::ReceiverNotFound { .. })));
}

#[tokio::test]
async fn calls_go_around_evenly_method_by_method() {
    let router = Peer::router().start().await;
    let at = router.endpoint();
    let _rust = rust_worker("rust", &at).await;
    let _python = Peer::client(&at).name("python").worker().start().await;
    let client = rust_client("caller", &at).await;
    let call = async |n: usize| {
        if n.is_multiple_of(3) {
            // Between calls of the one that is counted, calls of another must not matter.
            client.rpc().call::<String>("greet", ("you",)).await.unwrap();
        }
        client.rpc().call::<String>("whoami", ()).await.unwrap()
    };
    let mut counts: HashMap<String, usize> = HashMap::new();
    for batch in 0..20 {
        for name in join_all((0..50).map(|n| call(50 * batch + n))).await {
            *counts.entry(name).or_default() += 1;
        }
    }
    assert_eq!(counts, HashMap::from([("rust".to_owned(), 500), ("python".to_owned(), 500)]));
}

#[tokio::test]
async fn a_python_workers_death_ends_rust_calls_at_once() {
    let router = Peer::router().start().await;
    let client = rust_client("caller", &router.endpoint()).await;
    let mut events = client.events();
    let worker = Peer::client(&router.endpoint()).name("worker").worker().start().await;
    assert_eq!(next(&mut events).await, MemberEvent::Added("worker".into()));
    client.wait_for_members(&["worker"], None).await.unwrap();
    let open = held_call(&client, &worker).await;
    let killed = Instant::now();
    worker.kill();
    let error = open.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::ReceiverGone { .. }), "{error}");
    assert!(killed.elapsed() < AT_ONCE, "{:?}", killed.elapsed());
    assert_eq!(next(&mut events).await, MemberEvent::Removed("worker".into()));
    let error = client.rpc().call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_rust_workers_end_is_seen_by_a_python_caller() {
    let router = Peer::router().start().await;
    let held = Held::default();
    let worker = Client::builder("worker").callbacks(held.callbacks()).connect(&router.endpoint()).await.unwrap();
    let client = Peer::client(&router.endpoint()).name("caller").start().await;
    let ending = async {
        held.begun.notified().await;
        drop(worker);
        client.wait_event("removed", "worker", 1).await;
    };
    let (error, ()) = tokio::join!(client.call("held", json!([])).timeout(60).error(), ending);
    assert_eq!(error.class, "TransmissionFailure", "{error}");
}

/// The callback of a worker with one permit calls another worker over the connection that its own call came on.
#[tokio::test]
async fn a_callback_calls_on_over_its_own_connection() {
    let router = Peer::router().start().await;
    let at = router.endpoint();
    let _rust = rust_worker("rust", &at).await;
    let _python = Peer::client(&at).name("python").worker().start().await;
    let python_caller = Peer::client(&at).name("python-caller").start().await;
    let rust_caller = rust_client("rust-caller", &at).await;
    rust_caller.wait_for_members(&["rust", "python"], None).await.unwrap();
    python_caller.wait_for_members(&["rust", "python"]).await;
    for serde in ["PICKLE", "JSON", "MSGPACK"] {
        let call = python_caller.call("relay", json!(["greet", serde])).receiver("rust").serde(serde);
        assert_eq!(call.timeout(10).ok().await, format!("Hello, {serde}!"));
    }
    // And back: Python's worker calls on to Rust's.
    for target in ["python", "rust"] {
        let answer: String = rust_caller.rpc().receiver(target).call("relay", ("greet", target)).await.unwrap();
        assert_eq!(answer, format!("Hello, {target}!"));
    }
    let error = rust_caller.rpc().receiver("rust").call::<()>("relay", ("fail", "far away")).await.unwrap_err();
    assert_eq!(error.remote().unwrap().to_string(), "ValueError: far away");
}

/// A node that calls is called back while its own call is open.
#[tokio::test]
async fn a_caller_serves_while_it_waits() {
    let router = Peer::router().start().await;
    let rust = rust_worker("rust", &router.endpoint()).await;
    let _python = Peer::client(&router.endpoint()).name("python").expose(&["relay"]).start().await;
    rust.wait_for_members(&["python"], None).await.unwrap();
    let answer: String = rust.rpc().call("relay", ("greet", "caller")).await.unwrap();
    assert_eq!(answer, "Hello, caller!");
}

#[tokio::test]
async fn late_callbacks_of_a_rust_worker_pass_a_router_of_3_0_1() {
    let router = Peer::router().start().await;
    let worker = rust_worker("worker", &router.endpoint()).await;
    let client = Peer::client(&router.endpoint()).name("caller").start().await;
    client.wait_for_members(&["worker"]).await;
    worker.add_callbacks(Callbacks::new().callback_fn("late", |x: i64| async move { x * 2 })).unwrap();
    eventually("the caller knows it", async || {
        client.members().await.get("worker")?.contains(&"late".to_owned()).then_some(())
    })
    .await;
    assert_eq!(client.call("late", json!([21])).timeout(10).ok().await, 42);
    assert_eq!(client.call("add", json!([3, 4])).timeout(10).ok().await, 7);
    assert!(worker.is_connected());
}

#[tokio::test]
async fn a_router_that_comes_back_finds_its_rust_nodes_again() {
    let router = Peer::router().start().await;
    let at = router.endpoint();
    let _worker = rust_worker("worker", &at).await;
    let client = rust_client("caller", &at).await;
    client.wait_for_members(&["worker"], None).await.unwrap();
    router.kill();
    let error = eventually("the end is noticed", async || client.rpc().call::<i64>("add", (3, 4)).await.err()).await;
    assert!(matches!(error, CallError::Disconnected(_)), "{error}");
    let _back = Peer::router().at(&at).start().await;
    client.wait_for_connection().await.unwrap();
    client.wait_for_members(&["worker"], None).await.unwrap();
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
}
