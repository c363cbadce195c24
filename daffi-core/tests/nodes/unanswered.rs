//! Calls that a worker of daffi 3.0.1 leaves without an answer, at a Router that bounds how long.

use std::time::Duration;

use daffi_core::{CallError, NodeConfig, Router};
use daffi_transport::Endpoint;
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
use futures::future::join_all;
use tokio::time::Instant;

use crate::{
    peer::Peer,
    support::{client, plain, router_with, worker},
};

const LIMIT: Duration = Duration::from_secs(30);

/// Between two looks of the Router at such calls, and what a busy machine adds.
const LATE: Duration = Duration::from_millis(100);

fn limited() -> (Router, Endpoint) {
    router_with(NodeConfig::server().level3_call_limit(Some(LIMIT)))
}

/// A worker of 3.0.1 that answers nothing.
async fn silent(at: &Endpoint) -> Peer {
    let mut silent = Peer::connect(at).await;
    silent.hello_with("silent", "client", r#"["f"]"#).await;
    silent
}

async fn request(worker: &mut Peer) -> Frame {
    loop {
        let frame = worker.receive().await.unwrap();
        if frame.kind() == Kind::Request {
            return frame;
        }
    }
}

async fn answer(worker: &mut Peer, request: &Frame) {
    let header = Header::new(Kind::Response, request.header().id(), FormatId::JSON, true, false);
    let names = [request.receiver(), request.transmitter(), request.method()];
    let body = br#"{"args": [5], "kwargs": {}}"#;
    let reply = Frame::new(header, names[0], names[1], names[2], body, &Limits::default()).unwrap();
    worker.send_bytes(reply.as_bytes()).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_and_a_late_answer_reaches_nobody() {
    let (router, at) = limited();
    let mut silent = silent(&at).await;
    let caller = client(&at, "caller").await;
    let called = Instant::now();
    let call = caller.rpc().receiver("silent").call::<i64>("f", ());
    let (error, late) = tokio::join!(call, request(&mut silent));
    let error = error.unwrap_err();
    assert!((LIMIT..LIMIT + LATE).contains(&called.elapsed()), "{:?}", called.elapsed());
    assert!(matches!(error, CallError::Unanswered(_)) && !error.is_retryable(), "{error:?}");
    let text = error.to_string();
    assert!(["silent", "level3_call_limit", "30s", "router"].iter().all(|word| text.contains(word)), "{text}");
    assert_eq!((router.stats().open_calls, router.stats().unanswered_calls), (0, 1));

    // The next call has another number, and only its own answer reaches it.
    let next = caller.rpc().receiver("silent").call::<i64>("f", ());
    let answering = async {
        let next = request(&mut silent).await;
        assert_ne!(next.header().id(), late.header().id());
        answer(&mut silent, &late).await;
        while router.stats().dropped_replies == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(router.stats().open_calls, 1);
        answer(&mut silent, &next).await;
    };
    assert_eq!(tokio::join!(next, answering).0.unwrap(), 5);
}

/// A caller of 3.0.1 may use a number anew whose call has ended: the late answer to the first is
/// not that of the second.
#[tokio::test(start_paused = true)]
async fn an_old_caller_may_use_the_number_again() {
    let (router, at) = limited();
    let mut silent = silent(&at).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello("caller").await;
    caller.send_to(Kind::Request, 7, ["caller", "silent", "f"], "", true).await;
    let first = request(&mut silent).await;
    let error = caller.expect(Kind::Error).await;
    assert!(error.contains("Unanswered") && error.contains("level3_call_limit"), "{error}");
    caller.send_to(Kind::Request, 7, ["caller", "silent", "f"], "", true).await;
    let second = request(&mut silent).await;
    assert_ne!(first.header().id(), second.header().id(), "the number of the first rests");
    answer(&mut silent, &first).await;
    answer(&mut silent, &second).await;
    let reply = caller.receive().await.unwrap();
    assert_eq!((reply.kind(), reply.header().id()), (Kind::Response, CallId(7)));
    assert_eq!(router.stats().dropped_replies, 1);
}

/// Thousands of calls of several callers end at their time, each once, and nothing of them is left.
#[tokio::test(start_paused = true)]
async fn many_calls_end_each_at_its_time() {
    const CALLS: usize = 1000;
    let (router, at) = limited();
    let _silent = silent(&at).await;
    let mut callers = Vec::new();
    for n in 0..3 {
        callers.push(client(&at, &format!("caller{n}")).await);
    }
    let calls = callers.iter().flat_map(|caller| (0..CALLS).map(move |n| (caller, n))).map(async |(caller, n)| {
        tokio::time::sleep(Duration::from_millis(n as u64)).await;
        let called = Instant::now();
        let error = caller.rpc().receiver("silent").call::<i64>("f", ()).await.unwrap_err();
        assert!(matches!(error, CallError::Unanswered(_)), "{error}");
        assert!((LIMIT..LIMIT + LATE).contains(&called.elapsed()), "{:?}", called.elapsed());
    });
    join_all(calls).await;
    assert_eq!((router.stats().open_calls, router.stats().unanswered_calls), (0, 3 * CALLS as u64));
}

/// One of this project is asked whether it lives: its callbacks take as long as they take.
#[tokio::test(start_paused = true)]
async fn callbacks_of_this_project_take_any_time() {
    let (router, at) = limited();
    let _worker = worker(
        &at,
        "worker",
        vec![crate::support::asynchronous("slow", |(): ()| async {
            tokio::time::sleep(10 * LIMIT).await;
            7
        })],
    )
    .await;
    let caller = worker(&at, "caller", vec![plain("f", |(): ()| Ok(1))]).await;
    assert_eq!(caller.rpc().call::<i64>("slow", ()).await.unwrap(), 7);
    assert_eq!(router.stats().unanswered_calls, 0);
}
