//! What a router of 3.0.1 loses, a Rust router answers, or drops and counts.

use std::time::Duration;

use daffi::{CallError, Client, FormatId, Router};
use daffi_testing::Peer;
use daffi_wire::{CallId, Frame, Header, Kind, SYN};
use serde_json::{Value as Json, json as value};

use crate::{
    raw::{Raw, frame, handshake, json},
    support::{Held, eventually, rust_client, rust_worker},
};

const ARGS: &str = r#"{"args": [3, 4], "kwargs": {}}"#;
const SEVEN: &str = r#"{"args": [7], "kwargs": {}}"#;

async fn start() -> (Router, String) {
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await.unwrap();
    let address = router.endpoints()[0].as_str().trim_start_matches("tcp://").to_owned();
    (router, address)
}

fn endpoint(router: &Router) -> &str {
    router.endpoints()[0].as_str()
}

/// The next frame that is no news of members.
async fn answer(raw: &mut Raw, case: &str) -> Frame {
    loop {
        let frame = raw.receive(case).await.unwrap_or_else(|| panic!("{case}: closed"));
        if !matches!(frame.kind(), Kind::Events | Kind::Handshake) {
            return frame;
        }
    }
}

/// The class and text of an ERROR in the form that every node reads, answered in the name of
/// `receiver`.
async fn refusal(raw: &mut Raw, case: &str, id: u16, receiver: &str) -> (String, String) {
    let frame = answer(raw, case).await;
    let expected = Header::new(Kind::Error, CallId(id), FormatId::JSON, true, false);
    assert_eq!((frame.header(), frame.transmitter()), (expected, receiver), "{case}");
    let body: Json = serde_json::from_slice(frame.payload()).unwrap();
    assert_eq!(body["kwargs"], value!({}), "{case}");
    let [class, _module, text, Json::Null] = &body["args"][0].as_array().unwrap()[..] else { panic!("{case}: {body}") };
    (class.as_str().unwrap().to_owned(), text.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_cannot_be_delivered_is_answered() {
    let (router, address) = start().await;
    let _python = Peer::client(endpoint(&router)).name("python").worker().start().await;
    let _rust = rust_worker("rust", endpoint(&router)).await;
    let mut raw = Raw::join(&address, "client", "raw", "null").await;
    let cases = [
        ("an unknown receiver", ["raw", "nobody", "add"], "ReceiverNotFound", "nobody"),
        ("no receiver", ["raw", "", "add"], "ReceiverNotFound", "not a member"),
        ("a list of receivers", ["raw", "python,rust", "add"], "ReceiverNotFound", "python,rust"),
        ("the router itself", ["raw", "router", "add"], "ReceiverNotFound", "router"),
        ("a method that is not exposed", ["raw", "python", "nothing"], "ReceiverNotFound", "nothing"),
        ("no method", ["raw", "rust", ""], "ReceiverNotFound", "rust"),
        ("another's name", ["python", "rust", "add"], "PermissionError", "python"),
        ("no transmitter", ["", "rust", "add"], "PermissionError", "raw"),
    ];
    for (id, (case, names, class, says)) in cases.into_iter().enumerate() {
        let id = u16::try_from(id).unwrap() + 10;
        raw.must_send([&json(Kind::Request, id, names, ARGS)[..]]).await;
        let (refused, text) = refusal(&mut raw, case, id, names[1]).await;
        assert!(refused == class && text.contains(says), "{case}: {refused}: {text}");
    }
    let refused = router.stats().refused_calls;
    assert_eq!(refused, 8, "{:?}", router.stats());

    // Without a wish for an answer there is none, and the next call is answered.
    let nowait = Header::new(Kind::Request, CallId(40), FormatId::JSON, true, false);
    raw.must_send([&frame(nowait, ["raw", "nobody", "add"], ARGS)[..]]).await;
    raw.must_send([&json(Kind::Request, 41, ["raw", "python", "add"], ARGS)[..]]).await;
    let seven = answer(&mut raw, "a good call").await;
    assert_eq!((seven.kind(), seven.header().id(), seven.payload()), (Kind::Response, CallId(41), SEVEN.as_bytes()));
    let stats = router.stats();
    assert_eq!((stats.dropped_requests, stats.refused_calls, stats.open_calls), (1, refused, 0), "{stats:?}");
}

#[tokio::test]
async fn a_format_that_3_0_1_cannot_read_is_refused() {
    let (router, address) = start().await;
    let python = Peer::client(endpoint(&router)).name("python").worker().start().await;
    let mut raw = Raw::join(&address, "client/4", "raw", "null").await;
    for (id, format) in [(2, FormatId::POSTCARD), (3, FormatId::user(100).unwrap())] {
        let header = Header::new(Kind::Request, CallId(id), format, false, true);
        raw.must_send([&frame(header, ["raw", "python", "total"], "?")[..]]).await;
        let (class, text) = refusal(&mut raw, "a format", id, "python").await;
        assert_eq!(class, "FormatUnsupported", "{text}");
        assert!(text.contains("python") && text.contains(&format.to_string()), "{text}");
    }
    // A Rust caller is told before it sends.
    let rust = rust_client("rust", endpoint(&router)).await;
    let error = rust.rpc().serde(FormatId::POSTCARD).call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(matches!(error, CallError::FormatUnsupported { .. }), "{error}");
    assert_eq!(rust.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
    drop(python);
}

#[tokio::test]
async fn only_the_receivers_answer_to_an_open_call_passes() {
    let (router, address) = start().await;
    let held = Held::default();
    let worker = Client::builder("worker").callbacks(held.callbacks()).connect(endpoint(&router)).await.unwrap();
    let caller = Peer::client(endpoint(&router)).name("caller").start().await;
    let mut liar = Raw::join(&address, "client", "liar", "null").await;
    let lies = async {
        held.begun.notified().await;
        // 3.0.1 counts from 2 and takes any answer that bears its number.
        for id in 0..20 {
            for names in [["liar", "caller", "held"], ["worker", "caller", "held"], ["liar", "nobody", "held"]] {
                liar.must_send([&json(Kind::Response, id, names, r#"{"args": ["a lie"], "kwargs": {}}"#)[..]]).await;
            }
        }
        eventually("all lies are dropped", async || (router.stats().dropped_replies == 60).then_some(())).await;
        held.end.notify_one();
    };
    let (result, ()) = tokio::join!(caller.call("held", value!([])).timeout(60).ok(), lies);
    assert_eq!(result, 7);
    assert!(worker.is_connected());
}

/// A node that takes calls and answers none.
#[tokio::test]
async fn a_python_caller_hears_that_its_receiver_is_gone() {
    let (router, address) = start().await;
    let mut silent = Raw::join(&address, "client", "silent", r#"["ask"]"#).await;
    for aio in [false, true] {
        let launch = Peer::client(endpoint(&router)).name("caller");
        let caller = if aio { launch.aio() } else { launch }.start().await;
        for style in ["rpc", "cast", "stream"] {
            let calling = async {
                let call = match style {
                    "stream" => caller.stream("ask", value!(["a", "b"])),
                    style => caller.call("ask", value!(["a"])).style(style),
                };
                call.timeout(60).outcome().await
            };
            let leaving = async {
                let asked = answer(&mut silent, "the call").await;
                assert_eq!((asked.kind(), asked.method()), (Kind::Request, "ask"));
                // In place of the old one, which is evicted and ends: its calls end with it.
                silent = Raw::join(&address, "client", "silent", r#"["ask"]"#).await;
            };
            let (outcome, ()) = tokio::join!(calling, leaving);
            let error = match outcome {
                Err(error) => error,
                Ok(answers) => serde_json::from_value(answers["silent"]["$error"].clone()).unwrap(),
            };
            assert_eq!((error.class.as_str(), error.is_remote()), ("ReceiverGone", true), "{style}: {error}");
            assert!(error.message.contains("silent"), "{error}");
        }
    }
}

#[tokio::test]
async fn callers_of_a_full_receiver_hear_that_it_is_overloaded() {
    let most = 1024 * 1024;
    let router = Router::builder("router").configure(|c| c.budget_bytes = 8 * most).bind("tcp://127.0.0.1:0");
    let router = router.await.unwrap();
    let address = router.endpoints()[0].as_str().trim_start_matches("tcp://").to_owned();
    // It never reads again.
    let full = Raw::join(&address, "client", "full", r#"["take"]"#).await;
    let _other = rust_worker("other", endpoint(&router)).await;
    let filler = rust_client("filler", endpoint(&router)).await;
    let python = Peer::client(endpoint(&router)).name("python").start().await;
    let mut open = Vec::new();
    let overloaded = loop {
        let rpc = filler.rpc().serde(FormatId::OPAQUE).timeout(Duration::from_millis(300));
        match rpc.call::<()>("take", (bytes::Bytes::from(vec![0; most / 2]),)).await {
            Err(CallError::Timeout { .. }) => open.push(()),
            Err(CallError::Overloaded(why)) => break why,
            other => panic!("{other:?}"),
        }
        assert!(open.len() < 100, "never full");
    };
    assert!(overloaded.contains("full") && overloaded.contains(&(8 * most).to_string()), "{overloaded}");
    let error = python.call("take", value!(["x"])).timeout(30).error().await;
    assert_eq!((error.class.as_str(), error.is_remote()), ("Overloaded", true), "{error}");
    // Nobody else is hurt.
    assert_eq!(python.call("add", value!([3, 4])).timeout(10).ok().await, 7);
    assert_eq!(filler.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
    drop(full);
}

/// Through a router of 3.0.1 it loses its connection (docs/protocol.md#5.4).
#[tokio::test]
async fn late_callbacks_of_a_python_worker_simply_work() {
    let (router, _) = start().await;
    let rust = rust_client("rust", endpoint(&router)).await;
    let python = Peer::client(endpoint(&router)).name("python").start().await;
    for aio in [false, true] {
        let name = if aio { "asyncio-worker" } else { "worker" };
        let launch = Peer::client(endpoint(&router)).name(name).worker().workers(2);
        let worker = if aio { launch.aio() } else { launch }.start().await;
        rust.wait_for_members(&[name], None).await.unwrap();
        // Neither a call that runs there nor one that it makes is hurt.
        let running = tokio::spawn({
            let rust = rust.clone();
            async move { rust.rpc().receiver(name).call::<f64>("sleep", (1.0,)).await }
        });
        eventually("it runs", async || (worker.invoke("peak", value!([])).await == 1).then_some(())).await;
        for late in ["first_late", "second_late"] {
            let late = format!("{late}_{aio}");
            worker.invoke("late", value!([late])).await;
            eventually("Rust knows it", async || rust.members().receivers_of(&late).map(drop)).await;
            assert_eq!(rust.rpc().call::<String>(&late, ()).await.unwrap(), format!("late {late}"));
            eventually("Python knows it", async || python.members().await.get(name)?.contains(&late).then_some(()))
                .await;
            assert_eq!(python.call(&late, value!([])).timeout(10).ok().await, format!("late {late}"));
        }
        assert!((running.await.unwrap().unwrap() - 1.0).abs() < f64::EPSILON);
        assert_eq!(python.call("add", value!([3, 4])).receiver(name).timeout(10).ok().await, 7);
    }
    assert_eq!(router.members().len(), 3, "{:?}", router.members());
}

/// Frames that nobody sends end their own connection only.
#[tokio::test]
async fn broken_members_hurt_nobody() {
    let (router, address) = start().await;
    let _python = Peer::client(endpoint(&router)).name("python").worker().start().await;
    let caller = Peer::client(endpoint(&router)).name("caller").start().await;
    let control = |kind, body: &str| frame(Header::control(kind, CallId(0), false), ["", "", ""], body);
    let credit =
        frame(Header::new(Kind::Credit, CallId(0), FormatId::OPAQUE, false, false), ["broken", "caller", ""], "1234");
    let mut unknown = json(Kind::Request, 2, ["broken", "python", "add"], ARGS);
    unknown[2] |= 0x0f;
    let attacks = [
        ("an event", control(Kind::Events, r#"{"type":"evicted","member":"python"}"#)),
        ("credit on a level 3 link", credit),
        ("an unknown kind", unknown),
        ("garbage", vec![0xff; 64]),
    ];
    for (attack, bytes) in attacks {
        let mut raw = Raw::join(&address, "client", "broken", r#"["f"]"#).await;
        raw.must_send([&bytes[..]]).await;
        raw.is_closed(attack).await;
        eventually("it is gone", async || (router.stats().members == 2).then_some(())).await;
        assert_eq!(caller.call("add", value!([3, 4])).timeout(10).ok().await, 7, "{attack}");
    }
    // Handshakes that cannot be right are refused by name, and the next connection is served.
    for (case, node_type, methods, says) in [
        ("a name with a separator among the callbacks", "client", r#"["a|b"]"#, "a|b"),
        ("a wrong type", "client", "7", "expected a sequence"),
    ] {
        let mut raw = Raw::open(&address).await;
        let hello = handshake(node_type, "broken", methods);
        raw.must_send([&[&SYN[..], &hello].concat()[..]]).await;
        let refused = raw.receive(case).await.unwrap();
        let body: Json = serde_json::from_slice(refused.payload()).unwrap();
        assert!(body["meta"]["error"].as_str().is_some_and(|text| text.contains(says)), "{case}: {body}");
        raw.is_closed(case).await;
    }
    assert_eq!(caller.call("add", value!([3, 4])).timeout(10).ok().await, 7);
}
