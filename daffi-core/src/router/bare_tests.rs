//! What a Router holds for its members, and how far what they send is bounded.

use bytes::{Bytes, BytesMut};
use daffi_wire::{
    CallId, Credit, Data, DataEnd, Extensions, FIRST_WINDOW, FlowId, FormatId, FrameWriter, Grant, Handshake, Header,
    Kind, Level, Limits, Member, MethodName, NodeType, Role, credit_cost,
};

use super::*;

fn frame(header: Header, names: [&str; 3], payload: &[u8]) -> Frame {
    Frame::new(header, names[0], names[1], names[2], payload, &Limits::default()).unwrap()
}

fn credit(says: Credit, from: &str, to: &str) -> Frame {
    says.frame(from, to, &Limits::default()).unwrap()
}

fn hello(name: &str, methods: &[&str]) -> Frame {
    hello_of(Level::FOUR, name, methods)
}

fn hello_of(level: Level, name: &str, methods: &[&str]) -> Frame {
    let limits = Limits::default();
    let methods = methods.iter().map(|method| MethodName::new(*method, &limits).unwrap()).collect();
    let member = Member::new(NodeName::new(name, &limits).unwrap(), methods);
    let body = Handshake::new(NodeType::new(Role::Client, level), vec![member]).to_json();
    frame(Header::control(Kind::Handshake, CallId(1), true), [name, "", ""], &body)
}

fn join(router: &BareRouter, name: &str) -> BareMember {
    let mut joined = router.connect();
    joined.handle(hello(name, &["f"])).unwrap();
    joined
}

#[tokio::test]
async fn a_new_flow_gives_no_new_window() {
    let router = BareRouter::at("mem://bare-router-flows");
    let (mut worker, mut sender) = (join(&router, "worker"), join(&router, "sender"));
    let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
    let request = || frame(header, ["sender", "worker", "f"], &[7; 10_000]);
    sender.handle(request()).unwrap();
    worker.take_all();
    assert_eq!(router.router.stats().dropped_requests, 1, "it belongs to no flow");
    for flow in [1, 2] {
        sender.handle(credit(Credit::Begins(FlowId(flow)), "sender", "worker")).unwrap();
        sender.handle(request()).unwrap();
    }
    assert_eq!((worker.take_all(), router.router.stats().held_requests), (2, 2));
    let grant = |flow| Credit::Grants(Grant::new(FlowId(flow), credit_cost(10_000), 8192).unwrap());
    for (flow, written) in [(2, 0), (1, 2), (1, 0), (2, 0)] {
        worker.handle(credit(grant(flow), "worker", "sender")).unwrap();
        assert_eq!(worker.take_all(), written, "the new flow begins when the old one is worked off");
    }
    assert_eq!(router.router.stats().held_requests, 0);
}

/// What was written is worked off then, and the next flow begins.
#[tokio::test]
async fn a_new_flow_to_a_worker_of_3_0_1_begins_when_the_one_before_is_written() {
    let router = BareRouter::at("mem://bare-router-old-flows");
    let (mut worker, mut sender) = (router.connect(), join(&router, "sender"));
    worker.handle(hello_of(Level::THREE, "worker", &["f"])).unwrap();
    worker.take_all();
    let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
    for flow in [1, 2] {
        sender.handle(credit(Credit::Begins(FlowId(flow)), "sender", "worker")).unwrap();
        sender.handle(frame(header, ["sender", "worker", "f"], &[7; 10_000])).unwrap();
    }
    assert_eq!(router.router.stats().held_requests, 2);
    assert_eq!((worker.take_all(), worker.take_all()), (1, 1));
    assert_eq!(router.router.stats().held_requests, 0);
}

/// A flow begins while something of the one before is on its way.
#[tokio::test]
async fn requests_within_the_window_of_their_sender_are_bounded_though_they_are_held() {
    let router = BareRouter::at("mem://bare-router-window");
    let (_worker, mut sender) = (join(&router, "worker"), join(&router, "sender"));
    let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
    let mut send = |begins: Option<u32>, count| {
        if let Some(flow) = begins {
            sender.handle(credit(Credit::Begins(FlowId(flow)), "sender", "worker")).unwrap();
        }
        for _ in 0..count {
            sender.handle(frame(header, ["sender", "worker", "f"], &[7; 1000])).unwrap();
        }
        (router.router.stats().held_requests, sender.handler.unbounded_bytes())
    };
    let within = usize::try_from(u64::from(FIRST_WINDOW) / credit_cost(1000)).unwrap();
    assert_eq!(send(Some(1), within), (0, 0));
    let (_, begins) = send(Some(2), 0);
    assert_eq!(send(None, within), (within + 1, begins));
    let (held, unbounded) = send(None, 2);
    assert!(held == within + 3 && (begins + 2000..begins + 3000).contains(&unbounded), "{held} {unbounded}");
    // And no further window by a further flow.
    let (held, more) = send(Some(3), 2);
    assert!(held == within + 6 && more > unbounded + 2000, "{held} {more}");
}

#[tokio::test]
async fn a_member_that_left_is_remembered_without_what_was_held_for_it() {
    let router = BareRouter::at("mem://bare-router-test");
    let (mut worker, mut sender) = (join(&router, "worker"), join(&router, "sender"));
    let header = |kind, wants| Header::new(kind, CallId(7), FormatId::OPAQUE, false, wants);
    sender.handle(credit(Credit::Begins(FlowId(1)), "sender", "worker")).unwrap();
    sender.handle(frame(header(Kind::Request, true), ["sender", "worker", "f"], b"")).unwrap();
    worker.handle(frame(header(Kind::Response, false), ["worker", "sender", "f"], b"")).unwrap();
    for _ in 0..100 {
        sender.handle(frame(header(Kind::Request, false), ["sender", "worker", "f"], &[7; 10_000])).unwrap();
    }
    assert!(router.budget.used_bytes() > 0, "requests beyond the worker's credit are held");
    sender.leave();
    worker.take_all();
    assert_eq!(router.budget.used_bytes(), 0);
    drop(worker);
}

#[tokio::test]
async fn small_requests_that_are_held_keep_no_read_buffer_alive() {
    let router = BareRouter::at("mem://bare-router-held");
    let (_worker, mut sender) = (join(&router, "worker"), join(&router, "sender"));
    sender.handle(credit(Credit::Begins(FlowId(1)), "sender", "worker")).unwrap();
    let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
    let small = frame(header, ["sender", "worker", "f"], b"");
    let (size, read) = (small.as_bytes().len(), Bytes::from(small.as_bytes().repeat(1000)));
    for n in 0..1000 {
        let one = read.slice(n * size..(n + 1) * size);
        sender.handle(Frame::from_message(one, &Limits::default()).unwrap()).unwrap();
    }
    assert!(router.router.stats().held_requests > 900 && read.is_unique());
}

fn in_parts(id: u16, names: [&str; 3], says: impl FnOnce(&mut FrameWriter<'_>)) -> Frame {
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, names[0], names[1], names[2]).unwrap();
    says(&mut writer);
    writer.finish(Header::new(Kind::Request, CallId(id), FormatId::JSON, true, true), 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// DATA of others lies before a worker; what waits for it goes on waiting until it took that.
#[tokio::test]
async fn a_call_waits_for_one_that_takes_large_arguments_slowly() {
    let router = BareRouter::with_config(
        "mem://bare-router-slow",
        NodeConfig::server().budget_bytes(4 << 20).max_connections(10),
    );
    let (mut worker, mut large, mut patient) =
        (join(&router, "worker"), join(&router, "large"), join(&router, "patient"));
    for id in 1..=12 {
        large.handle(in_parts(id, ["large", "worker", "f"], |writer| writer.body_total(1 << 20))).unwrap();
        let bytes = Bytes::from_static(&[7; 60_000]);
        let data = Data { id: CallId(id), from_caller: true, end: DataEnd::Item, packed: false, bytes };
        large.handle(data.frame("large", "worker", &Limits::default()).unwrap()).unwrap();
    }
    assert!(worker.conn.outbox.is_full() && worker.conn.outbox.bytes() < 8192);
    let before = router.router.stats();
    let waits = Extensions::builder().time_left_ms(60_000).wait_for_receiver().build().unwrap();
    patient.handle(in_parts(7, ["patient", "", "g"], |writer| writer.extensions(&waits))).unwrap();
    worker.handle(hello("worker", &["f", "g"])).unwrap();
    let settle = async || {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    let stats = router.router.stats();
    assert_eq!((stats.waiting_calls, stats.refused_calls), (1, before.refused_calls));
    while worker.conn.outbox.is_full() {
        worker.take_all();
    }
    worker.take_all();
    settle().await;
    let stats = router.router.stats();
    assert_eq!((stats.waiting_calls, stats.refused_calls), (0, before.refused_calls));
    assert_eq!(stats.open_calls, before.open_calls + 1);
}

/// Thirty members call what is not there and take no refusal.
#[tokio::test]
async fn refusals_that_nobody_takes_are_bounded() {
    let router = BareRouter::at("mem://bare-router-refused");
    let (mut worker, mut caller) = (join(&router, "worker"), join(&router, "caller"));
    let mut deaf: Vec<_> = (0..30).map(|n| join(&router, &format!("deaf{n}"))).collect();
    let nobody = "n".repeat(9000);
    let call = |id: u16, from: &str, to: &str| {
        frame(Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true), [from, to, "f"], b"")
    };
    for (n, member) in deaf.iter_mut().enumerate() {
        let name = format!("deaf{n}");
        for id in 1..=600 {
            member.handle(call(id, &name, &nobody)).unwrap();
        }
    }
    let held = deaf.iter().map(|member| member.conn.outbox.account().held_bytes()).sum::<usize>();
    let limit = NodeConfig::server().budget_bytes;
    assert!(router.budget.used_bytes() <= limit && held <= limit, "{held} of {limit}, where all refusals are 324 MB");
    worker.take_all();
    caller.take_all();
    caller.handle(call(7, "caller", "worker")).unwrap();
    // Of 31 newcomers it had not heard: two frames each, and the call.
    assert_eq!(worker.take_all(), 63, "others are served");
}

fn request(id: u16, from: &str, to: &str) -> Frame {
    frame(Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true), [from, to, "f"], b"")
}

/// Among hundreds of members only those are looked at that called the one that leaves.
#[tokio::test]
async fn a_departure_costs_what_it_ends() {
    const MEMBERS: usize = 300;
    let router = BareRouter::at("mem://bare-router-departure");
    let (mut worker, mut other) = (join(&router, "worker"), join(&router, "other"));
    let mut members: Vec<_> = (0..MEMBERS).map(|n| join(&router, &format!("m{n}"))).collect();
    for (n, member) in members.iter_mut().enumerate() {
        let to = if n % 100 == 7 { "worker" } else { "other" };
        member.handle(request(7, &format!("m{n}"), to)).unwrap();
    }
    worker.take_all();
    other.take_all();
    assert_eq!((worker.peer().callers().len(), other.peer().callers().len()), (MEMBERS / 100, MEMBERS * 99 / 100));
    assert_eq!(router.router.stats().open_calls, MEMBERS);
    worker.leave();
    assert_eq!(router.router.stats().open_calls, MEMBERS * 99 / 100, "calls to it have ended");
    // Those who go are not remembered for ever.
    for n in 0..1000 {
        let mut guest = join(&router, &format!("guest{n}"));
        guest.handle(request(7, &format!("guest{n}"), "other")).unwrap();
        guest.leave();
    }
    assert_eq!(other.peer().callers().len(), MEMBERS * 99 / 100);
    other.leave();
    assert_eq!(router.router.stats().open_calls, 0);
}

/// Open calls and flows of credit count as received from who makes them, and what was counted
/// is given back with the last.
#[tokio::test]
async fn open_calls_and_flows_are_counted() {
    let router = BareRouter::at("mem://bare-router-counted");
    let mut workers: Vec<_> = (0..100).map(|n| join(&router, &format!("w{n}"))).collect();
    let mut caller = join(&router, "caller");
    let held = |caller: &BareMember| caller.conn.inbound.account().held_bytes();
    assert_eq!(held(&caller), 0);
    for id in 1..=20_000 {
        caller.handle(request(id, "caller", &format!("w{}", id % 100))).unwrap();
    }
    let calls = held(&caller);
    assert!((20_000 * 24..20_000 * 120).contains(&calls), "{calls}");
    for n in 0..100 {
        let begins = credit(Credit::Begins(FlowId(n)), "caller", &format!("w{n}"));
        caller.handle(begins).unwrap();
    }
    assert_eq!(held(&caller), calls + 100 * 384);
    workers.drain(..50).for_each(BareMember::leave);
    let tables = calls + 50 * 384 - 50 * 256 * 2;
    assert_eq!(held(&caller), tables, "the tables of calls are as large as they were");
    let account = Arc::clone(caller.conn.inbound.account());
    caller.leave();
    assert_eq!(account.held_bytes(), 0);
    assert!(router.budget.used_bytes() > 0, "what the others may still answer is counted elsewhere");
    workers.into_iter().for_each(BareMember::leave);
    assert_eq!(router.budget.used_bytes(), 0);
}

/// One that calls without end what never answers fills its own share, and hears why.
#[tokio::test]
async fn open_calls_find_room_or_are_refused() {
    let config = NodeConfig::server().budget_bytes(4 << 20).max_connections(10);
    let router = BareRouter::with_config("mem://bare-router-open-calls", config);
    let mut workers: Vec<_> = (0..4).map(|n| join(&router, &format!("w{n}"))).collect();
    let mut greedy: Vec<_> = (0..5).map(|n| join(&router, &format!("greedy{n}"))).collect();
    for id in 1..=40_000 {
        for (n, greedy) in greedy.iter_mut().enumerate() {
            greedy.handle(request(id, &format!("greedy{n}"), &format!("w{}", id % 4))).unwrap();
            greedy.take_all();
        }
        for worker in &mut workers {
            worker.take_all();
        }
    }
    assert!(router.budget.used_bytes() <= 4 << 20, "{}", router.budget.used_bytes());
    assert!(router.router.stats().refused_calls > 0);
    let mut honest = join(&router, "honest");
    let before = router.router.stats().refused_calls;
    for id in 1..=50 {
        honest.handle(request(id, "honest", "w0")).unwrap();
    }
    assert_eq!(router.router.stats().refused_calls, before, "the next one finds room");
}

/// Those who left are remembered by those who called them; what they owned is not.
#[tokio::test]
async fn who_left_owns_nothing() {
    let router = BareRouter::at("mem://bare-router-owned");
    let mut callers: Vec<_> = (0..10).map(|n| join(&router, &format!("c{n}"))).collect();
    let owned = router.budget.owned_bytes();
    for n in 0..40 {
        let worker = join(&router, &format!("w{n}"));
        for (c, caller) in callers.iter_mut().enumerate() {
            caller.handle(request(7, &format!("c{c}"), &format!("w{n}"))).unwrap();
        }
        worker.leave();
    }
    assert_eq!(router.budget.owned_bytes(), owned);
}

/// A hundred members of level 3 that do not read the list, and ask for it again and again.
#[tokio::test]
async fn lists_that_nobody_reads_are_bounded() {
    const LIMIT: usize = 16 << 20;
    let mut config = NodeConfig::server().budget_bytes(LIMIT).max_connections(500);
    config.limits = Limits::default().max_frame_bytes(4 << 20).max_list_bytes(2 << 20);
    let router = BareRouter::with_config("mem://bare-router-lists", config);
    let limits = Limits::default();
    let methods: Vec<_> = (0..1000).map(|n| MethodName::new(format!("{n:0100}"), &limits).unwrap()).collect();
    let hello = |name: &str, methods: &[MethodName]| {
        let member = Member::new(NodeName::new(name, &limits).unwrap(), methods.to_vec());
        let body = Handshake::new(NodeType::new(Role::Client, Level::THREE), vec![member]).to_json();
        frame(Header::control(Kind::Handshake, CallId(1), true), [name, "", ""], &body)
    };
    let mut large = router.connect();
    large.handle(hello("large", &methods)).unwrap();
    large.take_all();
    let mut deaf: Vec<_> = (0..300).map(|_| router.connect()).collect();
    for round in 0..3 {
        for (n, one) in deaf.iter_mut().enumerate() {
            one.handle(hello(&format!("deaf{n}"), &methods[..round])).unwrap();
        }
    }
    let held = deaf.iter().map(|one| one.conn.outbox.account().held_bytes()).sum::<usize>();
    let list = router.router.members().len() * 64 + 110_000;
    // With the one list for which nothing waits, from the reserve.
    let most = LIMIT + (1 << 20) + list;
    assert!(
        router.budget.used_bytes() <= most && held <= most + router.budget.owned_bytes(),
        "{held}: {}",
        router.budget.used_bytes()
    );
    assert!(held > LIMIT / 4, "{held}: they are let in as long as there is room");
}
