//! What a slow or greedy member costs the others behind a router.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_core::{CallError, Callback, NodeConfig};
use daffi_wire::{FIRST_WINDOW, Kind};
use futures::{StreamExt, stream};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    peer::Peer,
    support::{asynchronous, client, plain, router, router_with, worker},
};

const CHUNK: usize = 16 * 1024;

/// `chunk` waits for a permit, then counts.
fn chunks() -> (Callback, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (permits, done) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let callback = {
        let (permits, done) = (Arc::clone(&permits), Arc::clone(&done));
        asynchronous("chunk", move |(_data,): (String,)| {
            let (permits, done) = (Arc::clone(&permits), Arc::clone(&done));
            async move {
                permits.acquire_owned().await.expect("never closed").forget();
                done.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    (callback, permits, done)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(Duration::from_secs(30), waiting).await.is_ok(), "not in time: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_worker_holds_its_level_four_sender_back_and_nobody_else() {
    let (router, at) = router();
    let (chunk, permits, done) = chunks();
    let worker = worker(&at, "w", vec![chunk, plain("add", |(a, b): (i64, i64)| Ok(a + b))]).await;
    let other = crate::support::worker(&at, "other", vec![plain("echo", |(n,): (i64,)| Ok(n))]).await;
    let caller = client(&at, "caller").await;
    let sent = Arc::new(AtomicUsize::new(0));
    let streaming = tokio::spawn({
        let (caller, sent) = (caller.clone(), Arc::clone(&sent));
        async move {
            let chunks = stream::iter(0..1000).map(move |_| {
                sent.fetch_add(1, Ordering::SeqCst);
                "x".repeat(CHUNK)
            });
            caller.stream_nowait().serde(daffi_wire::FormatId::JSON).send("chunk", chunks).await
        }
    });
    until("a chunk was sent", || sent.load(Ordering::SeqCst) > 1).await;
    // Nothing but time could show that no more is sent.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let most = FIRST_WINDOW as usize / CHUNK + 2;
    assert!(sent.load(Ordering::SeqCst) <= most, "{} chunks of at most {most}", sent.load(Ordering::SeqCst));
    assert_eq!(router.stats().held_requests, 0, "held at the sender, not on the way");
    // The same caller's other traffic, and calls to the slow worker's connection, go on.
    assert_eq!(caller.rpc().call::<i64>("echo", (5,)).await.unwrap(), 5);
    let error = other.rpc().receiver("w").call::<i64>("nothing", ()).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
    permits.add_permits(1000);
    assert_eq!(streaming.await.unwrap().unwrap(), 1000);
    until("every chunk ran", || done.load(Ordering::SeqCst) == 1000).await;
    assert_eq!(other.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_worker_of_level_three_holds_its_sender_back() {
    let (router, at) = router();
    let mut w = Peer::connect(&at).await;
    w.hello_with("w", "client", r#"["chunk"]"#).await;
    let caller = client(&at, "caller").await;
    let streaming = tokio::spawn({
        let caller = caller.clone();
        async move {
            let chunks = stream::iter(0..1000).map(|_| "x".repeat(CHUNK));
            caller.stream_nowait().serde(daffi_wire::FormatId::JSON).send("chunk", chunks).await
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!streaming.is_finished(), "the worker takes nothing");
    let mut taken = 0;
    while taken < 1000 {
        taken += usize::from(w.receive().await.unwrap().kind() == Kind::Request);
    }
    assert_eq!(streaming.await.unwrap().unwrap(), 1000);
    assert_eq!(router.stats().dropped_requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_three_sender_is_held_at_the_router_and_keeps_its_order() {
    let (router, at) = router();
    let (chunk, permits, done) = chunks();
    let _worker = worker(
        &at,
        "w",
        vec![chunk, {
            let done = Arc::clone(&done);
            plain("count", move |(): ()| Ok(done.load(Ordering::SeqCst)))
        }],
    )
    .await;
    let mut sender = Peer::connect(&at).await;
    sender.hello("old").await;
    let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(CHUNK));
    for id in 2..102 {
        sender.send_to(Kind::Request, id, ["old", "w", "chunk"], &body, false).await;
    }
    // Behind them in order of arrival, as with a Router of 3.0.1.
    sender.send_to(Kind::Request, 200, ["old", "w", "count"], r#"{"args":[],"kwargs":{}}"#, true).await;
    until("some are held", || router.stats().held_requests > 50).await;
    assert_eq!(done.load(Ordering::SeqCst), 0);
    permits.add_permits(100);
    let answer = sender.expect(Kind::Response).await;
    assert_eq!(answer.replace(' ', ""), r#"{"args":[100],"kwargs":{}}"#);
    assert_eq!(router.stats().held_requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_never_reads_costs_nobody_else_anything() {
    let config = NodeConfig::server().budget_bytes(4 * 1024 * 1024).slow_peer_timeout(Duration::from_secs(5));
    let (router, at) = router_with(config);
    let mut deaf = Peer::connect(&at).await;
    deaf.hello_with("deaf", "client", r#"["f"]"#).await;
    let _good = worker(&at, "good", vec![plain("echo", |(n,): (i64,)| Ok(n))]).await;
    let flooder = client(&at, "flooder").await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["good", "deaf"], None).await.unwrap();
    let (mut overloaded, mut gone) = (0, 0);
    let mut open = Vec::new();
    for n in 0..200 {
        let flooder = flooder.clone();
        open.push(tokio::spawn(async move { flooder.rpc().call::<i64>("f", ("x".repeat(CHUNK),)).await }));
        assert_eq!(caller.rpc().call::<i64>("echo", (n,)).await.unwrap(), n);
    }
    for call in open {
        match call.await.unwrap().unwrap_err() {
            CallError::Overloaded(_) => overloaded += 1,
            CallError::ReceiverGone { .. } | CallError::ReceiverNotFound { .. } => gone += 1,
            other => panic!("{other}"),
        }
    }
    assert!(overloaded > 100 && gone > 0, "{overloaded} overloaded, {gone} ended when the worker was disconnected");
    assert!(!router.members().iter().any(|member| member.name.as_str() == "deaf"));
    assert_eq!(caller.rpc().call::<i64>("echo", (1,)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_flood_each_other_keep_working() {
    const REQUESTS: usize = 3000;
    let (router, at) = router();
    let node = async |name: &str| {
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        let callbacks = vec![
            plain("take", move |(_data,): (String,)| {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }),
            plain("echo", |(n,): (i64,)| Ok(n)),
        ];
        (worker(&at, name, callbacks).await, done)
    };
    let ((a, at_a), (b, at_b)) = (node("a").await, node("b").await);
    a.wait_for_members(&["b"], None).await.unwrap();
    let flood = |node: &daffi_core::Client<crate::support::Formats>| {
        let node = node.clone();
        tokio::spawn(async move {
            for n in 0..REQUESTS {
                node.rpc_nowait().call("take", ("x".repeat(4096),)).await.unwrap();
                if n % 100 == 0 {
                    assert_eq!(node.rpc().call::<usize>("echo", (n,)).await.unwrap(), n);
                }
            }
        })
    };
    let (from_a, from_b) = (flood(&a), flood(&b));
    assert!(timeout(Duration::from_secs(60), async { (from_a.await.unwrap(), from_b.await.unwrap()) }).await.is_ok());
    until("all ran", || [&at_a, &at_b].iter().all(|done| done.load(Ordering::SeqCst) == REQUESTS)).await;
    assert_eq!(router.stats().dropped_requests, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_too_much_waiting_refuses_calls_of_those_who_ask_much() {
    let (_router, at) = router();
    let (chunk, permits, _) = chunks();
    let connector = Box::new(daffi_transport::mem::MemConnector::new(at.clone()));
    let config = NodeConfig::client().budget_bytes(256 * 1024);
    let builder = daffi_core::Client::builder(crate::support::node("w"), connector, crate::support::formats());
    let _worker = builder.config(config).callbacks(vec![chunk]).connect().await.unwrap();
    let (crowd, little) = (client(&at, "crowd").await, client(&at, "little").await);
    let calls = (0..200).map(|_| crowd.rpc()).map(|rpc| async move { rpc.call::<()>("chunk", ("x",)).await });
    let calls: Vec<_> = calls.map(tokio::spawn).collect();
    until("some are refused", || calls.iter().any(tokio::task::JoinHandle::is_finished)).await;
    let rpc = little.rpc();
    let one = tokio::spawn(async move { rpc.call::<()>("chunk", ("x",)).await });
    permits.add_permits(1000);
    one.await.unwrap().unwrap();
    let ended = futures::future::join_all(calls).await.into_iter().map(Result::unwrap);
    let (done, refused): (Vec<_>, Vec<_>) = ended.partition(Result::is_ok);
    assert!(!done.is_empty() && !refused.is_empty(), "{} done", done.len());
    assert!(refused.into_iter().all(|error| matches!(error, Err(CallError::Overloaded(why)) if why.contains("w"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_all_deaf_workers_together_is_bounded() {
    const CALL: usize = 32 * 1024;
    let config = NodeConfig::server().budget_bytes(1024 * 1024);
    let (_router, at) = router_with(config);
    let mut deaf = Vec::new();
    for n in 0..20 {
        let mut peer = Peer::connect(&at).await;
        peer.hello_with(&format!("deaf{n}"), "client", r#"["f"]"#).await;
        deaf.push(peer);
    }
    let _good = worker(&at, "good", vec![plain("echo", |(n,): (i64,)| Ok(n))]).await;
    let caller = client(&at, "caller").await;
    let mut open = Vec::new();
    for _ in 0..20 * 16 {
        let caller = caller.clone();
        open.push(tokio::spawn(async move { caller.rpc().call::<i64>("f", ("x".repeat(CALL),)).await }));
    }
    // Of ten mebibytes the half that fits stays open: the budget, and for each worker its free part
    // and a pipe.
    let refused = async {
        let mut refused = 0;
        while refused < 20 * 16 - (512 * 1024 / CALL + 20 * 6) {
            let (ended, _, rest) = futures::future::select_all(open).await;
            // Deaf workers that leave no room for others are ended after a while.
            let error = ended.unwrap().unwrap_err();
            assert!(
                matches!(
                    error,
                    CallError::Overloaded(_) | CallError::ReceiverGone { .. } | CallError::ReceiverNotFound { .. }
                ),
                "{error}"
            );
            refused += 1;
            open = rest;
        }
    };
    assert!(timeout(Duration::from_secs(30), refused).await.is_ok());
    for n in 0..10 {
        assert_eq!(caller.rpc().call::<i64>("echo", (n,)).await.unwrap(), n, "a quick worker is served as before");
    }
}
