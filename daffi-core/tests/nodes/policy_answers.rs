//! What passes back: whoever may not send PICKLE sends none in an answer either.

use bytes::{Bytes, BytesMut};
use daffi_core::{Policy, Router, Rule};
use daffi_transport::PeerInfo;
use daffi_wire::{CallId, Data, DataEnd, Extensions, FormatId, Frame, FrameWriter, Header, Kind, Limits, StreamFlags};

use crate::{
    peer::Peer,
    policy::{listen_as, tcp},
    policy_calls::{Style, next, request},
    support::node,
};

/// How something is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Result,
    Error,
    Stream,
    Body,
}

fn answer(way: Way, id: CallId, format: FormatId) -> Frame {
    let limits = Limits::default();
    let kind = if way == Way::Error { Kind::Error } else { Kind::Response };
    let header = Header::new(kind, id, format, true, false);
    let said = match way {
        Way::Result | Way::Error => return Frame::new(header, "w", "c", "f", b"{}", &limits).unwrap(),
        Way::Stream => Extensions::builder().stream(StreamFlags { items_follow: true, takes_results: false }),
        Way::Body => Extensions::builder().body(4),
    };
    let mut bytes = BytesMut::new();
    let mut writer = FrameWriter::begin(&mut bytes, "w", "c", "f").unwrap();
    writer.extensions(&said.build().unwrap());
    if way == Way::Body {
        writer.body().extend_from_slice(b"{}");
    }
    writer.finish(header, 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

#[tokio::test]
async fn every_way_to_answer_is_held_against_the_policy() {
    for from in [3, 4] {
        for to in [3, 4] {
            for format in [FormatId::JSON, FormatId::PICKLE, FormatId::MSGPACK] {
                for way in [Way::Result, Way::Error, Way::Stream, Way::Body] {
                    let in_parts = matches!(way, Way::Stream | Way::Body);
                    // A node of 3.0.1 does not answer so, and a Router joins parts for one.
                    if !(in_parts && from == 3 || way == Way::Stream && to == 3) {
                        one_answer((from, to), format, way).await;
                    }
                }
            }
        }
    }
}

async fn one_answer((from, to): (u8, u8), format: FormatId, way: Way) {
    let cell = format!("{way:?} in {format}, level {from} to {to}");
    let node_type = |level| if level == 4 { "client/4" } else { "client" };
    let (trusted, at_trusted) = listen_as(PeerInfo::new("mem", "trusted"), "mem://trusted");
    let (guarded, at) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:1");
    let rule = Rule::new("workers").who("addr:192.0.2.7").unwrap().names(["w"]).unwrap().expose(["f"]).unwrap();
    let rule = rule.formats([FormatId::MSGPACK]);
    let router = Router::builder(node("router")).policy(Policy::new().rule(rule));
    let router = router.listen(vec![trusted, guarded]).unwrap();
    let mut caller = Peer::connect(&at_trusted).await;
    caller.hello_with("c", node_type(to), "null").await;
    let mut worker = Peer::connect(&at).await;
    worker.hello_with("w", node_type(from), r#"["f"]"#).await;
    let style = if way == Way::Stream { Style::Results } else { Style::Call };
    caller.send_bytes(request(style, 7, ["c", "w", "f"], format).as_bytes()).await;
    let id = next(&mut worker).await.header().id();
    worker.send_bytes(answer(way, id, format).as_bytes()).await;
    let passes = format == FormatId::MSGPACK || way == Way::Error && format == FormatId::JSON;
    if passes && way == Way::Body && to == 3 {
        // It waits for the rest.
        return;
    }
    let got = next(&mut caller).await;
    let text = String::from_utf8_lossy(got.payload()).into_owned();
    assert_eq!(got.header().id(), CallId(7), "{cell}");
    if passes {
        assert_eq!(got.kind(), answer(way, id, format).kind(), "{cell}: {text}");
        return;
    }
    assert!(got.kind() == Kind::Error && text.contains("PermissionError"), "{cell}: {text}");
    assert!(text.contains("the answer of w was refused"), "{cell}: {text}");
    assert_eq!(router.stats().open_calls, 0, "{cell}");
    // Neither does its number come to anything later.
    worker.send_bytes(answer(Way::Result, id, FormatId::MSGPACK).as_bytes()).await;
    caller.send_to(Kind::Request, 8, ["c", "w", "f"], "{}", true).await;
    assert_eq!(next(&mut worker).await.method(), "f", "{cell}");
}

/// Results have the format of the call, so the word that they follow is no way around: neither one
/// in another format, nor none at all.
#[tokio::test]
async fn results_are_held_against_the_policy_in_the_format_of_their_call() {
    let part =
        |id| Data { id, from_caller: false, end: DataEnd::Item, packed: false, bytes: Bytes::from_static(b"N.") };
    for said in [Some(FormatId::MSGPACK), None] {
        let (trusted, at_trusted) = listen_as(PeerInfo::new("mem", "trusted"), "mem://trusted");
        let (guarded, at) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:1");
        let rule = Rule::new("workers").who("addr:192.0.2.7").unwrap().names(["w"]).unwrap().expose(["f"]).unwrap();
        let policy = Policy::new().rule(rule.formats([FormatId::MSGPACK]));
        let router = Router::builder(node("router")).policy(policy).listen(vec![trusted, guarded]).unwrap();
        let mut caller = Peer::connect(&at_trusted).await;
        caller.hello_with("c", "client/4", "null").await;
        let mut worker = Peer::connect(&at).await;
        worker.hello_with("w", "client/4", r#"["f"]"#).await;
        caller.send_bytes(request(Style::Results, 7, ["c", "w", "f"], FormatId::PICKLE).as_bytes()).await;
        let id = next(&mut worker).await.header().id();
        if let Some(format) = said {
            worker.send_bytes(answer(Way::Stream, id, format).as_bytes()).await;
        }
        let data = part(id).frame("w", "c", &Limits::default()).unwrap();
        worker.send_bytes(data.as_bytes()).await;
        worker.send_bytes(answer(Way::Result, id, FormatId::PICKLE).as_bytes()).await;
        let got = next(&mut caller).await;
        let text = String::from_utf8_lossy(got.payload()).into_owned();
        assert!(got.kind() == Kind::Error && text.contains("PermissionError"), "{said:?}: {got:?} {text}");
        assert_eq!(router.stats().open_calls, 0, "{said:?}");
    }
}

/// Nor while it takes nothing, and what it is told of it has to wait.
#[tokio::test]
async fn the_caller_of_an_answer_that_may_not_pass_never_hears_that_its_call_did_not_run() {
    let (trusted, at_trusted) = listen_as(PeerInfo::new("mem", "trusted"), "mem://trusted");
    let (guarded, at) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:1");
    let rule = Rule::new("workers").who("addr:192.0.2.7").unwrap().names(["w"]).unwrap().expose(["f"]).unwrap();
    let rule = rule.formats([FormatId::MSGPACK]);
    let config = daffi_core::NodeConfig::server().budget_bytes(8 << 20).max_connections(16);
    let router = Router::builder(node("router")).config(config).policy(Policy::new().rule(rule));
    let _router = router.listen(vec![trusted, guarded]).unwrap();
    let mut caller = Peer::connect(&at_trusted).await;
    caller.hello_with("c", "client/4", "null").await;
    let mut worker = Peer::connect(&at).await;
    worker.hello_with("w", "client/4", r#"["f"]"#).await;
    for id in 2..=12 {
        caller.send_bytes(request(Style::Call, id, ["c", "w", "f"], FormatId::MSGPACK).as_bytes()).await;
        next(&mut worker).await;
    }
    for id in 2..=11 {
        let header = Header::new(Kind::Response, CallId(id), FormatId::MSGPACK, false, false);
        let frame = Frame::new(header, "w", "c", "f", &vec![0; 200_000], &Limits::default()).unwrap();
        worker.send_bytes(frame.as_bytes()).await;
    }
    worker.send_bytes(answer(Way::Result, CallId(12), FormatId::PICKLE).as_bytes()).await;
    // Handled.
    worker.send_bytes(daffi_wire::Ping::Asks(*b"settled!").frame().as_bytes()).await;
    while worker.receive().await.unwrap().kind() != Kind::Ping {}
    loop {
        let got = next(&mut caller).await;
        if got.header().id() == CallId(12) {
            let text = String::from_utf8_lossy(got.payload()).into_owned();
            assert!(text.contains("AnswerLost") && text.contains("it ran"), "{text}");
            return;
        }
    }
}
