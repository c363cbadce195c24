//! Calls that a Router holds behind nowait requests of the same caller, and what belongs to them.

use std::{future::Future, time::Duration};

use bytes::{Bytes, BytesMut};
use daffi_core::Router;
use daffi_transport::Endpoint;
use daffi_wire::{
    CallId, Cancel, CancelReason, Credit, Data, DataEnd, Extensions, FlowId, FormatId, Frame, FrameWriter, Grant,
    Header, Kind, Limits, StreamFlags,
};
use tokio::time::timeout;

use crate::{
    peer::{Peer, request, send},
    support::router,
};

const FLOW: FlowId = FlowId(7);
const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;
const ME: [&str; 2] = ["caller", "w"];
const CALL: [&str; 3] = ["caller", "w", "f"];

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

async fn raw(at: &Endpoint, name: &str, methods: &str) -> Peer {
    let mut peer = Peer::connect(at).await;
    peer.hello_with(name, "client/4", methods).await;
    peer
}

/// The next frame that is about a call.
async fn next(peer: &mut Peer) -> Frame {
    loop {
        let frame = soon(peer.receive()).await.expect("a frame");
        let is_flow = frame.kind() == Kind::Credit && frame.header().id() == CallId::NONE;
        if !is_flow && !matches!(frame.kind(), Kind::Handshake | Kind::Events | Kind::Ping) {
            return frame;
        }
    }
}

/// Two nowait requests, of which the second waits for credit, and what comes behind it.
async fn block(caller: &mut Peer) {
    let begins = Credit::Begins(FLOW).frame("caller", "w", &Limits::default()).unwrap();
    send(caller, &begins).await;
    for _ in 0..2 {
        let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(8_000));
        caller.send_to(Kind::Request, 0, CALL, &body, false).await;
    }
}

/// Lets the second go.
async fn unblock(worker: &mut Peer) {
    let cost = 256 + 8_000 + r#"{"args":[""],"kwargs":{}}"#.len() as u64;
    let grant = Credit::Grants(Grant::new(FLOW, cost, 8_192).unwrap());
    send(worker, &grant.frame("w", "caller", &Limits::default()).unwrap()).await;
    assert!(!next(worker).await.header().wants_reply(), "the second nowait request");
}

fn items_follow() -> Extensions {
    Extensions::builder().stream(StreamFlags { items_follow: true, takes_results: true }).build().unwrap()
}

/// The first frame of a body.
fn first_part(id: u16) -> Frame {
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, CALL[0], CALL[1], CALL[2]).unwrap();
    writer.body_total(100);
    writer.body().extend_from_slice(&[b'1'; 50]);
    writer.finish(Header::new(Kind::Request, CallId(id), FormatId::JSON, true, true), 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

fn data(id: u16, end: DataEnd, bytes: &'static [u8]) -> Frame {
    let data = Data { id: CallId(id), from_caller: true, end, packed: false, bytes: Bytes::from_static(bytes) };
    data.frame(ME[0], ME[1], &Limits::default()).unwrap()
}

fn cancel(id: u16) -> Frame {
    Cancel { id: CallId(id), reason: CancelReason::Dropped }.frame(ME[0], ME[1], &Limits::default()).unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), waiting).await.is_ok(), "not in time: {what}");
}

/// A router, a caller of level 4 with a request that waits, and its worker.
async fn blocked() -> (Router, Endpoint, Peer, Peer) {
    let (router, at) = router();
    let mut w = raw(&at, "w", r#"["f"]"#).await;
    let mut caller = raw(&at, "caller", "null").await;
    block(&mut caller).await;
    assert!(!next(&mut w).await.header().wants_reply(), "the first nowait request");
    (router, at, caller, w)
}

#[tokio::test]
async fn what_belongs_to_a_call_that_waits_goes_with_it() {
    for call in [request(2, CALL, &items_follow(), NOTHING), first_part(2)] {
        let (router, _, mut caller, mut worker) = blocked().await;
        send(&mut caller, &call).await;
        send(&mut caller, &data(2, DataEnd::Item, b"one")).await;
        send(&mut caller, &data(2, DataEnd::Direction, b"two")).await;
        send(&mut caller, &request(3, CALL, &Extensions::default(), NOTHING)).await;
        until("all of it came", || router.stats().held_requests == 3).await;
        unblock(&mut worker).await;
        assert_eq!(next(&mut worker).await.kind(), Kind::Request);
        let mut came = Vec::new();
        for _ in 0..3 {
            let frame = next(&mut worker).await;
            came.push((frame.kind(), frame.header().id().0, frame.payload().to_vec()));
        }
        // Items and other calls may overtake each other.
        came.sort_by_key(|(_, id, _)| *id);
        let [(Kind::Data, 2, one), (Kind::Data, 2, two), (Kind::Request, 3, _)] = &came[..] else { panic!("{came:?}") };
        assert_eq!((&one[..], &two[..]), (&b"one"[..], &b"two"[..]));
    }
}

#[tokio::test]
async fn a_call_that_waits_is_taken_back_by_its_cancel() {
    let (router, _, mut caller, mut worker) = blocked().await;
    send(&mut caller, &request(2, CALL, &items_follow(), NOTHING)).await;
    send(&mut caller, &data(2, DataEnd::Item, b"one")).await;
    send(&mut caller, &cancel(2)).await;
    send(&mut caller, &cancel(2)).await;
    let end = next(&mut caller).await;
    assert_eq!((end.kind(), end.header().id(), end.transmitter()), (Kind::Error, CallId(2), "w"));
    assert!(String::from_utf8_lossy(end.payload()).contains("Cancelled"), "{end:?}");
    assert_eq!(router.stats().open_calls, 0);
    // Its number is another call's now.
    send(&mut caller, &request(2, CALL, &Extensions::default(), r#"{"args":[2],"kwargs":{}}"#)).await;
    unblock(&mut worker).await;
    let call = next(&mut worker).await;
    assert_eq!((call.kind(), call.header().id()), (Kind::Request, CallId(2)));
    assert!(call.payload().ends_with(br#"{"args":[2],"kwargs":{}}"#), "{call:?}");
    worker.send_to(Kind::Response, 2, ["w", "caller", "f"], NOTHING, false).await;
    assert_eq!(next(&mut caller).await.kind(), Kind::Response);
    until("nothing is left", || router.stats().held_requests == 0).await;
}

/// A storm of them: what is taken back is gone.
#[tokio::test]
async fn calls_that_are_taken_back_leave_nothing() {
    let (router, _, mut caller, mut worker) = blocked().await;
    for _ in 0..200 {
        for id in 2..102 {
            send(&mut caller, &request(id, CALL, &items_follow(), NOTHING)).await;
            send(&mut caller, &data(id, DataEnd::Item, b"one")).await;
            send(&mut caller, &cancel(id)).await;
        }
        for _ in 2..102 {
            assert_eq!(next(&mut caller).await.kind(), Kind::Error);
        }
    }
    let stats = router.stats();
    assert_eq!((stats.open_calls, stats.held_requests), (0, 1));
    assert!(stats.held_bytes < 256 << 10, "{stats:?}");
    unblock(&mut worker).await;
    until("nothing is left", || router.stats().held_requests == 0).await;
}

/// Nobody answers what never went, so its number does not rest.
#[tokio::test]
async fn a_caller_that_leaves_takes_its_calls_back() {
    let (router, at, mut caller, mut worker) = blocked().await;
    send(&mut caller, &request(2, CALL, &items_follow(), NOTHING)).await;
    send(&mut caller, &data(2, DataEnd::Item, b"one")).await;
    until("it waits", || router.stats().held_requests == 2).await;
    // One comes and takes the name while the other is there; a third when that has gone.
    for evicts in [true, false] {
        if !evicts {
            drop(caller);
            until("it left", || router.stats().members == 1).await;
        }
        caller = raw(&at, "caller", "null").await;
        send(&mut caller, &request(2, CALL, &Extensions::default(), NOTHING)).await;
        loop {
            let frame = next(&mut worker).await;
            if frame.kind() != Kind::Request {
                assert_eq!(frame.kind(), Kind::Cancel, "nothing else is told of the one before: {frame:?}");
                continue;
            }
            assert_eq!(frame.header().id(), CallId(2), "the number is free");
            break;
        }
        worker.send_to(Kind::Response, 2, ["w", "caller", "f"], NOTHING, false).await;
        assert_eq!(next(&mut caller).await.kind(), Kind::Response);
    }
    assert_eq!(router.stats().held_requests, 0);
}

/// What a Router held a call for is time that its caller has no more.
#[tokio::test(start_paused = true)]
async fn the_time_that_a_call_was_held_is_taken_off() {
    let (router, _, mut caller, mut worker) = blocked().await;
    let said = Extensions::builder().time_left_ms(300_000).build().unwrap();
    send(&mut caller, &request(2, CALL, &said, NOTHING)).await;
    until("it waits", || router.stats().held_requests == 2).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    unblock(&mut worker).await;
    let left = next(&mut worker).await.take_extensions().unwrap().time_left_ms().unwrap();
    assert!((200_000..=296_000).contains(&left), "{left} ms");
}
