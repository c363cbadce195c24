//! Every order of what can happen to a few calls, beside a model of them.

use daffi_transport::PeerInfo;

use super::*;
use crate::{
    conn::Budget,
    session::{CallNote, OpenCalls},
};

const FLAGS: StreamFlags = StreamFlags { items_follow: true, takes_results: true };
const RECEIVERS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The caller calls this receiver under this number, whether that is in use or not.
    Open(u16, usize),
    GiveUp(u16),
    Item(u16),
    /// The last of the items, which costs nothing.
    EndItems(u16),
    GrantResults(u16),
    /// Of the call that was opened so many before the last.
    Result(usize),
    Begin(usize),
    StopItems(usize),
    Terminal(usize),
    Leave(usize),
}

const EVENTS: &[Event] = &[
    Event::Open(1, 0),
    Event::Open(1, 1),
    Event::Open(2, 0),
    Event::GiveUp(1),
    Event::Item(1),
    Event::EndItems(1),
    Event::GrantResults(1),
    Event::Result(0),
    Event::Result(1),
    Event::Begin(0),
    Event::StopItems(0),
    Event::Terminal(0),
    Event::Terminal(1),
    Event::Leave(0),
];

/// A call as it has to be.
#[derive(Clone, Debug)]
struct Call {
    id: CallId,
    number: CallId,
    receiver: usize,
    is_open: bool,
    /// The caller waits for it, under that number.
    is_wanted: bool,
    wants_items: bool,
    begun: bool,
    passed: u64,
}

struct World {
    caller: Arc<Conn>,
    receivers: [Arc<Conn>; RECEIVERS],
    open: OpenCalls,
    streams: RoutedStreams,
    calls: Vec<Call>,
}

impl World {
    fn new() -> Self {
        let budget = Budget::new(64 << 20, 1.0, 100, 1 << 20);
        let conn = || Conn::new(PeerInfo::new("mem", "test"), &budget);
        Self {
            caller: conn(),
            receivers: [conn(), conn()],
            open: OpenCalls::default(),
            streams: RoutedStreams::default(),
            calls: Vec::new(),
        }
    }

    fn of_caller(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls.iter_mut().rev().find(|call| call.id == id && call.is_open && call.is_wanted)
    }

    fn opened_before(&self, back: usize) -> Option<(usize, Call)> {
        let at = self.calls.len().checked_sub(back + 1)?;
        Some((at, self.calls[at].clone()))
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Open(id, receiver) => self.open(CallId(id), receiver),
            Event::GiveUp(id) => {
                let known = self.of_caller(CallId(id)).map(|call| call.is_wanted = false).is_some();
                assert!(self.streams.give_up(CallId(id)) || !known);
            }
            Event::Item(id) => {
                let expected = self.of_caller(CallId(id)).filter(|call| call.wants_items).map(|call| {
                    call.passed += 300;
                    (call.number, call.receiver)
                });
                let passed = self.streams.pass_item(CallId(id), 300, false).unwrap();
                assert_eq!(passed.map(|to| (to.id, to.receiver)), expected.map(|(at, to)| (at, self.receivers[to].id)));
            }
            Event::EndItems(id) => {
                let expected = self.of_caller(CallId(id)).filter(|call| call.wants_items).map(|call| {
                    call.wants_items = false;
                    (call.number, call.receiver)
                });
                let passed = self.streams.pass_item(CallId(id), 0, true).unwrap();
                assert_eq!(passed.map(|to| (to.id, to.receiver)), expected.map(|(at, to)| (at, self.receivers[to].id)));
            }
            Event::GrantResults(id) => {
                // Nothing that matters has passed, so nothing is news.
                let credit = CallCredit::new(CallId(id), true, 0, 1 << 20).unwrap();
                assert!(self.streams.grant_results(credit).is_none());
            }
            Event::Result(back) | Event::Begin(back) | Event::StopItems(back) => self.of_callee(event, back),
            Event::Terminal(back) => {
                let Some((at, call)) = self.opened_before(back).filter(|(_, call)| call.is_open) else { return };
                let receiver = self.receivers[call.receiver].id;
                assert_eq!(self.streams.is_of(call.number, receiver), call.is_open);
                self.open.complete(call.number, receiver);
                self.streams.end(call.number);
                self.calls[at].is_open = false;
            }
            Event::Leave(receiver) => {
                let expected = self.calls.iter().filter(|call| call.is_open && call.receiver == receiver).count();
                let id = self.receivers[receiver].id;
                assert_eq!(self.streams.end_receiver(id).len(), expected);
                self.open.end_receiver(id);
                self.calls.iter_mut().filter(|call| call.receiver == receiver).for_each(|call| call.is_open = false);
            }
        }
        let open = self.calls.iter().filter(|call| call.is_open).count();
        assert_eq!(self.streams.calls.len(), open, "a call that has ended is forgotten");
        let wanted = self.calls.iter().filter(|call| call.is_open && call.is_wanted).count();
        let held = wanted * FIRST_CALL_WINDOW as usize;
        assert_eq!(self.caller.data_account().held_bytes(), held, "and so is its room");
    }

    fn open(&mut self, id: CallId, receiver: usize) {
        let conn = Arc::clone(&self.receivers[receiver]);
        let number = self.open.open(id, conn.id, CallNote::default()).unwrap();
        // Whoever uses the number of an open call hears nothing more of that.
        if let Some(call) = self.of_caller(id) {
            call.is_wanted = false;
        }
        self.streams.open((id, number), (&self.caller, &conn, 0), FLAGS, None).unwrap();
        let call =
            Call { id, number, receiver, is_open: true, is_wanted: true, wants_items: true, begun: false, passed: 0 };
        self.calls.push(call);
    }

    /// What a receiver says reaches the call that it is about, under the caller's number, or
    /// nobody.
    fn of_callee(&mut self, event: Event, back: usize) {
        let Some((at, call)) = self.opened_before(back) else { return };
        if !call.is_open
            && self.calls.iter().any(|c| c.is_open && (c.number, c.receiver) == (call.number, call.receiver))
        {
            // What it says is about the call that has the number now.
            return;
        }
        let (mine, other) = (self.receivers[call.receiver].id, self.receivers[1 - call.receiver].id);
        let reaches = (call.is_open && call.is_wanted).then_some(call.id);
        match event {
            Event::Result(_) => {
                let passed = self.streams.pass_result(call.number, mine, 300).unwrap();
                assert_eq!(passed.map(|to| to.id), reaches);
                let is_of_other =
                    self.calls.iter().any(|c| c.is_open && c.number == call.number && c.receiver != call.receiver);
                let stray = self.streams.pass_result(call.number, other, 0).unwrap();
                assert!(stray.is_none() || is_of_other, "another speaks for it");
            }
            Event::Begin(_) => {
                let told = self.streams.begin(call.number, mine);
                assert_eq!(told, reaches.filter(|_| !call.begun));
                self.calls[at].begun |= call.is_open;
            }
            _ => {
                let told = self.streams.stop_items(call.number, mine);
                assert_eq!(told, reaches.filter(|_| call.wants_items));
                self.calls[at].wants_items = false;
            }
        }
    }
}

#[test]
fn every_order_of_a_few_events_ends_well() {
    const DEPTH: u32 = 4;
    for order in 0..EVENTS.len().pow(DEPTH) {
        let events: Vec<_> = (0..DEPTH).map(|place| EVENTS[order / EVENTS.len().pow(place) % EVENTS.len()]).collect();
        let ran = std::panic::catch_unwind(|| {
            let mut world = World::new();
            // There is always something that they may be about.
            world.step(Event::Open(1, 0));
            events.iter().for_each(|event| world.step(*event));
            for receiver in 0..RECEIVERS {
                world.step(Event::Leave(receiver));
            }
            assert!(world.streams.is_empty());
            for conn in [&world.caller, &world.receivers[0], &world.receivers[1]] {
                assert_eq!(conn.data_account().held_bytes(), 0, "nothing is held after the end");
            }
        });
        assert!(ran.is_ok(), "{events:?}");
    }
}
