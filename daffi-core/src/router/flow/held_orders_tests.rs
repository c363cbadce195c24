//! Every order of what can happen to a few calls that wait in a Router, behind nowait requests or
//! in the line before their receiver, seen from outside: by the frames that their caller and their
//! receiver get.

use std::collections::HashMap;

use bytes::Bytes;
use daffi_transport::mem::MemListener;
use daffi_wire::{
    CallId, Cancel, CancelReason, Credit, Data, DataEnd, Extensions, FlowId, FormatId, Frame, FrameWriter, Grant,
    Handshake, Header, Kind, Level, Limits, Member, MethodName, NodeName, NodeType, Ping, Role, StreamFlags,
    credit_cost,
};

use crate::router::bare::{BareMember, BareRouter};

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A nowait request that passes alone: what comes behind it waits.
    Block,
    /// The receiver has worked off what it got.
    Release,
    /// A call under this number, whether that is in use or not.
    Open(u16),
    Item(u16),
    Cancel(u16),
    /// The receiver answers the last of the calls that it got, or the one before.
    Answer(usize),
    /// It answers under this number what it has not got.
    Guess(u16),
    /// It leaves, and the next bears its name.
    Replace,
    /// The caller does.
    Return,
}

const EVENTS: [Event; 10] = [
    Event::Block,
    Event::Release,
    Event::Open(1),
    Event::Open(2),
    Event::Item(1),
    Event::Cancel(1),
    Event::Answer(0),
    Event::Guess(1),
    Event::Replace,
    Event::Return,
];

const LARGE: usize = 10_000;
const GUESS: &[u8] = b"guess";

/// A call by what only it has: its tag is its payload, and that of its items and of its answer.
#[derive(Debug, Default)]
struct Call {
    id: u16,
    /// Its caller listens: it is there, and has not used the number for another.
    is_wanted: bool,
    /// The number under which the receiver got it.
    got: Option<CallId>,
    /// The receiver that got it is there.
    can_answer: bool,
    was_cancelled: bool,
    /// Its receiver heard of that.
    heard: bool,
    /// It waited when its caller went.
    is_void: bool,
    ends: usize,
}

struct World<'a> {
    router: &'a BareRouter,
    caller: BareMember,
    receiver: Option<BareMember>,
    flow: u32,
    /// What the nowait requests cost that the receiver got of this flow.
    worked_off: u64,
    calls: Vec<Call>,
    /// One that asks little, so that there is a line for others.
    honest: Option<BareMember>,
    /// Marks that the receiver has not sent back.
    marks: Vec<Ping>,
}

fn frame(header: Header, names: [&str; 3], payload: &[u8]) -> Frame {
    Frame::new(header, names[0], names[1], names[2], payload, &Limits::default()).unwrap()
}

fn join(router: &BareRouter, name: &str) -> BareMember {
    let limits = Limits::default();
    let member = Member::new(NodeName::new(name, &limits).unwrap(), vec![MethodName::new("f", &limits).unwrap()]);
    let body = Handshake::new(NodeType::new(Role::Client, Level::FOUR), vec![member]).to_json();
    let mut joined = router.connect();
    joined.handle(frame(Header::control(Kind::Handshake, CallId(1), true), [name, "", ""], &body)).unwrap();
    joined.take_frames();
    joined
}

impl<'a> World<'a> {
    fn new(router: &'a BareRouter, has_line: bool) -> Self {
        let (receiver, caller) = (join(router, "w"), join(router, "c"));
        let honest = has_line.then(|| join(router, "h"));
        let (receiver, calls, marks) = (Some(receiver), Vec::new(), Vec::new());
        let mut world = Self { router, caller, receiver, flow: 0, worked_off: 0, calls, honest, marks };
        world.begin_flow();
        world
    }

    /// It is known from its first answer on.
    fn ask_little(&mut self) {
        for _ in 0..2 {
            let Some(honest) = &mut self.honest else { return };
            let header = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, false, true);
            honest.handle(frame(header, ["h", "w", "f"], b"")).unwrap();
            self.look_at_receiver();
        }
    }

    fn begin_flow(&mut self) {
        // Both have heard of each other.
        self.look_at_receiver();
        self.ask_little();
        self.flow += 1;
        self.worked_off = 0;
        let begins = Credit::Begins(FlowId(self.flow)).frame("c", "w", &Limits::default()).unwrap();
        self.caller.handle(begins).unwrap();
    }

    fn receiver(&mut self) -> &mut BareMember {
        self.receiver.as_mut().expect("there is one between two steps")
    }

    fn request(&mut self, id: u16, payload: &[u8]) {
        let (mut bytes, limits) = (bytes::BytesMut::new(), Limits::default());
        let mut writer = FrameWriter::begin(&mut bytes, "c", "w", "f").unwrap();
        let flags = StreamFlags { items_follow: true, takes_results: false };
        if id > 0 {
            writer.extensions(&Extensions::builder().stream(flags).build().unwrap());
        }
        writer.body().extend_from_slice(payload);
        writer.finish(Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, id > 0), 0, &limits).unwrap();
        self.caller.handle(Frame::from_message(bytes.freeze(), &limits).unwrap()).unwrap();
    }

    fn answer(&mut self, number: CallId, payload: &[u8]) {
        let header = Header::new(Kind::Response, number, FormatId::OPAQUE, false, false);
        self.receiver().handle(frame(header, ["w", "c", "f"], payload)).unwrap();
    }

    fn find_wanted(&mut self, id: u16) -> Option<(usize, &mut Call)> {
        self.calls.iter_mut().enumerate().rev().find(|(_, call)| call.id == id && call.is_wanted)
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Block => self.request(0, &[7; LARGE]),
            Event::Release => {
                for mark in std::mem::take(&mut self.marks).into_iter().filter_map(Ping::answer) {
                    self.receiver().handle(mark.frame()).unwrap();
                }
                let grant = Credit::Grants(Grant::new(FlowId(self.flow), self.worked_off, 8_192).unwrap());
                self.receiver().handle(grant.frame("w", "c", &Limits::default()).unwrap()).unwrap();
            }
            Event::Open(id) => {
                if let Some((_, before)) = self.find_wanted(id) {
                    before.is_wanted = false;
                }
                let tag = self.calls.len().to_string();
                self.calls.push(Call { id, is_wanted: true, ..Call::default() });
                self.request(id, tag.as_bytes());
            }
            Event::Item(id) => {
                let Some((tag, _)) = self.find_wanted(id) else { return };
                let bytes = Bytes::from(tag.to_string());
                let item = Data { id: CallId(id), from_caller: true, end: DataEnd::Item, packed: false, bytes };
                self.caller.handle(item.frame("c", "w", &Limits::default()).unwrap()).unwrap();
            }
            Event::Cancel(id) => {
                if let Some((_, call)) = self.find_wanted(id) {
                    call.was_cancelled |= call.ends == 0;
                }
                let cancel = Cancel { id: CallId(id), reason: CancelReason::Dropped };
                self.caller.handle(cancel.frame("c", "w", &Limits::default()).unwrap()).unwrap();
            }
            Event::Answer(back) => {
                let got = self.calls.iter().enumerate().filter(|(_, call)| call.can_answer).rev().nth(back);
                let Some((tag, number)) = got.and_then(|(tag, call)| Some((tag, call.got?))) else { return };
                self.calls[tag].can_answer = false;
                self.answer(number, tag.to_string().as_bytes());
            }
            Event::Guess(id) => self.guess(id),
            Event::Replace => self.replace(),
            Event::Return => self.come_back(),
        }
        self.look();
    }

    /// Whoever answers what it has not got answers all the same. What it says of a number that
    /// somebody uses for another call by now is that one's fault.
    fn guess(&mut self, id: u16) {
        let is_known = self.calls.iter().any(|call| call.got == Some(CallId(id)) && call.can_answer);
        let is_in_doubt = self.calls.iter().any(|call| call.got.is_none() && !call.is_wanted && !call.is_void);
        if !is_known && !is_in_doubt {
            self.answer(CallId(id), GUESS);
        }
    }

    fn replace(&mut self) {
        self.receiver.take().expect("there is one between two steps").leave();
        self.marks.clear();
        self.calls.iter_mut().for_each(|call| call.can_answer = false);
        self.look_at_caller();
        self.receiver = Some(join(self.router, "w"));
        self.begin_flow();
    }

    fn come_back(&mut self) {
        self.look();
        for call in &mut self.calls {
            call.is_void |= call.got.is_none();
            call.is_wanted = false;
        }
        let next = join(self.router, "c");
        std::mem::replace(&mut self.caller, next).leave();
        self.begin_flow();
    }

    fn look(&mut self) {
        self.look_at_receiver();
        self.look_at_caller();
    }

    fn look_at_receiver(&mut self) {
        let tag_of = |frame: &Frame| std::str::from_utf8(frame.payload()).unwrap().parse::<usize>().unwrap();
        for mut frame in self.receiver().take_frames() {
            frame.take_extensions().unwrap();
            let (kind, number) = (frame.kind(), frame.header().id());
            match kind {
                Kind::Ping => self.marks.extend(Ping::read(&frame)),
                Kind::Request if frame.is_from("h") => {
                    let header = Header::new(Kind::Response, number, FormatId::OPAQUE, false, false);
                    self.receiver().handle(self::frame(header, ["w", "h", "f"], b"")).unwrap();
                    if let Some(honest) = &mut self.honest {
                        assert!(honest.take_all() > 0, "it waits for nobody");
                    }
                }
                Kind::Request if !frame.header().wants_reply() => self.worked_off += credit_cost(LARGE),
                Kind::Request => {
                    let is_used = self.calls.iter().any(|call| call.can_answer && call.got == Some(number));
                    assert!(!is_used, "a number under which an answer may come is not used again");
                    let call = &mut self.calls[tag_of(&frame)];
                    assert!(call.got.replace(number).is_none(), "it comes once");
                    assert!(!call.was_cancelled && !call.is_void, "one that was taken back does not come");
                    call.can_answer = call.ends == 0;
                }
                Kind::Data => {
                    assert_eq!(self.calls[tag_of(&frame)].got, Some(number), "an item is of its call, and behind it");
                }
                Kind::Cancel if number != CallId::NONE => {
                    let about = |call: &&mut Call| call.can_answer && call.got == Some(number);
                    let call = self.calls.iter_mut().find(about).expect("it got what is cancelled");
                    assert!(call.was_cancelled && !std::mem::replace(&mut call.heard, true), "it hears of that once");
                }
                _ => {}
            }
        }
    }

    fn look_at_caller(&mut self) {
        for frame in self.caller.take_frames() {
            if !matches!(frame.kind(), Kind::Response | Kind::Error) {
                continue;
            }
            let id = frame.header().id().0;
            let (tag, call) = self.find_wanted(id).expect("somebody waits for what comes");
            call.ends += 1;
            // What comes later is not run for it any more.
            call.can_answer = false;
            assert_eq!(call.ends, 1, "a call ends once");
            let is_own = frame.payload() == tag.to_string().as_bytes() || frame.payload() == GUESS;
            assert!(frame.kind() == Kind::Error || is_own, "and with its own answer");
        }
    }

    /// Everything goes its way to the end.
    fn finish(mut self) {
        let most = 2 * self.calls.len() + 10;
        for _ in 0..most {
            self.step(Event::Release);
        }
        for _ in 0..most {
            self.step(Event::Answer(0));
        }
        for (tag, call) in self.calls.iter().enumerate() {
            // Its number may have been used again before its end, or after it.
            assert!(call.ends == 1 || !call.is_wanted, "call {tag}: {call:?}");
        }
        let (_, open, waits) = self.router.holds();
        assert_eq!((open, waits), (0, 0));
        self.caller.leave();
        if let Some(honest) = self.honest.take() {
            honest.leave();
        }
        self.receiver.take().expect("there is one between two steps").leave();
        assert_eq!(self.router.holds(), (0, 0, 0), "nothing is held after the end");
    }
}

fn every_order(at: &str, has_line: bool, first: &[Event]) {
    const DEPTH: u32 = 4;
    let listener = MemListener::bind(&at.parse().unwrap()).unwrap();
    let router = BareRouter::new(NodeName::new("router", &Limits::default()).unwrap(), Box::new(listener)).unwrap();
    let mut seen = HashMap::<bool, usize>::new();
    for order in 0..EVENTS.len().pow(DEPTH) {
        let events: Vec<_> = (0..DEPTH).map(|place| EVENTS[order / EVENTS.len().pow(place) % EVENTS.len()]).collect();
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(&router, has_line);
            first.iter().for_each(|event| world.step(*event));
            assert!(world.calls[0].got.is_none(), "it waits");
            events.iter().for_each(|event| world.step(*event));
            *seen.entry(world.calls[0].got.is_some()).or_default() += 1;
            world.finish();
        }));
        assert!(ran.is_ok(), "{events:?}");
    }
    assert!(seen[&true] > 1_000 && seen[&false] > 1_000, "both kinds were looked at: {seen:?}");
}

/// The second nowait request waits, and what comes behind it.
#[tokio::test]
async fn every_order_of_calls_that_wait_ends_well() {
    every_order("mem://bare-router-orders", false, &[Event::Block, Event::Block, Event::Open(1)]);
}

/// The first nowait request is all that may be on its way to its receiver.
#[tokio::test]
async fn every_order_of_calls_that_stand_in_line_ends_well() {
    every_order("mem://bare-router-line", true, &[Event::Block, Event::Open(1)]);
}
