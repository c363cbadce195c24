//! Every order of frames of open calls that no honest peer sends, to a Service and to a Client that
//! speaks with it without a Router between them.

use std::{future::Future, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use daffi_core::{CallError, Callback, CallbackOptions, Client};
use daffi_transport::{Endpoint, mem::MemListener};
use daffi_wire::{
    CallCredit, CallId, Cancel, CancelReason, Data, DataEnd, Extensions, FormatId, Frame, FrameWriter, Header, Kind,
    Limits, PackedItems, StreamFlags,
};
use futures::TryStreamExt;
use tokio::time::timeout;

use crate::{
    peer::{Peer, accept, next_of_a_call as next, request, send},
    support::{Formats, client, endpoint, formats, method, plain, service},
};

const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;
const ONE: &str = r#"{"args":[1],"kwargs":{}}"#;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), waiting).await.is_ok(), "not in time: {what}");
}

fn streams(items_follow: bool, takes_results: bool) -> Extensions {
    Extensions::builder().stream(StreamFlags { items_follow, takes_results }).build().unwrap()
}

fn data(id: u16, from_caller: bool, [from, to]: [&str; 2], end: DataEnd, bytes: &[u8]) -> Frame {
    let data = Data { id: CallId(id), from_caller, end, packed: false, bytes: Bytes::new() };
    Frame::new(data.header(), from, to, "", bytes, &Limits::default()).unwrap()
}

/// DATA that says that it has several items.
fn packed(id: u16, from_caller: bool, [from, to]: [&str; 2], end: DataEnd, bytes: &[u8]) -> Frame {
    let data = Data { id: CallId(id), from_caller, end, packed: true, bytes: Bytes::new() };
    Frame::new(data.header(), from, to, "", bytes, &Limits::default()).unwrap()
}

fn cancel(id: u16, reason: CancelReason, [from, to]: [&str; 2]) -> Frame {
    Cancel { id: CallId(id), reason }.frame(from, to, &Limits::default()).unwrap()
}

fn credit(id: u16, from_caller: bool, worked_off: u64, [from, to]: [&str; 2]) -> Frame {
    let credit = CallCredit::new(CallId(id), from_caller, worked_off, 65_536).unwrap();
    credit.frame(from, to, &Limits::default()).unwrap()
}

/// A frame of a kind of level 4 with any payload.
fn about(kind: Kind, id: u16, from_caller: bool, payload: &[u8], [from, to]: [&str; 2]) -> Frame {
    let header = Header::new(kind, CallId(id), FormatId::OPAQUE, false, from_caller);
    Frame::new(header, from, to, "", payload, &Limits::default()).unwrap()
}

fn flow(begins: bool, payload: &[u8], names: [&str; 2]) -> Frame {
    about(Kind::Credit, 0, begins, payload, names)
}

/// A frame with these bytes in the place of its extensions.
fn with_block(kind: Kind, id: u16, [from, to, method]: [&str; 3], block: &[u8]) -> Frame {
    let header = Header::new(kind, CallId(id), FormatId::JSON, true, kind == Kind::Request).with_extensions(true);
    Frame::new(header, from, to, method, block, &Limits::default()).unwrap()
}

/// Blocks of extensions that can't be read, with what stands behind them.
fn bad_blocks() -> Vec<(&'static str, Vec<u8>)> {
    let block = |length: u16, bytes: &[u8]| [&length.to_le_bytes(), bytes, ONE.as_bytes()].concat();
    vec![
        ("no room for its length", b"\x01".to_vec()),
        ("longer than the frame", b"\x09\0\x05\x01\x02".to_vec()),
        ("longer than a block may be", block(8_193, &[0xc8_u8, 0x00].repeat(4_097))),
        ("a tag without a length", block(1, b"\x05")),
        ("a value that is cut short", block(4, b"\xc8\x05xy")),
        ("a length that is cut short", block(2, b"\xc8\x80")),
        ("a length that is not minimal", block(4, b"\xc8\x81\x00x")),
        ("doubled", block(6, b"\x05\x01\x02\x05\x01\x02")),
        ("a time that does not stand first", block(9, b"\x05\x01\x02\x01\x04\0\0\0\x01")),
        ("a value of another size", block(5, b"\x05\x03\x02\x02\x02")),
    ]
}

/// Items that lie about their length inside of a frame, behind one that does not.
fn bad_packs() -> Vec<(&'static str, Vec<u8>)> {
    let behind = |bytes: &[u8]| {
        let mut all = BytesMut::new();
        PackedItems::put(&mut all, ONE.as_bytes());
        all.put_slice(bytes);
        all.to_vec()
    };
    vec![
        ("longer than the frame", behind(b"\x05ab")),
        ("a length that is cut short", behind(b"\x80")),
        ("a length that is not minimal", behind(b"\x81\x00x")),
        ("a length of four bytes", behind(b"\xff\xff\xff\x01")),
        ("no item of the format", behind(b"\x03abc")),
    ]
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.payload()).into_owned()
}

/// `sum`: of its items. `hold`: takes items, and reads none. `add`: of its arguments.
fn callbacks() -> Vec<Callback> {
    let hold = Callback::asynchronous(method("hold"), CallbackOptions::new(), formats(), |(): (), ctx| {
        let (items, ctx) = (ctx.items::<i64, Formats>("hold"), ctx.clone());
        async move {
            ctx.cancelled().await;
            drop(items);
            Ok(())
        }
    });
    let sum = Callback::asynchronous(method("sum"), CallbackOptions::new(), formats(), |(): (), ctx| {
        let items = ctx.items::<i64, Formats>("sum");
        async move {
            let Some(items) = items else { return Ok(-1) };
            let all: Vec<i64> = items.try_collect().await.map_err(daffi_core::remote_error)?;
            Ok(all.iter().sum())
        }
    });
    vec![sum, hold, plain("add", |(a, b): (i64, i64)| Ok(a + b))]
}

async fn caller(at: &Endpoint, name: &str) -> Peer {
    let mut peer = Peer::connect(at).await;
    peer.hello_with(name, "client/4", "null").await;
    peer
}

const ME: [&str; 2] = ["caller", "svc"];
const VICTIM: [&str; 2] = ["victim", "svc"];

/// What ends nothing: the frames, while the caller's call 2 of `sum` is open and waits for items,
/// as the call of the same number of another is.
fn skipped_by_a_service() -> Vec<(&'static str, Vec<Frame>)> {
    let item = |id, from_caller, names| data(id, from_caller, names, DataEnd::Item, ONE.as_bytes());
    vec![
        ("DATA without a call", vec![item(50, true, ME), data(50, true, ME, DataEnd::Direction, b"")]),
        ("DATA in the wrong direction", vec![item(2, false, ME), data(2, false, ME, DataEnd::Direction, b"")]),
        ("DATA without a number", vec![item(0, true, ME), data(0, true, ME, DataEnd::Direction, b"")]),
        ("DATA of another's call", vec![item(2, true, VICTIM), data(2, true, VICTIM, DataEnd::Direction, b"")]),
        ("DATA under the name of the callee", vec![item(2, true, ["svc", "caller"])]),
        ("CANCEL without a call", vec![cancel(50, CancelReason::Dropped, ME)]),
        ("CANCEL of another's call", vec![cancel(2, CancelReason::Dropped, VICTIM)]),
        ("CANCEL of the callee", vec![cancel(2, CancelReason::EnoughItems, ["svc", "caller"])]),
        ("CREDIT without a call", vec![credit(50, true, 0, ME)]),
        ("CREDIT of more than was sent", vec![credit(2, true, 1 << 40, ME), credit(2, false, 1 << 40, ME)]),
        ("CREDIT of another's call", vec![credit(2, true, 0, VICTIM)]),
        ("a body that is broken without a call", vec![data(51, true, ME, DataEnd::Nothing, b"part")]),
        ("a flow, and a grant of one", vec![flow(true, &[7; 4], ME), flow(false, &[7; 16], ME)]),
        (
            "CANCEL without a number",
            vec![about(Kind::Cancel, 0, true, &[1], ME), about(Kind::Cancel, 0, false, &[5], ME)],
        ),
        ("CANCEL without a number, for a new reason", vec![about(Kind::Cancel, 0, true, &[99], ME)]),
        (
            "the word that a caller has left, and what answers it",
            vec![
                about(Kind::Cancel, 0, true, &[3, 7, 0, 0, 0], ME),
                about(Kind::Cancel, 0, false, &[3, 7, 0, 0, 0], ME),
            ],
        ),
        ("CREDIT beyond all numbers", vec![about(Kind::Credit, 2, true, &[0xff; 12], ME)]),
    ]
}

#[tokio::test]
async fn a_service_skips_what_is_about_no_open_call_of_its_sender() {
    for (what, frames) in skipped_by_a_service() {
        let (service, at) = service(callbacks());
        let [mut me, mut victim] = [caller(&at, "caller").await, caller(&at, "victim").await];
        for (peer, names) in [(&mut me, ME), (&mut victim, VICTIM)] {
            send(peer, &request(2, [names[0], names[1], "sum"], &streams(true, false), NOTHING)).await;
            send(peer, &data(2, true, names, DataEnd::Item, ONE.as_bytes())).await;
        }
        for frame in &frames {
            send(&mut me, frame).await;
        }
        me.send_to(Kind::Request, 3, ["caller", "svc", "add"], r#"{"args":[1,2],"kwargs":{}}"#, true).await;
        let answer = next(&mut me).await.expect(what);
        assert_eq!((answer.kind(), answer.header().id().0, text(&answer).contains("[3]")), (Kind::Response, 3, true));
        for (peer, names) in [(&mut me, ME), (&mut victim, VICTIM)] {
            send(peer, &data(2, true, names, DataEnd::Direction, ONE.as_bytes())).await;
            // What comes behind the end is dropped, before and behind the answer.
            send(peer, &data(2, true, names, DataEnd::Item, ONE.as_bytes())).await;
            let answer = next(peer).await.expect(what);
            assert_eq!((answer.kind(), answer.header().id().0), (Kind::Response, 2), "{what}: {}", text(&answer));
            assert!(text(&answer).contains("[2]"), "{what}: {}", text(&answer));
            send(peer, &data(2, true, names, DataEnd::Direction, ONE.as_bytes())).await;
            send(peer, &cancel(2, CancelReason::Dropped, names)).await;
        }
        me.send_to(Kind::Request, 2, ["caller", "svc", "add"], r#"{"args":[2,2],"kwargs":{}}"#, true).await;
        assert!(text(&next(&mut me).await.expect(what)).contains("[4]"), "{what}");
        assert_eq!(service.clients().len(), 2, "{what}");
    }
}

#[tokio::test]
async fn what_breaks_the_rules_of_data_ends_its_sender_s_connection_with_a_service() {
    let many = vec![b'1'; 65_280];
    let cases = [
        ("beyond the window", vec![data(2, true, ME, DataEnd::Item, &many), data(2, true, ME, DataEnd::Item, b"1")]),
        ("parts beyond it", vec![data(2, true, ME, DataEnd::Nothing, &many); 700]),
        ("a pack beyond it", vec![packed(2, true, ME, DataEnd::Item, &vec![0; 66_000])]),
        ("more than a frame may carry", vec![data(2, true, ME, DataEnd::Item, &vec![b'1'; 262_145])]),
        ("items that do not end", vec![packed(2, true, ME, DataEnd::Nothing, b"\x01x")]),
        ("of no call, and do not end", vec![packed(50, true, ME, DataEnd::Nothing, b"\x01x")]),
        ("a CANCEL of two bytes", vec![about(Kind::Cancel, 50, true, &[1, 1], ME)]),
        ("a CANCEL of five about a call", vec![about(Kind::Cancel, 50, true, &[3, 7, 0, 0, 0], ME)]),
        ("a CANCEL about a caller without a number", vec![about(Kind::Cancel, 0, true, &[3], ME)]),
        ("a CREDIT of another length", vec![about(Kind::Credit, 50, true, &[0; 16], ME)]),
    ];
    for (what, frames) in cases {
        let (service, at) = service(callbacks());
        let (mut me, honest) = (caller(&at, "caller").await, client(&at, "honest").await);
        send(&mut me, &request(2, ["caller", "svc", "hold"], &streams(true, false), NOTHING)).await;
        for frame in &frames {
            send(&mut me, frame).await;
        }
        while next(&mut me).await.is_some() {}
        assert_eq!(soon(honest.rpc().call::<i64>("add", (1, 2))).await.expect(what), 3);
        until(what, || service.clients() == ["honest"]).await;
    }
}

#[tokio::test]
async fn a_service_answers_blocks_and_packs_that_lie_and_goes_on() {
    let (service, at) = service(callbacks());
    let mut me = caller(&at, "caller").await;
    for (what, block) in bad_blocks() {
        send(&mut me, &with_block(Kind::Request, 2, ["caller", "svc", "add"], &block)).await;
        let answer = next(&mut me).await.expect(what);
        assert_eq!((answer.kind(), answer.header().id().0), (Kind::Error, 2), "{what}");
        assert!(text(&answer).contains("ExtensionUnsupported"), "{what}: {}", text(&answer));
    }
    for (what, pack) in bad_packs() {
        send(&mut me, &request(2, ["caller", "svc", "sum"], &streams(true, false), NOTHING)).await;
        send(&mut me, &packed(2, true, ME, DataEnd::Item, &pack)).await;
        let mut answer = next(&mut me).await.expect(what);
        if answer.kind() == Kind::Cancel {
            // No further items are wanted.
            answer = next(&mut me).await.expect(what);
        }
        assert_eq!((answer.kind(), answer.header().id().0), (Kind::Error, 2), "{what}: {}", text(&answer));
        send(&mut me, &data(2, true, ME, DataEnd::Direction, ONE.as_bytes())).await;
    }
    me.send_to(Kind::Request, 2, ["caller", "svc", "add"], r#"{"args":[1,2],"kwargs":{}}"#, true).await;
    assert!(text(&next(&mut me).await.unwrap()).contains("[3]"));
    until("nothing is left", || service.stats().running == 0).await;
}

/// A server by hand, and a Client of it.
async fn server() -> (MemListener, Peer, Client<Formats>) {
    let at = endpoint();
    let mut listener = MemListener::bind(&at).unwrap();
    let (client, peer) = tokio::join!(client(&at, "caller"), accept(&mut listener));
    (listener, peer, client)
}

const BACK: [&str; 2] = ["svc", "caller"];
const ANSWER: [&str; 3] = ["svc", "caller", "f"];

/// Says that results follow.
fn begins(id: u16) -> Frame {
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, "svc", "caller", "f").unwrap();
    writer.extensions(&streams(true, false));
    writer.finish(Header::new(Kind::Response, CallId(id), FormatId::JSON, false, false), 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// What ends nothing, to a client with a call of this number open.
fn skipped_by_a_client(id: u16) -> Vec<(&'static str, Vec<Frame>)> {
    let other = id ^ 0x4000;
    let item = |id, from_caller, names| data(id, from_caller, names, DataEnd::Item, ONE.as_bytes());
    let end = |id, from_caller, names| data(id, from_caller, names, DataEnd::Direction, b"");
    vec![
        ("DATA without a call", vec![item(other, false, BACK), end(other, false, BACK)]),
        ("DATA of a caller that is none", vec![item(other, true, BACK), end(id, true, BACK)]),
        (
            "DATA of one that was not called",
            vec![item(id, false, ["other", "caller"]), end(id, false, ["other", "caller"])],
        ),
        ("CANCEL without a call", vec![cancel(other, CancelReason::Dropped, BACK)]),
        ("CANCEL of one that was not called", vec![cancel(id, CancelReason::EnoughItems, ["other", "caller"])]),
        ("no further items wanted where none are sent", vec![cancel(id, CancelReason::EnoughItems, BACK)]),
        ("CREDIT without a call", vec![credit(other, false, 0, BACK)]),
        ("CREDIT of more than was sent", vec![credit(id, false, 1 << 40, BACK)]),
        ("CREDIT beyond all numbers", vec![about(Kind::Credit, id, false, &[0xff; 12], BACK)]),
        ("a flow, and a grant of one", vec![flow(true, &[7; 4], BACK), flow(false, &[0xff; 16], BACK)]),
        ("CANCEL without a number, for a new reason", vec![about(Kind::Cancel, 0, true, &[99], BACK)]),
    ]
}

/// The number of the call that the client has just made.
async fn await_call(peer: &mut Peer) -> u16 {
    loop {
        let frame = next(peer).await.unwrap();
        if frame.kind() == Kind::Request {
            return frame.header().id().0;
        }
    }
}

#[tokio::test]
async fn a_client_skips_what_is_about_no_open_call_of_its_own() {
    let (_listener, mut svc, client) = server().await;
    for case in 0..skipped_by_a_client(0).len() {
        for is_stream in [false, true] {
            let call = client.rpc();
            let call = tokio::spawn(async move {
                if is_stream {
                    call.results::<i64>("f", ()).await?.try_collect().await
                } else {
                    Ok(vec![call.call("f", ()).await?])
                }
            });
            let id = await_call(&mut svc).await;
            let (what, frames) = skipped_by_a_client(id).swap_remove(case);
            if is_stream {
                send(&mut svc, &begins(id)).await;
            }
            for frame in &frames {
                send(&mut svc, frame).await;
            }
            if is_stream {
                send(&mut svc, &data(id, false, BACK, DataEnd::Direction, ONE.as_bytes())).await;
            } else {
                // Nobody waits for results one by one, so these are not the call's answer.
                send(&mut svc, &data(id, false, BACK, DataEnd::Direction, ONE.as_bytes())).await;
                svc.send_to(Kind::Response, id, ANSWER, ONE, false).await;
            }
            // Behind the end everything is dropped.
            send(&mut svc, &data(id, false, BACK, DataEnd::Direction, ONE.as_bytes())).await;
            send(&mut svc, &begins(id)).await;
            svc.send_to(Kind::Response, id, ANSWER, ONE, false).await;
            let came: Result<Vec<i64>, CallError> = soon(call).await.unwrap();
            assert_eq!(came.expect(what), [1], "{what}");
        }
    }
    assert!(client.is_connected());
}

#[tokio::test]
async fn what_breaks_the_rules_of_data_ends_a_client_s_connection() {
    let many = vec![b'1'; 65_280];
    let cases: [(&str, DataEnd, bool, Vec<u8>); 5] = [
        ("beyond the window", DataEnd::Item, false, many.clone()),
        ("parts beyond it", DataEnd::Nothing, false, many),
        ("a pack beyond it", DataEnd::Item, true, vec![0; 66_000]),
        ("more than a frame may carry", DataEnd::Item, false, vec![b'1'; 262_145]),
        ("items that do not end", DataEnd::Nothing, true, b"\x01x".to_vec()),
    ];
    for (what, end, is_packed, bytes) in cases {
        let (_listener, mut svc, client) = server().await;
        let (call, beside) = (client.rpc(), client.rpc());
        let results = tokio::spawn(async move { call.results::<i64>("f", ()).await });
        let id = await_call(&mut svc).await;
        let beside = tokio::spawn(async move { beside.call::<i64>("f", ()).await });
        await_call(&mut svc).await;
        send(&mut svc, &begins(id)).await;
        // Nobody reads them.
        let results = soon(results).await.unwrap().expect(what);
        let frame = if is_packed { packed(id, false, BACK, end, &bytes) } else { data(id, false, BACK, end, &bytes) };
        for _ in 0..700 {
            send(&mut svc, &frame).await;
        }
        let failed = soon(beside).await.unwrap();
        assert!(failed.is_err(), "{what}: {failed:?}");
        let failed = soon(results.try_collect::<Vec<_>>()).await;
        assert!(failed.is_err(), "{what}: {failed:?}");
    }
}

#[tokio::test]
async fn a_client_ends_a_call_whose_answer_lies_and_goes_on() {
    let (_listener, mut svc, client) = server().await;
    for kind in [Kind::Response, Kind::Error] {
        for (what, block) in bad_blocks() {
            let call = client.rpc();
            let call = tokio::spawn(async move { call.call::<i64>("f", ()).await });
            let id = await_call(&mut svc).await;
            send(&mut svc, &with_block(kind, id, ANSWER, &block)).await;
            let failed = soon(call).await.unwrap();
            assert!(failed.is_err(), "{what}: {failed:?}");
        }
    }
    for (what, pack) in bad_packs() {
        let call = client.rpc();
        let results = tokio::spawn(async move { call.results::<i64>("f", ()).await });
        let id = await_call(&mut svc).await;
        send(&mut svc, &begins(id)).await;
        send(&mut svc, &packed(id, false, BACK, DataEnd::Item, &pack)).await;
        let mut results = soon(results).await.unwrap().unwrap();
        assert_eq!(soon(results.try_next()).await.expect(what), Some(1), "{what}: what came before it is read");
        let failed = soon(results.try_next()).await.expect_err(what);
        assert!(matches!(failed, CallError::Items { .. } | CallError::Decode { .. }), "{what}: {failed:?}");
        // It hears that nobody waits.
        let heard = next(&mut svc).await.expect(what);
        assert_eq!((heard.kind(), heard.header().id().0), (Kind::Cancel, id), "{what}");
        send(&mut svc, &data(id, false, BACK, DataEnd::Direction, b"")).await;
    }
    let call = client.rpc();
    let call = tokio::spawn(async move { call.call::<i64>("f", ()).await });
    let id = await_call(&mut svc).await;
    svc.send_to(Kind::Response, id, ANSWER, ONE, false).await;
    assert_eq!(soon(call).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_client_answers_each_ping_with_the_same_bytes_in_order() {
    let (_listener, mut svc, client) = server().await;
    for asked in [b"question", b"and more"] {
        let header = Header::new(Kind::Ping, CallId::NONE, FormatId::OPAQUE, false, true);
        send(&mut svc, &Frame::new(header, "", "", "", asked, &Limits::default()).unwrap()).await;
    }
    for asked in [b"question", b"and more"] {
        let answer = loop {
            let frame = soon(svc.receive()).await.expect("it lives");
            if frame.kind() == Kind::Ping {
                break frame;
            }
        };
        assert_eq!((answer.header().wants_reply(), answer.payload()), (false, &asked[..]));
    }
    assert!(client.is_connected());
}
