//! Deadlines and headers: what travels with a call beside its names and arguments.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use daffi_core::{CallError, Callback, CallbackOptions, NodeConfig};
use daffi_wire::{CallId, ExtensionError, Extensions, FormatId, Frame, Header, Kind, Limits, MethodName, StreamFlags};
use futures::{FutureExt, future::join_all};
use tokio::{sync::Notify, time::timeout};
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::{
    peer::{Peer, next_of_a_call, raw, request, send},
    support::{Formats, asynchronous, client, client_exposing, endpoint, formats, plain, router, service_at},
};

const ADD: &str = r#"{"args":[1,2],"kwargs":{}}"#;

fn name(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).unwrap()
}

/// `left`: the seconds until its deadline. `header`: all values under a key. `until`: ends when
/// nobody waits any more, and counts itself. `add`: at once.
fn callbacks(ended: &Arc<AtomicUsize>) -> Vec<Callback> {
    let options = CallbackOptions::new;
    let left = Callback::plain(name("left"), options(), formats(), |(): (), ctx| {
        Ok(ctx.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs()))
    });
    let header = Callback::plain(name("header"), options(), formats(), |(key,): (String,), ctx| {
        let all: Vec<_> = ctx.headers().filter(|(known, _)| *known == key).map(|(_, value)| value.to_owned()).collect();
        assert_eq!(ctx.header(&key), all.first().map(String::as_str));
        Ok(all)
    });
    let ended = Arc::clone(ended);
    let until = Callback::asynchronous(name("until"), options(), formats(), move |(): (), ctx| {
        let (ctx, ended) = (ctx.clone(), Arc::clone(&ended));
        async move {
            ctx.cancelled().await;
            assert!(ctx.is_cancelled());
            ended.fetch_add(1, SeqCst);
            Ok("ended")
        }
    });
    vec![left, header, until, plain("add", |(a, b): (i64, i64)| Ok(a + b))]
}

/// Where a callee serves under the name `svc`: a Service, or a worker behind a Router.
async fn callee(behind_router: bool, ended: &Arc<AtomicUsize>) -> (Box<dyn std::any::Any>, daffi_transport::Endpoint) {
    if behind_router {
        let (router, at) = router();
        let worker = client_exposing(&at, "svc", NodeConfig::client().workers(4), callbacks(ended)).await;
        (Box::new((router, worker)), at)
    } else {
        let at = endpoint();
        (Box::new(service_at(&at, NodeConfig::server().workers(4), callbacks(ended))), at)
    }
}

/// The answer to the call of this number.
async fn answer_to(peer: &mut Peer, id: u16) -> Frame {
    loop {
        let frame = peer.receive().await.expect("an answer");
        if frame.header().id() == CallId(id) && matches!(frame.kind(), Kind::Response | Kind::Error) {
            return frame;
        }
    }
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.payload()).into_owned()
}

#[tokio::test]
async fn a_timeout_travels_and_no_timeout_is_no_deadline() {
    for behind_router in [false, true] {
        let (_nodes, at) = callee(behind_router, &Arc::default()).await;
        let caller = client(&at, "caller").await;
        let left = caller.rpc().timeout(Duration::from_secs(300)).call::<Option<u64>>("left", ()).await.unwrap();
        assert!(left.is_some_and(|left| left <= 300 && left > 200), "{left:?}");
        assert_eq!(caller.rpc().call::<Option<u64>>("left", ()).await.unwrap(), None);
        let answers = caller.cast().timeout(Duration::from_secs(300)).call::<Option<u64>>("left", ()).await.unwrap();
        assert!(matches!(answers.values().next(), Some(Ok(Some(_)))), "{answers:?}");
    }
}

/// It passes at the caller or at the receiver, whoever looks first.
#[tokio::test]
async fn a_timeout_of_nothing_is_a_timeout() {
    let (_nodes, at) = callee(false, &Arc::default()).await;
    let caller = client(&at, "caller").await;
    for _ in 0..100 {
        let error = caller.rpc().timeout(Duration::ZERO).call::<Option<u64>>("left", ()).await.unwrap_err();
        assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    }
}

#[tokio::test]
async fn headers_travel_in_their_order() {
    for behind_router in [false, true] {
        let (_nodes, at) = callee(behind_router, &Arc::default()).await;
        let caller = client(&at, "caller").await;
        let call = caller.rpc().header("tenant", "blue").header("x", "").header("tenant", "grün");
        let seen = |call: &daffi_core::Rpc<Formats>, key| call.call::<Vec<String>>("header", (key,));
        assert_eq!(seen(&call, "tenant").await.unwrap(), ["blue", "grün"]);
        assert_eq!(seen(&call.clone().timeout(Duration::from_secs(300)), "x").await.unwrap(), [""]);
        assert!(seen(&caller.rpc(), "tenant").await.unwrap().is_empty(), "they are the call's own");
    }
}

/// Counts what is logged of headers that are dropped, by the member that does not get them.
#[derive(Clone, Default)]
struct Dropped(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Dropped {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut said = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            said += &format!("{}={value:?} ", field.name());
        });
        if said.contains("headers are dropped") {
            self.0.lock().unwrap().push(said);
        }
    }
}

/// A Router that chose a member which gets none tells of that in its own log, once.
#[tokio::test]
async fn headers_that_a_router_drops_are_logged_once_for_each_member() {
    let dropped = Dropped::default();
    let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(dropped.clone()));
    let (router, at) = router();
    let mut caller = raw(&at, "caller", "client/4", "null").await;
    let mut id = 2;
    for old in ["old", "older"] {
        let mut worker = raw(&at, old, "client", r#"["f"]"#).await;
        for header in [false, true, true] {
            let said = Extensions::builder().time_left_ms(60_000);
            let said = if header { said.header("tenant", "blue").unwrap() } else { said };
            send(&mut caller, &request(id, ["caller", "", "f"], &said.build().unwrap(), ADD)).await;
            assert_eq!(next_of_a_call(&mut worker).await.unwrap().payload(), ADD.as_bytes());
            let said = dropped.0.lock().unwrap().len();
            assert_eq!(said, usize::from(old == "older") + usize::from(header));
            worker.send_to(Kind::Response, id, [old, "caller", "f"], ADD, false).await;
            next_of_a_call(&mut caller).await.unwrap();
            id += 1;
        }
        // The next one is the only one then.
        drop(worker);
        while router.members().len() > 1 {
            tokio::task::yield_now().await;
        }
    }
    let said = dropped.0.lock().unwrap();
    assert!(said[0].contains("receiver=old ") && said[1].contains("receiver=older "), "{said:?}");
}

#[tokio::test]
async fn headers_that_cannot_travel_are_refused_before_anything_is_sent() {
    let (_nodes, at) = callee(false, &Arc::default()).await;
    let caller = client(&at, "caller").await;
    for (key, value) in [("", "v".to_owned()), (&"k".repeat(256), "v".into()), ("k", "v".repeat(4096))] {
        let refused = caller.rpc().header(key, value.clone()).call::<i64>("add", (1, 2)).await;
        assert!(matches!(refused, Err(CallError::Extensions { .. })), "{refused:?}");
        let refused = caller.rpc_nowait().header(key, value).call("add", (1, 2)).await;
        let Err(CallError::Extensions { source, .. }) = refused else { panic!("{refused:?}") };
        assert!(matches!(source, ExtensionError::HeaderKey { .. } | ExtensionError::Headers { limit: 4096, .. }));
    }
}

/// Credit of nowait calls counts what travels with them at each hop, so that none is held for ever.
#[tokio::test]
async fn nowait_calls_with_headers_all_arrive() {
    let count = Arc::new(AtomicUsize::new(0));
    let (_router, at) = router();
    let counted = Arc::clone(&count);
    let note = plain("note", move |(): ()| Ok(counted.fetch_add(1, SeqCst)));
    let worker = client_exposing(&at, "worker", NodeConfig::client(), vec![note, plain("add", |(): ()| Ok(()))]).await;
    let caller = client(&at, "caller").await;
    let call = caller.rpc_nowait().header("k", "v".repeat(3000));
    for _ in 0..2_000 {
        call.call("note", ()).await.unwrap();
    }
    // One worker, in order.
    caller.rpc().call::<()>("add", ()).await.unwrap();
    assert_eq!(count.load(SeqCst), 2_000);
    worker.stop().await;
}

#[tokio::test]
async fn a_callback_ends_at_its_deadline_though_nobody_cancels_it() {
    for behind_router in [false, true] {
        let ended = Arc::default();
        let (_nodes, at) = callee(behind_router, &ended).await;
        let mut caller = Peer::connect(&at).await;
        caller.hello_with("caller", "client/4", "null").await;
        let said = Extensions::builder().time_left_ms(20).build().unwrap();
        let call = request(2, ["caller", "svc", "until"], &said, r#"{"args":[],"kwargs":{}}"#);
        caller.send_bytes(call.as_bytes()).await;
        assert!(text(&answer_to(&mut caller, 2).await).contains("ended"));
        assert_eq!(ended.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn a_call_whose_deadline_passes_in_a_queue_does_not_run_and_says_so() {
    for inline in [false, true] {
        let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (at, opened) = (endpoint(), Arc::clone(&gate));
        let wait = asynchronous("wait", move |(): ()| {
            let gate = Arc::clone(&opened);
            async move { gate.notified().await }
        });
        let counted = Arc::clone(&begun);
        let options = if inline { CallbackOptions::new().inline() } else { CallbackOptions::new() };
        let count =
            Callback::plain(name("count"), options, formats(), move |(): (), _| Ok(counted.fetch_add(1, SeqCst)));
        let _service = service_at(&at, NodeConfig::server().workers(1), vec![wait, count]);
        let mut caller = Peer::connect(&at).await;
        caller.hello_with("caller", "client/4", "null").await;
        let said = |ms| Extensions::builder().time_left_ms(ms).build().unwrap();
        let empty = r#"{"args":[],"kwargs":{}}"#;
        for (id, method, ms) in [(2, "wait", 300_000), (3, "count", 0), (4, "count", 300_000)] {
            caller.send_bytes(request(id, ["caller", "svc", method], &said(ms), empty).as_bytes()).await;
        }
        gate.notify_one();
        let expired = answer_to(&mut caller, 3).await;
        assert_eq!(expired.kind(), Kind::Error);
        assert!(text(&expired).contains("DeadlineExceeded") && text(&expired).contains("daffi"), "{}", text(&expired));
        assert_eq!(answer_to(&mut caller, 4).await.kind(), Kind::Response);
        assert_eq!(begun.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn what_a_node_does_not_know_is_refused_or_skipped_as_the_tag_says() {
    let (_nodes, at) = callee(false, &Arc::default()).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello_with("caller", "client/4", "null").await;
    let blocks: [(&[u8], bool); 7] = [
        (b"\x63\x01x", false),
        (b"\xc8\x01x\xc8\x00", true),
        (b"\x05\x01\x02", true),
        // Items that nobody reads.
        (b"\x05\x01\x01", true),
        // A first window that no sender could use.
        (b"\x05\x01\x02\x06\x04\xff\xff\0\0", false),
        // A body, and items behind it.
        (b"\x04\x08\0\0\x10\0\0\0\0\0\x05\x01\x01", false),
        (b"\x01\x04\0", false),
    ];
    for (id, (block, runs)) in (2_u16..).zip(blocks) {
        let body = [&u16::try_from(block.len()).unwrap().to_le_bytes(), block, ADD.as_bytes()].concat();
        let header = Header::new(Kind::Request, CallId(id), FormatId::JSON, true, true).with_extensions(true);
        let frame = Frame::new(header, "caller", "svc", "add", &body, &Limits::default()).unwrap();
        caller.send_bytes(frame.as_bytes()).await;
        let answer = answer_to(&mut caller, id).await;
        let kind = if runs { Kind::Response } else { Kind::Error };
        assert_eq!(answer.kind(), kind, "{block:?}: {}", text(&answer));
        assert!(runs || text(&answer).contains("ExtensionUnsupported"), "{}", text(&answer));
    }
}

#[tokio::test]
async fn a_router_hides_extensions_from_workers_of_level_3() {
    let (_router, at) = router();
    let mut worker = Peer::connect(&at).await;
    worker.hello_with("svc", "client", r#"["add"]"#).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello_with("caller", "client/4", "null").await;
    let said = Extensions::builder().time_left_ms(300_000).header("k", "v").unwrap().build().unwrap();
    // Small ones are copied, large ones shared.
    for size in [10, 500_000] {
        let body = format!(r#"{{"args":[1,"{}"],"kwargs":{{}}}}"#, "x".repeat(size));
        caller.send_bytes(request(2, ["caller", "svc", "add"], &said, &body).as_bytes()).await;
        let seen = loop {
            let frame = worker.receive().await.unwrap();
            if frame.kind() == Kind::Request {
                break frame;
            }
        };
        let header = Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true);
        let plain = Frame::new(header, "caller", "svc", "add", body.as_bytes(), &Limits::default()).unwrap();
        assert!(seen == plain, "{seen:?}");
        worker.send_to(Kind::Response, 2, ["svc", "caller", "add"], "{}", false).await;
        answer_to(&mut caller, 2).await;
    }
    // Extensions that cannot be told from the payload would be taken for arguments.
    let header = Header::new(Kind::Request, CallId(3), FormatId::JSON, true, true).with_extensions(true);
    let cut = Frame::new(header, "caller", "svc", "add", b"\xff\x0fx", &Limits::default()).unwrap();
    caller.send_bytes(cut.as_bytes()).await;
    assert!(text(&answer_to(&mut caller, 3).await).contains("ExtensionUnsupported"));
}

/// A node of level 3 sees no extensions, so nothing may be left out that means something.
#[tokio::test]
async fn what_a_router_cannot_read_goes_to_nobody_of_level_3() {
    let (_router, at) = router();
    let mut worker = Peer::connect(&at).await;
    worker.hello_with("svc", "client", r#"["add"]"#).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello_with("caller", "client/4", "null").await;
    let with_block = |kind, id, [from, to]: [&str; 2], block: &[u8]| {
        let header = Header::new(kind, CallId(id), FormatId::JSON, true, kind == Kind::Request).with_extensions(true);
        let length = u16::try_from(block.len()).unwrap().to_le_bytes();
        let payload = [&length, block, ADD.as_bytes()].concat();
        Frame::new(header, from, to, "add", &payload, &Limits::default()).unwrap()
    };
    let (body, items) = (b"\x04\x08\xe8\x03\0\0\0\0\0\0", b"\x05\x01\x01");
    let blocks = [
        ("a body, and what is not known", [&body[..], b"\x09\0"].concat()),
        ("items, and what is not known", [&items[..], b"\x09\0"].concat()),
        ("what is not known, alone", b"\x09\0".to_vec()),
        ("a body, twice", body.repeat(2)),
    ];
    for (id, (what, block)) in (2..).zip(&blocks) {
        for to in ["svc", ""] {
            send(&mut caller, &with_block(Kind::Request, id, ["caller", to], block)).await;
            let refused = text(&answer_to(&mut caller, id).await);
            assert!(refused.contains("ExtensionUnsupported"), "{what}: {refused}");
        }
    }
    let known = request(9, ["caller", "svc", "add"], &Extensions::builder().time_left_ms(9).build().unwrap(), ADD);
    send(&mut caller, &known).await;
    assert_eq!(next_of_a_call(&mut worker).await.unwrap().header().id(), CallId(9), "the first that it gets");
    // One of level 4 may know more than the Router does.
    let mut newer = raw(&at, "newer", "client/4", r#"["add"]"#).await;
    send(&mut caller, &with_block(Kind::Request, 10, ["caller", ""], b"\x09\0")).await;
    assert_eq!(next_of_a_call(&mut newer).await.unwrap().header().id(), CallId(10));
    // The same of answers.
    worker.send_to(Kind::Request, 2, ["svc", "newer", "add"], ADD, true).await;
    let id = next_of_a_call(&mut newer).await.unwrap().header().id().0;
    send(&mut newer, &with_block(Kind::Response, id, ["newer", "svc"], b"\x09\0")).await;
    assert!(text(&answer_to(&mut worker, 2).await).contains("ExtensionUnsupported"));
}

#[tokio::test]
async fn a_window_below_the_least_is_refused() {
    for behind_router in [false, true] {
        let (_nodes, at) = callee(behind_router, &Arc::default()).await;
        let mut caller = raw(&at, "caller", "client/4", "null").await;
        let flags = StreamFlags { items_follow: false, takes_results: true };
        for (id, window) in [(2, 65_535), (3, 65_536)] {
            let said = Extensions::builder().stream(flags).window(window).build().unwrap();
            send(&mut caller, &request(id, ["caller", "svc", "add"], &said, ADD)).await;
            let answer = text(&answer_to(&mut caller, id).await);
            assert_eq!(answer.contains("ExtensionUnsupported"), window < 65_536, "{answer}");
        }
    }
}

/// The bit means something else at level 3, so nobody there can say anything in extensions.
#[tokio::test]
async fn a_caller_of_level_3_forges_no_extensions() {
    let (_nodes, at) = callee(true, &Arc::default()).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello("caller").await;
    let header = Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true).with_extensions(true);
    let frame = Frame::new(header, "caller", "svc", "add", ADD.as_bytes(), &Limits::default()).unwrap();
    caller.send_bytes(frame.as_bytes()).await;
    assert!(text(&answer_to(&mut caller, 2).await).contains('3'));
}

/// `front` calls `back`: what is left of the first call is all that the second has, and the end of
/// the first is the end of the second.
#[tokio::test]
async fn a_call_that_a_callback_makes_has_the_time_of_the_callback_and_ends_with_it() {
    let (_router, at) = router();
    let ended = Arc::default();
    let _back = client_exposing(&at, "back", NodeConfig::client().workers(64), callbacks(&ended)).await;
    let results = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&results);
    let forward = Callback::asynchronous(
        name("forward"),
        CallbackOptions::new(),
        formats(),
        move |(method, detached): (String, bool), ctx| {
            let (client, kept) = (ctx.client::<Formats>().expect("it is a client"), Arc::clone(&kept));
            let client = if detached { client.detached() } else { client };
            async move {
                let call = client.rpc().receiver("back").timeout(Duration::from_secs(600));
                let result = call.call::<Option<u64>>(&method, ()).await;
                kept.lock().await.push(result.clone().map_err(|error| error.to_string()));
                result.map_err(|error| daffi_serde::RemoteError::new("Failed", error.to_string()))
            }
        },
    );
    let _front = client_exposing(&at, "front", NodeConfig::client().workers(64), vec![forward]).await;
    let caller = client(&at, "caller").await;
    let forward = caller.rpc().receiver("front").timeout(Duration::from_secs(300));
    let left = forward.call::<Option<u64>>("forward", ("left", false)).await.unwrap();
    assert!(left.is_some_and(|left| left <= 300), "{left:?}");
    let left = forward.call::<Option<u64>>("forward", ("left", true)).await.unwrap();
    assert!(left.is_some_and(|left| left > 300), "{left:?}");

    // A call that is dropped, and one whose time is up: both callbacks end.
    let short = caller.rpc().receiver("front").timeout(Duration::from_millis(50));
    let calls = join_all((0..10).map(|_| short.call::<Option<u64>>("forward", ("until", false)))).await;
    assert!(calls.iter().all(|call| matches!(call, Err(CallError::Timeout { .. }))), "{calls:?}");
    let mut dropped = Box::pin(forward.call::<Option<u64>>("forward", ("until", false)));
    assert!((&mut dropped).now_or_never().is_none());
    timeout(Duration::from_secs(300), async {
        // It has to be there before it can be given up.
        while caller.rpc().receiver("front").call::<Option<u64>>("forward", ("left", true)).await.is_err() {}
        drop(dropped);
        while ended.load(SeqCst) < 10 || results.lock().await.len() < 14 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the callbacks end");
    let given_up =
        results.lock().await.iter().filter(|result| matches!(result, Err(why) if why.contains("given up"))).count();
    assert!(given_up >= 1, "{:?}", results.lock().await);
}

/// Who calls without waiting has often left before the callback runs.
#[tokio::test]
async fn what_a_nowait_callback_calls_does_not_end_with_its_caller() {
    let (_router, at) = router();
    let ended = Arc::default();
    let _back = client_exposing(&at, "back", NodeConfig::client(), callbacks(&ended)).await;
    let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
    let (begin, may_begin) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, gate) = (Arc::clone(&begin), Arc::clone(&may_begin));
    let forward = Callback::asynchronous(name("forward"), CallbackOptions::new(), formats(), move |(): (), ctx| {
        let (client, sender) = (ctx.client::<Formats>().expect("it is a client"), sender.clone());
        let (begun, gate) = (Arc::clone(&begun), Arc::clone(&gate));
        async move {
            begun.notify_one();
            gate.notified().await;
            sender.send(client.rpc().call::<i64>("add", (1, 2)).await).expect("the test waits");
            Ok(())
        }
    });
    let front = client_exposing(&at, "front", NodeConfig::client(), vec![forward]).await;
    let caller = client(&at, "caller").await;
    caller.rpc_nowait().call("forward", ()).await.unwrap();
    begin.notified().await;
    caller.stop().await;
    while front.members().get("caller").is_some() {
        tokio::task::yield_now().await;
    }
    may_begin.notify_one();
    assert_eq!(results.recv().await.unwrap().unwrap(), 3);
}
