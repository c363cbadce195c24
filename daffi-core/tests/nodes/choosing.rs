//! Calls of which the Router chooses the receiver.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use daffi_core::{ByRouter, CallError, Callback, Client, Router};
use daffi_serde::RemoteError;
use daffi_transport::{Endpoint, mem};
use daffi_wire::{
    CallCredit, CallId, Cancel, CancelReason, Data, DataEnd, Extensions, FormatId, Frame, Header, Kind, Limits,
    StreamFlags,
};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    peer::{Peer, raw, request, send},
    support::{Formats, client, formats, hang, node, plain, router, service, worker},
};

const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;
const CALL: [&str; 3] = ["caller", "", "f"];

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

/// The next frame that is about a call.
async fn next(peer: &mut Peer) -> Frame {
    loop {
        let frame = soon(peer.receive()).await.expect("a frame");
        if !matches!(frame.kind(), Kind::Handshake | Kind::Events | Kind::Ping) {
            return frame;
        }
    }
}

/// `who`: tells who runs it.
fn who(name: &'static str) -> Callback {
    plain("who", move |(): ()| Ok(name))
}

/// A client that leaves its choices to the Router.
async fn leaving(at: &Endpoint, callbacks: Vec<Callback>) -> Client<Formats> {
    let connector = Box::new(mem::MemConnector::new(at.clone()));
    let builder = Client::builder(node("caller"), connector, formats()).callbacks(callbacks);
    builder.picker(Box::new(ByRouter::default())).connect().await.unwrap()
}

async fn asked(client: &Client<Formats>, times: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(client.rpc().call::<String>("who", ()).await.unwrap()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn calls_are_spread_over_those_who_expose_the_callback() {
    let (_router, at) = router();
    let mut workers = Vec::new();
    for name in ["a", "b", "c"] {
        workers.push(worker(&at, name, vec![who(name)]).await);
    }
    let _other = worker(&at, "d", vec![plain("other", |(): ()| Ok(()))]).await;
    let client = leaving(&at, vec![who("caller")]).await;
    let counts = asked(&client, 300).await;
    assert!(counts.len() == 3 && counts.values().all(|n| *n > 50), "{counts:?}");
    workers.remove(0).stop().await;
    let counts = asked(&client, 50).await;
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["b", "c"]);
    for worker in workers {
        worker.stop().await;
    }
    let error = client.rpc().call::<String>("who", ()).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { receiver: None, .. }), "not the caller itself: {error}");
}

#[tokio::test]
async fn who_is_busy_or_fails_gets_less() {
    let (_router, at) = router();
    let gate = Arc::new(Semaphore::new(0));
    let failed = Arc::new(AtomicUsize::new(0));
    let broken = {
        let failed = Arc::clone(&failed);
        plain("f", move |(): ()| {
            failed.fetch_add(1, SeqCst);
            Err::<(), _>(RemoteError::new("ValueError", "no"))
        })
    };
    let busy = worker(&at, "busy", vec![who("busy"), hang(&gate), broken]).await;
    let client = leaving(&at, Vec::new()).await;
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().call::<u32>("hang", (1,)).await }
    });
    while busy.stats().running == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let _idle = worker(&at, "idle", vec![who("idle"), plain("f", |(): ()| Ok(()))]).await;
    assert_eq!(asked(&client, 30).await, BTreeMap::from([("idle".to_owned(), 30)]));
    gate.add_permits(1);
    open.await.unwrap().unwrap();
    assert_eq!(asked(&client, 100).await.len(), 2);
    let mut errors = 0;
    for _ in 0..200 {
        match client.rpc().call::<()>("f", ()).await {
            Ok(()) => {}
            Err(CallError::Remote { receiver, .. }) if receiver == "busy" => errors += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(errors < 20 && errors == failed.load(SeqCst), "{errors} of 200 failed");
}

#[tokio::test]
async fn what_is_chosen_ends_with_who_was_chosen() {
    let (router, at) = router();
    let gate = Arc::new(Semaphore::new(0));
    let only = worker(&at, "only", vec![hang(&gate)]).await;
    let client = client(&at, "caller").await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().by_router().call::<u32>("hang", (1,)).await }
    });
    while router.stats().open_calls == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(only);
    let error = soon(call).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::ReceiverGone { receiver, .. } if receiver == "only"));
}

#[tokio::test]
async fn services_and_pinned_receivers_are_called_as_ever() {
    let (_service, at) = service(vec![who("svc")]);
    let client = leaving(&at, Vec::new()).await;
    assert_eq!(client.rpc().by_router().call::<String>("who", ()).await.unwrap(), "svc");
    let (_router, at) = router();
    let _workers = (worker(&at, "a", vec![who("a")]).await, worker(&at, "b", vec![who("b")]).await);
    let client = leaving(&at, Vec::new()).await;
    client.wait_for_members(&["a", "b"], None).await.unwrap();
    for _ in 0..10 {
        assert_eq!(client.rpc().receiver("b").call::<String>("who", ()).await.unwrap(), "b");
    }
    client.rpc_nowait().call("who", ()).await.unwrap();
}

fn items() -> Extensions {
    Extensions::builder().stream(StreamFlags { items_follow: true, takes_results: true }).build().unwrap()
}

fn data(id: u16, from_caller: bool, names: [&str; 2], end: DataEnd, bytes: &'static [u8]) -> Frame {
    let data = Data { id: CallId(id), from_caller, end, packed: false, bytes: Bytes::from_static(bytes) };
    data.frame(names[0], names[1], &Limits::default()).unwrap()
}

/// All that belongs to such a call finds its receiver by its number.
#[tokio::test]
async fn what_belongs_to_the_call_finds_its_receiver() {
    let (router, at) = router();
    let mut other = raw(&at, "other", "client/4", r#"["g"]"#).await;
    let mut w = raw(&at, "w", "client/4", r#"["f"]"#).await;
    let mut caller = raw(&at, "caller", "client/4", "null").await;
    let call = request(2, CALL, &items(), NOTHING);
    send(&mut caller, &call).await;
    assert_eq!(next(&mut w).await, call, "byte for byte");
    let item = data(2, true, ["caller", ""], DataEnd::Item, b"one");
    send(&mut caller, &item).await;
    assert_eq!(next(&mut w).await, item);
    let header = Header::new(Kind::Response, CallId(2), FormatId::JSON, true, false);
    let mut bytes = bytes::BytesMut::new();
    let mut writer = daffi_wire::FrameWriter::begin(&mut bytes, "w", "caller", "f").unwrap();
    writer.extensions(
        &Extensions::builder().stream(StreamFlags { items_follow: true, takes_results: false }).build().unwrap(),
    );
    writer.finish(header, 0, &Limits::default()).unwrap();
    w.send_bytes(&bytes).await;
    assert_eq!(next(&mut caller).await.transmitter(), "w");
    send(&mut w, &data(2, false, ["w", "caller"], DataEnd::Item, &[7; 40_000])).await;
    assert_eq!(next(&mut caller).await.payload(), [7; 40_000]);
    let credit = CallCredit::new(CallId(2), true, 40_256, 65_536).unwrap();
    send(&mut caller, &credit.frame("caller", "", &Limits::default()).unwrap()).await;
    assert_eq!(next(&mut w).await.kind(), Kind::Credit);
    let cancel = Cancel { id: CallId(2), reason: CancelReason::Dropped };
    send(&mut caller, &cancel.frame("caller", "", &Limits::default()).unwrap()).await;
    assert_eq!(next(&mut w).await.kind(), Kind::Cancel);
    w.send_to(Kind::Error, 2, ["w", "caller", "f"], NOTHING, false).await;
    assert_eq!(next(&mut caller).await.kind(), Kind::Error);
    assert_eq!(router.stats().open_calls, 0);
    // Nothing of it reached anybody else.
    send(&mut caller, &request(3, ["caller", "", "g"], &Extensions::default(), NOTHING)).await;
    assert_eq!(next(&mut other).await.header().id(), CallId(3));
}

/// A worker of level 3 sees its own name, and gets what it can read.
#[tokio::test]
async fn a_worker_of_level_three_is_called_by_its_name() {
    let (_router, at) = router();
    let mut old = raw(&at, "old", "client", r#"["f"]"#).await;
    let mut caller = raw(&at, "caller", "client/4", "null").await;
    let said = Extensions::builder().time_left_ms(60_000).build().unwrap();
    send(&mut caller, &request(2, CALL, &said, NOTHING)).await;
    let came = next(&mut old).await;
    assert_eq!((came.receiver(), came.payload(), came.header().has_extensions()), ("old", NOTHING.as_bytes(), false));
    old.send_to(Kind::Response, 2, ["old", "caller", "f"], NOTHING, false).await;
    assert_eq!(next(&mut caller).await.transmitter(), "old");
    // Arguments in parts are put together.
    let mut bytes = bytes::BytesMut::new();
    let mut writer = daffi_wire::FrameWriter::begin(&mut bytes, CALL[0], CALL[1], CALL[2]).unwrap();
    writer.body_total(4);
    writer.body().extend_from_slice(b"{}");
    let header = Header::new(Kind::Request, CallId(3), FormatId::JSON, true, true);
    writer.finish(header, 0, &Limits::default()).unwrap();
    caller.send_bytes(&bytes).await;
    send(&mut caller, &data(3, true, ["caller", ""], DataEnd::Direction, b"{}")).await;
    let came = next(&mut old).await;
    assert_eq!((came.receiver(), came.payload()), ("old", &b"{}{}"[..]));
    for (id, call, class) in [
        (4, request(4, CALL, &items(), NOTHING), "LevelUnsupported"),
        (5, format_of(5, FormatId::POSTCARD), "FormatUnsupported"),
    ] {
        send(&mut caller, &call).await;
        let refused = next(&mut caller).await;
        let text = String::from_utf8_lossy(refused.payload()).into_owned();
        assert!(refused.header().id() == CallId(id) && text.contains(class), "{text}");
    }
    // Of those who expose it one can.
    let mut new = raw(&at, "new", "client/4", r#"["f"]"#).await;
    for id in 10..20 {
        send(&mut caller, &format_of(id, FormatId::POSTCARD)).await;
        assert_eq!(next(&mut new).await.header().id(), CallId(id));
    }
}

#[tokio::test]
async fn a_caller_reads_who_cannot_take_what_it_sends_and_why() {
    let (_router, at) = router();
    let _old = raw(&at, "old", "client", r#"["f"]"#).await;
    let caller = client(&at, "caller").await;
    let call = caller.rpc().by_router();
    let items = soon(call.send::<()>("f", (), futures::stream::iter([1]))).await.unwrap_err();
    let large = soon(call.call::<()>("f", ("x".repeat(33 << 20),))).await.unwrap_err();
    for (refused, words) in [(items, "send them as a list"), (large, "take arguments of one frame")] {
        let text = refused.to_string();
        assert!(text.contains("all who expose \"f\" are daffi 3.0.1 nodes") && text.contains(words), "{text}");
        let CallError::LevelUnsupported { receiver, .. } = refused else { panic!("{text}") };
        assert_eq!(receiver, "any member");
    }
}

fn format_of(id: u16, format: FormatId) -> Frame {
    let header = Header::new(Kind::Request, CallId(id), format, false, true);
    Frame::new(header, CALL[0], CALL[1], CALL[2], b"", &Limits::default()).unwrap()
}

/// An empty receiver is nobody where the Router does not choose.
#[tokio::test]
async fn nothing_is_chosen_for_level_three_and_for_what_nobody_answers() {
    let (router, at) = router();
    let mut w = raw(&at, "w", "client/4", r#"["f"]"#).await;
    let mut old = raw(&at, "caller", "client", "null").await;
    old.send_to(Kind::Request, 2, CALL, NOTHING, true).await;
    assert!(next(&mut old).await.kind() == Kind::Error);
    let mut new = raw(&at, "new", "client/4", "null").await;
    new.send_to(Kind::Request, 0, ["new", "", "f"], NOTHING, false).await;
    let dropped = |router: &Router| router.stats().dropped_requests;
    while dropped(&router) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    new.send_to(Kind::Request, 3, ["new", "w", "f"], NOTHING, true).await;
    assert_eq!(next(&mut w).await.header().id(), CallId(3), "the first that comes");
}
