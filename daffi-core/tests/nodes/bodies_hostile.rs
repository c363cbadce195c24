//! Peers that lie about a large body, go silent or leave in the middle of it, and nodes of 3.0.1,
//! which know of none.

use std::{any::Any, future::Future, time::Duration};

use daffi_core::{CallError, Callback, NodeConfig};
use daffi_transport::Endpoint;
use daffi_wire::{
    CallCredit, CallId, Cancel, CancelReason, DataEnd, Extensions, FormatId, Frame, Header, Kind, Limits,
};
use tokio::time::timeout;

use crate::{
    peer::{Peer, data, first, next_of_a_call as next, raw, request, send},
    support::{client, client_exposing, endpoint, plain, router, router_with, service_at},
};

const MIB: usize = 1 << 20;
const PART: usize = 60_000;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

fn callbacks() -> Vec<Callback> {
    vec![plain("size", |(text,): (String,)| Ok(text.len())), plain("blob", |(bytes,): (usize,)| Ok("x".repeat(bytes)))]
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.payload()).into_owned()
}

/// Where a callee serves under the name `svc`: a Service, or a worker behind a Router.
async fn callee(behind_router: bool) -> (Box<dyn Any>, Endpoint) {
    if behind_router {
        let (router, at) = router();
        let worker = client_exposing(&at, "svc", NodeConfig::client(), callbacks()).await;
        (Box::new((router, worker)), at)
    } else {
        let at = endpoint();
        (Box::new(service_at(&at, NodeConfig::server(), callbacks())), at)
    }
}

const ME: [&str; 2] = ["caller", "svc"];
const SIZE: [&str; 3] = ["caller", "svc", "size"];

#[tokio::test]
async fn arguments_that_lie_about_their_total_end_their_call_alone() {
    for behind_router in [false, true] {
        let (_nodes, at) = callee(behind_router).await;
        let mut caller = raw(&at, "caller", "client/4", "null").await;
        // More than was said, in the first frame and in DATA; less; items in the place of parts.
        let lies: [(usize, &[u8], DataEnd, &[u8]); 4] = [
            (3, b"abcd", DataEnd::Nothing, b""),
            (5, b"abc", DataEnd::Nothing, b"def"),
            (9, b"abc", DataEnd::Direction, b"def"),
            (9, b"abc", DataEnd::Item, b"def"),
        ];
        for (id, (total, part, end, more)) in (2..).zip(lies) {
            send(&mut caller, &first(Kind::Request, id, SIZE, total, part)).await;
            send(&mut caller, &data(id, true, ME, end, more)).await;
            let answer = next(&mut caller).await.unwrap();
            assert_eq!((answer.kind(), answer.header().id()), (Kind::Error, CallId(id)));
            assert!(text(&answer).contains("BodyBroken"), "{}", text(&answer));
            // What comes after the end is dropped.
            send(&mut caller, &data(id, true, ME, DataEnd::Direction, b"late")).await;
        }
        let (part, rest) = br#"{"args":["body"],"kwargs":{}}"#.split_at(9);
        send(&mut caller, &first(Kind::Request, 9, SIZE, part.len() + rest.len(), part)).await;
        send(&mut caller, &data(9, true, ME, DataEnd::Nothing, rest)).await;
        send(&mut caller, &data(9, true, ME, DataEnd::Direction, b"")).await;
        let answer = next(&mut caller).await.unwrap();
        assert_eq!((answer.kind(), text(&answer).contains("[4]")), (Kind::Response, true), "{}", text(&answer));
    }
}

#[tokio::test]
async fn too_much_is_refused_before_it_flows_and_beyond_the_window_ends_its_sender() {
    for behind_router in [false, true] {
        let (_nodes, at) = callee(behind_router).await;
        let mut caller = raw(&at, "caller", "client/4", "null").await;
        send(&mut caller, &first(Kind::Request, 2, SIZE, 200 * MIB, b"x")).await;
        let answer = next(&mut caller).await.unwrap();
        assert!(text(&answer).contains("BodyTooLarge") && text(&answer).contains("134217728"), "{}", text(&answer));
        // The fifth at once has no more than its first window.
        for id in 3..8 {
            send(&mut caller, &first(Kind::Request, id, SIZE, MIB, b"x")).await;
        }
        for _ in 0..2 {
            send(&mut caller, &data(7, true, ME, DataEnd::Nothing, &[b'x'; PART])).await;
        }
        while next(&mut caller).await.is_some() {}
        let honest = client(&at, "honest").await;
        let size = soon(honest.rpc().call::<usize>("size", ("x".repeat(2 * MIB),))).await;
        assert_eq!(size.unwrap(), 2 * MIB);
    }
}

/// What it sent is held for it until it goes, and others have room meanwhile.
#[tokio::test]
async fn one_that_stops_in_the_middle_keeps_nobody_out() {
    for behind_router in [false, true] {
        let (_nodes, at) = callee(behind_router).await;
        let mut silent = raw(&at, "caller", "client/4", "null").await;
        for id in 2..20 {
            send(&mut silent, &first(Kind::Request, id, SIZE, 100 * MIB, b"x")).await;
        }
        let honest = client(&at, "honest").await;
        let size = async |bytes: usize| soon(honest.rpc().call::<usize>("size", ("x".repeat(bytes),))).await.unwrap();
        assert_eq!(size(2 * MIB).await, 2 * MIB);
        // A CANCEL frees what it held, and is answered.
        send(&mut silent, &first(Kind::Request, 20, SIZE, 100 * MIB, b"x")).await;
        let cancel = Cancel { id: CallId(20), reason: daffi_wire::CancelReason::Dropped };
        send(&mut silent, &cancel.frame("caller", "svc", &Limits::default()).unwrap()).await;
        // Others may have lost their places meanwhile, because the honest one waited.
        let answer = loop {
            let answer = next(&mut silent).await.unwrap();
            if answer.header().id() == CallId(20) {
                break answer;
            }
            assert!(text(&answer).contains("BodyBroken"), "{}", text(&answer));
        };
        assert!(text(&answer).contains("Cancelled"), "{}", text(&answer));
        assert_eq!(size(40 * MIB).await, 40 * MIB);
        drop(silent);
        assert_eq!(size(100 * MIB).await, 100 * MIB);
    }
}

/// A callee by hand, behind a Router, that answers with a body.
#[tokio::test]
async fn a_result_that_lies_about_its_total_ends_its_call_alone() {
    let (_router, at) = router();
    let mut callee = raw(&at, "svc", "client/4", r#"["f"]"#).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["svc"], None).await.unwrap();
    let lies: [(usize, DataEnd, &[u8]); 3] =
        [(5, DataEnd::Nothing, b"def"), (9, DataEnd::Direction, b"def"), (9, DataEnd::Item, b"def")];
    for (total, end, more) in lies {
        let call = caller.rpc();
        let call = tokio::spawn(async move { call.call::<serde_json::Value>("f", ()).await });
        let id = next(&mut callee).await.unwrap().header().id().0;
        send(&mut callee, &first(Kind::Response, id, ["svc", "caller", "f"], total, b"abc")).await;
        send(&mut callee, &data(id, false, ["svc", "caller"], end, more)).await;
        let failed = soon(call).await.unwrap().unwrap_err();
        assert!(matches!(failed, CallError::Items { .. }), "{failed:?}");
        if end != DataEnd::Direction {
            // It hears that nobody waits, and says its last.
            assert_eq!(next(&mut callee).await.unwrap().kind(), Kind::Cancel);
            callee.send_to(Kind::Error, id, ["svc", "caller", "f"], "{}", false).await;
        }
    }
    let call = caller.rpc();
    let call = tokio::spawn(async move { call.call::<String>("f", ()).await });
    let id = next(&mut callee).await.unwrap().header().id().0;
    let whole = br#"{"args":["body"],"kwargs":{}}"#;
    send(&mut callee, &first(Kind::Response, id, ["svc", "caller", "f"], whole.len(), &whole[..9])).await;
    send(&mut callee, &data(id, false, ["svc", "caller"], DataEnd::Direction, &whole[9..])).await;
    assert_eq!(soon(call).await.unwrap().unwrap(), "body");
}

/// The callee leaves in the middle of its result, and its caller hears of it.
#[tokio::test]
async fn a_callee_that_leaves_in_the_middle_ends_the_call() {
    let (router, at) = router();
    let mut callee = raw(&at, "svc", "client/4", r#"["f"]"#).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["svc"], None).await.unwrap();
    let call = caller.rpc();
    let call = tokio::spawn(async move { call.call::<serde_json::Value>("f", ()).await });
    let id = next(&mut callee).await.unwrap().header().id().0;
    send(&mut callee, &first(Kind::Response, id, ["svc", "caller", "f"], MIB, b"abc")).await;
    send(&mut callee, &data(id, false, ["svc", "caller"], DataEnd::Nothing, &[7; PART])).await;
    drop(callee);
    let failed = soon(call).await.unwrap().unwrap_err();
    assert!(matches!(failed, CallError::ReceiverGone { .. }), "{failed:?}");
    assert_eq!(router.stats().held_bytes, 0);
}

#[tokio::test]
async fn a_node_of_3_0_1_gets_one_frame_and_above_that_its_caller_is_told() {
    let (_router, at) = router();
    let mut worker = raw(&at, "svc", "client", r#"["size"]"#).await;
    let mut caller = raw(&at, "caller", "client/4", "null").await;
    let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(300_000)).into_bytes();
    let (part, rest) = body.split_at(1_000);
    send(&mut caller, &first(Kind::Request, 2, SIZE, body.len(), part)).await;
    let mut limit = u64::from(daffi_wire::FIRST_CALL_WINDOW);
    let mut sent = 0;
    for part in rest.chunks(PART) {
        sent += daffi_wire::data_cost(part.len());
        while sent > limit {
            let frame = soon(caller.receive()).await.unwrap();
            if frame.kind() == Kind::Credit {
                limit = CallCredit::read(&frame).unwrap().limit();
            }
        }
        send(&mut caller, &data(2, true, ME, DataEnd::Nothing, part)).await;
    }
    send(&mut caller, &data(2, true, ME, DataEnd::Direction, b"")).await;
    let whole = next(&mut worker).await.unwrap();
    let header = Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true);
    assert!(whole == Frame::new(header, "caller", "svc", "size", &body, &Limits::default()).unwrap());

    send(&mut caller, &first(Kind::Request, 3, SIZE, 33 * MIB, b"x")).await;
    let refused = next(&mut caller).await.unwrap();
    assert_eq!(refused.header().id(), CallId(3));
    assert!(text(&refused).contains("LevelUnsupported") && text(&refused).contains("svc"), "{}", text(&refused));
}

#[tokio::test]
async fn a_caller_of_3_0_1_gets_a_large_result_in_one_frame_or_is_told() {
    let (_router, at) = router();
    let _worker = client_exposing(&at, "svc", NodeConfig::client(), callbacks()).await;
    let mut caller = raw(&at, "caller", "client", "null").await;
    for (id, bytes) in [(2, 3 * MIB), (3, 31 * MIB)] {
        caller
            .send_to(
                Kind::Request,
                id,
                ["caller", "svc", "blob"],
                &format!(r#"{{"args":[{bytes}],"kwargs":{{}}}}"#),
                true,
            )
            .await;
        let answer = next(&mut caller).await.unwrap();
        assert_eq!((answer.kind(), answer.header().id()), (Kind::Response, CallId(id)));
        assert!(answer.payload().len() > bytes);
    }
    let args = format!(r#"{{"args":[{}],"kwargs":{{}}}}"#, 40 * MIB);
    caller.send_to(Kind::Request, 4, ["caller", "svc", "blob"], &args, true).await;
    let refused = next(&mut caller).await.unwrap();
    assert!(text(&refused).contains("LevelUnsupported") && text(&refused).contains("caller"), "{}", text(&refused));
    caller.send_to(Kind::Request, 5, ["caller", "svc", "blob"], r#"{"args":[10],"kwargs":{}}"#, true).await;
    assert_eq!(next(&mut caller).await.unwrap().kind(), Kind::Response, "all goes on");
}

/// Nobody waits for its room, and it is not held without end all the same.
#[tokio::test]
async fn a_body_that_stands_still_is_given_up_and_its_sender_stays() {
    let at = endpoint();
    let config = NodeConfig::server().slow_peer_timeout(Duration::from_secs(1));
    let _service = service_at(&at, config, callbacks());
    let mut silent = raw(&at, "caller", "client/4", "null").await;
    send(&mut silent, &first(Kind::Request, 2, SIZE, 100 * MIB, b"x")).await;
    let answer = next(&mut silent).await.unwrap();
    assert_eq!(answer.header().id(), CallId(2));
    assert!(text(&answer).contains("BodyBroken") && text(&answer).contains("1 KiB/s"), "{}", text(&answer));
    silent.send_to(Kind::Request, 3, SIZE, r#"{"args":["abc"],"kwargs":{}}"#, true).await;
    assert_eq!(next(&mut silent).await.unwrap().kind(), Kind::Response);
}

/// Those that are put together wait in a line of their own, and are no streams.
#[tokio::test]
async fn many_bodies_at_once_are_not_refused_as_streams_are() {
    let at = endpoint();
    let _service = service_at(&at, NodeConfig::server().max_streams(3), callbacks());
    many_bodies(&mut raw(&at, "caller", "client/4", "null").await).await;
    let (_router, at) = router_with(NodeConfig::server().max_streams(3));
    let mut old = raw(&at, "svc", "client", r#"["size"]"#).await;
    let mut caller = raw(&at, "caller", "client/4", "null").await;
    let answering = tokio::spawn(async move {
        while let Some(frame) = next(&mut old).await {
            let id = frame.header().id().0;
            old.send_to(Kind::Response, id, ["svc", "caller", "size"], r#"{"args":[4],"kwargs":{}}"#, false).await;
        }
    });
    many_bodies(&mut caller).await;
    answering.abort();
}

/// More than may be streams are begun before the rest of any of them comes.
async fn many_bodies(caller: &mut Peer) {
    let (part, rest) = br#"{"args":["body"],"kwargs":{}}"#.split_at(9);
    for id in 2..22 {
        send(caller, &first(Kind::Request, id, SIZE, part.len() + rest.len(), part)).await;
    }
    for id in 2..22 {
        send(caller, &data(id, true, ME, DataEnd::Direction, rest)).await;
    }
    for _ in 2..22 {
        let answer = next(caller).await.unwrap();
        assert_eq!((answer.kind(), text(&answer).contains("[4]")), (Kind::Response, true), "{}", text(&answer));
    }
}

/// A node of 3.0.1 hears of no deadline, so the Router that puts its arguments together looks.
#[tokio::test]
async fn arguments_for_level_3_that_come_behind_their_deadline_do_not_run() {
    let (_router, at) = router();
    let mut old = raw(&at, "svc", "client", r#"["size"]"#).await;
    let mut caller = raw(&at, "caller", "client/4", "null").await;
    let (part, rest) = r#"{"args":["body"],"kwargs":{}}"#.split_at(9);
    for (id, ms) in [(2, 0), (3, 60_000)] {
        let said = Extensions::builder().time_left_ms(ms).body((part.len() + rest.len()) as u64).build().unwrap();
        send(&mut caller, &request(id, SIZE, &said, part)).await;
        send(&mut caller, &data(id, true, ME, DataEnd::Direction, rest.as_bytes())).await;
    }
    let answer = next(&mut caller).await.unwrap();
    assert_eq!((answer.kind(), answer.header().id()), (Kind::Error, CallId(2)));
    assert!(text(&answer).contains("DeadlineExceeded"), "{}", text(&answer));
    assert_eq!(next(&mut old).await.unwrap().header().id(), CallId(3), "the first that runs");
}

/// What ends a call whose receiver the Router chose says who that was.
#[tokio::test]
async fn the_end_of_a_body_for_one_that_was_chosen_is_of_that_one() {
    let (_router, at) = router();
    let _old = raw(&at, "svc", "client", r#"["size"]"#).await;
    let mut caller = raw(&at, "caller", "client/4", "null").await;
    let cancel = Cancel { id: CallId(3), reason: CancelReason::Dropped }.frame("caller", "", &Limits::default());
    let ends = [data(2, true, ["caller", ""], DataEnd::Direction, b"more than was said"), cancel.unwrap()];
    for (id, end) in (2..).zip(ends) {
        send(&mut caller, &first(Kind::Request, id, ["caller", "", "size"], 5, b"abc")).await;
        send(&mut caller, &end).await;
        let answer = next(&mut caller).await.unwrap();
        assert_eq!((answer.kind(), answer.header().id()), (Kind::Error, CallId(id)));
        assert_eq!(answer.transmitter(), "svc", "{}", text(&answer));
    }
}

/// What it waits for might never be told; and it sends no crumbs either.
#[tokio::test]
async fn a_sender_with_credit_for_a_part_sends_that_and_waits_for_no_more() {
    let at = endpoint();
    let _service = service_at(&at, NodeConfig::server(), callbacks());
    let mut caller = raw(&at, "caller", "client/4", "null").await;
    let two = format!(r#"{{"args":[{}],"kwargs":{{}}}}"#, 2 * MIB);
    caller.send_to(Kind::Request, 2, ["caller", "svc", "blob"], &two, true).await;
    assert_eq!(next(&mut caller).await.unwrap().kind(), Kind::Response);
    assert_eq!(next(&mut caller).await.unwrap().payload().len(), 65_280, "the first window");
    for worked_off in [16_639, 16_640] {
        let credit = CallCredit::new(CallId(2), true, worked_off, 65_536).unwrap();
        send(&mut caller, &credit.frame("caller", "svc", &Limits::default()).unwrap()).await;
    }
    let part = next(&mut caller).await.unwrap();
    assert_eq!((part.kind(), part.payload().len()), (Kind::Data, 16_384));
}
