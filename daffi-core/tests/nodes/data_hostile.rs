//! Peers that break the rules of DATA, go silent or leave in the middle of a call.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use daffi_core::{CallError, Callback, CallbackOptions, NodeConfig};
use daffi_transport::Endpoint;
use daffi_wire::{
    CallCredit, CallId, Cancel, CancelReason, Data, DataEnd, Extensions, Frame, Kind, Limits, MethodName, StreamFlags,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use crate::{
    peer::{Peer, begins, request, send},
    support::{Formats, client, client_exposing, endpoint, formats, plain, router, router_with, service_at},
};

const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;
const ONE: &str = r#"{"args":[1],"kwargs":{}}"#;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

/// `hold`: takes items, and reads none of them. `add`: at once.
fn callbacks() -> Vec<Callback> {
    let name = MethodName::new("hold", &Limits::default()).unwrap();
    let hold = Callback::asynchronous(name, CallbackOptions::new(), formats(), |(): (), ctx| {
        let (items, ctx) = (ctx.items::<i64, Formats>("hold"), ctx.clone());
        async move {
            ctx.cancelled().await;
            drop(items);
            Ok(())
        }
    });
    vec![hold, plain("add", |(a, b): (i64, i64)| Ok(a + b))]
}

fn streams(items_follow: bool, takes_results: bool) -> Extensions {
    Extensions::builder().stream(StreamFlags { items_follow, takes_results }).build().unwrap()
}

fn data(id: u16, from_caller: bool, [from, to]: [&str; 2], end: DataEnd, bytes: &[u8]) -> Frame {
    let data = Data { id: CallId(id), from_caller, end, packed: false, bytes: Bytes::copy_from_slice(bytes) };
    data.frame(from, to, &Limits::default()).unwrap()
}

/// The next frame that is about a call.
async fn next(peer: &mut Peer) -> Option<Frame> {
    loop {
        let frame = soon(peer.receive()).await?;
        if !matches!(frame.kind(), Kind::Handshake | Kind::Events | Kind::Ping) {
            return Some(frame);
        }
    }
}

async fn raw(at: &Endpoint, name: &str, methods: &str) -> Peer {
    let mut peer = Peer::connect(at).await;
    peer.hello_with(name, "client/4", methods).await;
    peer
}

#[tokio::test]
async fn items_beyond_the_window_end_their_sender_and_nobody_else() {
    for behind_router in [false, true] {
        let (at, _nodes): (_, Box<dyn std::any::Any>) = if behind_router {
            let (router, at) = router();
            let worker = client_exposing(&at, "svc", NodeConfig::client(), callbacks()).await;
            (at, Box::new((router, worker)))
        } else {
            let at = endpoint();
            let service = service_at(&at, NodeConfig::server(), callbacks());
            (at, Box::new(service))
        };
        let mut greedy = raw(&at, "greedy", "null").await;
        send(&mut greedy, &request(2, ["greedy", "svc", "hold"], &streams(true, false), NOTHING)).await;
        // The first takes the whole window.
        send(&mut greedy, &data(2, true, ["greedy", "svc"], DataEnd::Item, &[b'1'; 65_280])).await;
        send(&mut greedy, &data(2, true, ["greedy", "svc"], DataEnd::Item, b"1")).await;
        while next(&mut greedy).await.is_some() {}
        let honest = client(&at, "honest").await;
        assert_eq!(soon(honest.rpc().call::<i64>("add", (1, 2))).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn results_beyond_the_window_end_their_sender_and_nobody_else() {
    let (_router, at) = router();
    let mut greedy = raw(&at, "greedy", r#"["f"]"#).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["greedy"], None).await.unwrap();
    let call = caller.rpc();
    let results = tokio::spawn(async move { call.results::<serde_json::Value>("f", ()).await.unwrap() });
    let id = next(&mut greedy).await.unwrap().header().id();
    send(&mut greedy, &begins(id, ["greedy", "caller"])).await;
    send(&mut greedy, &data(id.0, false, ["greedy", "caller"], DataEnd::Item, ONE.as_bytes())).await;
    let mut results = soon(results).await.unwrap();
    assert_eq!(soon(results.try_next()).await.unwrap(), Some(1.into()));
    let large = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(60_000));
    for _ in 0..3 {
        send(&mut greedy, &data(id.0, false, ["greedy", "caller"], DataEnd::Item, large.as_bytes())).await;
    }
    while next(&mut greedy).await.is_some() {}
    let all: Vec<_> = soon(results.collect()).await;
    assert!(matches!(all.last(), Some(Err(CallError::ReceiverGone { .. }))), "{all:?}");
    assert!(caller.is_connected());
}

#[tokio::test]
async fn data_of_no_call_of_another_s_and_after_the_end_is_skipped() {
    let (router, at) = router();
    let mut worker = raw(&at, "worker", r#"["f"]"#).await;
    let mut other = raw(&at, "other", "null").await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["worker", "other"], None).await.unwrap();
    for round in 0..3 {
        let call = caller.rpc();
        let results = tokio::spawn(async move { call.results::<u64>("f", ()).await.unwrap() });
        let id = next(&mut worker).await.unwrap().header().id();
        let to_caller = |end, bytes: &str| data(id.0, false, ["worker", "caller"], end, bytes.as_bytes());
        // Another member speaks for the call, in both directions, and under the worker's name.
        for from_caller in [false, true] {
            for from in ["other", "worker"] {
                send(&mut other, &data(id.0, from_caller, [from, "caller"], DataEnd::Direction, ONE.as_bytes())).await;
            }
        }
        send(&mut worker, &data(id.0 + 1, false, ["worker", "caller"], DataEnd::Direction, ONE.as_bytes())).await;
        send(&mut worker, &begins(id, ["worker", "caller"])).await;
        send(&mut worker, &begins(id, ["worker", "caller"])).await;
        send(&mut worker, &to_caller(DataEnd::Item, ONE)).await;
        send(&mut worker, &to_caller(DataEnd::Direction, ONE)).await;
        for end in [DataEnd::Item, DataEnd::Direction] {
            send(&mut worker, &to_caller(end, ONE)).await;
        }
        worker.send_to(Kind::Response, id.0, ["worker", "caller", "f"], ONE, false).await;
        let results = soon(results).await.unwrap();
        assert_eq!(soon(results.try_collect::<Vec<_>>()).await.unwrap(), [1, 1], "round {round}");
    }
    assert!(router.stats().skipped_frames >= 3 * 5, "{:?}", router.stats());
    assert_eq!(router.stats().open_calls, 0);
}

/// What passes bounds what is told of it.
#[tokio::test]
async fn a_router_passes_no_grants_on_that_tell_nothing() {
    let (_router, at) = router();
    let mut worker = raw(&at, "worker", r#"["f"]"#).await;
    let mut caller = raw(&at, "caller", "null").await;
    send(&mut caller, &request(2, ["caller", "worker", "f"], &streams(false, true), NOTHING)).await;
    assert_eq!(next(&mut worker).await.unwrap().kind(), Kind::Request);
    for (worked_off, window) in [(0, 65_536), (0, 4_000_000)].repeat(200) {
        let credit = CallCredit::new(CallId(2), true, worked_off, window).unwrap();
        send(&mut caller, &credit.frame("caller", "worker", &Limits::default()).unwrap()).await;
    }
    send(&mut worker, &begins(CallId(2), ["worker", "caller"])).await;
    send(&mut worker, &data(2, false, ["worker", "caller"], DataEnd::Item, &[b'1'; 60_000])).await;
    assert_eq!(next(&mut caller).await.unwrap().kind(), Kind::Response);
    assert_eq!(next(&mut caller).await.unwrap().kind(), Kind::Data);
    let credit = CallCredit::new(CallId(2), true, 60_256, 131_072).unwrap();
    send(&mut caller, &credit.frame("caller", "worker", &Limits::default()).unwrap()).await;
    let passed = next(&mut worker).await.unwrap();
    assert_eq!((passed.kind(), CallCredit::read(&passed).unwrap()), (Kind::Credit, credit), "the first that is news");
}

/// The greedy one: memory for its streams is taken from the budget, and others keep theirs.
#[tokio::test]
async fn streams_for_which_there_is_no_room_are_refused_and_small_calls_are_not() {
    let (router, at) = router_with(NodeConfig::server().budget_bytes(8 << 20).max_connections(16));
    let mut worker = raw(&at, "worker", r#"["f"]"#).await;
    let mut greedy = raw(&at, "greedy", "null").await;
    for id in 2..2_000 {
        send(&mut greedy, &request(id, ["greedy", "worker", "f"], &streams(false, true), NOTHING)).await;
    }
    let refused = next(&mut greedy).await.unwrap();
    assert_eq!(refused.kind(), Kind::Error);
    assert!(String::from_utf8_lossy(refused.payload()).contains("Overloaded"), "{refused:?}");
    assert!(router.stats().held_bytes <= 16 << 20, "{:?}", router.stats());
    let mut honest = raw(&at, "honest", "null").await;
    send(&mut honest, &request(2, ["honest", "worker", "f"], &Extensions::default(), NOTHING)).await;
    loop {
        let frame = next(&mut worker).await.unwrap();
        if frame.is_from("honest") {
            break;
        }
    }
    drop(greedy);
    soon(async {
        while router.stats().held_bytes > 1 << 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_leaves_in_the_middle_ends_the_call_behind_what_came() {
    let (_router, at) = router();
    let name = MethodName::new("never", &Limits::default()).unwrap();
    let never = Callback::streaming(name, CallbackOptions::new(), formats(), |(): (), _| {
        Ok(stream::iter([Ok(1_u64), Ok(2)]).chain(stream::pending()))
    });
    let worker = client_exposing(&at, "worker", NodeConfig::client(), vec![never]).await;
    let caller = client(&at, "caller").await;
    let mut results = soon(caller.rpc().results::<u64>("never", ())).await.unwrap();
    assert_eq!(soon(results.try_next()).await.unwrap(), Some(1));
    drop(worker);
    let rest: Vec<_> = soon(results.collect()).await;
    assert!(matches!(&rest[..], [Ok(2), Err(CallError::ReceiverGone { .. })]), "{rest:?}");
}

/// Whoever sends items hears of the end as well as whoever takes results.
#[tokio::test]
async fn a_sender_of_items_does_not_wait_for_a_call_that_has_ended() {
    let (_router, at) = router();
    let name = MethodName::new("deaf", &Limits::default()).unwrap();
    let deaf = Callback::streaming(name, CallbackOptions::new(), formats(), |(): (), ctx| {
        let items = ctx.items::<String, Formats>("deaf");
        Ok(stream::pending::<Result<u64, _>>().map(move |item| (&items, item).1))
    });
    let worker = client_exposing(&at, "worker", NodeConfig::client(), vec![deaf]).await;
    let caller = client(&at, "caller").await;
    let (mut say, mut heard) = soon(caller.rpc().duplex::<String, u64>("deaf", ())).await.unwrap();
    let sending = tokio::spawn(async move { while say.send("x".repeat(10_000)).await.is_ok() {} });
    let ended = tokio::spawn(async move { heard.try_next().await });
    drop(worker);
    let ended = soon(ended).await.unwrap();
    // The request may not have arrived.
    let is_gone = matches!(ended, Err(CallError::ReceiverGone { .. } | CallError::ReceiverNotFound { .. }));
    assert!(is_gone, "{ended:?}");
    soon(sending).await.unwrap();
}

#[tokio::test]
async fn streams_that_were_given_up_leave_nothing() {
    let (router, at) = router();
    let name = MethodName::new("never", &Limits::default()).unwrap();
    let never =
        Callback::streaming(name, CallbackOptions::new(), formats(), |(): (), _| Ok(stream::repeat(7_u64).map(Ok)));
    let worker = client_exposing(&at, "worker", NodeConfig::client(), vec![never]).await;
    let caller = client(&at, "caller").await;
    for _ in 0..200 {
        let mut results = soon(caller.rpc().results::<u64>("never", ())).await.unwrap();
        assert_eq!(soon(results.try_next()).await.unwrap(), Some(7));
    }
    soon(async {
        while router.stats().open_calls > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    drop((caller, worker));
    soon(async {
        while router.stats().held_bytes > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The greedy one that takes nothing: what has come for its calls is counted after they have ended.
#[tokio::test]
async fn results_of_ended_calls_that_nobody_takes_are_counted() {
    let (router, at) = router_with(NodeConfig::server().budget_bytes(8 << 20).max_connections(16));
    let mut worker = raw(&at, "worker", r#"["f"]"#).await;
    let mut deaf = raw(&at, "deaf", "null").await;
    let mut asked = 0;
    for id in 2..600 {
        send(&mut deaf, &request(id, ["deaf", "worker", "f"], &streams(false, true), NOTHING)).await;
        // What is refused reaches nobody; the answer to that is not read either.
        let Ok(Some(call)) = timeout(Duration::from_millis(300), worker.receive()).await else { break };
        if call.kind() != Kind::Request {
            continue;
        }
        asked += 1;
        let number = call.header().id();
        send(&mut worker, &begins(number, ["worker", "deaf"])).await;
        send(&mut worker, &data(number.0, false, ["worker", "deaf"], DataEnd::Item, &[b'1'; 60_000])).await;
        send(&mut worker, &data(number.0, false, ["worker", "deaf"], DataEnd::Direction, b"")).await;
    }
    assert!(asked > 2 && asked < 200, "{asked} calls of 60 kB were let in: {:?}", router.stats());
    assert!(router.stats().held_bytes <= 16 << 20, "{:?}", router.stats());
}

/// The word that no further items are wanted travels under the caller's number, once, and ends the
/// items alone.
#[tokio::test]
async fn a_callee_that_wants_no_more_items_is_heard_once_through_a_router() {
    let (_router, at) = router();
    let mut worker = raw(&at, "worker", r#"["f"]"#).await;
    let mut caller = raw(&at, "caller", "null").await;
    send(&mut caller, &request(2, ["caller", "worker", "f"], &streams(true, false), NOTHING)).await;
    let id = next(&mut worker).await.unwrap().header().id();
    let enough = Cancel { id, reason: CancelReason::EnoughItems }.frame("worker", "caller", &Limits::default());
    for _ in 0..3 {
        send(&mut worker, enough.as_ref().unwrap()).await;
    }
    let heard = next(&mut caller).await.unwrap();
    assert_eq!((heard.kind(), heard.header().id(), heard.payload()), (Kind::Cancel, CallId(2), &b"\x05"[..]));
    // What was on its way is dropped, however much it is.
    for _ in 0..3 {
        send(&mut caller, &data(2, true, ["caller", "worker"], DataEnd::Item, &[b'1'; 60_000])).await;
    }
    send(&mut caller, &request(3, ["caller", "worker", "f"], &Extensions::default(), NOTHING)).await;
    assert_eq!(next(&mut worker).await.unwrap().kind(), Kind::Request, "and no item before it");
    worker.send_to(Kind::Response, id.0, ["worker", "caller", "f"], NOTHING, false).await;
    let answer = next(&mut caller).await.unwrap();
    assert_eq!((answer.kind(), answer.header().id()), (Kind::Response, CallId(2)), "the call goes on");
}
