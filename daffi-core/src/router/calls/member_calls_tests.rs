//! Every order of what can happen to a few calls whose arguments or answers are put together,
//! beside a model of them.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::BytesMut;
use daffi_transport::PeerInfo;
use daffi_wire::{Data, DataEnd, FormatId, FrameWriter, Header, Kind, Limits, NodeName};

use super::*;
use crate::{
    conn::{Budget, Conn, DataFrom, Whose, body_line},
    data::{CallEnd, Gathered},
    router::calls::streams::ResultWay,
};

const RECEIVERS: usize = 2;
const TOTAL: usize = 1_000;

/// What happens to the call that was begun so many before the last, or to that of a number.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The caller calls this receiver under this number, whether that is in use or not.
    Call(u16, usize),
    /// The receiver says that a large answer follows.
    Answer(usize),
    AnswerPart(usize),
    AnswerEnd(usize),
    /// The receiver answers in one frame, whatever it said before.
    Terminal(usize),
    /// It came too slowly: it is closed, and those who are to hear of that are looked for later.
    Stall(usize),
    TellStalled(usize),
    GiveUp(u16),
    /// The arguments of a call come in parts.
    Upload(u16, usize),
    UploadPart(u16),
    UploadEnd(u16),
    CancelUpload(u16),
    Leave(usize),
    /// The caller leaves.
    Close,
}

const EVENTS: &[Event] = &[
    Event::Call(1, 0),
    Event::Call(1, 1),
    Event::Answer(0),
    Event::Answer(1),
    Event::AnswerPart(0),
    Event::AnswerEnd(0),
    Event::AnswerEnd(1),
    Event::Terminal(0),
    Event::Stall(0),
    Event::Stall(1),
    Event::TellStalled(0),
    Event::TellStalled(1),
    Event::GiveUp(1),
    Event::Upload(1, 0),
    Event::UploadPart(1),
    Event::UploadEnd(1),
    Event::CancelUpload(1),
    Event::Leave(0),
    Event::Close,
];

/// A call as it has to be.
struct Call {
    id: CallId,
    /// `None`: its arguments have not all come.
    number: Option<CallId>,
    receiver: usize,
    /// Its receiver may still say something of it.
    is_open: bool,
    /// The caller waits for it.
    is_wanted: bool,
    body: Option<Arc<Gathering>>,
    /// How often its caller has heard of its end.
    told: usize,
}

struct World {
    caller: Arc<Conn>,
    receivers: [Arc<Conn>; RECEIVERS],
    calls: MemberCalls,
    begun: Vec<Call>,
    closed: bool,
    /// Bodies that came whole.
    whole: AtomicUsize,
}

fn name(text: &str) -> NodeName {
    NodeName::new(text, &Limits::default()).unwrap()
}

fn part(id: CallId, from_caller: bool, end: DataEnd, bytes: usize) -> Data {
    Data { id, from_caller, end, packed: false, bytes: vec![b'x'; bytes].into() }
}

impl World {
    fn new() -> Self {
        let budget = Budget::new(64 << 20, 1.0, 100, 1 << 20);
        let conn = || Conn::new(PeerInfo::new("mem", "test"), &budget);
        Self {
            caller: conn(),
            receivers: [conn(), conn()],
            calls: MemberCalls::default(),
            begun: Vec::new(),
            closed: false,
            whole: AtomicUsize::new(0),
        }
    }

    fn body(&self, id: CallId, conn: &Arc<Conn>, are_results: bool) -> Arc<Gathering> {
        let (mut bytes, limits) = (BytesMut::new(), Limits::default());
        FrameWriter::begin(&mut bytes, "a", "b", "f")
            .unwrap()
            .finish(Header::new(Kind::Response, id, FormatId::JSON, true, false), 0, &limits)
            .unwrap();
        let first = Frame::from_message(bytes.freeze(), &limits).unwrap();
        let (me, other) = (name("a"), name("b"));
        let end =
            CallEnd { conn: Arc::clone(conn), me, other, id, is_caller: are_results, from: DataFrom::Own, limits };
        let account = self.caller.data_account();
        let reserved = account.charge(Gathering::first_bytes(&first));
        let whose = Whose { conn: self.caller.id, name: name("a"), are_results };
        Gathering::begin_for((whose, account), end, (first, TOTAL as u64), reserved, |_| {}).unwrap()
    }

    fn before(&mut self, back: usize) -> Option<(usize, CallId, u64)> {
        let at = self.begun.len().checked_sub(back + 1)?;
        let call = &self.begun[at];
        let receiver = self.receivers[call.receiver].id;
        // Once its number is another's, what is said of it is said of that.
        let is_last = |other: &Call| other.number == call.number && other.receiver == call.receiver && other.is_open;
        let number = call.number.filter(|_| call.is_open || !self.begun.iter().any(is_last))?;
        Some((at, number, receiver))
    }

    fn tell(&mut self, id: CallId, number: Option<CallId>) {
        let call = self.begun.iter_mut().rev().find(|call| call.id == id && call.is_wanted).expect("it waits for that");
        assert!(number.is_none() || call.number == number, "of the call that it is about");
        call.told += 1;
        call.is_wanted = false;
    }

    /// No older call of that number is waited for.
    fn make_way(&mut self, id: CallId) {
        for call in self.begun.iter_mut().filter(|call| call.id == id) {
            call.is_wanted = false;
            call.is_open &= call.number.is_some();
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Call(id, receiver) => {
                let id = CallId(id);
                self.calls.make_way(id);
                let opened = self.calls.open_mut().open(id, self.receivers[receiver].id, CallNote::default());
                assert_eq!(opened.is_none(), self.closed);
                self.make_way(id);
                if let Some(number) = opened {
                    self.begin(id, Some(number), receiver, None);
                }
            }
            Event::Answer(back) => {
                let Some((at, number, receiver)) = self.before(back) else { return };
                let call = &self.begun[at];
                let expected = call.is_open && call.is_wanted && call.body.is_none();
                assert_eq!(self.calls.may_join(number, receiver), expected);
                let body = self.body(number, &self.receivers[call.receiver].clone(), true);
                assert_eq!(self.calls.join(number, receiver, Arc::clone(&body)), expected);
                if expected {
                    body.line_up();
                    self.begun[at].body = Some(body);
                }
            }
            Event::AnswerPart(back) => self.answer_part(back, DataEnd::Nothing, 10),
            Event::AnswerEnd(back) => self.answer_part(back, DataEnd::Direction, TOTAL),
            Event::Terminal(back) => {
                let Some((at, number, receiver)) = self.before(back) else { return };
                self.complete(at, number, receiver);
            }
            Event::Stall(back) => {
                if let Some(body) = self.begun.len().checked_sub(back + 1).and_then(|at| self.begun[at].body.clone()) {
                    let _was_open = body.close();
                }
            }
            Event::TellStalled(back) => self.tell_stalled(back),
            Event::GiveUp(id) => {
                self.calls.give_up(CallId(id));
                self.make_way(CallId(id));
            }
            Event::Upload(id, receiver) => {
                let id = CallId(id);
                let body = self.body(id, &self.caller.clone(), false);
                let upload = Upload {
                    receiver: self.receivers[receiver].id,
                    to: name("b"),
                    deadline: None,
                    body: Arc::clone(&body),
                };
                self.make_way(id);
                let added = self.calls.upload(id, upload);
                assert_eq!(added, !self.closed);
                if added {
                    body.line_up();
                    self.begin(id, None, receiver, Some(body));
                }
            }
            Event::UploadPart(id) => self.upload_part(CallId(id), DataEnd::Nothing, 10),
            Event::UploadEnd(id) => self.upload_part(CallId(id), DataEnd::Direction, TOTAL),
            Event::CancelUpload(id) => {
                if let Some(body) = self.upload_of(CallId(id)) {
                    assert!(self.calls.end_upload(CallId(id), &body));
                    self.end_upload(CallId(id));
                }
            }
            Event::Leave(receiver) => {
                let lost = self.calls.end_receiver(self.receivers[receiver].id);
                for id in lost.open.into_iter().chain(lost.uploads) {
                    self.tell(id, None);
                }
                for call in self.begun.iter_mut().filter(|call| call.receiver == receiver) {
                    assert!(!call.is_wanted, "it has heard of it");
                    call.is_open = false;
                }
            }
            Event::Close => {
                self.closed = true;
                let _inherited = self.calls.close();
                self.begun.iter_mut().for_each(|call| (call.is_open, call.is_wanted) = (false, false));
            }
        }
        for body in self.calls.take_ended().unwrap_or_default() {
            let _was_open = body.close();
        }
        for call in &self.begun {
            assert!(call.told <= 1, "each call ends once");
            let ended = call.body.as_ref().is_none_or(|body| !body.is_open());
            assert!(ended || call.is_open && call.is_wanted, "what nobody waits for is held no more");
            if let Some(number) = call.number.filter(|_| call.is_open) {
                let is_end = call.is_wanted && call.body.is_none();
                let word = self.calls.results_word(number, self.receivers[call.receiver].id);
                assert_eq!(word, if is_end { ResultsWord::Ends } else { ResultsWord::Nowhere }, "the end is to come");
            }
        }
    }

    fn begin(&mut self, id: CallId, number: Option<CallId>, receiver: usize, body: Option<Arc<Gathering>>) {
        self.begun.push(Call { id, number, receiver, is_open: true, is_wanted: true, body, told: 0 });
    }

    fn complete(&mut self, at: usize, number: CallId, receiver: u64) {
        let completed = self.calls.complete(number, receiver);
        let call = &mut self.begun[at];
        assert_eq!(completed.map(|completed| completed.id), (call.is_open && call.is_wanted).then_some(call.id));
        assert!(!completed.is_some_and(|completed| completed.streamed), "nothing passed in parts");
        call.is_open = false;
        if let Some(completed) = completed {
            self.tell(completed.id, Some(number));
        }
    }

    fn answer_part(&mut self, back: usize, end: DataEnd, bytes: usize) {
        let Some((at, number, receiver)) = self.before(back) else { return };
        let way = self.calls.streams_mut().pass_result(number, receiver, 300).unwrap();
        let call = &self.begun[at];
        match way {
            ResultWay::Passes(to) => panic!("the caller takes no parts: {to:?}"),
            ResultWay::Nowhere => assert!(!(call.is_open && call.is_wanted && call.body.is_some())),
            ResultWay::Joins(body) => {
                assert!(call.body.as_ref().is_some_and(|own| Arc::ptr_eq(own, &body)), "of its own call");
                assert!(call.is_open && call.is_wanted);
                if let Gathered::Whole(..) = body.on_data(part(number, false, end, bytes)).unwrap() {
                    self.whole.fetch_add(1, SeqCst);
                }
            }
        }
        if end == DataEnd::Direction {
            // Whole, or of no use.
            self.complete(at, number, receiver);
            self.calls.open_mut().end_unawaited(number, receiver);
        }
    }

    fn tell_stalled(&mut self, back: usize) {
        let Some(at) = self.begun.len().checked_sub(back + 1) else { return };
        let call = &self.begun[at];
        let Some(body) = call.body.clone().filter(|body| !body.is_open()) else { return };
        match call.number {
            None => {
                if self.calls.end_upload(call.id, &body) {
                    self.end_upload(call.id);
                }
            }
            Some(number) => {
                let receiver = self.receivers[call.receiver].id;
                let given_up = self.calls.give_up_answer(number, receiver, Some(&body));
                assert_eq!(given_up, (call.is_open && call.is_wanted).then_some(call.id));
                if let Some(id) = given_up {
                    self.tell(id, Some(number));
                }
            }
        }
    }

    fn upload_of(&self, id: CallId) -> Option<Arc<Gathering>> {
        let header = Header::new(Kind::Data, id, FormatId::OPAQUE, true, true);
        let frame = Frame::new(header, "a", "b", "", b"", &Limits::default()).unwrap();
        let other = Frame::new(header, "a", "c", "", b"", &Limits::default()).unwrap();
        assert!(self.calls.upload_of(&other).is_none(), "to another");
        let found = self.calls.upload_of(&frame);
        let expected = self.begun.iter().rev().find(|call| call.id == id && call.is_wanted && call.number.is_none());
        let expected = expected.and_then(|call| call.body.as_ref());
        assert!(match (&found, expected) {
            (Some(found), Some(expected)) => Arc::ptr_eq(&found.body, expected),
            (found, expected) => found.is_none() && expected.is_none(),
        });
        found.map(|found| found.body)
    }

    fn upload_part(&mut self, id: CallId, end: DataEnd, bytes: usize) {
        let Some(body) = self.upload_of(id) else { return };
        match body.on_data(part(id, true, end, bytes)).unwrap() {
            Gathered::Nothing => {}
            Gathered::Whole(..) | Gathered::Broken(_) => {
                assert!(self.calls.end_upload(id, &body));
                self.end_upload(id);
            }
        }
    }

    fn end_upload(&mut self, id: CallId) {
        self.tell(id, None);
        let upload = self.begun.iter_mut().rev().find(|call| call.id == id && call.number.is_none());
        upload.expect("it was there").is_open = false;
    }
}

#[test]
fn every_order_of_bodies_and_ends_of_their_calls_leaves_nothing() {
    const DEPTH: u32 = 4;
    let mut whole = 0;
    for order in 0..EVENTS.len().pow(DEPTH) {
        let events: Vec<_> = (0..DEPTH).map(|place| EVENTS[order / EVENTS.len().pow(place) % EVENTS.len()]).collect();
        let ran = std::panic::catch_unwind(|| {
            let mut world = World::new();
            // There is always something that they may be about.
            world.step(Event::Call(1, 0));
            world.step(Event::Answer(0));
            events.iter().for_each(|event| world.step(*event));
            for receiver in 0..RECEIVERS {
                world.step(Event::Leave(receiver));
            }
            assert_eq!(world.calls.uploads.len(), 0);
            assert!(world.calls.streams_mut().is_empty() && world.calls.open().len() == 0);
            let budget = world.caller.data_account().budget();
            assert!(body_line::is_idle(budget), "nobody stands in line any more");
            for conn in [&world.caller, &world.receivers[0], &world.receivers[1]] {
                assert_eq!(conn.data_account().held_bytes(), 0, "nothing is held after the end");
            }
            world.whole.load(SeqCst)
        });
        whole += ran.unwrap_or_else(|_| panic!("{events:?}"));
    }
    assert!(whole > 1_000, "some come whole: {whole}");
}
