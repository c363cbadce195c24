//! Bodies that a Router puts together for nodes of 3.0.1, and calls that end in the middle of them:
//! such a body is a part of its call and ends with it.

use std::time::Duration;

use daffi_core::{NodeConfig, Router};
use daffi_transport::Endpoint;
use daffi_wire::{CallCredit, CallId, Cancel, CancelReason, DataEnd, Frame, Kind, Limits};
use tokio::time::timeout;

use crate::{
    peer::{Peer, data, first, next_of_a_call as next, raw, send},
    support::{router, router_with},
};

const MIB: usize = 1 << 20;
/// The largest part that costs as much as a first window.
const WINDOW: usize = 65_280;
const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(Duration::from_secs(20), waiting).await.is_ok(), "not in time: {what}");
}

/// A member of 3.0.1.
async fn old(at: &Endpoint, name: &str) -> Peer {
    raw(at, name, "client", "null").await
}

async fn worker(at: &Endpoint) -> Peer {
    raw(at, "svc", "client/4", r#"["f"]"#).await
}

async fn call(caller: &mut Peer, name: &str, id: u16) {
    caller.send_to(Kind::Request, id, [name, "svc", "f"], NOTHING, true).await;
}

/// The number under which the next request comes.
async fn await_call(svc: &mut Peer) -> u16 {
    let request = next(svc).await.unwrap();
    assert_eq!(request.kind(), Kind::Request);
    request.header().id().0
}

/// The worker begins a large answer.
async fn begin(svc: &mut Peer, id: u16, to: &str, total: usize) {
    send(svc, &first(Kind::Response, id, ["svc", to, "f"], total, b"x")).await;
}

async fn refuse(svc: &mut Peer, id: u16, to: &str) {
    svc.send_to(Kind::Error, id, ["svc", to, "f"], "{}", false).await;
}

/// Sends what is missing of a body of `total` bytes, as it is granted.
async fn finish(from: &mut Peer, (id, from_caller): (u16, bool), names: [&str; 2], total: usize, mut sent: usize) {
    let mut limit = u64::from(daffi_wire::FIRST_CALL_WINDOW);
    let mut cost = if sent > 1 { daffi_wire::data_cost(sent - 1) } else { 0 };
    while sent < total {
        let part = (total - sent).min(30_000);
        cost += daffi_wire::data_cost(part);
        while cost > limit {
            let frame = timeout(Duration::from_secs(20), from.receive()).await.expect("it is granted").unwrap();
            if frame.kind() == Kind::Credit && frame.header().id() == CallId(id) {
                limit = CallCredit::read(&frame).unwrap().limit();
            }
        }
        send(from, &data(id, from_caller, names, DataEnd::Nothing, &vec![b'x'; part])).await;
        sent += part;
    }
    send(from, &data(id, from_caller, names, DataEnd::Direction, b"")).await;
}

/// Callers of these names that called, and got the first part of a large answer.
async fn begin_calls(at: &Endpoint, svc: &mut Peer, names: &[&str]) -> Vec<Peer> {
    let mut callers = Vec::new();
    for name in names {
        let mut caller = old(at, name).await;
        call(&mut caller, name, 2).await;
        assert_eq!(await_call(svc).await, 2);
        begin(svc, 2, name, 2 * MIB).await;
        callers.push(caller);
    }
    callers
}

/// That callers left.
async fn hear_of(svc: &mut Peer, count: usize) {
    for _ in 0..count {
        assert_eq!(next(svc).await.unwrap().kind(), Kind::Cancel);
    }
}

/// A caller of 3.0.1 calls, and gets a large answer.
async fn gets_a_large_answer(at: &Endpoint, svc: &mut Peer, name: &str) {
    let mut caller = old(at, name).await;
    call(&mut caller, name, 2).await;
    let id = await_call(svc).await;
    begin(svc, id, name, 300_000).await;
    finish(svc, (id, false), ["svc", name], 300_000, 1).await;
    let answer = next(&mut caller).await.unwrap();
    assert_eq!((answer.kind(), answer.payload().len()), (Kind::Response, 300_000));
}

#[tokio::test]
async fn callers_that_left_hold_nothing_and_keep_nobody_out() {
    let (router, at) = router();
    let mut svc = worker(&at).await;
    let callers = begin_calls(&at, &mut svc, &["x1", "x2", "x3", "x4", "x5"]).await;
    until("all is put together", || router.stats().held_bytes > 8 * MIB).await;
    drop(callers);
    hear_of(&mut svc, 5).await;
    // But for what is noted of their calls until those are answered.
    until("no body is held", || router.stats().held_bytes < MIB / 16).await;
    for name in ["x1", "x2", "x3", "x4", "x5"] {
        refuse(&mut svc, 2, name).await;
    }
    until("nothing is held", || router.stats().held_bytes == 0).await;
    gets_a_large_answer(&at, &mut svc, "y").await;
}

/// Its caller comes again as a node that takes parts, and calls under the same number.
#[tokio::test]
async fn a_caller_that_comes_again_gets_its_own_answer_and_its_worker_is_not_cut() {
    for waits_for_a_place in [false, true] {
        let (_router, at) = router();
        let mut svc = worker(&at).await;
        let _others =
            if waits_for_a_place { begin_calls(&at, &mut svc, &["x1", "x2", "x3", "x4"]).await } else { vec![] };
        let caller = begin_calls(&at, &mut svc, &["x"]).await;
        send(&mut svc, &data(2, false, ["svc", "x"], DataEnd::Nothing, &[b'o'; WINDOW])).await;
        drop(caller);
        hear_of(&mut svc, 1).await;
        refuse(&mut svc, 2, "x").await;
        let mut caller = raw(&at, "x", "client/4", "null").await;
        call(&mut caller, "x", 2).await;
        assert_eq!(await_call(&mut svc).await, 2, "it may be used again");
        let total = 1 + WINDOW + 60_000;
        begin(&mut svc, 2, "x", total).await;
        send(&mut svc, &data(2, false, ["svc", "x"], DataEnd::Nothing, &[b'n'; WINDOW])).await;
        assert_eq!(next(&mut caller).await.unwrap().kind(), Kind::Response);
        let part = next(&mut caller).await.unwrap();
        assert!(part.kind() == Kind::Data && part.payload() == [b'n'; WINDOW]);
        let cost = daffi_wire::data_cost(WINDOW);
        let credit = CallCredit::new(CallId(2), true, cost, daffi_wire::FIRST_CALL_WINDOW).unwrap();
        send(&mut caller, &credit.frame("x", "svc", &Limits::default()).unwrap()).await;
        finish(&mut svc, (2, false), ["svc", "x"], total, 1 + WINDOW).await;
        assert_eq!(next(&mut caller).await.unwrap().payload().len(), 30_000);
    }
}

#[tokio::test]
async fn a_worker_that_fails_in_the_middle_of_its_answer_has_its_places_back() {
    let (router, at) = router();
    let mut svc = worker(&at).await;
    let mut callers = begin_calls(&at, &mut svc, &["x1", "x2", "x3", "x4", "x5"]).await;
    for (caller, name) in callers.iter_mut().zip(["x1", "x2", "x3", "x4", "x5"]) {
        refuse(&mut svc, 2, name).await;
        let answer = next(caller).await.unwrap();
        assert_eq!((answer.kind(), answer.header().id()), (Kind::Error, CallId(2)));
    }
    until("nothing is held", || router.stats().held_bytes == 0).await;
    gets_a_large_answer(&at, &mut svc, "y").await;
}

/// A caller that has gone around its numbers hears nothing more of the older call.
#[tokio::test]
async fn a_caller_that_uses_its_number_again_gets_the_answer_to_the_newer_call() {
    let (router, at) = router();
    let mut svc = worker(&at).await;
    let mut caller = begin_calls(&at, &mut svc, &["x"]).await.pop().unwrap();
    until("it is put together", || router.stats().held_bytes > MIB).await;
    call(&mut caller, "x", 2).await;
    let newer = await_call(&mut svc).await;
    assert_ne!(newer, 2);
    until("nothing is held", || router.stats().held_bytes == 0).await;
    begin(&mut svc, newer, "x", 3).await;
    send(&mut svc, &data(2, false, ["svc", "x"], DataEnd::Direction, b"old")).await;
    send(&mut svc, &data(newer, false, ["svc", "x"], DataEnd::Direction, b"xx")).await;
    let answer = next(&mut caller).await.unwrap();
    assert_eq!((answer.kind(), answer.header().id(), answer.payload()), (Kind::Response, CallId(2), &b"xxx"[..]));
    call(&mut caller, "x", 2).await;
    assert_eq!(await_call(&mut svc).await, 2, "no number rests");
}

/// The end of an answer is the last word of its call, whoever waits for it.
#[tokio::test]
async fn the_last_part_for_a_caller_that_is_gone_frees_the_number() {
    for level in ["client", "client/4"] {
        let (_router, at) = router();
        let mut svc = worker(&at).await;
        let mut caller = raw(&at, "x", level, "null").await;
        call(&mut caller, "x", 2).await;
        assert_eq!(await_call(&mut svc).await, 2);
        begin(&mut svc, 2, "x", 4).await;
        drop(caller);
        hear_of(&mut svc, 1).await;
        send(&mut svc, &data(2, false, ["svc", "x"], DataEnd::Direction, b"xxx")).await;
        // What follows is handled after it.
        gets_a_large_answer(&at, &mut svc, "y").await;
        let mut again = raw(&at, "x", level, "null").await;
        call(&mut again, "x", 2).await;
        assert_eq!(await_call(&mut svc).await, 2);
    }
}

/// A member of 3.0.1 with the name and callback of the worker, and a caller with four bodies of
/// arguments for it, and one that waits for its place.
async fn uploads(router: &Router, at: &Endpoint, receiver: &str) -> (Peer, Peer) {
    let svc = raw(at, "svc", "client", r#"["f"]"#).await;
    let mut caller = raw(at, "x", "client/4", "null").await;
    for id in 2..7 {
        send(&mut caller, &first(Kind::Request, id, ["x", receiver, "f"], 2 * MIB, b"x")).await;
        send(&mut caller, &data(id, true, ["x", receiver], DataEnd::Nothing, b"x")).await;
    }
    until("all is put together", || router.stats().held_bytes > 8 * MIB).await;
    (svc, caller)
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.payload()).into_owned()
}

/// The next member of that name takes parts, and gets those of its own calls.
#[tokio::test]
async fn a_receiver_that_leaves_ends_the_bodies_that_come_for_it() {
    let (router, at) = router();
    let (svc, mut caller) = uploads(&router, &at, "svc").await;
    drop(svc);
    for _ in 2..7 {
        let answer = next(&mut caller).await.unwrap();
        assert_eq!(answer.kind(), Kind::Error);
        assert!(text(&answer).contains("ReceiverNotFound") && text(&answer).contains("did not run"), "{answer:?}");
    }
    until("nothing is held", || router.stats().held_bytes == 0).await;
    // What was on its way.
    send(&mut caller, &data(6, true, ["x", "svc"], DataEnd::Nothing, &[b'o'; WINDOW - 300])).await;
    let mut svc = worker(&at).await;
    send(&mut caller, &first(Kind::Request, 6, ["x", "svc", "f"], 1 + WINDOW, b"n")).await;
    send(&mut caller, &data(6, true, ["x", "svc"], DataEnd::Direction, &[b'n'; WINDOW])).await;
    assert_eq!(await_call(&mut svc).await, 6);
    let part = next(&mut svc).await.unwrap();
    assert!(part.kind() == Kind::Data && part.payload() == [b'n'; WINDOW]);
}

/// A receiver that the Router chose is not the only one.
#[tokio::test]
async fn a_body_for_whoever_exposes_its_callback_outlives_the_one_that_was_chosen() {
    let (router, at) = router();
    let (svc, mut caller) = uploads(&router, &at, "").await;
    let mut other = raw(&at, "other", "client", r#"["f"]"#).await;
    drop(svc);
    until("it has left", || router.members().len() == 2).await;
    finish(&mut caller, (2, true), ["x", ""], 2 * MIB, 2).await;
    let whole = next(&mut other).await.unwrap();
    assert_eq!((whole.kind(), whole.payload().len()), (Kind::Request, 2 * MIB));
}

#[tokio::test]
async fn a_body_that_stood_still_leaves_its_number_and_its_place() {
    let (router, at) = router_with(NodeConfig::server().slow_peer_timeout(Duration::from_secs(1)));
    let mut svc = raw(&at, "svc", "client", r#"["f"]"#).await;
    let mut caller = raw(&at, "x", "client/4", "null").await;
    send(&mut caller, &first(Kind::Request, 2, ["x", "svc", "f"], 2 * MIB, b"x")).await;
    send(&mut caller, &data(2, true, ["x", "svc"], DataEnd::Nothing, b"x")).await;
    let answer = next(&mut caller).await.unwrap();
    assert!(answer.header().id() == CallId(2) && text(&answer).contains("BodyBroken"), "{answer:?}");
    until("nothing is held", || router.stats().held_bytes == 0).await;
    send(&mut caller, &data(2, true, ["x", "svc"], DataEnd::Nothing, &[b'o'; WINDOW - 300])).await;
    send(&mut caller, &first(Kind::Request, 2, ["x", "svc", "f"], 1 + WINDOW, b"n")).await;
    send(&mut caller, &data(2, true, ["x", "svc"], DataEnd::Direction, &[b'n'; WINDOW])).await;
    let whole = next(&mut svc).await.unwrap();
    assert!(whole.payload() == [b'n'; 1 + WINDOW]);
}

/// An answer that stands still is given up; its worker stays, and so does what it says later.
#[tokio::test]
async fn an_answer_that_stood_still_is_told_once() {
    let (router, at) = router_with(NodeConfig::server().slow_peer_timeout(Duration::from_secs(1)));
    let mut svc = worker(&at).await;
    let mut caller = begin_calls(&at, &mut svc, &["x"]).await.pop().unwrap();
    let answer = next(&mut caller).await.unwrap();
    assert!(answer.kind() == Kind::Error && text(&answer).contains("BodyBroken"), "{answer:?}");
    hear_of(&mut svc, 1).await;
    until("nothing is held", || router.stats().held_bytes == 0).await;
    send(&mut svc, &data(2, false, ["svc", "x"], DataEnd::Direction, &[b'x'; WINDOW])).await;
    gets_a_large_answer(&at, &mut svc, "y").await;
    call(&mut caller, "x", 2).await;
    assert_eq!(await_call(&mut svc).await, 2, "no number rests");
    refuse(&mut svc, 2, "x").await;
    assert!(!text(&next(&mut caller).await.unwrap()).contains("BodyBroken"));
}

/// What breaks a rule, too, ends its call alone, in the name of its receiver.
#[tokio::test]
async fn a_body_that_lies_ends_its_call_and_frees_its_place() {
    let (router, at) = router();
    let (_svc, mut caller) = uploads(&router, &at, "svc").await;
    for id in 2..7 {
        send(&mut caller, &data(id, true, ["x", "svc"], DataEnd::Direction, b"x")).await;
        let answer = next(&mut caller).await.unwrap();
        assert!(answer.header().id() == CallId(id) && text(&answer).contains("BodyBroken"), "{answer:?}");
        assert!(answer.is_from("svc"));
    }
    until("nothing is held", || router.stats().held_bytes == 0).await;
}

/// A CANCEL of arguments that have not all come is answered, and leaves nothing.
#[tokio::test]
async fn bodies_that_are_given_up_leave_nothing() {
    let (router, at) = router();
    let (_svc, mut caller) = uploads(&router, &at, "svc").await;
    for id in 2..7 {
        let cancel = Cancel { id: CallId(id), reason: CancelReason::Dropped };
        send(&mut caller, &cancel.frame("x", "svc", &Limits::default()).unwrap()).await;
        let answer = next(&mut caller).await.unwrap();
        assert!(answer.header().id() == CallId(id) && text(&answer).contains("Cancelled"), "{answer:?}");
    }
    until("nothing is held", || router.stats().held_bytes == 0).await;
}
