//! A receiver before which much waits, and those whose requests wait for room there.

use daffi_wire::{
    CallId, Credit, FlowId, FormatId, Frame, Grant, Header, Kind, Level, Limits, MAX_WINDOW, credit_cost,
};

use crate::{
    config::NodeConfig,
    router::{bare::BareRouter, joined::joined},
};

/// A request of which a few are much before one receiver.
const LARGE: usize = 60_000;

/// A Router of which each receiver has room for a few large requests.
fn small(address: &str) -> BareRouter {
    BareRouter::with_config(address, NodeConfig::server().budget_bytes(2 << 20).max_connections(10))
}

/// A request of so many bytes to `w`, the first of which is `n`.
fn request(from: &str, (n, bytes): (u8, usize), wants_reply: bool) -> Frame {
    let header = Header::new(Kind::Request, CallId(u16::from(n) + 1), FormatId::OPAQUE, false, wants_reply);
    Frame::new(header, from, "w", "f", &vec![n; bytes], &Limits::default()).unwrap()
}

fn begins(flow: u32, from: &str) -> Frame {
    Credit::Begins(FlowId(flow)).frame(from, "w", &Limits::default()).unwrap()
}

/// `w` has worked so many of the large requests of a flow off.
fn grants(flow: u32, worked_off: u64, to: &str) -> Frame {
    let grant = Grant::new(FlowId(flow), worked_off * credit_cost(LARGE), MAX_WINDOW).unwrap();
    Credit::Grants(grant).frame("w", to, &Limits::default()).unwrap()
}

/// From whom the requests are that a member got, and their first bytes.
fn requests(frames: &[Frame]) -> Vec<(&str, u8)> {
    let requests = frames.iter().filter(|frame| frame.kind() == Kind::Request);
    requests.map(|frame| (frame.transmitter(), frame.payload()[0])).collect()
}

/// One has requests before the receiver, and hears of each that it was worked off.
#[tokio::test]
async fn flows_that_wait_for_room_wait_for_their_turn() {
    let router = small("mem://room-turns");
    let mut w = joined(&router, "w", Level::FOUR, &["f"]);
    let [mut a, mut b] = ["a", "b"].map(|name| joined(&router, name, Level::FOUR, &["f"]));
    for (flow, name, sender) in [(1, "a", &mut a), (2, "b", &mut b)] {
        sender.handle(begins(flow, name)).unwrap();
        // Alone it goes, however large it is.
        sender.handle(request(name, (0, LARGE), false)).unwrap();
        assert_eq!(requests(&w.take_frames()), [(name, 0)]);
        w.handle(grants(flow, 1, name)).unwrap();
    }
    let mut sent = 0;
    while !w.peer().conn.outbox.holds_much() {
        sent += 1;
        a.handle(request("a", (sent, LARGE), false)).unwrap();
    }
    assert!((2..6).contains(&sent), "{sent} of them are much");
    b.handle(request("b", (1, LARGE), false)).unwrap();
    for n in [sent + 1, sent + 2] {
        a.handle(request("a", (n, LARGE), false)).unwrap();
    }
    assert_eq!((router.holds().2, w.peer().room.len()), (3, 2), "each flow has one place");
    assert_eq!(requests(&w.take_frames()).len(), usize::from(sent));
    // It hears so before those who wait are let go on.
    w.handle(grants(1, u64::from(sent) + 1, "a")).unwrap();
    assert_eq!(router.holds().2, 3, "others wait longer than it does");
    w.note_room();
    assert_eq!(requests(&w.take_frames()), [("b", 1), ("a", sent + 1), ("a", sent + 2)]);
    assert_eq!((router.holds().2, w.peer().room.len()), (0, 0));
}

/// With what it sent and was not written goes all that keeps the rest of it.
#[tokio::test]
async fn what_is_left_of_a_sender_that_has_gone_comes_while_much_waits_for_its_receiver() {
    const COUNT: u8 = 20;
    let router = small("mem://room-gone");
    let [mut w, mut s, mut other] = ["w", "s", "other"].map(|name| joined(&router, name, Level::THREE, &["f"]));
    for n in 0..COUNT {
        s.handle(request("s", (n, 2_500), false)).unwrap();
    }
    let waiting = router.holds().2;
    assert_eq!(waiting, usize::from(COUNT) - 2, "two have credit");
    let mut calls = 0;
    while !w.peer().conn.outbox.holds_much() {
        calls += 1;
        other.handle(request("other", (calls, LARGE), true)).unwrap();
    }
    s.leave();
    let mut got = Vec::new();
    loop {
        // More calls come than are written.
        while !w.peer().conn.outbox.holds_much() {
            calls += 1;
            other.handle(request("other", (calls, LARGE), true)).unwrap();
        }
        let frames = w.take_some(1);
        got.extend(requests(&frames).into_iter().filter(|(from, _)| *from == "s").map(|(_, n)| n));
        w.note_room();
        if got.len() == usize::from(COUNT) || calls > 100 {
            break;
        }
    }
    assert_eq!(got, (0..COUNT).collect::<Vec<_>>());
    assert_eq!(router.holds().2, 0);
}
