//! A Rust worker killed while a thousand calls to it are open.

use std::time::{Duration, Instant};

use daffi::{CallError, Client};
use daffi_stress::Node;
use futures::future::join_all;

const CALLS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_end_at_once_with_the_name_of_who_is_gone() {
    let mut router = Node::start(env!("CARGO_BIN_EXE_router_node"), &["60"]);
    let mut worker = Node::start(env!("CARGO_BIN_EXE_holding_worker"), &[router.endpoint(), "worker"]);
    let client = Client::builder("caller").connect(router.endpoint()).await.unwrap();
    let calls = (0..CALLS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { (client.rpc().call::<()>("hold", ()).await, Instant::now()) })
    });
    let calls: Vec<_> = calls.collect();
    while !router.ask("stats").starts_with(&format!("2 {CALLS} ")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let killed = Instant::now();
    worker.kill();
    let mut slowest = Duration::ZERO;
    for outcome in join_all(calls).await {
        let (outcome, ended) = outcome.unwrap();
        let error = outcome.unwrap_err();
        assert!(matches!(&error, CallError::ReceiverGone { receiver, .. } if receiver == "worker"), "{error}");
        assert!(error.to_string().contains("worker"), "{error}");
        slowest = slowest.max(ended - killed);
    }
    println!("the last of {CALLS} calls ended {slowest:?} after the kill");
    // Within 100 ms on a machine that has nothing else to do.
    assert!(slowest < Duration::from_millis(800), "{slowest:?}");
    assert_eq!(router.ask("stats"), format!("1 0 0 0 {CALLS} 0"));
}
