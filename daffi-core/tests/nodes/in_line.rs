//! Requests that stand in line before a worker behind a Router, which is played by hand.

use daffi_core::Router;
use daffi_transport::Endpoint;
use daffi_wire::{Frame, Kind};

use crate::{
    peer::{Peer, handshake, send},
    support::router,
    waiting::{NOTHING, next, raw, soon, until},
};

async fn ask(caller: &mut Peer, name: &str, id: u16) {
    caller.send_to(Kind::Request, id, [name, "worker", "f"], NOTHING, true).await;
}

/// The next request, past the marks.
async fn request(worker: &mut Peer) -> Frame {
    let frame = next(worker).await;
    assert_eq!(frame.kind(), Kind::Request, "{frame:?}");
    frame
}

/// A worker, one that asks little of it, and one that asks 100 calls at once. Both are known, as a
/// call of theirs was answered. The worker sends no marks back.
async fn asked_much(router: &Router, at: &Endpoint) -> (Peer, Peer, Peer) {
    let mut worker = raw(at, "worker", r#"["f"]"#).await;
    let (mut few, mut much) = (raw(at, "few", "null").await, raw(at, "much", "null").await);
    for (caller, name) in [(&mut few, "few"), (&mut much, "much")] {
        ask(caller, name, 1).await;
        request(&mut worker).await;
        worker.send_to(Kind::Response, 1, ["worker", name, "f"], NOTHING, false).await;
        assert_eq!(next(caller).await.kind(), Kind::Response);
    }
    ask(&mut few, "few", 2).await;
    request(&mut worker).await;
    for id in 2..=101 {
        ask(&mut much, "much", id).await;
    }
    until("some stand in line", || router.stats().held_requests > 50).await;
    (worker, few, much)
}

#[tokio::test]
async fn who_asks_little_goes_before_those_in_line() {
    let (router, at) = router();
    let (mut worker, mut few, _much) = asked_much(&router, &at).await;
    let passed = 100 - router.stats().held_requests;
    ask(&mut few, "few", 3).await;
    for _ in 0..passed {
        assert_eq!(request(&mut worker).await.transmitter(), "much");
    }
    assert_eq!(request(&mut worker).await.transmitter(), "few");
}

/// It takes what was asked before it is told that it is asked no more.
#[tokio::test]
async fn what_stands_in_line_before_one_that_withdraws_goes_before_the_answer() {
    let (router, at) = router();
    let (mut worker, _few, _much) = asked_much(&router, &at).await;
    send(&mut worker, &handshake("worker", "client/4", "null", "")).await;
    let mut requests = 0;
    loop {
        let frame = soon(worker.receive()).await.expect("an answer");
        match frame.kind() {
            Kind::Request => requests += 1,
            Kind::Handshake if frame.transmitter() == "worker" => break,
            _ => {}
        }
    }
    assert_eq!((requests, router.stats().held_requests), (100, 0));
}
