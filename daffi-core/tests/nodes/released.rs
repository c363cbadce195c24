//! Calls that waited at a Router, and when they go on.

use std::time::Duration;

use bytes::BytesMut;
use daffi_core::{CallError, Callback, CallbackOptions, NodeConfig};
use daffi_serde::RemoteError;
use daffi_wire::{CallId, Credit, FlowId, FormatId, Frame, FrameWriter, Header, Kind, Level, Limits, Ping};
use futures::{StreamExt, future::join_all, stream};
use tokio::time::{Instant, sleep};

use crate::{
    level_three::{Server, connect},
    peer::{Peer, handshake, raw as raw_at, send},
    support::{client, endpoint, formats, method, plain, router, router_with, worker},
    waiting::{NOTHING, next, patient, raw, send_waiting, soon, until, waits},
};

async fn answer(worker: &mut Peer, name: &str, call: &Frame) {
    worker.send_to(Kind::Response, call.header().id().0, [name, call.transmitter(), "f"], NOTHING, false).await;
}

/// The next request that the peer gets.
async fn next_request(peer: &mut Peer) -> Frame {
    loop {
        let frame = next(peer).await;
        if frame.kind() == Kind::Request {
            return frame;
        }
    }
}

/// Refuses a call as one does that stops in order.
async fn refuse_as_stopping(worker: &mut Peer, name: &str, call: &Frame) {
    let error = RemoteError::new("NodeStopping", "it stops").in_module("daffi");
    let error = serde_json::json!({"args": [error], "kwargs": {}}).to_string();
    let names = [name, call.transmitter(), call.method()];
    worker.send_to(Kind::Error, call.header().id().0, names, &error, false).await;
}

async fn expose(peer: &mut Peer, name: &str, methods: &str) {
    send(peer, &handshake(name, "client/4", methods, "")).await;
}

/// A worker has calls of others open for good, and answers all that waited.
#[tokio::test]
async fn those_who_wait_go_one_for_one_beside_calls_that_stay_open() {
    let (router, at) = router();
    let (mut w, mut busy) = (raw(&at, "w", r#"["g"]"#).await, raw(&at, "busy", "null").await);
    for id in 1..=60 {
        busy.send_to(Kind::Request, id, ["busy", "w", "g"], NOTHING, true).await;
        next_request(&mut w).await;
    }
    let mut caller = raw(&at, "caller", "null").await;
    for id in 1..=200 {
        send_waiting(&mut caller, "caller", id, "f", 60_000).await;
    }
    until("they wait", || router.stats().waiting_calls == 200).await;
    expose(&mut w, "w", r#"["f","g"]"#).await;
    for _ in 0..200 {
        let call = next_request(&mut w).await;
        assert!(router.stats().open_calls <= 60 + 64, "no more than it can take");
        answer(&mut w, "w", &call).await;
    }
    until("all went", || router.stats().waiting_calls == 0 && router.stats().open_calls == 60).await;
}

/// Each has an open call for good as soon as it has begun.
#[tokio::test]
async fn results_that_never_end_keep_no_others_waiting() {
    let (router, at) = router();
    let mut clients = Vec::new();
    for n in 0..4 {
        clients.push(client(&at, &format!("caller-{n}")).await);
    }
    let calls: Vec<_> = (0..100)
        .map(|n| {
            let rpc = patient(&clients[n % 4]);
            tokio::spawn(async move { rpc.results::<i64>("ticks", ()).await.map(|results| results.boxed()) })
        })
        .collect();
    until("they wait", || router.stats().waiting_calls == 100).await;
    let ticks = Callback::streaming(method("ticks"), CallbackOptions::default(), formats(), |(): (), _| {
        Ok(stream::iter([Ok::<_, RemoteError>(7_i64)]).chain(stream::pending()))
    });
    let _worker = worker(&at, "worker", vec![ticks]).await;
    let begun = soon(join_all(calls)).await;
    for results in begun {
        let mut results = results.unwrap().unwrap();
        assert_eq!(soon(results.next()).await.unwrap().unwrap(), 7);
        std::mem::forget(results);
    }
}

/// Its worker says that it stops, and stays.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_each_time_is_made_ever_more_seldom() {
    const LONG: Duration = Duration::from_secs(10);
    let (_router, at) = router();
    let caller = client(&at, "caller").await;
    for gives_results in [true, false] {
        let rpc = caller.rpc().wait_for_receiver().timeout(10 * LONG);
        let call = tokio::spawn(async move {
            match gives_results {
                true => rpc.results::<i64>("f", ()).await.map(drop),
                false => rpc.call::<()>("f", ()).await,
            }
        });
        let mut w = raw(&at, "w", r#"["f"]"#).await;
        let (begun, mut refused) = (Instant::now(), 0);
        while begun.elapsed() < LONG {
            let call = next_request(&mut w).await;
            refuse_as_stopping(&mut w, "w", &call).await;
            refused += 1;
        }
        assert!(refused < 40, "{refused}");
        call.abort();
    }
}

/// One that waits for what it alone exposes is in nobody's way, whoever came first.
#[tokio::test]
async fn who_waits_for_its_own_callback_is_in_nobodys_way() {
    let (router, at) = router();
    let mut own = raw(&at, "own", r#"["f"]"#).await;
    send_waiting(&mut own, "own", 1, "f", 60_000).await;
    until("it waits", || router.stats().waiting_calls == 1).await;
    let mut other = raw(&at, "other", "null").await;
    for id in 1..=70 {
        send_waiting(&mut other, "other", id, "f", 60_000).await;
        assert_eq!(next_request(&mut own).await.transmitter(), "other");
    }
    let mut another = raw(&at, "another", r#"["f"]"#).await;
    assert_eq!(next_request(&mut another).await.transmitter(), "own");
}

/// The first that comes cannot take them all; those it can take go to it, and the rest waits.
#[tokio::test]
async fn what_waits_goes_to_whoever_is_able() {
    let (router, at) = router();
    let mut caller = raw(&at, "caller", "null").await;
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, "caller", "", "f").unwrap();
    writer.extensions(&waits(60_000));
    writer.finish(Header::new(Kind::Request, CallId(1), FormatId::POSTCARD, false, true), 0, &limits).unwrap();
    caller.send_bytes(&bytes).await;
    send_waiting(&mut caller, "caller", 2, "f", 60_000).await;
    until("both wait", || router.stats().waiting_calls == 2).await;
    let mut old = raw_at(&at, "old", "client", r#"["f"]"#).await;
    assert_eq!(next_request(&mut old).await.header().id().0, 2);
    assert_eq!((router.stats().waiting_calls, router.stats().refused_calls), (1, 0));
    let mut new = raw(&at, "new", r#"["f"]"#).await;
    assert_eq!(next_request(&mut new).await.header().id().0, 1);
    // When nobody able has come in time it is said why.
    drop(new);
    until("it left", || router.members().len() == 2).await;
    let mut bytes = BytesMut::new();
    let mut writer = FrameWriter::begin(&mut bytes, "caller", "", "f").unwrap();
    writer.extensions(&waits(50));
    writer.finish(Header::new(Kind::Request, CallId(3), FormatId::POSTCARD, false, true), 0, &limits).unwrap();
    caller.send_bytes(&bytes).await;
    let text = loop {
        let frame = next(&mut caller).await;
        if frame.header().id().0 == 3 {
            break String::from_utf8_lossy(frame.payload()).into_owned();
        }
    };
    assert!(text.contains("DeadlineExceeded") && text.contains("3.0.1"), "{text}");
}

/// Large arguments that waited are put together for a node of 3.0.1, as those are that did not.
#[tokio::test]
async fn large_arguments_that_waited_are_put_together() {
    let (router, at) = router();
    let client = client(&at, "caller").await;
    let large = "x".repeat(3 << 20);
    let calls = (0..3).map(|_| patient(&client).call::<i64>("count", (large.clone(),)));
    let calls = tokio::spawn(join_all(calls));
    until("they wait", || router.stats().waiting_calls == 3).await;
    let mut old = raw_at(&at, "old", "client", r#"["count"]"#).await;
    for _ in 0..3 {
        let call = next_request(&mut old).await;
        assert!(call.payload().len() > 3 << 20 && call.receiver() == "old", "{}", call.payload().len());
        let names = ["old", "caller", "count"];
        old.send_to(Kind::Response, call.header().id().0, names, r#"{"args":[7],"kwargs":{}}"#, false).await;
    }
    for answer in soon(calls).await.unwrap() {
        assert_eq!(answer.unwrap(), 7);
    }
    until("nothing is held", || router.stats().waiting_calls == 0 && router.stats().held_bytes == 0).await;
}

/// A process that stood still and goes on.
#[tokio::test(start_paused = true)]
async fn those_who_wait_go_on_with_one_that_stood_still() {
    let (router, at) = router();
    let mut caller = raw(&at, "caller", "null").await;
    for id in 1..=65 {
        send_waiting(&mut caller, "caller", id, "f", 600_000).await;
    }
    until("they wait", || router.stats().waiting_calls == 65).await;
    let mut w = raw(&at, "w", r#"["f"]"#).await;
    let mut calls = Vec::new();
    for _ in 0..64 {
        calls.push(next_request(&mut w).await);
    }
    for _ in 0..100 {
        if router.stats().stopped_members == 1 {
            break;
        }
        sleep(Duration::from_millis(500)).await;
        // The caller is alive.
        caller.send_to(Kind::Request, 999, ["caller", "nobody", "f"], NOTHING, false).await;
    }
    assert_eq!(router.stats().stopped_members, 1);
    answer(&mut w, "w", &calls[0]).await;
    assert_eq!(next_request(&mut w).await.header().id().0, 65);
}

/// Calls that were never sent to who has left did not run, and their callers hear that.
#[tokio::test]
async fn calls_that_were_held_for_one_that_left_did_not_run() {
    let (router, at) = router();
    let (w, mut caller) = (raw(&at, "w", r#"["f"]"#).await, raw(&at, "caller", "null").await);
    let begins = Credit::Begins(FlowId(7)).frame("caller", "w", &Limits::default()).unwrap();
    caller.send_to(Kind::Request, 1, ["caller", "w", "f"], NOTHING, true).await;
    send(&mut caller, &begins).await;
    for _ in 0..2 {
        let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(8_000));
        caller.send_to(Kind::Request, 0, ["caller", "w", "f"], &body, false).await;
    }
    caller.send_to(Kind::Request, 2, ["caller", "w", "f"], NOTHING, true).await;
    caller.send_to(Kind::Request, 3, ["caller", "", "f"], NOTHING, true).await;
    until("they are open", || router.stats().open_calls == 3).await;
    drop(w);
    for _ in 0..3 {
        let ended = next(&mut caller).await;
        let text = String::from_utf8_lossy(ended.payload()).into_owned();
        let class = if ended.header().id().0 == 1 { "ReceiverGone" } else { "ReceiverNotFound" };
        assert!(text.contains(class), "{}: {text}", ended.header().id().0);
    }
}

/// Its worker has just stopped in order, and the next one gives the results.
#[tokio::test]
async fn results_that_wait_are_asked_for_again_when_their_worker_stops() {
    let (router, at) = router();
    let client = client(&at, "caller").await;
    for kind in ["results", "call"] {
        let mut stopping = raw(&at, "stopping", r#"["ticks"]"#).await;
        let rpc = patient(&client);
        let call = tokio::spawn(async move {
            match kind {
                "results" => {
                    let mut results = rpc.results::<i64>("ticks", ()).await?;
                    results.next().await.expect("a result")
                }
                _ => rpc.call::<i64>("ticks", ()).await,
            }
        });
        let request = next_request(&mut stopping).await;
        expose(&mut stopping, "stopping", "[]").await;
        refuse_as_stopping(&mut stopping, "stopping", &request).await;
        let other = worker(&at, "other", vec![plain("ticks", |(): ()| Ok(7))]).await;
        let answer: Result<i64, CallError> = soon(call).await.unwrap();
        assert_eq!(answer.unwrap(), 7, "{kind}");
        soon(other.stop()).await;
        drop(stopping);
        until("they left", || router.members().len() == 1).await;
    }
    let called = client.stats().called;
    let [ticks] = &called[..] else { panic!("{called:?}") };
    let counts = &ticks.callback;
    assert_eq!((counts.calls, counts.open, counts.unanswered), (2, 0, 0), "each is one call, however often it is made");
}

/// Its worker stopped, and the next one says nothing: the time is up once, and nobody is asked any
/// more.
#[tokio::test]
async fn results_that_were_asked_for_again_end_in_their_time() {
    let (_router, at) = router();
    let client = client(&at, "caller").await;
    let mut stopping = raw(&at, "stopping", r#"["f"]"#).await;
    let rpc = client.rpc().wait_for_receiver().timeout(Duration::from_millis(500));
    let call = tokio::spawn(async move { rpc.results::<i64>("f", ()).await.map(drop) });
    let request = next_request(&mut stopping).await;
    expose(&mut stopping, "stopping", "[]").await;
    refuse_as_stopping(&mut stopping, "stopping", &request).await;
    let mut silent = raw(&at, "silent", r#"["f"]"#).await;
    next_request(&mut silent).await;
    let ended = soon(call).await.unwrap();
    assert!(matches!(&ended, Err(CallError::Timeout { receiver, .. }) if !receiver.is_empty()), "{ended:?}");
    assert_eq!(next(&mut silent).await.kind(), Kind::Cancel, "it is given up");
    // The answer to this comes behind all that the Router sent.
    let asked = *b"no more?";
    send(&mut silent, &Ping::Asks(asked).frame()).await;
    loop {
        let frame = soon(silent.receive()).await.expect("it is there");
        assert_ne!(frame.kind(), Kind::Request, "a third one");
        if frame.kind() == Kind::Ping && matches!(Ping::read(&frame), Ok(Ping::Answers(told)) if told == asked) {
            break;
        }
    }
}

/// Its worker stopped, and then the connection is lost: the call may have run.
#[tokio::test]
async fn results_that_were_asked_for_again_are_lost_with_the_connection() {
    const LIST: &str = r#"{"meta":{"type":"router/4","error":null},"members":[{"name":"me","methods":[],"level":4},{"name":"w","methods":["f"],"level":4}]}"#;
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(LIST));
    first.0.reader.set_level(Level::FOUR);
    let rpc = patient(&client);
    let call = tokio::spawn(async move { rpc.results::<i64>("f", ()).await.map(drop) });
    let request = next_request(&mut first).await;
    refuse_as_stopping(&mut first, "w", &request).await;
    next_request(&mut first).await;
    drop(first);
    let (mut second, _) = server.accept(LIST).await;
    second.0.reader.set_level(Level::FOUR);
    let ended = soon(call).await.unwrap();
    assert!(matches!(ended, Err(CallError::Disconnected(_))), "{ended:?}");
    soon(client.wait_for_connection()).await.unwrap();
    let ended = soon(client.rpc_nowait().receiver("w").call("f", ())).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert!(!next_request(&mut second).await.header().wants_reply(), "it was not made a third time");
}

/// What a call that waits takes beside its bytes is counted: of as many callbacks as there are
/// calls it is most.
#[tokio::test]
async fn what_waits_is_counted_as_it_is_held() {
    let (router, at) = router_with(NodeConfig::server());
    let mut greedy = raw(&at, "greedy", "null").await;
    let before = router.stats().held_bytes;
    for id in 1..=1000 {
        send_waiting(&mut greedy, "greedy", id, &format!("callback-{id}"), 60_000).await;
    }
    until("they wait", || router.stats().waiting_calls == 1000).await;
    let held = router.stats().held_bytes - before;
    assert!(held > 1000 * 768, "{held}");
    drop(greedy);
    until("nothing is held", || router.stats().held_bytes == before).await;
}

/// A call waits for one of two that expose its callback, and that one leaves.
#[tokio::test]
async fn who_waits_for_one_that_leaves_goes_to_another() {
    let (router, at) = router();
    let mut w = raw(&at, "w", r#"["f"]"#).await;
    let mut busy = raw(&at, "busy", "null").await;
    for id in 1..=200 {
        busy.send_to(Kind::Request, id, ["busy", "w", "f"], NOTHING, true).await;
        next_request(&mut w).await;
    }
    // Its own calls go to the other one, as many as that takes, and are never answered.
    for id in 1..=70 {
        send_waiting(&mut w, "w", id, "f", 60_000).await;
    }
    until("they wait", || router.stats().waiting_calls == 70).await;
    let mut v = raw(&at, "v", r#"["f"]"#).await;
    until("it takes no more", || router.stats().waiting_calls == 6).await;
    let mut caller = raw(&at, "caller", "null").await;
    send_waiting(&mut caller, "caller", 1, "f", 60_000).await;
    until("it waits behind them", || router.stats().waiting_calls == 7).await;
    for _ in 0..64 {
        next_request(&mut v).await;
    }
    drop(v);
    assert_eq!(next_request(&mut w).await.transmitter(), "caller");
}
