//! The table of what passes a Router: who calls, on which wire level, in which way, in which
//! format, which callback; and whether it reaches the worker, or its caller hears that it may not.

use bytes::{Bytes, BytesMut};
use daffi_core::{Others, Policy, Router, Rule};
use daffi_transport::PeerInfo;
use daffi_wire::{
    CallId, Credit, Data, DataEnd, Extensions, FlowId, FormatId, Frame, FrameWriter, Header, Kind, Limits, StreamFlags,
};

use crate::{
    peer::Peer,
    policy::{listen_as, soon, tcp, until},
    support::node,
};

/// How something is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    /// As a call, or as one of those that a cast is made of.
    Call,
    /// As one that nobody answers, or as one chunk of a stream.
    Nowait,
    /// With results that are taken one by one.
    Results,
    /// With arguments that come one by one.
    Items,
    /// With arguments in parts.
    Body,
}

const STYLES: [Style; 5] = [Style::Call, Style::Nowait, Style::Results, Style::Items, Style::Body];
const FORMATS: [FormatId; 5] =
    [FormatId::JSON, FormatId::PICKLE, FormatId::MSGPACK, FormatId::OPAQUE, FormatId::POSTCARD];

/// A caller, and what it may.
struct Caller {
    peer: PeerInfo,
    listener: &'static str,
    calls_f: bool,
    calls_secret: bool,
    formats: &'static [FormatId],
}

fn callers() -> Vec<Caller> {
    const ALL: &[FormatId] = &FORMATS;
    const SAFE: &[FormatId] = &[FormatId::JSON, FormatId::MSGPACK, FormatId::OPAQUE, FormatId::POSTCARD];
    let with = |peer: &str, change: fn(&mut PeerInfo)| {
        let (scheme, address) = peer.split_once("://").unwrap();
        let scheme = ["tcp", "tls", "unix"].into_iter().find(|known| *known == scheme).unwrap();
        let mut peer = PeerInfo::new(scheme, address);
        change(&mut peer);
        peer
    };
    let caller = |peer, listener, [calls_f, calls_secret]: [bool; 2], formats| Caller {
        peer,
        listener,
        calls_f,
        calls_secret,
        formats,
    };
    vec![
        // No rule applies: it is on this host.
        caller(tcp("127.0.0.1:1"), "tcp://127.0.0.1:1", [true, true], ALL),
        caller(tcp("192.0.2.7:1"), "tcp://0.0.0.0:1", [true, false], SAFE),
        caller(tcp("[::ffff:192.0.2.7]:1"), "tcp://[::]:1", [true, false], SAFE),
        caller(with("unix://uid=1000", |peer| peer.uid = Some(1000)), "unix:///run/a", [true, true], ALL),
        caller(
            with("unix://uid=1001", |peer| peer.uid = Some(1001)),
            "unix:///run/a",
            [false, true],
            &[FormatId::JSON],
        ),
        caller(with("unix://uid=1002", |_| {}), "unix:///run/three", [true, false], &[FormatId::PICKLE]),
        caller(
            with("tls://198.51.100.1:1", |peer| peer.certificate_names.uris.push("spiffe://x/caller".into())),
            "tls://0.0.0.0:1",
            [true, false],
            &[FormatId::JSON, FormatId::PICKLE],
        ),
        // It may be there, and do nothing.
        caller(
            with("tls://198.51.100.1:1", |peer| peer.certificate_names.dns.push("idle.example".into())),
            "tls://0.0.0.0:1",
            [false, false],
            SAFE,
        ),
        // All formats by its rule, but not from there.
        caller(tcp("203.0.113.9:1"), "tcp://0.0.0.0:1", [true, true], SAFE),
    ]
}

fn policy() -> Policy {
    let rule = |title: &str, who: &str| Rule::new(title).who(who).unwrap().names(["*"]).unwrap();
    let three = Rule::new("three").at(["unix:///run/three"]).unwrap().names(["*"]).unwrap().call(["f"]).unwrap();
    Policy::new()
        .others(Others::Local)
        .rule(rule("guests", "addr:192.0.2.0/24").call(["f"]).unwrap())
        .rule(rule("own", "uid:1000").call(["*"]).unwrap().all_formats())
        .rule(rule("odd", "uid:1001").call(["s*"]).unwrap().formats([FormatId::JSON]))
        .rule(three.formats([FormatId::PICKLE]))
        .rule(rule("certified", "uri:spiffe://x/*").call(["f"]).unwrap().formats([FormatId::JSON, FormatId::PICKLE]))
        .rule(rule("idle", "dns:idle.example"))
        .rule(rule("banned", "addr:203.0.113.0/24").call(["*"]).unwrap().all_formats())
        .no_pickle_from("203.0.113.0/24")
        .unwrap()
}

/// A frame that begins a call in this style.
pub(crate) fn request(style: Style, id: u16, names: [&str; 3], format: FormatId) -> Frame {
    let limits = Limits::default();
    let header = Header::new(Kind::Request, CallId(id), format, true, style != Style::Nowait);
    let said = match style {
        Style::Call | Style::Nowait => {
            return Frame::new(header, names[0], names[1], names[2], b"{}", &limits).unwrap();
        }
        Style::Results => Extensions::builder().stream(StreamFlags { items_follow: false, takes_results: true }),
        Style::Items => Extensions::builder().stream(StreamFlags { items_follow: true, takes_results: false }),
        Style::Body => Extensions::builder().body(4),
    };
    let mut bytes = BytesMut::new();
    let mut writer = FrameWriter::begin(&mut bytes, names[0], names[1], names[2]).unwrap();
    writer.extensions(&said.build().unwrap());
    writer.body().extend_from_slice(b"{}");
    writer.finish(header, 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// The next frame that begins a call, or answers one.
pub(crate) async fn next(peer: &mut Peer) -> Frame {
    loop {
        let frame = soon("a frame", peer.receive()).await.expect("the connection lives");
        if matches!(frame.kind(), Kind::Request | Kind::Response | Kind::Error) {
            return frame;
        }
    }
}

#[tokio::test]
async fn every_way_to_call_is_held_against_the_policy() {
    for to in [3, 4] {
        let mut cells = 0;
        for caller in callers() {
            for from in [3, 4] {
                cells += one_caller(&caller, from, to).await;
            }
        }
        assert!(cells > 500, "{cells}");
    }
}

const fn node_type(level: u8) -> &'static str {
    if level == 4 { "client/4" } else { "client" }
}

async fn one_caller(caller: &Caller, from: u8, to: u8) -> usize {
    let (trusted, at_trusted) = listen_as(PeerInfo::new("mem", "trusted"), "mem://trusted");
    let (guarded, at) = listen_as(caller.peer.clone(), caller.listener);
    let router = Router::builder(node("router")).policy(policy()).listen(vec![trusted, guarded]).unwrap();
    let mut worker = Peer::connect(&at_trusted).await;
    worker.hello_with("w", node_type(to), r#"["f","secret"]"#).await;
    let mut peer = Peer::connect(&at).await;
    assert_eq!(peer.hello_with("c", node_type(from), "null").await.error, None, "{}", caller.peer);
    if from == 4 {
        let begins = Credit::Begins(FlowId(1)).frame("c", "w", &Limits::default()).unwrap();
        peer.send_bytes(begins.as_bytes()).await;
    }
    let (mut cells, mut id, mut denied) = (0, 10, 0);
    for style in STYLES {
        if from == 3 && !matches!(style, Style::Call | Style::Nowait) || to == 3 && style == Style::Items {
            continue;
        }
        for format in FORMATS {
            if format == FormatId::POSTCARD && (from == 3 || to == 3) {
                continue;
            }
            let receivers: &[_] = if from == 3 || style == Style::Nowait { &["w"] } else { &["w", ""] };
            let methods = ["f", "secret", "nothing"];
            for (receiver, method) in receivers.iter().flat_map(|to| methods.map(|method| (*to, method))) {
                let cell = format!(
                    "{} at {}, {from} to {to}, {style:?} {format} {method} of {receiver:?}",
                    caller.peer, caller.listener
                );
                (cells, id) = (cells + 1, id + 1);
                let may_call = match method {
                    "f" => caller.calls_f,
                    "secret" => caller.calls_secret,
                    _ => caller.calls_f && caller.calls_secret,
                };
                let passes = may_call && (method == "nothing" || caller.formats.contains(&format));
                peer.send_bytes(request(style, id, ["c", receiver, method], format).as_bytes()).await;
                if style == Style::Body {
                    let bytes = Bytes::from_static(b"{}");
                    let rest =
                        Data { id: CallId(id), from_caller: true, end: DataEnd::Direction, packed: false, bytes };
                    let rest = rest.frame("c", receiver, &Limits::default()).unwrap();
                    peer.send_bytes(rest.as_bytes()).await;
                }
                if !passes {
                    denied += 1;
                }
                if passes && method != "nothing" {
                    let got = next(&mut worker).await;
                    assert_eq!((got.method(), got.kind()), (method, Kind::Request), "{cell}");
                } else if style == Style::Nowait {
                    until("it is dropped", || router.stats().denied == denied).await;
                } else {
                    let refused = next(&mut peer).await;
                    let text = String::from_utf8_lossy(refused.payload()).into_owned();
                    assert_eq!((refused.kind(), refused.header().id()), (Kind::Error, CallId(id)), "{cell}: {text}");
                    let class = if passes { "ReceiverNotFound" } else { "PermissionError" };
                    assert!(text.contains(class), "{cell}: {text}");
                }
                assert_eq!(router.stats().denied, denied, "{cell}");
            }
        }
    }
    // Nothing else had reached the worker before this.
    let mut last = Peer::connect(&at_trusted).await;
    last.hello("last").await;
    last.send_to(Kind::Request, 3, ["last", "w", "f"], "{}", true).await;
    assert_eq!(next(&mut worker).await.transmitter(), "last");
    cells
}

/// What is about no call of its own passes from nobody, whatever the policy says.
#[tokio::test]
async fn other_kinds_pass_nothing() {
    let (trusted, at_trusted) = listen_as(PeerInfo::new("mem", "trusted"), "mem://trusted");
    let (guarded, at) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:1");
    let idle = Rule::new("idle").who("*").unwrap().names(["*"]).unwrap();
    let router = Router::builder(node("router"));
    let policy = Policy::new().rule(idle.at(["tcp://*"]).unwrap());
    let router = router.policy(policy).listen(vec![trusted, guarded]).unwrap();
    let mut worker = Peer::connect(&at_trusted).await;
    worker.hello_with("w", "client/4", r#"["f"]"#).await;
    let mut peer = Peer::connect(&at).await;
    peer.hello_with("c", "client/4", "null").await;
    let control = |kind, wants_reply| {
        let header = Header::control(kind, CallId(9), wants_reply);
        Frame::new(header, "c", "w", "f", b"\x01", &Limits::default()).unwrap()
    };
    for kind in [Kind::Cancel, Kind::Watch] {
        peer.send_bytes(control(kind, true).as_bytes()).await;
    }
    let data =
        Data { id: CallId(9), from_caller: true, end: DataEnd::Item, packed: false, bytes: Bytes::from_static(b"x") };
    for from_caller in [true, false] {
        let data = Data { from_caller, ..data.clone() };
        peer.send_bytes(data.frame("c", "w", &Limits::default()).unwrap().as_bytes()).await;
    }
    for kind in [Kind::Response, Kind::Error] {
        peer.send_to(kind, 9, ["c", "w", "f"], "{}", false).await;
    }
    until("all was read", || router.stats().dropped_replies == 2).await;
    let mut last = Peer::connect(&at_trusted).await;
    last.hello("last").await;
    last.send_to(Kind::Request, 3, ["last", "w", "f"], "{}", true).await;
    loop {
        let frame = soon("a frame", worker.receive()).await.unwrap();
        match frame.kind() {
            Kind::Handshake | Kind::Events => {}
            kind => {
                assert_eq!((kind, frame.transmitter()), (Kind::Request, "last"));
                break;
            }
        }
    }
}
