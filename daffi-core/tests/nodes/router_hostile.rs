//! A caller and a receiver that work together to make their Router hold what nobody counted.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use daffi_core::{NodeConfig, Policy, Router, Rule};
use daffi_wire::{
    CallCredit, CallId, Credit, Data, DataEnd, Extensions, FlowId, FormatId, Frame, FrameWriter, Header, Kind, Limits,
    Ping, StreamFlags,
};
use tokio::time::timeout;

use crate::{
    peer::{Peer, handshake, raw, request, send},
    support::router_with,
};

pub(crate) const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;
pub(crate) const CALL: [&str; 3] = ["caller", "deaf", "f"];
pub(crate) const BUDGET: usize = 8 << 20;
/// What all peers together may make the Router hold: the budget, and its overdraft.
pub(crate) const MOST: usize = 2 * BUDGET;

/// Reads what comes until the Router has handled all that was sent before.
pub(crate) async fn settle(peer: &mut Peer) {
    let token = *b"settled!";
    send(peer, &Ping::Asks(token).frame()).await;
    let answered = async {
        while let Some(frame) = peer.receive().await {
            if frame == Ping::Answers(token).frame() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(60), answered).await.expect("an answer");
}

/// A Router, a caller of this name, and a receiver that reads nothing more.
pub(crate) async fn network(caller: &str, caller_type: &str) -> (Router, Peer, Peer) {
    let mut config = NodeConfig::server().budget_bytes(BUDGET).max_connections(16);
    config.limits.max_frame_bytes = 4 << 20;
    let (router, at) = router_with(config);
    let deaf = raw(&at, "deaf", "client/4", r#"["f"]"#).await;
    let caller = raw(&at, caller, caller_type, "null").await;
    (router, caller, deaf)
}

pub(crate) fn streams(items_follow: bool, takes_results: bool) -> Extensions {
    Extensions::builder().stream(StreamFlags { items_follow, takes_results }).build().unwrap()
}

pub(crate) fn data(id: u16, [from, to, method]: [&str; 3], end: DataEnd, bytes: &'static [u8]) -> Frame {
    let data = Data { id: CallId(id), from_caller: true, end, packed: false, bytes: Bytes::from_static(bytes) };
    Frame::new(data.header(), from, to, method, bytes, &Limits::default()).unwrap()
}

/// A RESPONSE that says what `say` writes before its payload.
pub(crate) fn response(
    id: u16,
    [from, to]: [&str; 2],
    say: impl FnOnce(&mut FrameWriter<'_>),
    payload: &[u8],
) -> Frame {
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, from, to, "f").unwrap();
    say(&mut writer);
    writer.body().extend_from_slice(payload);
    writer.finish(Header::new(Kind::Response, CallId(id), FormatId::JSON, true, false), 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// The end of the items costs nothing, so it passes once.
#[tokio::test]
async fn items_end_once() {
    let (router, mut caller, _deaf) = network("caller", "client/4").await;
    send(&mut caller, &request(2, CALL, &streams(true, false), NOTHING)).await;
    let end = data(2, ["caller", "deaf", ""], DataEnd::Direction, b"");
    for _ in 0..20_000 {
        send(&mut caller, &end).await;
    }
    settle(&mut caller).await;
    let stats = router.stats();
    assert!(stats.held_bytes < 256 << 10 && stats.skipped_frames == 19_999, "{stats:?}");
}

/// A window that is less than the first makes no news of grants that tell none.
#[tokio::test]
async fn a_small_window_makes_no_flood_of_grants() {
    let (router, mut caller, _deaf) = network("caller", "client/4").await;
    let said = Extensions::builder().stream(StreamFlags { items_follow: false, takes_results: true }).window(0);
    send(&mut caller, &request(2, CALL, &said.build().unwrap(), NOTHING)).await;
    let credit = CallCredit::new(CallId(2), true, 0, 0).unwrap();
    let credit = credit.frame("caller", "deaf", &Limits::default()).unwrap();
    for _ in 0..20_000 {
        send(&mut caller, &credit).await;
    }
    settle(&mut caller).await;
    let stats = router.stats();
    assert!(stats.held_bytes < 256 << 10 && stats.skipped_frames == 20_000, "{stats:?}");
}

/// Of flows that begin one after another, with nothing in them, one word lies before the receiver
/// and the newest waits. It goes on when the receiver does.
#[tokio::test]
async fn flows_that_begin_and_begin_make_no_flood() {
    let (router, mut caller, mut deaf) = network("caller", "client/4").await;
    let begins = |flow| Credit::Begins(FlowId(flow)).frame("caller", "deaf", &Limits::default()).unwrap();
    for flow in 1..=20_000 {
        send(&mut caller, &begins(flow)).await;
    }
    settle(&mut caller).await;
    let stats = router.stats();
    assert!(stats.held_bytes < 64 << 10, "{stats:?}");
    let mut told = Vec::new();
    let last = async {
        while told.last() != Some(&begins(20_000)) {
            let frame = deaf.receive().await.expect("the connection stands");
            told.extend((frame.kind() == Kind::Credit).then_some(frame));
        }
    };
    timeout(Duration::from_secs(60), last).await.expect("the newest flow begins");
}

/// What is about a call has no use for the name of a callback.
#[tokio::test]
async fn names_that_say_nothing_do_not_travel() {
    let (router, mut caller, _deaf) = network("caller", "client/4").await;
    let name = "x".repeat(9_000);
    for id in 2..22 {
        send(&mut caller, &request(id, CALL, &streams(true, false), NOTHING)).await;
        for _ in 0..250 {
            send(&mut caller, &data(id, ["caller", "deaf", &name], DataEnd::Item, b"1")).await;
        }
    }
    settle(&mut caller).await;
    let stats = router.stats();
    assert!(stats.held_bytes < 2 << 20 && stats.skipped_frames == 20 * 250, "{stats:?}");
}

/// Those of members do, and a window is taken from the budget for as much as they may take.
#[tokio::test]
async fn long_names_of_members_are_counted_with_their_windows() {
    let name = "x".repeat(9_000);
    let (router, mut caller, _deaf) = network(&name, "client/4").await;
    for id in 2..102 {
        send(&mut caller, &request(id, [&name, "deaf", "f"], &streams(true, false), NOTHING)).await;
        for _ in 0..250 {
            send(&mut caller, &data(id, [&name, "deaf", ""], DataEnd::Item, b"1")).await;
        }
    }
    settle(&mut caller).await;
    assert!(router.stats().held_bytes <= MOST, "{:?}", router.stats());
    assert!(router.stats().refused_calls > 50, "{:?}", router.stats());
}

/// The word that results follow enters in any case, and carries nothing.
#[tokio::test]
async fn what_comes_with_the_word_that_results_follow_finds_room_or_is_lost() {
    let (router, mut worker, mut deaf) = network("worker", "client/4").await;
    // Here the caller is the one that reads nothing.
    let announce = r#"{"meta":{"type":"client/4","error":null},"members":[{"name":"worker","methods":["f"]}]}"#;
    let header = Header::control(Kind::Handshake, CallId(1), true);
    send(&mut worker, &Frame::new(header, "worker", "", "", announce.as_bytes(), &Limits::default()).unwrap()).await;
    settle(&mut worker).await;
    for id in 2..42 {
        send(&mut deaf, &request(id, ["deaf", "worker", "f"], &streams(false, true), NOTHING)).await;
    }
    let mut calls = 0;
    while calls < 40
        && let Ok(Some(frame)) = timeout(Duration::from_secs(2), worker.receive()).await
    {
        calls += usize::from(frame.kind() == Kind::Request);
    }
    assert!(calls > 20, "{calls}");
    let large = vec![b'x'; 1 << 20];
    for id in 2..42 {
        let begins = response(id, ["worker", "deaf"], |writer| writer.extensions(&streams(true, false)), &large);
        send(&mut worker, &begins).await;
    }
    settle(&mut worker).await;
    assert!(router.stats().held_bytes <= MOST, "{:?}", router.stats());
}

/// Large answers to a caller of level 3 are put together, as far as there is room.
#[tokio::test]
async fn answers_that_are_put_together_find_room_or_are_lost() {
    let (router, mut caller, mut worker) = network("caller", "client").await;
    for id in 2..42 {
        caller.send_to(Kind::Request, id, CALL, NOTHING, true).await;
    }
    let mut numbers = Vec::new();
    while numbers.len() < 40 {
        let frame = timeout(Duration::from_secs(60), worker.receive()).await.unwrap().unwrap();
        if frame.kind() == Kind::Request {
            numbers.push(frame.header().id().0);
        }
    }
    for id in numbers {
        let begins = response(id, ["deaf", "caller"], |writer| writer.body_total(2 << 20), &vec![b'x'; 1 << 20]);
        send(&mut worker, &begins).await;
    }
    settle(&mut worker).await;
    let stats = router.stats();
    assert!(stats.held_bytes <= MOST && stats.open_calls < 40, "{stats:?}");
}

/// Calls that stay open when nothing passes of them any more are counted.
#[tokio::test]
async fn calls_whose_items_have_ended_are_counted() {
    let (router, mut caller, _deaf) = network("caller", "client/4").await;
    let end = |id| data(id, ["caller", "deaf", ""], DataEnd::Direction, b"");
    for id in 2..2_002 {
        send(&mut caller, &request(id, CALL, &streams(true, false), NOTHING)).await;
        send(&mut caller, &end(id)).await;
    }
    settle(&mut caller).await;
    let stats = router.stats();
    // 100 bytes for what is noted of each, beside what waits to be taken.
    assert!(stats.open_calls > 1_000 && stats.held_bytes >= stats.open_calls * 200, "{stats:?}");
}

/// Calls that wait behind a nowait request of their caller have the share of that, as all that
/// waits.
#[tokio::test(start_paused = true)]
async fn calls_behind_a_nowait_request_have_a_bound() {
    let (router, mut caller, _deaf) = network("caller", "client/4").await;
    let begins = Credit::Begins(FlowId(7)).frame("caller", "deaf", &Limits::default()).unwrap();
    send(&mut caller, &begins).await;
    for _ in 0..2 {
        let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(8_000));
        caller.send_to(Kind::Request, 0, CALL, &body, false).await;
    }
    let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(1_000_000));
    let mut most = 0;
    for id in 2..102 {
        let frame = request(id, CALL, &Extensions::default(), &body);
        timeout(Duration::from_secs(600), send(&mut caller, &frame)).await.expect("it is read");
        settle(&mut caller).await;
        most = most.max(router.stats().held_bytes);
    }
    let stats = router.stats();
    assert!(most <= MOST, "{most}");
    assert!(stats.refused_calls >= 90 && stats.cut_connections == 0 && router.members().len() == 2, "{stats:?}");
}

/// Each names itself at length, and the last that waits is the only one that counts.
#[tokio::test(start_paused = true)]
async fn handshakes_of_one_that_never_joins_keep_no_newcomer_out() {
    let (router, at) = router_with(NodeConfig::server());
    let long = |name: &str| handshake(&name.repeat(9_000), "client/4", "null", "");
    let (mut other, mut rude) = (Peer::connect(&at).await, Peer::connect(&at).await);
    send(&mut other, &long("y")).await;
    other.receive().await.unwrap();
    let again = long("x");
    rude.send_bytes(&again.as_bytes().repeat(400)).await;
    // Until nobody has anything to do: all were handled.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let names: Vec<_> = (0..4_000).map(|n| format!("\"callback{n}\"")).collect();
    let (begun, mut joined) = (tokio::time::Instant::now(), Vec::new());
    for name in ["w1", "w2", "w3"] {
        let mut honest = Peer::connect(&at).await;
        send(&mut honest, &handshake(name, "client/4", &format!("[{}]", names.join(",")), "")).await;
        let answer = honest.receive().await.unwrap();
        assert!(!String::from_utf8_lossy(answer.payload()).contains("too many newcomers"), "{name}");
        joined.push(honest);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(router.members().len(), 5, "and it joined, once");
}

/// Whom the policy lets not be there under that name takes no turn from those whom it does.
#[tokio::test(start_paused = true)]
async fn strangers_that_are_refused_keep_no_newcomer_out() {
    let (router, at) = router_with(NodeConfig::server());
    let rule = Rule::new("all").who("*").unwrap().names(["w*"]).unwrap().expose(["*"]).unwrap();
    router.set_policy(Some(Policy::new().rule(rule)));
    let mut strangers = Vec::new();
    for _ in 0..200 {
        let mut stranger = Peer::connect(&at).await;
        send(&mut stranger, &handshake(&"x".repeat(9_000), "client/4", "null", "")).await;
        strangers.push(stranger);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let begun = tokio::time::Instant::now();
    let mut honest = Peer::connect(&at).await;
    let names: Vec<_> = (0..4_000).map(|n| format!("\"callback{n}\"")).collect();
    send(&mut honest, &handshake("w1", "client/4", &format!("[{}]", names.join(",")), "")).await;
    let answer = honest.receive().await.unwrap();
    assert!(!String::from_utf8_lossy(answer.payload()).contains("too many newcomers"));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((router.members().len(), router.stats().denied), (1, 200));
}
