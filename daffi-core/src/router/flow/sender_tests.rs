//! What nobody answers, from members to members that are quick, slow, silent, gone and back again.

use daffi_wire::{CallerLeft, FIRST_WINDOW, FormatId, Header, Kind, Level};

use super::*;
use crate::router::{
    bare::{BareMember, BareRouter},
    joined::joined,
};

/// Payloads of which three fit into the first window, with what each costs.
const LARGE: usize = FIRST_WINDOW as usize / 3 - 300;
const COST: u64 = credit_cost(LARGE);

fn request(from: &str, to: &str, n: u8, wants_reply: bool) -> Frame {
    let header = Header::new(Kind::Request, CallId(u16::from(n) + 1), FormatId::OPAQUE, false, wants_reply);
    Frame::new(header, from, to, "f", &[n; LARGE], &Limits::default()).unwrap()
}

fn begins(flow: u32, from: &str, to: &str) -> Frame {
    Credit::Begins(FlowId(flow)).frame(from, to, &Limits::default()).unwrap()
}

fn grants(flow: FlowId, worked_off: u64, from: &str, to: &str) -> Frame {
    Credit::Grants(Grant::new(flow, worked_off, FIRST_WINDOW).unwrap()).frame(from, to, &Limits::default()).unwrap()
}

/// The requests that a member got, by their payload.
fn got(member: &mut BareMember) -> Vec<u8> {
    requests(&member.take_frames())
}

fn requests(frames: &[Frame]) -> Vec<u8> {
    frames.iter().filter(|frame| frame.kind() == Kind::Request).map(|frame| frame.payload()[0]).collect()
}

/// What it was told of credit.
fn told(frames: &[Frame]) -> Vec<Credit> {
    frames.iter().filter(|frame| frame.kind() == Kind::Credit).map(|frame| Credit::read(frame).unwrap()).collect()
}

fn dropped(router: &BareRouter) -> u64 {
    router.shared().counters.dropped_requests.load(Ordering::Relaxed)
}

/// A flow that has begun, and so many requests of it.
fn flowing(sender: &mut BareMember, names: [&str; 2], flow: u32, count: u8) {
    sender.handle(begins(flow, names[0], names[1])).unwrap();
    (0..count).for_each(|n| sender.handle(request(names[0], names[1], n, false)).unwrap());
}

#[tokio::test(start_paused = true)]
async fn requests_go_on_as_their_receiver_grants_in_order_and_silence_is_nobody_else_s() {
    let router = BareRouter::at("mem://flow-grants");
    let [mut s, mut w, mut other] = ["s", "w", "other"].map(|name| joined(&router, name, Level::FOUR, &["f"]));
    flowing(&mut s, ["s", "w"], 7, 6);
    let frames = w.take_frames();
    assert_eq!((told(&frames), requests(&frames)), (vec![Credit::Begins(FlowId(7))], vec![0, 1, 2]));
    assert_eq!(router.holds().2, 3);
    // One that is silent holds up what is for it alone.
    flowing(&mut s, ["s", "other"], 8, 1);
    assert_eq!(got(&mut other), [0]);
    s.take_frames();
    // Grants of another member, of another flow, and that tell nothing.
    other.handle(grants(FlowId(7), 3 * COST, "other", "s")).unwrap();
    w.handle(grants(FlowId(6), 3 * COST, "w", "s")).unwrap();
    w.handle(grants(FlowId(7), 0, "w", "s")).unwrap();
    assert!(got(&mut w).is_empty());
    w.handle(grants(FlowId(7), COST, "w", "s")).unwrap();
    assert_eq!(got(&mut w), [3]);
    w.handle(grants(FlowId(7), 3 * COST, "w", "s")).unwrap();
    assert_eq!(got(&mut w), [4, 5]);
    // One word of it waits for its sender, and the next is the newest.
    let worked_off = |frames: &[Frame]| {
        let of = |credit| if let Credit::Grants(grant) = credit { grant.worked_off() } else { 0 };
        told(frames).into_iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(worked_off(&s.take_frames()), [COST]);
    assert_eq!(worked_off(&s.take_frames()), [3 * COST]);
    assert!(s.take_frames().is_empty());
    assert_eq!((router.holds().2, dropped(&router)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_leaves_takes_what_was_held_with_it_and_comes_back_with_nothing_of_it() {
    let router = BareRouter::at("mem://flow-receiver-leaves");
    let [mut s, mut w] = ["s", "w"].map(|name| joined(&router, name, Level::FOUR, &["f"]));
    flowing(&mut s, ["s", "w"], 7, 5);
    assert_eq!(got(&mut w), [0, 1, 2]);
    let held = |member: &BareMember| member.peer().conn.inbound.account().held_bytes();
    let with_two = held(&s);
    w.leave();
    assert!(held(&s) + 2 * LARGE < with_two, "what is held counts as received from its sender");
    assert_eq!((router.holds(), dropped(&router)), ((0, 0, 0), 2));
    s.handle(request("s", "w", 9, false)).unwrap();
    assert_eq!(dropped(&router), 3, "there is none of that name");
    // Its sender has not heard of that, and goes on with the flow.
    let mut w = joined(&router, "w", Level::FOUR, &["f"]);
    s.handle(request("s", "w", 10, false)).unwrap();
    w.handle(grants(FlowId(7), 5 * COST, "w", "s")).unwrap();
    assert_eq!(got(&mut w), [] as [u8; 0]);
    assert_eq!(dropped(&router), 4, "it was meant for the one before");
    flowing(&mut s, ["s", "w"], 8, 4);
    let frames = w.take_frames();
    assert_eq!((told(&frames), requests(&frames)), (vec![Credit::Begins(FlowId(8))], vec![0, 1, 2]));
    assert_eq!(router.holds().2, 1);
}

#[tokio::test(start_paused = true)]
async fn of_a_sender_that_leaves_nothing_goes_behind_the_word_of_that() {
    let router = BareRouter::at("mem://flow-sender-leaves");
    let [mut s, mut w] = ["s", "w"].map(|name| joined(&router, name, Level::FOUR, &["f"]));
    flowing(&mut s, ["s", "w"], 7, 5);
    s.handle(request("s", "w", 5, true)).unwrap();
    assert_eq!(router.holds().2, 3, "the call waits behind what is held");
    s.leave();
    let frames = w.take_frames();
    assert_eq!(requests(&frames), [0, 1, 2]);
    let last = frames.iter().rposition(|frame| frame.kind() == Kind::Request).unwrap();
    let word = frames.iter().position(|frame| CallerLeft::read(frame).is_ok_and(|left| left.is_some()));
    assert!(word.is_some_and(|word| word > last), "it was told of the flow, and hears of its end");
    w.handle(grants(FlowId(7), 5 * COST, "w", "s")).unwrap();
    assert!(got(&mut w).is_empty());
    assert_eq!(router.holds(), (0, 0, 0));
    // The next of the name is another: no grant of before is its.
    let mut s = joined(&router, "s", Level::FOUR, &["f"]);
    w.handle(grants(FlowId(7), 9 * COST, "w", "s")).unwrap();
    s.handle(request("s", "w", 0, false)).unwrap();
    assert!(got(&mut w).is_empty(), "it has begun no flow");
    flowing(&mut s, ["s", "w"], 8, 4);
    assert_eq!(got(&mut w), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn for_those_of_three_the_router_keeps_the_account() {
    for (from, to) in [(Level::THREE, Level::FOUR), (Level::FOUR, Level::THREE), (Level::THREE, Level::THREE)] {
        let router = BareRouter::at(&format!("mem://flow-{from:?}-{to:?}"));
        let (mut s, mut w) = (joined(&router, "s", from, &["f"]), joined(&router, "w", to, &["f"]));
        if from == Level::FOUR {
            s.handle(begins(7, "s", "w")).unwrap();
        }
        (0..6).for_each(|n| s.handle(request("s", "w", n, false)).unwrap());
        assert_eq!(router.holds().2, 3, "{from:?} to {to:?}");
        let frames = w.take_frames();
        assert_eq!(requests(&frames), [0, 1, 2]);
        let flow = told(&frames);
        if to == Level::FOUR {
            let [Credit::Begins(flow)] = flow[..] else { panic!("{flow:?}") };
            assert!(got(&mut w).is_empty());
            w.handle(grants(flow, 2 * COST, "w", "s")).unwrap();
            assert_eq!(got(&mut w), [3, 4]);
            w.handle(grants(flow, 3 * COST, "w", "s")).unwrap();
        } else {
            assert!(flow.is_empty(), "it knows nothing of credit");
            // What was written is worked off.
            assert_eq!(got(&mut w), [3, 4, 5]);
        }
        got(&mut w);
        assert_eq!(router.holds().2, 0);
        if from == Level::THREE {
            assert!(told(&s.take_frames()).is_empty());
        }
        s.leave();
        w.leave();
        assert_eq!(router.holds(), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_gets_is_given_back_to_its_sender() {
    let router = BareRouter::at("mem://flow-given-back");
    let [mut s, mut w] = ["s", "w"].map(|name| joined(&router, name, Level::FOUR, &["f"]));
    s.handle(begins(7, "s", "w")).unwrap();
    let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
    let unknown = Frame::new(header, "s", "w", "not exposed", &[7; LARGE], &Limits::default()).unwrap();
    s.handle(unknown).unwrap();
    assert_eq!(dropped(&router), 1);
    let [Credit::Grants(grant)] = told(&s.take_frames())[..] else { panic!("it waits for it for ever") };
    assert_eq!((grant.flow(), grant.worked_off()), (FlowId(7), COST));
    // It adds up with what the receiver works off.
    s.handle(request("s", "w", 0, false)).unwrap();
    assert_eq!(got(&mut w), [0]);
    w.handle(grants(FlowId(7), COST, "w", "s")).unwrap();
    let [Credit::Grants(grant)] = told(&s.take_frames())[..] else { panic!("it was granted") };
    assert_eq!(grant.worked_off(), 2 * COST);
}

#[tokio::test(start_paused = true)]
async fn a_flow_to_one_that_has_not_heard_of_its_sender_begins_when_it_has() {
    let router = BareRouter::at("mem://flow-begins-later");
    let mut w = joined(&router, "w", Level::FOUR, &["f"]);
    let mut s = joined(&router, "s", Level::FOUR, &["f"]);
    // As where the news of the sender find no room before the receiver.
    let sender = Arc::clone(router.shared().table.load().get("s").unwrap());
    let peer = w.peer();
    sender.on_begin(&peer, FlowId(7), begins(7, "s", "w"), false);
    let mut turn = Turn::begin(&s.peer().conn, 0);
    for n in 0..2 {
        sender.pass_nowait(&peer, (request("s", "w", n, false), COST), false, &mut turn).unwrap();
    }
    sender.pass_call(&peer, &request("s", "w", 2, true), false, &mut turn).unwrap();
    drop(turn);
    assert_eq!(sender.held_requests(), 4);
    assert!(w.take_frames().iter().all(|frame| !matches!(frame.kind(), Kind::Credit | Kind::Request)));
    // A grant is no news of a sender.
    sender.on_grant(&peer, Grant::new(FlowId(7), COST, FIRST_WINDOW).unwrap());
    assert_eq!(sender.held_requests(), 4);
    router.shared().release_flows(&peer);
    let frames = w.take_frames();
    let kinds: Vec<_> =
        frames.iter().map(Frame::kind).filter(|kind| matches!(kind, Kind::Credit | Kind::Request)).collect();
    assert_eq!(kinds, [Kind::Credit, Kind::Request, Kind::Request, Kind::Request]);
    assert_eq!(requests(&frames), [0, 1, 2]);
    assert_eq!(sender.held_requests(), 0);
    s.take_frames();
}
