//! Who gets a call: the members that expose a callback, the choice among them, and the callback itself.

use std::hint::black_box;

use daffi_core::{
    Callback, CallbackOptions, LeastInFlight, Picker, RoundRobin, StickyByKey,
    internals::{Callbacks, choice, members},
};
use daffi_serde::{Opaque, Single};
use daffi_wire::{Member, NodeName};
use gungraun::{library_benchmark, library_benchmark_group};

use crate::{case::Case, names};

library_benchmark_group!(name = picking, benchmarks = [pick, list, registry]);

#[library_benchmark]
#[bench::round_robin_of_2(1000, pick_among(RoundRobin::default(), 2))]
#[bench::round_robin_of_1000(1000, pick_among(RoundRobin::default(), 1000))]
#[bench::least_in_flight_of_2(1000, pick_among(LeastInFlight::default(), 2))]
#[bench::least_in_flight_of_1000(10, pick_among(LeastInFlight::default(), 1000))]
#[bench::sticky_by_key_of_2(1000, pick_among(StickyByKey::default(), 2))]
#[bench::sticky_by_key_of_1000(10, pick_among(StickyByKey::default(), 1000))]
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

/// One member in ten has a call open already.
fn pick_among(picker: impl Picker, count: usize) -> Case {
    let candidates: Vec<_> = (0..count).map(|n| names::node(format!("worker-{n}"))).collect();
    candidates.iter().step_by(10).for_each(|name| picker.started(name));
    Case::new(move || {
        let chosen = &candidates[picker.pick(&choice(black_box("add"), &candidates, Some("user-17")))];
        picker.started(chosen);
        picker.ended(black_box(chosen));
    })
}

fn listed(count: usize) -> (Vec<Member>, Vec<NodeName>) {
    let names: Vec<_> = (0..count).map(|n| names::node(format!("worker-{n}"))).collect();
    let member = |name: &NodeName| Member::new(name.clone(), vec![names::method("add"), names::method("mul")]);
    (names.iter().map(member).collect(), names)
}

/// What a call without a receiver asks the list of members for; each member in turn, because keys are hashed with a number
/// of the process.
fn receiver(count: usize) -> Case {
    let (list, names) = listed(count);
    let (members, picker) = (members(list, "caller"), RoundRobin::default());
    Case::new(move || {
        let candidates = members.exposing(black_box("add")).expect("all expose it");
        let chosen = &candidates[picker.pick(&choice("add", candidates, None))];
        black_box((members.level(chosen), names.len()));
    })
}

/// What a caller makes when a member comes, goes or changes.
fn snapshot(count: usize) -> Case {
    let (list, _) = listed(count);
    Case::new(move || {
        black_box(members(list.clone(), "caller"));
    })
}

/// The callback that a request names, each in turn.
fn callback(count: usize) -> Case {
    let names: Vec<_> = (0..count).map(|n| names::method(format!("callback_{n}"))).collect();
    let plain = |name: &daffi_wire::MethodName| {
        let formats = Single::new(Opaque);
        Callback::plain(name.clone(), CallbackOptions::default(), formats, |(text,): (String,), _| Ok(text))
    };
    let callbacks = Callbacks::default();
    callbacks.add(names.iter().map(plain).collect()).expect("each name is there once");
    let mut turn = 0;
    Case::new(move || {
        turn = (turn + 1) % names.len();
        assert!(callbacks.has(black_box(&names[turn])));
    })
}
