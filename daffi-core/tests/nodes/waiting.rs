//! Calls that wait at a Router until somebody exposes their callback.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use daffi_core::{CallError, Callback, Client, NodeConfig, Rpc, WaitedFor};
use daffi_transport::Endpoint;
use daffi_wire::{
    CallId, Cancel, CancelReason, Data, DataEnd, Extensions, FormatId, Frame, FrameWriter, Header, Kind, Limits,
};
use tokio::time::timeout;

use crate::{
    peer::{Peer, handshake, request},
    support::{Formats, client, plain, router, router_with, worker},
};

const LONG: Duration = Duration::from_secs(120);
pub(crate) const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.expect("it ends")
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(LONG, waiting).await.is_ok(), "not in time: {what}");
}

fn double() -> Callback {
    plain("double", |(n,): (i64,)| Ok(n * 2))
}

pub(crate) fn patient(client: &Client<Formats>) -> Rpc<Formats> {
    client.rpc().wait_for_receiver().timeout(LONG)
}

pub(crate) async fn raw(at: &Endpoint, name: &str, methods: &str) -> Peer {
    let mut peer = Peer::connect(at).await;
    peer.hello_with(name, "client/4", methods).await;
    peer
}

pub(crate) async fn next(peer: &mut Peer) -> Frame {
    loop {
        let frame = soon(peer.receive()).await.expect("a frame");
        if !matches!(frame.kind(), Kind::Handshake | Kind::Events | Kind::Ping) {
            return frame;
        }
    }
}

pub(crate) fn waits(ms: u32) -> Extensions {
    Extensions::builder().time_left_ms(ms).wait_for_receiver().build().unwrap()
}

pub(crate) async fn send_waiting(peer: &mut Peer, name: &str, id: u16, method: &str, ms: u32) {
    peer.send_bytes(request(id, [name, "", method], &waits(ms), NOTHING).as_bytes()).await;
}

#[tokio::test]
async fn a_call_waits_until_somebody_exposes_its_callback() {
    let (router, at) = router();
    let client = client(&at, "caller").await;
    let calls = [patient(&client).call::<i64>("double", (4,)), patient(&client).call::<i64>("double", (5,))];
    let calls = tokio::spawn(futures::future::join_all(calls));
    until("they wait", || router.stats().waiting_calls == 2).await;
    assert_eq!(router.stats().open_calls, 0);
    let worker = worker(&at, "worker", vec![]).await;
    worker.add_callbacks(vec![double()]).unwrap();
    let answers: Vec<_> = soon(calls).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!((answers, router.stats().waiting_calls), (vec![8, 10], 0));
    assert_eq!(patient(&client).call::<i64>("double", (6,)).await.unwrap(), 12, "it need not wait");
}

/// Who waits for a callback, and then exposes it itself, is in nobody's way.
#[tokio::test]
async fn who_waits_may_expose_it_for_the_others() {
    let (router, at) = router();
    let (own, other) = (worker(&at, "own", vec![]).await, client(&at, "other").await);
    let first = tokio::spawn({
        let own = own.clone();
        async move { patient(&own).call::<i64>("double", (4,)).await }
    });
    until("it waits", || router.stats().waiting_calls == 1).await;
    let second = tokio::spawn(async move { patient(&other).call::<i64>("double", (5,)).await });
    until("both wait", || router.stats().waiting_calls == 2).await;
    own.add_callbacks(vec![double()]).unwrap();
    assert_eq!(soon(second).await.unwrap().unwrap(), 10);
    let _another = worker(&at, "another", vec![double()]).await;
    assert_eq!(soon(first).await.unwrap().unwrap(), 8);
}

#[tokio::test]
async fn one_that_does_not_wait_fails_at_once_and_one_whose_time_passes_says_what_it_waited_for() {
    let (router, at) = router();
    let client = client(&at, "caller").await;
    let error = client.rpc().by_router().timeout(LONG).call::<i64>("double", (4,)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
    let mut caller = raw(&at, "raw", "null").await;
    send_waiting(&mut caller, "raw", 2, "f", 20).await;
    let ended = next(&mut caller).await;
    let text = String::from_utf8_lossy(ended.payload()).into_owned();
    assert!(ended.header().id() == CallId(2) && text.contains("DeadlineExceeded"), "{text}");
    let brief = client.rpc().wait_for_receiver().timeout(Duration::from_millis(20));
    let error = soon(brief.call::<i64>("double", (4,))).await.unwrap_err();
    let CallError::Timeout { receiver, waited_for, .. } = error else { panic!("{error}") };
    assert!(receiver == "any member" && matches!(waited_for, WaitedFor::Receiver | WaitedFor::Answer));
    until("nothing is left", || router.stats().waiting_calls == 0).await;
}

#[tokio::test]
async fn what_is_given_up_or_whose_caller_leaves_never_runs() {
    let (router, at) = router();
    let client_a = client(&at, "a").await;
    let given_up = tokio::spawn({
        let client = client_a.clone();
        async move { patient(&client).call::<i64>("f", ()).await }
    });
    until("it waits", || router.stats().waiting_calls == 1).await;
    given_up.abort();
    until("it is taken back", || router.stats().waiting_calls == 0).await;
    let mut b = raw(&at, "b", "null").await;
    send_waiting(&mut b, "b", 2, "f", 60_000).await;
    send_waiting(&mut b, "b", 3, "f", 60_000).await;
    until("both wait", || router.stats().waiting_calls == 2).await;
    let cancel = Cancel { id: CallId(2), reason: CancelReason::Dropped };
    b.send_bytes(cancel.frame("b", "", &Limits::default()).unwrap().as_bytes()).await;
    let ended = next(&mut b).await;
    assert!(String::from_utf8_lossy(ended.payload()).contains("Cancelled"));
    drop(b);
    until("its caller left", || router.stats().waiting_calls == 0).await;
    // A newer connection of the name ends what the older one had waiting.
    let mut older = raw(&at, "c", "null").await;
    send_waiting(&mut older, "c", 2, "f", 60_000).await;
    until("it waits", || router.stats().waiting_calls == 1).await;
    let mut newer = raw(&at, "c", "null").await;
    until("its caller was evicted", || router.stats().waiting_calls == 0).await;
    let mut worker = raw(&at, "worker", r#"["f"]"#).await;
    newer.send_to(Kind::Request, 9, ["c", "worker", "f"], NOTHING, true).await;
    assert_eq!(next(&mut worker).await.header().id(), CallId(9), "the first that comes");
}

/// A worker that comes gets no more than it can have open, of each caller in turn; the rest goes as
/// it answers, or to the next.
#[tokio::test]
async fn those_who_wait_go_in_turn_and_not_all_at_once() {
    let (router, at) = router();
    let (mut greedy, mut modest) = (raw(&at, "greedy", "null").await, raw(&at, "modest", "null").await);
    for id in 1..=300 {
        send_waiting(&mut greedy, "greedy", id, "f", 60_000).await;
    }
    until("they wait", || router.stats().waiting_calls == 300).await;
    send_waiting(&mut modest, "modest", 1, "f", 60_000).await;
    until("it waits", || router.stats().waiting_calls == 301).await;
    let mut worker = raw(&at, "worker", r#"["f"]"#).await;
    let first = [next(&mut worker).await, next(&mut worker).await];
    let mut from: Vec<_> = first.iter().map(Frame::transmitter).collect();
    from.sort_unstable();
    assert_eq!(from, ["greedy", "modest"]);
    until("it has enough", || router.stats().open_calls == 64).await;
    let mut second = raw(&at, "second", r#"["f"]"#).await;
    next(&mut second).await;
    let mut answered = 2;
    for frame in &first {
        worker
            .send_to(Kind::Response, frame.header().id().0, ["worker", frame.transmitter(), "f"], NOTHING, false)
            .await;
    }
    while answered < 301 - 64 {
        let call = next(&mut worker).await;
        worker.send_to(Kind::Response, call.header().id().0, ["worker", call.transmitter(), "f"], NOTHING, false).await;
        answered += 1;
    }
    until("all went", || router.stats().waiting_calls == 0).await;
}

/// When the one leaves for which calls wait until it takes more, others get them.
#[tokio::test]
async fn what_waits_for_one_that_leaves_goes_to_the_others() {
    let (router, at) = router();
    let mut caller = raw(&at, "caller", "null").await;
    for id in 1..=200 {
        send_waiting(&mut caller, "caller", id, "f", 60_000).await;
    }
    until("they wait", || router.stats().waiting_calls == 200).await;
    let full = raw(&at, "full", r#"["f"]"#).await;
    until("it has enough", || router.stats().open_calls == 64).await;
    let _other = raw(&at, "other", r#"["f"]"#).await;
    until("it has enough as well", || router.stats().open_calls == 128).await;
    let _third = raw(&at, "third", r#"["f"]"#).await;
    until("the rest went", || router.stats().waiting_calls == 200 - 192).await;
    drop(full);
    until("its calls ended", || router.stats().open_calls <= 128).await;
    let _fourth = raw(&at, "fourth", r#"["f"]"#).await;
    until("all went", || router.stats().waiting_calls == 0).await;
}

#[tokio::test]
async fn greedy_callers_are_overloaded_and_leave_room_for_others() {
    let config = NodeConfig::server().budget_bytes(8 << 20);
    let (router, at) = router_with(config);
    let mut greedy = raw(&at, "greedy", "null").await;
    let big = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(100_000));
    let mut refused = 0;
    for id in 1..=200 {
        greedy.send_bytes(request(id, ["greedy", "", "f"], &waits(60_000), &big).as_bytes()).await;
        until("it was looked at", || {
            router.stats().waiting_calls + refused + 1 > usize::from(id)
                || router.stats().refused_calls > refused as u64
        })
        .await;
        refused = usize::try_from(router.stats().refused_calls).unwrap();
    }
    assert!(refused > 50 && router.stats().waiting_calls > 10, "{refused} refused");
    let text = String::from_utf8_lossy(next(&mut greedy).await.payload()).into_owned();
    assert!(text.contains("Overloaded"), "{text}");
    let modest = client(&at, "modest").await;
    let call = tokio::spawn({
        let modest = modest.clone();
        async move { patient(&modest).call::<i64>("double", (4,)).await }
    });
    until("it waits as well", || router.stats().waiting_calls + refused == 201).await;
    let _worker = worker(&at, "worker", vec![double()]).await;
    assert_eq!(soon(call).await.unwrap().unwrap(), 8);
    drop(greedy);
    until("nothing is held", || router.stats().waiting_calls == 0 && router.stats().held_bytes == 0).await;
}

/// Large arguments wait with what came of them.
#[tokio::test]
async fn arguments_in_parts_wait_with_their_call() {
    let (router, at) = router();
    let client = client(&at, "caller").await;
    let large = "x".repeat(3 << 20);
    let call = tokio::spawn({
        let (client, large) = (client.clone(), large.clone());
        async move { patient(&client).call::<usize>("count", (large,)).await }
    });
    until("it waits", || router.stats().waiting_calls == 1).await;
    let _worker = worker(&at, "worker", vec![plain("count", |(text,): (String,)| Ok(text.len()))]).await;
    assert_eq!(soon(call).await.unwrap().unwrap(), large.len());
    // Who sends more than the first window before there is credit ends its connection.
    let mut raw = raw(&at, "raw", "null").await;
    let (mut bytes, limits) = (bytes::BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, "raw", "", "f").unwrap();
    writer.time_left(60_000, &Extensions::builder().wait_for_receiver().build().unwrap());
    writer.body_total(1 << 20);
    writer.finish(Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true), 0, &limits).unwrap();
    raw.send_bytes(&bytes).await;
    until("it waits", || router.stats().waiting_calls == 1).await;
    let part = Data {
        id: CallId(2),
        from_caller: true,
        end: DataEnd::Item,
        packed: false,
        bytes: Bytes::from(vec![0; 40_000]),
    };
    let part = part.frame("raw", "", &limits).unwrap();
    raw.send_bytes(part.as_bytes()).await;
    raw.send_bytes(part.as_bytes()).await;
    while soon(raw.receive()).await.is_some() {}
    until("it is forgotten", || router.stats().waiting_calls == 0).await;
}

#[tokio::test]
async fn a_router_that_stops_refuses_what_waits() {
    let (router, at) = router();
    let client = client(&at, "caller").await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { patient(&client).call::<i64>("double", (4,)).await }
    });
    until("it waits", || router.stats().waiting_calls == 1).await;
    soon(router.stop()).await;
    let error = soon(call).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Stopping(_)), "{error}");
}

/// The only worker is restarted again and again, in order, while callers go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_restarted_under_load_makes_no_call_fail() {
    let (router, at) = router();
    let (ends, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = Vec::new();
    for n in 0..4 {
        let client = client(&at, &format!("caller-{n}")).await;
        let (ends, done) = (Arc::clone(&ends), Arc::clone(&done));
        callers.push(tokio::spawn(async move {
            while !ends.load(SeqCst) {
                let calls = (0..8).map(|n| patient(&client).call::<i64>("double", (n,)));
                for (n, answer) in futures::future::join_all(calls).await.into_iter().enumerate() {
                    assert_eq!(answer.unwrap(), 2 * i64::try_from(n).unwrap());
                    done.fetch_add(1, SeqCst);
                }
            }
        }));
    }
    let mut waited = 0;
    for _ in 0..20 {
        let worker = worker(&at, "worker", vec![double()]).await;
        let before = done.load(SeqCst);
        until("calls run", || done.load(SeqCst) > before + 50 || callers.iter().any(|caller| caller.is_finished()))
            .await;
        soon(worker.stop()).await;
        until("calls wait", || router.stats().waiting_calls > 0 || callers.iter().any(|caller| caller.is_finished()))
            .await;
        waited += usize::from(router.stats().waiting_calls > 0);
    }
    ends.store(true, SeqCst);
    let _worker = worker(&at, "worker", vec![double()]).await;
    for caller in callers {
        soon(caller).await.expect("no call failed");
    }
    assert_eq!(waited, 20);
}

/// Workers that are full have less to do without having answered anything, whichever of them was
/// looked at first.
#[tokio::test]
async fn those_who_wait_go_on_when_a_caller_before_them_leaves() {
    for leaves in [0, 1] {
        let (router, at) = router();
        let (mut workers, mut greedy) = (Vec::new(), Vec::new());
        for (worker, caller) in [("w0", "greedy0"), ("w1", "greedy1")] {
            let mut from = raw(&at, caller, "null").await;
            for id in 1..=64 {
                send_waiting(&mut from, caller, id, worker, 60_000).await;
            }
            until("they wait", || router.stats().waiting_calls == 64).await;
            let mut to = raw(&at, worker, &format!(r#"["{worker}"]"#)).await;
            for _ in 1..=64 {
                next(&mut to).await;
            }
            workers.push(to);
            greedy.push(from);
        }
        let mut patient = raw(&at, "patient", "null").await;
        send_waiting(&mut patient, "patient", 1, "f", 60_000).await;
        until("it waits", || router.stats().waiting_calls == 1).await;
        for (worker, name) in workers.iter_mut().zip(["w0", "w1"]) {
            let exposes = format!(r#"["f","{name}"]"#);
            worker.send_bytes(handshake(name, "client/4", &exposes, "").as_bytes()).await;
        }
        let exposes =
            |name: &str| router.members().iter().any(|member| *member.name == *name && member.methods.len() == 2);
        until("both expose it", || exposes("w0") && exposes("w1")).await;
        assert_eq!(router.stats().waiting_calls, 1, "both have enough to do");
        drop(greedy.swap_remove(leaves));
        let passed = loop {
            let frame = next(&mut workers[leaves]).await;
            if frame.kind() == Kind::Request {
                break frame;
            }
        };
        assert_eq!(passed.transmitter(), "patient");
    }
}

/// The greedy one: what comes for a call that announced nothing is not kept with it.
#[tokio::test]
async fn data_that_no_waiting_call_announced_is_not_kept() {
    let (router, at) = router();
    let mut greedy = raw(&at, "greedy", "null").await;
    for id in 1..=200 {
        send_waiting(&mut greedy, "greedy", id, "f", 60_000).await;
        let bytes = Bytes::from_static(&[7; 60_000]);
        let data = Data { id: CallId(id), from_caller: true, end: DataEnd::Item, packed: false, bytes };
        greedy.send_bytes(data.frame("greedy", "", &Limits::default()).unwrap().as_bytes()).await;
    }
    until("all came", || router.stats().skipped_frames == 200).await;
    assert_eq!(router.stats().waiting_calls, 200);
}

/// What a call waited for is time that its caller has no more.
#[tokio::test(start_paused = true)]
async fn the_time_that_a_call_waited_is_taken_off() {
    let (router, at) = router();
    let mut caller = raw(&at, "caller", "null").await;
    send_waiting(&mut caller, "caller", 2, "double", 300_000).await;
    until("it waits", || router.stats().waiting_calls == 1).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut worker = raw(&at, "worker", r#"["double"]"#).await;
    let left = next(&mut worker).await.take_extensions().unwrap().time_left_ms().unwrap();
    assert!((200_000..=296_000).contains(&left), "{left} ms");
}
