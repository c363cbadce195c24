//! A worker killed while a thousand calls to it are open.

use std::time::{Duration, Instant};

use daffi::CallError;
use daffi_testing::Peer;
use futures::future::join_all;
use serde_json::json;

use crate::{
    routers::{AnyRouter, RouterKind},
    support::eventually,
};

const CALLS: usize = 1000;

async fn all_open(router: &AnyRouter, worker: &Peer) {
    eventually("the first call runs", async || (worker.invoke("peak", json!([])).await == 1).then_some(())).await;
    if let AnyRouter::Rust(router) = router {
        eventually("all calls are open", async || (router.stats().open_calls == CALLS).then_some(())).await;
    }
}

/// On an idle machine a few milliseconds, within 100; a busy one needs more, but nothing polls for
/// as long as a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rust_calls_end_at_once() {
    for kind in [RouterKind::Rust, RouterKind::Python] {
        let router = kind.start().await;
        let client = router.rust_client("caller").await;
        let worker = router.python_worker("worker").await;
        client.wait_for_members(&["worker"], None).await.unwrap();
        let mut calls = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let mut call = Box::pin(client.rpc().call::<f64>("sleep", (600,)));
            // Polled once it is sent, so that none begins after the worker's death.
            assert!(futures::poll!(call.as_mut()).is_pending());
            calls.push(tokio::spawn(async move { (call.await, Instant::now()) }));
        }
        all_open(&router, &worker).await;
        let killed = Instant::now();
        worker.kill();
        let mut slowest = Duration::ZERO;
        for outcome in join_all(calls).await {
            let (outcome, ended) = outcome.unwrap();
            let error = outcome.unwrap_err();
            assert!(matches!(&error, CallError::ReceiverGone { receiver, .. } if receiver == "worker"), "{error}");
            slowest = slowest.max(ended - killed);
        }
        println!("behind a router of {kind:?} the last of {CALLS} calls ended {slowest:?} after the kill");
        assert!(slowest < Duration::from_millis(800), "{slowest:?}");
        if let AnyRouter::Rust(router) = &router {
            assert_eq!(router.stats().open_calls, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_python_calls_raise() {
    let router = RouterKind::Rust.start().await;
    let worker = router.python_worker("worker").await;
    let client = router.python_client("caller").await;
    client.wait_for_members(&["worker"]).await;
    let killing = async {
        all_open(&router, &worker).await;
        let killed = Instant::now();
        worker.kill();
        killed
    };
    let calling = client.call("sleep", json!([600])).many(CALLS, CALLS);
    let (outcomes, killed) = tokio::join!(calling, killing);
    println!("the last of {CALLS} Python calls had raised {:?} after the kill", killed.elapsed());
    let mut of_router = 0;
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        // On a busy machine 3.0.1 looks at its own list, once a second, before it looks at what
        // came.
        let own = (error.class.as_str(), error.is_remote()) == ("TransmissionFailure", false);
        of_router += usize::from((error.class.as_str(), error.is_remote()) == ("ReceiverGone", true));
        assert!(own || error.class == "ReceiverGone", "{error}");
        assert!(error.message.contains("worker"), "{error}");
    }
    assert!(of_router > CALLS / 2, "{of_router} of {CALLS} raised what the router said");
}
