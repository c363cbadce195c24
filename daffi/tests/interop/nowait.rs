//! Requests that nobody answers, of any size and number, through a Rust router: all arrive, or
//! their sender hears why not.

use std::time::Duration;

use bytes::Bytes;
use daffi::{CallError, Client, Router};
use daffi_testing::{Peer, go_on, stand_still};
use futures::{future::join_all, stream};
use serde_json::{Value as Json, json};

use crate::{
    routers::{AnyRouter, RouterKind},
    support::{PATIENCE, eventually},
};

const WORKER: &str = "worker";

/// A node of either library: a worker, or a sender.
enum Node {
    Python(Box<Peer>),
    Rust(Client),
}

impl Node {
    async fn worker(router: &AnyRouter, python: bool) -> Self {
        if python {
            Self::Python(Box::new(router.python_worker(WORKER).await))
        } else {
            Self::Rust(router.rust_worker(WORKER).await)
        }
    }

    /// One that knows the worker.
    async fn sender(router: &AnyRouter, name: &str, python: bool) -> Self {
        if python {
            let peer = router.python_client(name).await;
            peer.wait_for_members(&[WORKER]).await;
            Self::Python(Box::new(peer))
        } else {
            let client = router.rust_client(name).await;
            client.wait_for_members(&[WORKER], Some(PATIENCE)).await.unwrap();
            Self::Rust(client)
        }
    }

    async fn chunk_nowait(&self, size: usize) {
        match self {
            Self::Python(peer) => {
                let call = peer.call("receive_chunk", json!([{"$repeat": ["78", size]}]));
                call.style("rpc_nowait").ok().await;
            }
            Self::Rust(client) => {
                let call =
                    client.rpc_nowait().timeout(PATIENCE).call("receive_chunk", (Bytes::from(vec![b'x'; size]),));
                call.await.unwrap();
            }
        }
    }

    async fn chunks_acknowledged(&self, size: usize, count: usize) {
        match self {
            Self::Python(peer) => {
                let chunks = json!({"$chunks": {"size": size, "count": count}});
                peer.stream("receive_chunk", chunks).timeout(20).ok().await;
            }
            Self::Rust(client) => {
                let chunks = stream::iter(vec![Bytes::from(vec![b'x'; size]); count]);
                let sent = client.stream().timeout(PATIENCE).send("receive_chunk", chunks).await;
                assert_eq!(sent.unwrap(), count as u64);
            }
        }
    }

    /// Chunks and bytes that the worker has, by a call behind all that was sent.
    async fn received(&self) -> (u64, u64) {
        let answer = match self {
            Self::Python(peer) => peer.call("received", json!([])).serde("JSON").timeout(20).ok().await,
            Self::Rust(client) => {
                let (chunks, bytes, _): (u64, u64, String) =
                    client.rpc().timeout(PATIENCE).call("received", ()).await.unwrap();
                json!([chunks, bytes])
            }
        };
        (answer[0].as_u64().unwrap(), answer[1].as_u64().unwrap())
    }

    async fn record(&self, times: usize) {
        match self {
            Self::Python(peer) => {
                let sent = peer.call("record", json!([{"$index": 0}])).style("rpc_nowait").many(times, 1).await;
                assert!(sent.iter().all(Result::is_ok), "{:?}", sent.iter().find(|one| one.is_err()));
            }
            Self::Rust(client) => {
                for number in 0..times {
                    client.rpc_nowait().timeout(PATIENCE).call("record", (number,)).await.unwrap();
                }
            }
        }
    }
}

/// Every pair of sender and worker: whether each is in Python.
const PAIRS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

#[tokio::test]
async fn a_large_request_passes_behind_small_ones() {
    const SMALL: usize = 100;
    for (python_sender, python_worker) in PAIRS {
        let router = RouterKind::Rust.start().await;
        let _worker = Node::worker(&router, python_worker).await;
        let sender = Node::sender(&router, "sender", python_sender).await;
        let (mut chunks, mut bytes) = (0, 0);
        for size in [SMALL, 1 << 20, SMALL, 600_000, 4 << 20, SMALL] {
            sender.chunk_nowait(size).await;
            (chunks, bytes) = (chunks + 1, bytes + size as u64);
        }
        assert_eq!(sender.received().await, (chunks, bytes), "{python_sender} to {python_worker}");
        sender.chunks_acknowledged(600_000, 3).await;
        assert_eq!(sender.received().await, (chunks + 3, bytes + 1_800_000), "{python_sender} to {python_worker}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_at_once_lose_nothing_and_no_worker() {
    const SENDERS: usize = 10;
    const EACH: usize = 1700;
    for python_worker in [true, false] {
        let router = RouterKind::Rust.start().await;
        let worker = Node::worker(&router, python_worker).await;
        let mut senders = Vec::new();
        for number in 0..SENDERS {
            senders.push(Node::sender(&router, &format!("sender-{number}"), number < SENDERS / 2).await);
        }
        join_all(senders.iter().map(|sender| sender.record(EACH))).await;
        let looker = router.rust_client("looker").await;
        eventually("all have arrived", async || {
            let recorded: Vec<usize> = looker.rpc().timeout(PATIENCE).call("recorded", ()).await.unwrap();
            (recorded.len() == SENDERS * EACH).then_some(())
        })
        .await;
        if let Node::Rust(worker) = &worker {
            assert!(worker.is_connected());
        }
        let AnyRouter::Rust(router) = &router else { unreachable!("it is a Rust router") };
        assert_eq!((router.stats().held_requests, router.stats().dropped_requests), (0, 0), "{python_worker}");
    }
}

/// The worker dies in the middle of a stream that nobody acknowledges, and one of its name comes.
#[tokio::test]
async fn a_stream_to_a_worker_that_left_ends_and_the_next_worker_of_its_name_is_reached() {
    for python_worker in [true, false] {
        let router = RouterKind::Rust.start().await;
        let worker = Node::worker(&router, python_worker).await;
        let (python, rust) = (Node::sender(&router, "python", true).await, Node::sender(&router, "rust", false).await);
        let (Node::Python(old), Node::Rust(new)) = (&python, &rust) else { unreachable!("as they were started") };

        let endless = stream::repeat(Bytes::from(vec![b'x'; 4096]));
        let streaming = new.stream_nowait().receiver(WORKER).send("receive_chunk", endless);
        let some: Json = json!({"$chunks": {"size": 4096, "count": 3000}});
        let old_streaming = old.stream("receive_chunk", some).style("stream_nowait").receiver(WORKER).outcome();
        let dying = async {
            let looker = router.rust_client("looker").await;
            eventually("both have begun", async || {
                let (chunks, ..): (u64, u64, String) =
                    looker.rpc().receiver(WORKER).timeout(PATIENCE).call("received", ()).await.unwrap();
                (chunks > 100).then_some(())
            })
            .await;
            match worker {
                Node::Python(worker) => worker.kill(),
                Node::Rust(worker) => drop(worker),
            }
        };
        let all = async { tokio::join!(streaming, old_streaming, dying) };
        let (sent, _old_cannot_tell, ()) = tokio::time::timeout(2 * PATIENCE, all).await.expect("each stream ends");
        let error = sent.unwrap_err();
        assert!(
            matches!(&*error.source, CallError::ReceiverGone { .. } | CallError::ReceiverNotFound { .. }),
            "{python_worker}: {error}"
        );

        let _next = Node::worker(&router, python_worker).await;
        new.wait_for_members(&[WORKER], Some(PATIENCE)).await.unwrap();
        old.wait_for_members(&[WORKER]).await;
        for (sender, before) in [(&python, 0), (&rust, 3)] {
            for size in [100, 1 << 20, 100] {
                sender.chunk_nowait(size).await;
            }
            assert_eq!(sender.received().await.0, before + 3, "{python_worker}");
        }
    }
}

/// What a worker of 3.0.1 cannot be asked ends by the caller's timeout; it goes on where it was.
#[tokio::test]
async fn calls_to_a_python_worker_that_stands_still_end_by_their_timeout() {
    let router = RouterKind::Rust.start().await;
    let worker = router.python_worker(WORKER).await;
    let (python, rust) = (Node::sender(&router, "python", true).await, Node::sender(&router, "rust", false).await);
    let (Node::Python(old), Node::Rust(new)) = (&python, &rust) else { unreachable!("as they were started") };
    stand_still(worker.pid());
    let error = new.rpc().timeout(Duration::from_millis(500)).call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    let error = old.call("add", json!([3, 4])).timeout(2).error().await;
    assert_eq!(error.class, "CallTimeout", "{error}");
    for sender in [&python, &rust] {
        sender.record(100).await;
    }
    go_on(worker.pid());
    for number in 0..10 {
        assert_eq!(new.rpc().timeout(PATIENCE).call::<i64>("add", (number, 1)).await.unwrap(), number + 1);
        assert_eq!(old.call("add", json!([number, 2])).timeout(20).ok().await, number + 2);
    }
    assert_eq!(worker.invoke("recorded", json!([])).await.as_array().unwrap().len(), 200);
}

/// Nobody set a timeout: the Router ends calls that nobody else would, and forgets what comes too
/// late.
#[tokio::test]
async fn calls_to_a_python_worker_that_stands_still_end_by_the_limit_of_the_router() {
    const LIMIT: Duration = Duration::from_millis(500);
    let router = Router::builder("router").configure(|config| config.level3_call_limit = Some(LIMIT));
    let router = AnyRouter::Rust(router.bind("tcp://127.0.0.1:0").await.unwrap());
    let worker = router.python_worker(WORKER).await;
    let old = router.python_client("python").await;
    let new = Client::builder("rust").connect(&router.endpoint()).await.unwrap();
    old.wait_for_members(&[WORKER]).await;
    stand_still(worker.pid());
    let error = new.rpc().receiver(WORKER).call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(matches!(error, CallError::Unanswered(_)) && error.to_string().contains("level3_call_limit"), "{error}");
    let error = old.call("add", json!([3, 4])).receiver(WORKER).error().await;
    assert_eq!((error.class.as_str(), error.is_remote()), ("Unanswered", true), "{error}");
    assert!(error.message.contains("level3_call_limit") && error.message.contains("500ms"), "{error}");
    let AnyRouter::Rust(stats) = &router else { unreachable!("as it was started") };
    assert_eq!((stats.stats().open_calls, stats.stats().unanswered_calls), (0, 2));
    go_on(worker.pid());
    // What it worked off meanwhile reaches nobody, and it serves on.
    eventually("the late answers", async || (stats.stats().dropped_replies == 2).then_some(())).await;
    for number in 0..10 {
        assert_eq!(new.rpc().receiver(WORKER).call::<i64>("add", (number, 1)).await.unwrap(), number + 1);
        assert_eq!(old.call("add", json!([number, 2])).receiver(WORKER).ok().await, number + 2);
    }
}
