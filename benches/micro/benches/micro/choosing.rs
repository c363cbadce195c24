//! Who gets a call: the members that expose a callback, the choice among them, and the callback
//! itself.

use std::hint::black_box;

use daffi_core::{
    Callback, CallbackOptions, LeastInFlight, Picker, RoundRobin, StickyByKey,
    internals::{CallbackLookup, choice, members},
};
use daffi_serde::{Opaque, Single};
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits, Member};
use gungraun::{library_benchmark, library_benchmark_group};

use crate::{case::Case, names};

library_benchmark_group!(name = picking, benchmarks = [pick, list, registry]);

#[library_benchmark]
#[bench::round_robin_of_2(1000, pick_among::<RoundRobin>(2))]
#[bench::round_robin_of_1000(1000, pick_among::<RoundRobin>(1000))]
#[bench::least_in_flight_of_2(1000, pick_among::<LeastInFlight>(2))]
#[bench::least_in_flight_of_1000(16, pick_among::<LeastInFlight>(1000))]
#[bench::sticky_by_key_of_2(1000, pick_among::<StickyByKey>(2))]
#[bench::sticky_by_key_of_1000(16, pick_among::<StickyByKey>(1000))]
fn pick(times: usize, case: Case) -> Case {
    case.run(times)
}

#[library_benchmark]
#[bench::receiver_of_a_call_among_2(1000, receiver(2))]
#[bench::receiver_of_a_call_among_1000(1000, receiver(1000))]
#[bench::new_snapshot_of_2(10, snapshot(2))]
#[bench::new_snapshot_of_1000(10, snapshot(1000))]
fn list(times: usize, case: Case) -> Case {
    case.run(times)
}

#[library_benchmark]
#[bench::callback_among_2(1000, callback(2))]
#[bench::callback_among_1000(1000, callback(1000))]
fn registry(times: usize, case: Case) -> Case {
    case.run(times)
}

/// Tables that take turns: each hashes its keys with a number of its own, and where keys fall must
/// not matter.
const TABLES: usize = 16;

/// One member in sixteen has a call open already.
fn pick_among<P: Picker + Default>(count: usize) -> Case {
    let candidates: Vec<_> = (0..count).map(|n| names::node(format!("worker-{n}"))).collect();
    let pickers: Vec<_> = std::iter::repeat_with(P::default).take(TABLES).collect();
    for picker in &pickers {
        candidates.iter().step_by(16).for_each(|name| picker.on_start(name));
        // Its first pick takes memory.
        picker.pick(&choice("add", &candidates, None));
    }
    let mut turn = 0;
    Case::new(move || {
        turn = (turn + 1) % TABLES;
        let picker = &pickers[turn];
        let chosen = &candidates[picker.pick(&choice(black_box("add"), &candidates, Some("user-17")))];
        picker.on_start(chosen);
        picker.on_end(black_box(chosen));
    })
}

fn list_members(count: usize) -> Vec<Member> {
    let methods = vec![names::method("add"), names::method("mul")];
    (0..count).map(|n| Member::new(names::node(format!("worker-{n}")), methods.clone())).collect()
}

/// What a call without a receiver asks the list of members for.
fn receiver(count: usize) -> Case {
    let picker = RoundRobin::default();
    let lists: Vec<_> = (0..TABLES).map(|_| members(list_members(count), "caller")).collect();
    let mut turn = 0;
    Case::new(move || {
        turn = (turn + 1) % TABLES;
        let members = &lists[turn];
        let candidates = members.receivers_of(black_box("add")).expect("all expose it");
        let chosen = &candidates[picker.pick(&choice("add", candidates, None))];
        black_box(members.level(chosen));
    })
}

/// What a caller makes when a member comes, goes or changes.
fn snapshot(count: usize) -> Case {
    let list = list_members(count);
    Case::new(move || {
        black_box(members(list.clone(), "caller"));
    })
}

/// The callback that a request names, each in turn.
fn callback(count: usize) -> Case {
    let names: Vec<_> = (0..count).map(|n| names::method(format!("callback_{n}"))).collect();
    let plain = |name: &daffi_wire::MethodName| {
        let formats = Single::new(Opaque::default());
        Callback::plain(name.clone(), CallbackOptions::default(), formats, |(text,): (String,), _| Ok(text))
    };
    let mut callbacks = CallbackLookup::new(names.iter().map(plain).collect()).expect("each name is there once");
    let request = |name: &daffi_wire::MethodName| {
        let header = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, true, true);
        Frame::new(header, "caller", "worker", name, b"", &Limits::default()).expect("it is small")
    };
    let requests: Vec<_> = names.iter().map(request).collect();
    let mut turn = 0;
    Case::new(move || {
        turn = (turn + 1) % requests.len();
        assert!(callbacks.has(black_box(&requests[turn])));
    })
}
