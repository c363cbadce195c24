//! Nowait traffic through a Router: what is owed is told, windows are divided, flows end with their
//! receivers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_core::{CallError, Client, NodeConfig, WaitedFor};
use daffi_wire::{Credit, Extensions, FIRST_WINDOW, FlowId, FormatId, Frame, Kind, Level, Limits, MAX_WINDOW};
use futures::{StreamExt, stream};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    peer::{Peer, nowait, raw, send},
    support::{Formats, asynchronous, client, client_exposing, plain, router, worker},
};

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), waiting).await.is_ok(), "not in time: {what}");
}

/// Waits for what has to come at once, longer than any busy machine takes.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A callback that takes text, the bytes that it got, and the permits that it waits for.
fn taking() -> (daffi_core::Callback, Arc<AtomicUsize>, Arc<Semaphore>) {
    let (taken, permits) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let callback = {
        let (taken, permits) = (Arc::clone(&taken), Arc::clone(&permits));
        asynchronous("take", move |(text,): (String,)| {
            let (taken, permits) = (Arc::clone(&taken), Arc::clone(&permits));
            async move {
                permits.acquire_owned().await.expect("never closed").forget();
                taken.fetch_add(text.len(), Ordering::SeqCst);
            }
        })
    };
    (callback, taken, permits)
}

const SMALL: usize = 100;
const LARGE: usize = 1 << 20;

/// The second costs more than any window.
async fn send_small_and_large(sender: &Client<Formats>) {
    soon("the small one", sender.rpc_nowait().call("take", ("x".repeat(SMALL),))).await.unwrap();
    soon("the large one", sender.rpc_nowait().call("take", ("x".repeat(LARGE),))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_passes_behind_a_small_one() {
    let (_router, at) = router();
    let (take, taken, permits) = taking();
    permits.add_permits(1000);
    let _worker = worker(&at, "w", vec![take, plain("echo", |(n,): (i64,)| Ok(n))]).await;
    let sender = client(&at, "sender").await;
    for round in 1..4 {
        send_small_and_large(&sender).await;
        assert_eq!(soon("a call behind them", sender.rpc().call::<i64>("echo", (round,))).await.unwrap(), round);
    }
    until("all arrived", || taken.load(Ordering::SeqCst) == 3 * (SMALL + LARGE)).await;
    let chunks = stream::iter([SMALL, 600_000, SMALL, 2_000_000]).map(|size| "x".repeat(size));
    let stream = sender.stream().serde(FormatId::JSON).window(4);
    let acknowledged = stream.send("take", chunks);
    assert_eq!(soon("large chunks that are acknowledged", acknowledged).await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_of_a_level_three_sender_passes_behind_a_small_one() {
    let (_router, at) = router();
    let (take, taken, permits) = taking();
    permits.add_permits(1000);
    let _worker = worker(&at, "w", vec![take, plain("echo", |(n,): (i64,)| Ok(n))]).await;
    let mut sender = Peer::connect(&at).await;
    sender.hello("old").await;
    for size in [SMALL, LARGE] {
        let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(size));
        sender.send_to(Kind::Request, 2, ["old", "w", "take"], &body, false).await;
    }
    sender.send_to(Kind::Request, 3, ["old", "w", "echo"], r#"{"args":[5],"kwargs":{}}"#, true).await;
    let answer = soon("the call behind them", sender.expect(Kind::Response)).await;
    assert_eq!(answer.replace(' ', ""), r#"{"args":[5],"kwargs":{}}"#);
    until("all arrived", || taken.load(Ordering::SeqCst) == SMALL + LARGE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_to_a_level_three_worker_passes_behind_a_small_one() {
    let (_router, at) = router();
    let mut w = Peer::connect(&at).await;
    w.hello_with("w", "client", r#"["take"]"#).await;
    let sender = client(&at, "sender").await;
    let reading = tokio::spawn(async move {
        let mut requests = 0;
        while requests < 2 {
            requests += usize::from(w.receive().await.unwrap().kind() == Kind::Request);
        }
        w
    });
    send_small_and_large(&sender).await;
    soon("both", reading).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_to_a_worker_that_leaves_ends_and_the_next_of_the_name_is_served() {
    let (router, at) = router();
    let (take, _, _never) = taking();
    let first = worker(&at, "w", vec![take]).await;
    let sender = client(&at, "sender").await;
    let sent = Arc::new(AtomicUsize::new(0));
    let streaming = tokio::spawn({
        let (sender, sent) = (sender.clone(), Arc::clone(&sent));
        async move {
            let chunks = stream::repeat("x".repeat(1000)).inspect(|_| {
                sent.fetch_add(1, Ordering::SeqCst);
            });
            sender.stream_nowait().serde(FormatId::JSON).send("take", chunks).await
        }
    });
    let window = FIRST_WINDOW as usize / 1300;
    until("a window was sent", || sent.load(Ordering::SeqCst) > window).await;
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.rpc_nowait().call("take", ("x".repeat(LARGE),)).await }
    });
    drop(first);
    let error = soon("the stream ends", streaming).await.unwrap().unwrap_err();
    assert!(matches!(*error.source, CallError::ReceiverGone { .. }), "{error}");
    // It either waited then, or came when nobody bore the name.
    let error = soon("so does who waited", waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::ReceiverGone { .. } | CallError::ReceiverNotFound { .. }), "{error}");
    until("it left", || router.stats().members == 1).await;

    let (take, taken, permits) = taking();
    permits.add_permits(1000);
    let _second = worker(&at, "w", vec![take]).await;
    soon("it is known", sender.wait_for_members(&["w"], None)).await.unwrap();
    send_small_and_large(&sender).await;
    until("the new one got all", || taken.load(Ordering::SeqCst) == SMALL + LARGE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_not_taken_in_time_says_that_it_was_not_sent() {
    let (_router, at) = router();
    let (take, taken, permits) = taking();
    let _worker = worker(&at, "w", vec![take]).await;
    let sender = client(&at, "sender").await;
    soon("it is known", sender.wait_for_members(&["w"], None)).await.unwrap();
    soon("the small one", sender.rpc_nowait().call("take", ("x".repeat(SMALL),))).await.unwrap();
    let brief = Duration::from_millis(20);
    let one = sender.rpc_nowait().timeout(brief).call("take", ("x".repeat(LARGE),)).await;
    let of_a_cast = sender.cast_nowait().receivers(["w"]).timeout(brief).call("take", ("x".repeat(LARGE),)).await;
    for error in [one.unwrap_err(), of_a_cast.unwrap_err()] {
        assert!(matches!(error, CallError::Timeout { waited_for: WaitedFor::Room, .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "w took no more requests within 20ms, so take was not called; is it slow, or are too many sent?"
        );
    }
    let chunks = futures::stream::iter([("x".repeat(LARGE),)]);
    let streamed = sender.stream_nowait().serde(FormatId::JSON).timeout(brief).send("take", chunks).await.unwrap_err();
    assert!(streamed.to_string().contains("so take was not called"), "{streamed}");
    permits.add_permits(10);
    soon("it takes again", sender.rpc_nowait().call("take", ("x",))).await.unwrap();
    until("only those came", || taken.load(Ordering::SeqCst) == SMALL + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_does_not_go_on_to_another_of_the_name() {
    let (_router, at) = router();
    let (take, begun, one) = taking();
    one.add_permits(1);
    let first = worker(&at, "w", vec![take]).await;
    let sender = client(&at, "sender").await;
    let (chunks, feed) = futures::channel::mpsc::unbounded::<String>();
    let streaming = tokio::spawn({
        let sender = sender.clone();
        async move { sender.stream_nowait().serde(FormatId::JSON).send("take", feed).await }
    });
    chunks.unbounded_send("x".into()).unwrap();
    until("the stream goes to the first", || begun.load(Ordering::SeqCst) == 1).await;
    let mut events = sender.events();
    let (take, taken, permits) = taking();
    permits.add_permits(1000);
    let _second = worker(&at, "w", vec![take]).await;
    soon("the first is told", first.join()).await;
    soon("the sender is told", events.next()).await.unwrap();
    // Without an error of the first the stream would take all of them.
    let error = soon("the stream ends", async {
        while !streaming.is_finished() {
            let _ended = chunks.unbounded_send("x".into());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        streaming.await.unwrap().unwrap_err()
    });
    assert!(matches!(*error.await.source, CallError::ReceiverGone { .. }));
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    soon("a new one", sender.rpc_nowait().call("take", ("abc",))).await.unwrap();
    until("it came", || taken.load(Ordering::SeqCst) == 3).await;
}

/// Each stays within its credit, and together they would be more than the worker may hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_divide_what_a_worker_takes() {
    const SENDERS: usize = 40;
    const REQUESTS: usize = 500;
    const MIB: usize = 1 << 20;
    let (router, at) = router();
    let (take, taken, permits) = taking();
    let config = NodeConfig::client().budget_bytes(16 * MIB);
    let worker = client_exposing(&at, "w", config, vec![take]).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        let (sender, sent) = (client(&at, &format!("s{n}")).await, Arc::clone(&sent));
        senders.push(tokio::spawn(async move {
            for _ in 0..REQUESTS {
                sender.rpc_nowait().call("take", ("x",)).await.unwrap();
                sent.fetch_add(1, Ordering::SeqCst);
            }
            sender
        }));
    }
    let first_windows = SENDERS * (FIRST_WINDOW as usize / 300);
    until("all have sent what they may", || sent.load(Ordering::SeqCst) >= first_windows).await;
    permits.add_permits(SENDERS * REQUESTS);
    let mut all = Vec::new();
    for sender in senders {
        all.push(soon("all are sent", sender).await.unwrap());
    }
    until("all ran", || taken.load(Ordering::SeqCst) == SENDERS * REQUESTS).await;
    assert_eq!(router.stats().dropped_requests, 0);
    assert!(worker.is_connected());
}

#[tokio::test]
async fn frames_of_unknown_kinds_are_skipped_on_level_four_links_and_pings_answered() {
    for (node_type, level) in [("client/4", Level::FOUR), ("client", Level::THREE)] {
        let (router, at) = router();
        let mut peer = Peer::connect(&at).await;
        peer.hello_with("p", node_type, "null").await;
        // No names at all, and kinds of which only the names are known.
        for kind in (7..16).filter(|kind| *kind != 9) {
            peer.send_bytes(&[1, 0, kind, 5, 0, 0, 4, 0, 0x81]).await;
            peer.send_bytes(if kind < 9 { b"||\0\0\0" } else { b"\xff\xff\xff\xff\xff" }).await;
            if level == Level::THREE {
                break;
            }
        }
        let token = *b"12345678";
        peer.send_bytes(daffi_wire::Ping::Asks(token).frame().as_bytes()).await;
        let answer = soon("an answer or the end", peer.receive()).await;
        if level == Level::FOUR {
            assert_eq!(answer, Some(daffi_wire::Ping::Answers(token).frame()));
            assert_eq!((router.stats().skipped_frames, router.stats().members), (8, 1));
        } else {
            assert_eq!(answer, None);
            until("it is gone", || router.stats().members == 0).await;
        }
    }
}

/// What is told of the one that left, and what the next of its name sends, arrive together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_comes_back_begins_anew() {
    let (_router, at) = router();
    let (take, taken, permits) = taking();
    permits.add_permits(1000);
    let _worker = worker(&at, "w", vec![take]).await;
    let mut before = None;
    for round in 1..20 {
        // Each takes the name from the one before, which has not left yet.
        let sender = client(&at, "sender").await;
        for _ in 0..3 {
            soon("it is granted", sender.rpc_nowait().call("take", ("x".repeat(20_000),))).await.unwrap();
        }
        until("all arrived", || taken.load(Ordering::SeqCst) >= round * 60_000).await;
        drop(before.replace(sender));
    }
}

/// What a sender of level 4 counts that speaks by hand: nowait requests of "s" to "w".
struct Counting {
    peer: Peer,
    sent: u64,
    worked_off: u64,
    limit: u64,
}

impl Counting {
    async fn begin(mut peer: Peer) -> Self {
        let begins = Credit::Begins(FlowId(7)).frame("s", "w", &Limits::default()).unwrap();
        send(&mut peer, &begins).await;
        Self { peer, sent: 0, worked_off: 0, limit: FIRST_WINDOW.into() }
    }

    /// Sends a request when there is credit for it, as the page says what it costs.
    async fn send(&mut self, frame: &Frame, cost: usize) {
        let cost = cost as u64;
        while self.sent != self.worked_off && self.sent + cost > self.limit {
            let next = soon("credit", self.peer.receive()).await.expect("the Router lives");
            if next.kind() == Kind::Credit
                && let Credit::Grants(grant) = Credit::read(&next).unwrap()
            {
                assert!(grant.worked_off() <= self.sent, "of more than was sent");
                (self.worked_off, self.limit) = (grant.worked_off(), grant.limit());
            }
        }
        self.sent += cost;
        send(&mut self.peer, frame).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_costs_the_same_where_its_extensions_do_not_go_on() {
    let (_router, at) = router();
    let mut w = Peer::connect(&at).await;
    w.hello_with("w", "client", r#"["take"]"#).await;
    let mut sender = Counting::begin(raw(&at, "s", "client/4", "null").await).await;
    let said = Extensions::builder().header("k", &"v".repeat(3000)).unwrap().build().unwrap();
    let frame = nowait(["s", "w", "take"], &said, "{}");
    let cost = 2 + said.as_bytes().len() + 2 + 256;
    // What is left out of them all is more than any window.
    let requests = MAX_WINDOW as usize / said.as_bytes().len() + 20;
    let reading = tokio::spawn(async move {
        for _ in 0..requests {
            while w.receive().await.unwrap().kind() != Kind::Request {}
        }
        w
    });
    for _ in 0..requests {
        sender.send(&frame, cost).await;
    }
    soon("all of them", reading).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_nobody_gets_takes_no_credit_from_the_next() {
    for worker_type in ["client", "client/4"] {
        let (_router, at) = router();
        let mut w = raw(&at, "w", worker_type, r#"["take"]"#).await;
        let mut sender = Counting::begin(raw(&at, "s", "client/4", "null").await).await;
        let body = "x".repeat(1000);
        let none = Extensions::builder().build().unwrap();
        for _ in 0..40 {
            sender.send(&nowait(["s", "w", "take no more"], &none, &body), body.len() + 256).await;
        }
        if worker_type == "client" {
            // Nobody waits for the answer of what would have to be put together.
            let large = Extensions::builder().body(5_000).build().unwrap();
            for _ in 0..40 {
                sender.send(&nowait(["s", "w", "take"], &large, &body), 2 + 10 + body.len() + 256).await;
            }
        }
        sender.send(&nowait(["s", "w", "take"], &none, &body), body.len() + 256).await;
        let took = async {
            loop {
                let frame = w.receive().await.unwrap();
                if frame.kind() == Kind::Request {
                    break frame;
                }
            }
        };
        assert_eq!(soon("the one that can be had", took).await.payload(), body.as_bytes());
    }
}
