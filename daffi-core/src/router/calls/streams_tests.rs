//! Every order of what can happen to a few calls, and to what waits of them in DATA, beside a model
//! of them.

use bytes::Bytes;
use daffi_transport::PeerInfo;

use super::*;
use crate::{
    conn::{Budget, DataQueue},
    router::calls::{beginning::ResultsWord, member_calls::MemberCalls},
    session::CallNote,
};

const FLAGS: StreamFlags = StreamFlags { items_follow: true, takes_results: true };
const RECEIVERS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The caller calls this receiver under this number, whether that is in use or not.
    Open(u16, usize),
    GiveUp(u16),
    /// The caller says CANCEL, and waits for the end.
    Cancel(u16),
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
    /// What waits for this receiver is written.
    Take(usize),
    /// The caller leaves, and comes again under its name.
    Return,
}

const EVENTS: &[Event] = &[
    Event::Open(1, 0),
    Event::Open(1, 1),
    Event::Open(2, 0),
    Event::GiveUp(1),
    Event::Cancel(1),
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
    Event::Take(0),
    Event::Return,
];

/// A call as it has to be.
#[derive(Clone, Debug)]
struct Call {
    id: CallId,
    number: CallId,
    receiver: usize,
    is_open: bool,
    /// The caller waits for it, under that number, and takes what comes of it.
    is_wanted: bool,
    /// The caller waits for its end alone.
    is_cancelled: bool,
    wants_items: bool,
    /// Its receiver wants no more, also none that waits.
    stopped: bool,
    begun: bool,
    passed: u64,
    /// Its caller has left: of it nothing is known but that its number is in use.
    returned: bool,
}

struct World {
    caller: Arc<Conn>,
    receivers: [Arc<Conn>; RECEIVERS],
    /// Items that wait for them, each with the place of its call among all.
    waiting: [DataQueue; RECEIVERS],
    member: MemberCalls,
    calls: Vec<Call>,
}

impl World {
    fn new() -> Self {
        let budget = Budget::new(64 << 20, 1.0, 100, 1 << 20);
        let conn = || Conn::new(PeerInfo::new("mem", "test"), &budget);
        Self {
            caller: conn(),
            receivers: [conn(), conn()],
            waiting: Default::default(),
            member: MemberCalls::default(),
            calls: Vec::new(),
        }
    }

    fn of_caller(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls.iter_mut().rev().find(|call| call.id == id && call.is_open && call.is_wanted)
    }

    /// An item of the caller passes to the receiver of the call, and waits there.
    fn item(&mut self, id: CallId, ends: bool) {
        let cost = if ends { 0 } else { 300 };
        let expected = self.of_caller(id).filter(|call| call.wants_items).map(|call| {
            call.passed += cost;
            call.wants_items = !ends;
            (call.number, call.receiver)
        });
        let passed = self.member.streams_mut().pass_item(id, cost, ends).unwrap();
        assert_eq!(passed.map(|to| (to.id, to.receiver)), expected.map(|(at, to)| (at, self.receivers[to].id)));
        if let Some((number, to)) = expected {
            assert!(self.member.streams_mut().sends_items(number, self.receivers[to].id));
            let is_of = |call: &Call| call.is_open && (call.number, call.receiver) == (number, to);
            let at = self.calls.iter().position(is_of).unwrap();
            let key = key(self.caller.id, number, true);
            self.waiting[to].push(key, Bytes::from(at.to_string()), cost);
        }
    }

    /// As whoever locks these calls does before others have them again.
    fn forget_stale(&mut self) {
        for stale in self.member.take_stale().unwrap_or_default() {
            if let StaleData::Items(receiver, number) = stale {
                let to = self.receivers.iter().position(|conn| conn.id == receiver.id).unwrap();
                self.waiting[to].forget(key(self.caller.id, number, true));
            }
        }
    }

    /// All that waits for a receiver is of calls that are open, and are the last that it knows
    /// under their numbers.
    fn take(&mut self, receiver: usize) {
        while let Some(item) = self.waiting[receiver].pop() {
            let at: usize = std::str::from_utf8(&item).unwrap().parse().unwrap();
            let call = &self.calls[at];
            assert!(
                call.receiver == receiver && call.is_open && call.is_wanted && !call.stopped,
                "an item outlives its use"
            );
            let newer = self.calls[at + 1..].iter().any(|c| (c.number, c.receiver) == (call.number, receiver));
            assert!(!newer, "an item of another call");
        }
    }

    fn opened_before(&self, back: usize) -> Option<(usize, Call)> {
        let at = self.calls.len().checked_sub(back + 1)?;
        Some((at, self.calls[at].clone()))
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Open(id, receiver) => self.open(CallId(id), receiver),
            Event::GiveUp(id) => {
                let of_id = |call: &&mut Call| call.id == CallId(id) && call.is_open;
                for call in self.calls.iter_mut().filter(of_id) {
                    (call.is_wanted, call.is_cancelled) = (false, false);
                }
                self.member.give_up(CallId(id));
            }
            Event::Cancel(id) => {
                let expected = self.of_caller(CallId(id)).map(|call| {
                    (call.is_wanted, call.is_cancelled) = (false, true);
                    (call.number, call.receiver)
                });
                let cancelled = self.member.open_mut().cancel(CallId(id));
                assert_eq!(cancelled, expected.map(|(number, to)| (number, self.receivers[to].id)));
                assert!(cancelled.is_none() || self.member.streams_mut().give_up(CallId(id)));
            }
            Event::Item(id) => self.item(CallId(id), false),
            Event::EndItems(id) => self.item(CallId(id), true),
            Event::Take(receiver) => self.take(receiver),
            Event::GrantResults(id) => {
                // Nothing that matters has passed, so nothing is news.
                let credit = CallCredit::new(CallId(id), true, 0, 1 << 20).unwrap();
                assert!(
                    !self.member.streams_mut().grant_results(credit, |_| 0, |_| panic!("it goes nowhere")).unwrap()
                );
            }
            Event::Result(back) | Event::Begin(back) | Event::StopItems(back) => self.of_callee(event, back),
            Event::Terminal(back) => {
                let Some((at, call)) = self.opened_before(back).filter(|(_, call)| call.is_open) else { return };
                let completed = self.member.complete(call.number, self.receivers[call.receiver].id);
                let reaches = (call.is_wanted || call.is_cancelled).then_some(call.id);
                assert_eq!(completed.map(|completed| completed.id), reaches);
                self.calls[at].is_open = false;
            }
            Event::Leave(receiver) => {
                let lost = self.member.end_receiver(self.receivers[receiver].id);
                let ended = self.calls.iter_mut().filter(|call| call.is_open && call.receiver == receiver);
                let mut expected = Vec::new();
                for call in ended {
                    expected.extend((call.is_wanted || call.is_cancelled).then_some(call.id));
                    call.is_open = false;
                }
                expected.sort_unstable();
                assert_eq!(lost.open, expected);
                self.waiting[receiver] = DataQueue::default();
            }
            Event::Return => {
                let open = self.member.close();
                self.forget_stale();
                self.caller = Conn::new(PeerInfo::new("mem", "test"), self.caller.data_account().budget());
                self.member = MemberCalls::default();
                *self.member.open_mut() = open;
                for call in &mut self.calls {
                    (call.is_wanted, call.is_cancelled, call.returned) = (false, false, true);
                }
            }
        }
        self.forget_stale();
        for receiver in 0..RECEIVERS {
            let useful = self.calls.iter().any(|call| call.is_open && call.is_wanted && call.receiver == receiver);
            assert!(useful || self.waiting[receiver].is_empty(), "what waits is of use");
        }
        let open = self.calls.iter().filter(|call| call.is_open && !call.returned).count();
        assert_eq!(self.member.streams_mut().calls.len(), open, "a call that has ended is forgotten");
        let wanted = self.calls.iter().filter(|call| call.is_open && call.is_wanted).count();
        let held = wanted * FIRST_CALL_WINDOW as usize;
        assert_eq!(self.caller.data_account().held_bytes(), held, "and so is its room");
    }

    fn open(&mut self, id: CallId, receiver: usize) {
        let conn = Arc::clone(&self.receivers[receiver]);
        self.member.make_way(id);
        let number = self.member.open_mut().open(id, conn.id, CallNote::default()).unwrap();
        // Whoever uses the number of an open call hears nothing more of that.
        for call in self.calls.iter_mut().filter(|call| call.id == id) {
            (call.is_wanted, call.is_cancelled) = (false, false);
        }
        let streams = self.member.streams_mut();
        streams.open((id, number), (&self.caller, &conn, 0), (FLAGS, None, FormatId::JSON)).unwrap();
        self.calls.push(Call {
            id,
            number,
            receiver,
            is_open: true,
            is_wanted: true,
            is_cancelled: false,
            wants_items: true,
            stopped: false,
            begun: false,
            passed: 0,
            returned: false,
        });
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
        let streams = self.member.streams_mut();
        match event {
            Event::Result(_) => {
                let passed = to_where(streams.pass_result(call.number, mine, 300));
                assert_eq!(
                    passed.map(|to| to.id),
                    reaches.filter(|_| call.begun),
                    "only behind the word that it follows"
                );
                let is_of_other =
                    self.calls.iter().any(|c| c.is_open && c.number == call.number && c.receiver != call.receiver);
                let stray = to_where(streams.pass_result(call.number, other, 0));
                assert!(stray.is_none() || is_of_other, "another speaks for it");
            }
            Event::Begin(_) => {
                let told = match self.member.results_word(call.number, mine) {
                    ResultsWord::Passes(_) => self.member.streams_mut().begin(call.number, mine),
                    ResultsWord::Nowhere => None,
                    ResultsWord::Ends => panic!("its end is still to come: {call:?}"),
                };
                assert_eq!(told, reaches.filter(|_| !call.begun));
                self.calls[at].begun |= told.is_some();
            }
            _ => {
                let told = streams.stop_items(call.number, mine);
                assert_eq!(told, reaches.filter(|_| call.wants_items));
                self.calls[at].wants_items = false;
                self.calls[at].stopped |= told.is_some();
            }
        }
    }
}

fn to_where(way: Result<ResultWay, ProtocolError>) -> Option<Passage> {
    match way.unwrap() {
        ResultWay::Passes(to) => Some(to),
        ResultWay::Nowhere => None,
        ResultWay::Joins(body) => panic!("nothing is put together: {body:?}"),
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
                world.take(receiver);
                world.step(Event::Leave(receiver));
            }
            assert!(world.member.streams_mut().is_empty() && world.member.open().len() == 0);
            assert!(world.waiting.iter().all(DataQueue::is_empty));
            for conn in [&world.caller, &world.receivers[0], &world.receivers[1]] {
                assert_eq!(conn.data_account().held_bytes(), 0, "nothing is held after the end");
            }
        });
        assert!(ran.is_ok(), "{events:?}");
    }
}
