//! A Router's work for each frame, from the frame read to the frame queued, and for each member
//! that comes and goes.

use daffi_core::internals::{BareMember, BareRouter};
use daffi_transport::mem::MemListener;
use daffi_wire::{CallId, FormatId, Frame, Handshake, Header, Kind, Level, Limits, Member, NodeType, Role};
use gungraun::{library_benchmark, library_benchmark_group};
use tokio::runtime::Runtime;

use crate::{case::Case, names};

library_benchmark_group!(name = routing, benchmarks = [forward, membership]);

#[library_benchmark]
#[bench::call_and_reply_among_2(1000, calls(2, 32, 1))]
#[bench::call_and_reply_among_1000(1000, calls(1000, 32, 1))]
#[bench::call_and_reply_among_2_written_by_64(1024, calls(2, 32, 64))]
#[bench::call_and_reply_among_2_64kib(1000, calls(2, 64 * 1024, 1))]
#[bench::nowait_to_level_3_among_2(1000, nowait(2, 1))]
#[bench::nowait_to_level_3_among_1000(1000, nowait(1000, 1))]
#[bench::nowait_to_level_3_among_2_written_by_64(1024, nowait(2, 64))]
fn forward(times: usize, case: Case) -> Case {
    case.run(times)
}

#[library_benchmark]
#[bench::join_and_leave_beside_2(10, coming_and_going(2))]
#[bench::join_and_leave_beside_1000(10, coming_and_going(1000))]
fn membership(times: usize, case: Case) -> Case {
    case.run(times)
}

struct Network {
    /// Never run: it is only where the Router's tasks lie.
    runtime: Runtime,
    router: BareRouter,
    members: Vec<BareMember>,
}

impl Network {
    fn new(count: usize, level: Level) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        let within = runtime.enter();
        let endpoint = "mem://micro".parse().expect("an endpoint");
        let listener = MemListener::bind(&endpoint).expect("nobody else listens");
        let router = BareRouter::new(names::node("router"), Box::new(listener)).expect("settings that work");
        drop(within);
        let mut network = Self { runtime, router, members: Vec::new() };
        for n in 0..count {
            let member = network.join(&format!("member-{n}"), level);
            network.members.push(member);
        }
        network
    }

    fn join(&self, name: &str, level: Level) -> BareMember {
        let _within = self.runtime.enter();
        let mut member = self.router.connect();
        member.handle(hello(name, level)).expect("a handshake");
        member
    }

    /// All that waits for these members is written.
    fn write(&mut self, members: [usize; 2]) {
        for at in members {
            self.members[at].take_all();
        }
    }
}

fn hello(name: &str, level: Level) -> Frame {
    let member = Member::new(names::node(name), vec![names::method("add")]);
    let body = Handshake::new(NodeType::new(Role::Client, level), vec![member]).to_json();
    frame(Header::control(Kind::Handshake, CallId(1), true), [name, "", ""], &body)
}

fn frame(header: Header, names: [&str; 3], payload: &[u8]) -> Frame {
    let [transmitter, receiver, method] = names;
    Frame::new(header, transmitter, receiver, method, payload, &Limits::default()).expect("a frame within the limits")
}

/// Pairs of a caller and a worker, each pair in turn: keys are hashed with a number of the process.
fn pairs(count: usize) -> Vec<[usize; 2]> {
    (0..count / 2).map(|caller| [caller, caller + count / 2]).collect()
}

/// A call on its way there, and its reply on its way back. Outboxes are written after every `batch`
/// calls.
fn calls(count: usize, size: usize, batch: usize) -> Case {
    let mut network = Network::new(count, Level::FOUR);
    let payload = vec![b'x'; size];
    let frames: Vec<_> = pairs(count)
        .into_iter()
        .map(|[caller, worker]| {
            let names = [format!("member-{caller}"), format!("member-{worker}")];
            let header = |kind, answer| Header::new(kind, CallId(7), FormatId::OPAQUE, false, answer);
            let request = frame(header(Kind::Request, true), [&names[0], &names[1], "add"], &payload);
            let reply = frame(header(Kind::Response, false), [&names[1], &names[0], ""], &payload);
            ([caller, worker], request, reply)
        })
        .collect();
    let mut turn = 0;
    let mut step = move || {
        let (at, request, reply) = &frames[turn % frames.len()];
        network.members[at[0]].handle(request.clone()).expect("a request");
        network.members[at[1]].handle(reply.clone()).expect("a reply");
        turn += 1;
        if turn.is_multiple_of(batch) {
            network.write(*at);
        }
    };
    // What a member is told before its first frame is no part of the way.
    (0..count).for_each(|_| step());
    Case::new(step)
}

/// A request on its way there, and the credit for it that being written gives.
fn nowait(count: usize, batch: usize) -> Case {
    let mut network = Network::new(count, Level::THREE);
    let frames: Vec<_> = pairs(count)
        .into_iter()
        .map(|[caller, worker]| {
            let names = [format!("member-{caller}"), format!("member-{worker}")];
            let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
            ([caller, worker], frame(header, [&names[0], &names[1], "add"], &[b'x'; 32]))
        })
        .collect();
    let mut turn = 0;
    let mut step = move || {
        let (at, request) = &frames[turn % frames.len()];
        network.members[at[0]].handle(request.clone()).expect("a request");
        turn += 1;
        if turn.is_multiple_of(batch) {
            network.write(*at);
        }
    };
    (0..count).for_each(|_| step());
    Case::new(step)
}

/// A newcomer's handshake is answered, and its end handled.
fn coming_and_going(count: usize) -> Case {
    let network = Network::new(count, Level::FOUR);
    Case::new(move || network.join("newcomer", Level::FOUR).leave())
}
