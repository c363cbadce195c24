//! Every order of what can happen to a few calls of one caller, beside a model of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use daffi_wire::CallId;

use super::{
    call_note::{AskedPeer, CallNote, LoadMark, OnCallEnd},
    open_calls::OpenCalls,
};

const RECEIVERS: [u64; 2] = [10, 11];

#[derive(Clone, Copy, Debug)]
enum ModelEvent {
    /// The caller calls this receiver under this number, whether that is in use or not: a Router
    /// then gives it another.
    Open(u16, usize),
    /// It says CANCEL, and waits for the end.
    Cancel(u16),
    /// It waits no more, and says nothing.
    GiveUp(u16),
    /// The receiver of the call that was opened so many before the last ends it, or says so again.
    Terminal(usize),
    /// The other receiver does.
    Stray(usize),
    /// The link of this receiver is lost.
    Leave(usize),
    /// The link of the caller is lost, the receivers are told so, and a newer connection has its
    /// name.
    Return,
    /// A receiver has said all about what it was told so often, and says that.
    Said(usize, u32),
}

const EVENTS: [ModelEvent; 12] = [
    ModelEvent::Open(1, 0),
    ModelEvent::Open(1, 1),
    ModelEvent::Open(2, 0),
    ModelEvent::Cancel(1),
    ModelEvent::GiveUp(1),
    ModelEvent::Terminal(0),
    ModelEvent::Terminal(1),
    ModelEvent::Terminal(2),
    ModelEvent::Stray(0),
    ModelEvent::Leave(0),
    ModelEvent::Return,
    ModelEvent::Said(0, 1),
];

/// A call as it has to be.
#[derive(Clone, Debug)]
struct ModelCall {
    id: CallId,
    number: CallId,
    receiver: u64,
    /// Its receiver may still end it: the number is not another's.
    is_open: bool,
    /// The caller waits for its end.
    waits: bool,
    cancelled: bool,
    /// By which number its receiver was told that its caller left; 0: by none.
    told: u32,
    ends: usize,
}

#[derive(Default)]
struct World {
    open: OpenCalls,
    calls: Vec<ModelCall>,
    /// How often each receiver was told that the caller left.
    told: [u32; 2],
}

impl World {
    fn waiting(&mut self, id: CallId) -> Option<&mut ModelCall> {
        self.calls.iter_mut().find(|call| call.id == id && call.is_open && call.waits)
    }

    fn opened_before(&self, back: usize) -> Option<ModelCall> {
        self.calls.len().checked_sub(back + 1).map(|at| self.calls[at].clone())
    }

    fn step(&mut self, event: ModelEvent) {
        match event {
            ModelEvent::Open(id, receiver) => self.open(CallId(id), RECEIVERS[receiver]),
            ModelEvent::Cancel(id) => {
                let expected = self.waiting(CallId(id)).filter(|call| !call.cancelled).map(|call| {
                    call.cancelled = true;
                    (call.number, call.receiver)
                });
                assert_eq!(self.open.cancel(CallId(id)), expected, "its receiver hears of it once");
            }
            ModelEvent::GiveUp(id) => {
                self.open.give_up(CallId(id));
                if let Some(call) = self.waiting(CallId(id)) {
                    call.waits = false;
                }
            }
            ModelEvent::Terminal(back) => {
                if let Some(call) = self.opened_before(back) {
                    self.terminal(call.number, call.receiver);
                }
            }
            ModelEvent::Stray(back) => {
                if let Some(call) = self.opened_before(back) {
                    let other = RECEIVERS[usize::from(call.receiver == RECEIVERS[0])];
                    self.terminal(call.number, other);
                }
            }
            ModelEvent::Leave(receiver) => self.leave(RECEIVERS[receiver]),
            ModelEvent::Return => {
                self.open = self.open.close();
                self.calls.iter_mut().for_each(|call| call.waits = false);
                for (receiver, told) in RECEIVERS.into_iter().zip(&mut self.told) {
                    let is_of = |call: &&mut ModelCall| call.is_open && call.receiver == receiver && call.told == 0;
                    let mut untold = self.calls.iter_mut().filter(is_of).peekable();
                    assert_eq!(self.open.is_untold(receiver), untold.peek().is_some());
                    if untold.peek().is_some() {
                        *told += 1;
                        untold.for_each(|call| call.told = *told);
                        self.open.tell(receiver, *told);
                    }
                }
            }
            ModelEvent::Said(receiver, number) => {
                let receiver = RECEIVERS[receiver];
                self.open.end_told(receiver, number);
                let is_of = |call: &&mut ModelCall| call.receiver == receiver && call.told == number;
                self.calls.iter_mut().filter(is_of).for_each(|call| call.is_open = false);
            }
        }
        let (open, waits) = self
            .calls
            .iter()
            .filter(|call| call.is_open)
            .fold((0, 0), |(open, waits), call| (open + 1, waits + usize::from(call.waits)));
        assert_eq!((self.open.len(), self.open.count_waiting()), (open, waits), "what has ended is forgotten");
    }

    fn open(&mut self, id: CallId, receiver: u64) {
        let number = self.open.open(id, receiver, CallNote::default()).expect("numbers are free");
        let is_used = |number| self.calls.iter().any(|call| call.is_open && call.number == number);
        assert!(!is_used(number), "a number under which an answer may come is not used again");
        assert!(is_used(id) || number == id, "and a free one is the caller's own");
        // Whoever uses the number of an open call hears nothing more of that.
        if let Some(call) = self.waiting(id) {
            call.waits = false;
        }
        self.calls.push(ModelCall {
            id,
            number,
            receiver,
            is_open: true,
            waits: true,
            cancelled: false,
            told: 0,
            ends: 0,
        });
    }

    /// Somebody ends the call that it knows by this number: that of its own, or nobody's.
    fn terminal(&mut self, number: CallId, receiver: u64) {
        let about = |call: &&mut ModelCall| call.is_open && (call.number, call.receiver) == (number, receiver);
        let reaches = self.calls.iter_mut().find(about).and_then(|call| {
            call.is_open = false;
            call.ends += usize::from(call.waits);
            call.waits.then_some(call.id)
        });
        assert_eq!(self.open.complete(number, receiver), reaches, "an end reaches the call that it is about");
    }

    fn leave(&mut self, receiver: u64) {
        let mut ended = Vec::new();
        for call in self.calls.iter_mut().filter(|call| call.is_open && call.receiver == receiver) {
            call.is_open = false;
            call.ends += usize::from(call.waits);
            ended.extend(call.waits.then_some(call.id));
        }
        ended.sort_unstable();
        assert_eq!(self.open.end_receiver(receiver), ended);
    }
}

#[test]
fn every_order_of_a_few_events_ends_each_call_once() {
    const DEPTH: u32 = 5;
    for order in 0..EVENTS.len().pow(DEPTH) {
        let events: Vec<_> = (0..DEPTH).map(|place| EVENTS[order / EVENTS.len().pow(place) % EVENTS.len()]).collect();
        let ran = std::panic::catch_unwind(|| {
            let mut world = World::default();
            // There is always something that they may be about.
            world.step(ModelEvent::Open(1, 0));
            events.iter().for_each(|event| world.step(*event));
            (0..RECEIVERS.len()).for_each(|receiver| world.step(ModelEvent::Leave(receiver)));
            assert!(world.calls.iter().all(|call| !call.is_open && call.ends <= 1), "{:?}", world.calls);
            assert_eq!((world.open.receivers().count(), world.open.count_told()), (0, 0));
        });
        assert!(ran.is_ok(), "{events:?}");
    }
}

#[test]
fn a_newer_connection_inherits_what_was_open() {
    let mut old = OpenCalls::default();
    old.open(CallId(2), 10, CallNote::default());
    let mut new = old.close();
    assert_eq!(old.open(CallId(3), 10, CallNote::default()), None, "it has ended");
    let number = new.open(CallId(2), 10, CallNote::default()).unwrap();
    assert_eq!(new.complete(CallId(2), 10), None, "the answer to the connection before");
    assert_eq!(new.complete(number, 10), Some(CallId(2)));
}

#[derive(Debug, Default)]
struct EndsOfCalls(AtomicUsize);

impl OnCallEnd for EndsOfCalls {
    fn on_call_end(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_receiver_has_a_call_to_do_until_it_is_answered_or_its_caller_is_gone() {
    let (mut calls, ends) = (OpenCalls::default(), Arc::new(EndsOfCalls::default()));
    let ended = || ends.0.load(Relaxed);
    for id in 1..=4 {
        calls.open(CallId(id), AskedPeer::new(10, LoadMark::new(Arc::clone(&ends))), CallNote::default());
    }
    calls.give_up(CallId(1));
    assert_eq!(ended(), 0, "it may still run");
    calls.complete(CallId(1), 10);
    calls.complete(CallId(2), 11);
    assert_eq!(ended(), 1);
    let kept = calls.close();
    assert_eq!((kept.len(), ended()), (3, 4));
}
