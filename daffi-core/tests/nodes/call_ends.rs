//! What a Router takes for the end of a call, and what it does not: a number is another call's
//! only behind the last word of the one before.

use daffi_transport::Endpoint;
use daffi_wire::{CallId, Cancel, CancelReason, DataEnd, Extensions, Frame, Kind, Limits, StreamFlags};

use crate::{
    peer::{Peer, begins, data, handled, next_of_a_call as next, raw, request, send},
    support::router,
};

const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;

fn says(items_follow: bool, takes_results: bool) -> Extensions {
    Extensions::builder().stream(StreamFlags { items_follow, takes_results }).build().unwrap()
}

async fn worker(at: &Endpoint) -> Peer {
    raw(at, "svc", "client/4", r#"["f"]"#).await
}

async fn caller(at: &Endpoint) -> Peer {
    raw(at, "c", "client/4", "null").await
}

/// Calls with results that are taken one by one. Gives the number under which the worker knows it.
async fn call(c: &mut Peer, svc: &mut Peer, id: u16) -> CallId {
    send(c, &request(id, ["c", "svc", "f"], &says(false, true), NOTHING)).await;
    await_call(svc).await
}

async fn call_plainly(c: &mut Peer, svc: &mut Peer, id: u16) -> CallId {
    c.send_to(Kind::Request, id, ["c", "svc", "f"], NOTHING, true).await;
    await_call(svc).await
}

async fn await_call(svc: &mut Peer) -> CallId {
    let frame = next(svc).await.unwrap();
    assert_eq!(frame.kind(), Kind::Request);
    frame.header().id()
}

async fn give_up(c: &mut Peer, svc: &mut Peer, id: u16) {
    let cancel = Cancel { id: CallId(id), reason: CancelReason::EnoughResults };
    send(c, &cancel.frame("c", "svc", &Limits::default()).unwrap()).await;
    assert_eq!(next(svc).await.unwrap().kind(), Kind::Cancel);
}

async fn answer(svc: &mut Peer, kind: Kind, id: CallId, body: &str) {
    svc.send_to(kind, id.0, ["svc", "c", "f"], body, false).await;
}

/// The worker began to give results before it read the CANCEL.
async fn begin(svc: &mut Peer, id: CallId) {
    send(svc, &begins(id, ["svc", "c"])).await;
    send(svc, &data(id.0, false, ["svc", "c"], DataEnd::Item, b"one")).await;
    handled(svc).await;
}

fn of(frame: &Frame) -> (Kind, CallId, String) {
    (frame.kind(), frame.header().id(), String::from_utf8_lossy(frame.payload()).into_owned())
}

#[tokio::test]
async fn the_word_that_results_follow_ends_no_call_that_was_given_up() {
    let (_router, at) = router();
    let (mut svc, mut c) = (worker(&at).await, caller(&at).await);
    for last_is_data in [false, true] {
        let id = call(&mut c, &mut svc, 7).await;
        give_up(&mut c, &mut svc, 7).await;
        begin(&mut svc, id).await;
        match last_is_data {
            false => answer(&mut svc, Kind::Error, id, "{}").await,
            true => send(&mut svc, &data(id.0, false, ["svc", "c"], DataEnd::Direction, b"")).await,
        }
        let end = next(&mut c).await.unwrap();
        let expected = if last_is_data { Kind::Data } else { Kind::Error };
        assert_eq!((end.kind(), end.header().id()), (expected, CallId(7)), "its one end");
        assert_eq!(id, CallId(7), "which lets the number be used again");
    }
}

#[tokio::test]
async fn a_call_whose_results_were_to_follow_ends_no_other() {
    let (_router, at) = router();
    let (mut svc, mut c) = (worker(&at).await, caller(&at).await);
    let old = call(&mut c, &mut svc, 7).await;
    give_up(&mut c, &mut svc, 7).await;
    begin(&mut svc, old).await;
    // Its caller does not wait for the end, as one that knows no better.
    let new = call_plainly(&mut c, &mut svc, 7).await;
    assert_ne!(old, new, "the number is in use");
    answer(&mut svc, Kind::Error, old, "old").await;
    answer(&mut svc, Kind::Response, new, "new").await;
    assert_eq!(of(&next(&mut c).await.unwrap()), (Kind::Response, CallId(7), "new".into()));
    assert_eq!(call_plainly(&mut c, &mut svc, 7).await, CallId(7), "both have ended");
}

#[tokio::test]
async fn a_newcomer_s_call_is_not_ended_by_the_results_of_one_that_left() {
    let (router, at) = router();
    let (mut svc, mut c) = (worker(&at).await, caller(&at).await);
    let old = call(&mut c, &mut svc, 7).await;
    drop(c);
    assert_eq!(next(&mut svc).await.unwrap().kind(), Kind::Cancel);
    begin(&mut svc, old).await;
    let mut c = caller(&at).await;
    // To the newcomer as well.
    begin(&mut svc, old).await;
    let new = call_plainly(&mut c, &mut svc, 7).await;
    assert_ne!(old, new, "the number is in use");
    answer(&mut svc, Kind::Error, old, "old").await;
    answer(&mut svc, Kind::Response, new, "new").await;
    assert_eq!(of(&next(&mut c).await.unwrap()), (Kind::Response, CallId(7), "new".into()));
    assert_eq!(call_plainly(&mut c, &mut svc, 7).await, CallId(7), "both have ended");
    assert_eq!(router.stats().dropped_replies, 3, "two words that results follow, and an end");
}

/// Who never asked for results one by one takes the word for the answer, as it always did.
#[tokio::test]
async fn to_a_caller_that_takes_one_answer_it_is_that() {
    let (_router, at) = router();
    let (mut svc, mut c) = (worker(&at).await, caller(&at).await);
    let id = call_plainly(&mut c, &mut svc, 7).await;
    send(&mut svc, &begins(id, ["svc", "c"])).await;
    assert_eq!(of(&next(&mut c).await.unwrap()).0, Kind::Response);
    assert_eq!(call_plainly(&mut c, &mut svc, 7).await, CallId(7));
}

/// Calls of which items wait at the Router while their worker takes nothing.
const CALLS: u16 = 60;
/// The largest part that costs as much as a first window.
const WINDOW: usize = 65_280;

async fn call_with_item(c: &mut Peer, id: u16, item: &[u8]) {
    send(c, &request(id, ["c", "svc", "f"], &says(true, false), NOTHING)).await;
    send(c, &data(id, true, ["c", "svc"], DataEnd::Item, item)).await;
}

/// The items that a worker gets of its call of that number until it is idle, but for what was on
/// its way before that call was made anew.
async fn items_of_the_next(svc: &mut Peer, id: u16) -> Vec<u8> {
    let mut began = false;
    loop {
        let frame = next(svc).await.unwrap();
        match frame.kind() {
            _ if frame.header().id() != CallId(id) => {}
            Kind::Request => began = true,
            Kind::Data if began => return frame.payload().to_vec(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn items_that_wait_end_with_their_call_and_are_not_those_of_the_next() {
    for caller_leaves in [false, true] {
        let (_router, at) = router();
        let (mut svc, mut c) = (worker(&at).await, caller(&at).await);
        for id in 2..2 + CALLS {
            call_with_item(&mut c, id, &[b'o'; WINDOW]).await;
        }
        handled(&mut c).await;
        let last = 1 + CALLS;
        let mut items = 0;
        loop {
            let frame = next(&mut svc).await.unwrap();
            match frame.kind() {
                Kind::Request if frame.header().id() == CallId(last) => break,
                kind => items += usize::from(kind == Kind::Data),
            }
        }
        assert!(items < usize::from(CALLS) / 2, "most wait: {items}");
        // The worker wants none of it, and says so before it has read the items.
        if caller_leaves {
            drop(c);
            while next(&mut svc).await.unwrap().kind() != Kind::Cancel {}
            answer(&mut svc, Kind::Error, CallId(last), "{}").await;
            handled(&mut svc).await;
            c = caller(&at).await;
        } else {
            answer(&mut svc, Kind::Error, CallId(last), "{}").await;
            assert_eq!(next(&mut c).await.unwrap().header().id(), CallId(last));
        }
        call_with_item(&mut c, last, &[b'n'; WINDOW]).await;
        assert!(items_of_the_next(&mut svc, last).await == [b'n'; WINDOW], "what came is of the call that runs");
    }
}
