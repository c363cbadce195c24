//! The tables of open calls: a caller's, and a Router's for each member.

use std::{
    hint::black_box,
    task::{Context, Waker},
};

use daffi_core::internals::{BareInFlight, BareOpenCalls};
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
use gungraun::{library_benchmark, library_benchmark_group};

use crate::{case::Case, names};

/// Other calls that are open meanwhile.
const MANY: u16 = 10_000;

library_benchmark_group!(name = tables, benchmarks = [in_flight, open_calls]);

#[library_benchmark]
#[bench::call(1000, call(0, 1000))]
#[bench::call_beside_10000(1000, call(MANY, 1000))]
#[bench::timeout_and_late_reply(1000, timeout(0, 1000))]
#[bench::timeout_and_late_reply_beside_10000(1000, timeout(MANY, 1000))]
#[bench::receiver_of_none_of_10000_gone(1, gone())]
fn in_flight(times: usize, case: Case) -> Case {
    case.run(times)
}

#[library_benchmark]
#[bench::call(1000, forwarded(0, false))]
#[bench::call_beside_10000(1000, forwarded(MANY, false))]
#[bench::call_under_another_number(1000, forwarded(0, true))]
#[bench::call_under_another_number_beside_10000(1000, forwarded(MANY, true))]
fn open_calls(times: usize, case: Case) -> Case {
    case.run(times)
}

/// A table with open calls, and the replies to those that come next.
fn table(open: u16, times: u16) -> (BareInFlight, Vec<Frame>) {
    let mut calls = BareInFlight::default();
    let other = names::node("other");
    for _ in 0..open {
        calls.open(&other).expect("a number is free");
    }
    let reply = |n| {
        let header = Header::new(Kind::Response, CallId(open + 1 + n), FormatId::MSGPACK, false, false);
        Frame::new(header, "worker", "caller", "", b"7", &Limits::default()).expect("a frame within the limits")
    };
    (calls, (0..=times).rev().map(reply).collect())
}

/// Opened, waited for, answered, taken.
fn call(open: u16, times: u16) -> Case {
    let (mut calls, mut replies) = table(open, times);
    let worker = names::node("worker");
    Case::new(move || {
        let cx = Context::from_waker(Waker::noop());
        let id = calls.open(&worker).expect("a number is free");
        assert!(!calls.poll(id, &cx));
        assert!(calls.complete(replies.pop().expect("a reply for each time")));
        assert!(calls.poll(id, &cx));
    })
}

/// Opened, waited for, given up; then the reply comes.
fn timeout(open: u16, times: u16) -> Case {
    let (mut calls, mut replies) = table(open, times);
    let worker = names::node("worker");
    Case::new(move || {
        let cx = Context::from_waker(Waker::noop());
        let id = calls.open(&worker).expect("a number is free");
        assert!(!calls.poll(id, &cx));
        assert!(!calls.give_up(id), "the number rests");
        assert!(calls.complete(replies.pop().expect("a reply for each time")));
    })
}

/// A member leaves that was asked nothing.
fn gone() -> Case {
    let (mut calls, _) = table(MANY, 0);
    Case::new(move || {
        black_box(calls.end_receiver(black_box("worker")));
    })
}

/// Opened and answered; `taken`: a call with the caller's number is open already, to a receiver
/// that does not answer.
fn forwarded(open: u16, taken: bool) -> Case {
    let mut calls = BareOpenCalls::default();
    for id in 1..=open {
        calls.open(CallId(id), 1).expect("a number is free");
    }
    let mut next = if taken { 0 } else { open };
    if taken && open == 0 {
        calls.open(CallId(1), 1).expect("a number is free");
    }
    Case::new(move || {
        next = if taken { next % open.max(1) + 1 } else { next + 1 };
        let number = calls.open(CallId(next), 2).expect("a number is free");
        assert_eq!(number != CallId(next), taken);
        assert_eq!(calls.complete(number, 2), Some(CallId(next)));
    })
}
