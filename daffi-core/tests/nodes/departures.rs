//! Callers that come and go: what those who have calls of them hear and say, and the numbers of
//! these calls.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use bytes::Buf;
use daffi_core::{Callback, CallbackOptions, Client, NodeConfig};
use daffi_serde::RemoteError;
use daffi_transport::{Batch, LinkConfig, Listener, mem};
use daffi_wire::{
    CallId, CallerLeft, Cancel, CancelReason, Data, DataEnd, Extensions, Frame, Kind, Level, Limits, MethodName,
    StreamFlags,
};
use futures::StreamExt;
use tokio::sync::Semaphore;

use crate::{
    cancel::{Seen, begin, callbacks, soon},
    peer::{Peer, handled, next_of_a_call, raw, request, send},
    support::{Formats, client, client_exposing, endpoint, formats, hang, plain, router},
};

/// About as many calls of one caller as may rest at a Router for one receiver, and some more.
const MORE_THAN_REST: usize = 33_000;

const ARGS: &str = r#"{"args":[],"kwargs":{}}"#;

fn word(says: CallerLeft, [from, to]: [&str; 2]) -> Frame {
    says.frame(from, to, &Limits::default()).unwrap()
}

/// The next REQUEST or CANCEL.
async fn next(peer: &mut Peer) -> Frame {
    soon("a call or a word about one", next_of_a_call(peer)).await.unwrap()
}

/// A caller that comes, has calls put in line behind a worker that is busy, and goes, again and
/// again.
#[tokio::test]
async fn a_caller_that_comes_and_goes_is_served_whatever_it_left_in_line() {
    let (router, at) = router();
    let gate = Arc::new(Semaphore::new(0));
    let served = vec![hang(&gate), plain("add", |(a, b): (i64, i64)| Ok(a + b))];
    let _worker = client_exposing(&at, "worker", NodeConfig::client().workers(1), served).await;
    let other = client(&at, "other").await;
    let busy = begin(other.rpc().call::<i64>("hang", (1,))).await;
    let mut left = 0;
    while left < MORE_THAN_REST {
        let mut caller = raw(&at, "caller", "client/4", "null").await;
        for id in 2..1_002 {
            caller.send_to(Kind::Request, id, ["caller", "worker", "hang"], r#"{"args":[1],"kwargs":{}}"#, true).await;
        }
        handled(&mut caller).await;
        left += 1_000;
        // Some leave, and some are evicted by the next.
        if left % 2_000 == 0 {
            drop(caller);
        } else {
            drop(raw(&at, "caller", "client/4", "null").await);
        }
    }
    let caller = client(&at, "caller").await;
    let sum = begin(caller.rpc().call::<i64>("add", (3, 4))).await;
    gate.add_permits(1);
    soon("the worker is free", busy).await.unwrap();
    assert_eq!(soon("the answer", sum).await.unwrap(), 7);
    assert_eq!(router.stats().refused_calls, 0);
}

/// Whether the call that a caller of this name makes next under number 2 travels under that.
async fn has_own_number(worker: &mut Peer, caller: &mut Peer) -> bool {
    caller.send_to(Kind::Request, 2, ["caller", "worker", "f"], ARGS, true).await;
    loop {
        let frame = next(worker).await;
        if frame.kind() == Kind::Request {
            let id = frame.header().id();
            worker.send_to(Kind::Error, id.0, ["worker", "caller", "f"], "{}", false).await;
            while soon("the answer", caller.receive()).await.unwrap().header().id() != CallId(2) {}
            return id == CallId(2);
        }
    }
}

#[tokio::test]
async fn numbers_rest_until_the_receiver_has_said_all_about_them() {
    let (router, at) = router();
    let mut worker = raw(&at, "worker", "client/4", r#"["f"]"#).await;
    let mut greedy = raw(&at, "greedy", "client/4", r#"["g"]"#).await;
    let caller = async |worker: &mut Peer| {
        let mut caller = raw(&at, "caller", "client/4", "null").await;
        caller.send_to(Kind::Request, 2, ["caller", "worker", "f"], ARGS, true).await;
        assert_eq!(next(worker).await.kind(), Kind::Request);
        drop(caller);
        let told = next(worker).await;
        assert_eq!(told.transmitter(), "caller");
        CallerLeft::read(&told).unwrap().unwrap()
    };
    let first = caller(&mut worker).await;
    assert_eq!(first, CallerLeft::Told(1));
    // Of what it was not told nobody says anything: neither another, nor of another.
    let skipped = router.stats().skipped_frames;
    for says in [word(CallerLeft::Answered(1), ["greedy", "caller"]), word(CallerLeft::Told(1), ["caller", "worker"])] {
        send(&mut greedy, &says).await;
    }
    send(&mut greedy, &word(CallerLeft::Answered(1), ["worker", "caller"])).await;
    handled(&mut greedy).await;
    assert_eq!(router.stats().skipped_frames, skipped + 3);
    let mut newer = raw(&at, "caller", "client/4", "null").await;
    assert!(!has_own_number(&mut worker, &mut newer).await, "the first call of that name may be answered");
    send(&mut worker, &word(first.answer().unwrap(), ["worker", "caller"])).await;
    handled(&mut worker).await;
    assert!(has_own_number(&mut worker, &mut newer).await, "all is said about it");
    drop(newer);
    // Once for each that it was told, whatever it says.
    let second = caller(&mut worker).await;
    assert_eq!(second, CallerLeft::Told(2));
    for says in [CallerLeft::Answered(1), CallerLeft::Answered(2), CallerLeft::Answered(7)] {
        send(&mut worker, &word(says, ["worker", "caller"])).await;
    }
    handled(&mut worker).await;
    assert_eq!(router.stats().skipped_frames, skipped + 5, "it said one too many, and had said the wrong one");
    let mut newer = raw(&at, "caller", "client/4", "null").await;
    assert!(!has_own_number(&mut worker, &mut newer).await, "it pays for that itself");
}

/// The one before was told of late, and its calls are still open when the next has the name.
#[tokio::test]
async fn what_is_said_of_one_caller_frees_no_call_of_the_next() {
    let (_router, at) = router();
    let mut worker = raw(&at, "worker", "client/4", r#"["f"]"#).await;
    let mut told = Vec::new();
    let mut callers = Vec::new();
    for _ in 0..3 {
        let mut caller = raw(&at, "caller", "client/4", "null").await;
        caller.send_to(Kind::Request, 2, ["caller", "worker", "f"], ARGS, true).await;
        callers.push(caller);
        loop {
            let frame = next(&mut worker).await;
            match frame.kind() {
                Kind::Request => break told.push((frame.header().id(), None)),
                // Before any call of the next.
                _ => told.last_mut().unwrap().1 = CallerLeft::read(&frame).unwrap(),
            }
        }
    }
    let [(first, Some(first_told)), (second, Some(second_told)), (third, None)] = told[..] else { panic!("{told:?}") };
    assert!(first != second && second != third && third != first);
    send(&mut worker, &word(second_told.answer().unwrap(), ["worker", "caller"])).await;
    send(&mut worker, &word(first_told.answer().unwrap(), ["worker", "caller"])).await;
    worker.send_to(Kind::Response, third.0, ["worker", "caller", "f"], ARGS, false).await;
    let newest = callers.last_mut().unwrap();
    while soon("the answer", newest.receive()).await.unwrap().kind() != Kind::Response {}
    assert!(has_own_number(&mut worker, newest).await);
}

/// Two callbacks run at a time.
fn two() -> NodeConfig {
    NodeConfig::client().workers(2)
}

/// A worker that was told of its caller's end by a Router by hand.
async fn worker_of_hand(config: NodeConfig, callbacks: Vec<Callback>) -> (Client<Formats>, Peer) {
    let at = endpoint();
    let mut listener = mem::MemListener::bind(&at).unwrap();
    let connecting = client_exposing(&at, "worker", config, callbacks);
    let accepting = async {
        let accepted = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
        let mut router = Peer(accepted.upgrade().await.unwrap());
        let hello = router.receive().await.unwrap();
        let body = r#"{"meta":{"type":"router/4","error":null},"members":[]}"#;
        let answer = Frame::new(hello.header(), "worker", "", "", body.as_bytes(), &Limits::default()).unwrap();
        router.send_bytes(answer.as_bytes()).await;
        router.0.reader.set_level(Level::FOUR);
        router
    };
    tokio::join!(connecting, accepting)
}

/// The word alone ends them: no news of the caller's end came.
#[tokio::test]
async fn the_word_that_a_caller_is_gone_ends_all_its_calls_and_no_others() {
    let seen: Arc<Seen> = Arc::default();
    let (_worker, mut router) = worker_of_hand(two(), callbacks(&seen)).await;
    let wait = |id, from: &'static str| (Kind::Request, id, [from, "worker", "wait"]);
    // Two run, and one of each caller waits in line.
    for (kind, id, names) in [wait(2, "gone"), wait(3, "there"), wait(4, "gone"), wait(5, "there")] {
        router.send_to(kind, id, names, r#"{"args":[],"kwargs":{}}"#, true).await;
    }
    seen.await_begun(2).await;
    send(&mut router, &word(CallerLeft::Told(7), ["gone", "worker"])).await;
    seen.await_cancelled(1).await;
    // The one in line of the other caller runs, and the one of the caller that is gone never does.
    seen.await_begun(3).await;
    assert_eq!((seen.begun.load(SeqCst), seen.cancelled.load(SeqCst)), (3, 1));
    // At once, though one of them may run for as long as it likes, and nothing comes behind.
    let said = next(&mut router).await;
    assert_eq!(CallerLeft::read(&said).unwrap(), Some(CallerLeft::Answered(7)));
    assert_eq!((said.transmitter(), said.receiver()), ("worker", "gone"));
    // The next of that name has the same numbers.
    for id in [2, 4] {
        router.send_to(Kind::Request, id, ["gone", "worker", "nothing"], ARGS, true).await;
        let answer = next(&mut router).await;
        assert_eq!((answer.kind(), answer.header().id()), (Kind::Error, CallId(id)));
    }
}

/// Also about one of which it knows nothing, and in the order in which it is asked.
#[tokio::test]
async fn each_word_that_a_caller_left_is_answered_by_its_number() {
    let (worker, mut router) = worker_of_hand(two(), callbacks(&Arc::default())).await;
    for number in [3, 0, 9, u32::MAX] {
        send(&mut router, &word(CallerLeft::Told(number), ["nobody", "worker"])).await;
    }
    for number in [3, 9, u32::MAX] {
        let said = next(&mut router).await;
        assert_eq!(CallerLeft::read(&said).unwrap(), Some(CallerLeft::Answered(number)));
    }
    drop(worker);
}

/// What it makes the worker say waits in the worker, as long as there is no end to it.
#[tokio::test]
async fn a_router_that_asks_for_last_words_and_takes_none_is_ended() {
    let config = NodeConfig::client().budget_bytes(1 << 20);
    let (_worker, mut router) = worker_of_hand(config, Vec::new()).await;
    let gone = "g".repeat(1_000);
    let is_ended = async {
        for number in 1..20_000 {
            let (told, mut batch) = (word(CallerLeft::Told(number), [&gone, "worker"]), Batch::new());
            batch.push(told.as_bytes(), None);
            while batch.has_remaining() {
                if poll_fn(|cx| router.0.writer.poll_write(cx, &mut batch)).await.is_err() {
                    return true;
                }
            }
        }
        false
    };
    assert!(soon("the words", is_ended).await, "20 MB wait for a Router that takes nothing");
}

/// What waits of results is dropped, and so is what a callback gives that goes on.
#[tokio::test]
async fn nothing_comes_of_results_behind_the_last_word() {
    let endless = MethodName::new("endless", &Limits::default()).unwrap();
    let endless = Callback::streaming_async(endless, CallbackOptions::new(), formats(), |(): (), _| async {
        Ok(futures::stream::repeat(1).map(Ok::<_, RemoteError>))
    });
    let (_worker, mut router) =
        worker_of_hand(two(), vec![endless, plain("add", |(a, b): (i64, i64)| Ok(a + b))]).await;
    let takes = StreamFlags { items_follow: false, takes_results: true };
    let says = Extensions::builder().stream(takes).build().unwrap();
    let call = |id, from| request(id, [from, "worker", "endless"], &says, ARGS);
    // Both have the same number.
    for from in ["gone", "there"] {
        send(&mut router, &call(2, from)).await;
    }
    // Nobody takes them, so that the rest of both windows waits in the worker.
    handled(&mut router).await;
    send(&mut router, &word(CallerLeft::Told(1), ["gone", "worker"])).await;
    let mut of_the_other = 0;
    let said = loop {
        let frame = next(&mut router).await;
        of_the_other += usize::from(frame.kind() == Kind::Data && frame.receiver() == "there");
        if frame.kind() == Kind::Cancel {
            break frame;
        }
    };
    assert_eq!(CallerLeft::read(&said).unwrap(), Some(CallerLeft::Answered(1)));
    router.send_to(Kind::Request, 3, ["there", "worker", "add"], r#"{"args":[1,2],"kwargs":{}}"#, true).await;
    loop {
        let frame = next(&mut router).await;
        assert_eq!(frame.receiver(), "there", "{frame:?}");
        of_the_other += usize::from(frame.kind() == Kind::Data);
        if frame.header().id() == CallId(3) {
            break;
        }
    }
    assert!(of_the_other > 0, "results of another are not dropped");
}

/// Two callers count their calls each for itself.
#[tokio::test]
async fn results_that_wait_are_dropped_with_their_own_call_alone() {
    const ROWS: usize = 400;
    let rows = MethodName::new("rows", &Limits::default()).unwrap();
    let given = Arc::new(Semaphore::new(0));
    let gives = Arc::clone(&given);
    let rows = Callback::streaming_async(rows, CallbackOptions::new(), formats(), move |(): (), _| {
        let gives = Arc::clone(&gives);
        async move {
            let row = move |n| {
                gives.add_permits(1);
                Ok::<_, RemoteError>(format!("{n:08}").repeat(1_000))
            };
            Ok(futures::stream::iter(0..ROWS).map(row))
        }
    });
    let (_worker, mut router) = worker_of_hand(two(), vec![rows]).await;
    let takes = StreamFlags { items_follow: false, takes_results: true };
    let says = Extensions::builder().stream(takes).window(4 << 20).build().unwrap();
    for from in ["gives-up", "other"] {
        send(&mut router, &request(2, [from, "worker", "rows"], &says, ARGS)).await;
    }
    // About as much as the worker lets wait.
    given.acquire_many(36).await.unwrap().forget();
    let cancel = Cancel { id: CallId(2), reason: CancelReason::Dropped };
    send(&mut router, &cancel.frame("gives-up", "worker", &Limits::default()).unwrap()).await;
    let (mut rows, mut cancelled) = (Vec::new(), false);
    loop {
        let frame = next(&mut router).await;
        match (frame.receiver(), frame.kind()) {
            ("gives-up", Kind::Error) => cancelled = true,
            ("gives-up", _) => assert!(!cancelled, "behind its end: {frame:?}"),
            (_, Kind::Data) => {
                let data = Data::read(frame).unwrap();
                rows.extend_from_slice(&data.bytes);
                if data.end == DataEnd::Direction {
                    break;
                }
            }
            _ => {}
        }
    }
    assert!(cancelled);
    let rows = String::from_utf8_lossy(&rows).into_owned();
    let mut rest = &rows[..];
    for n in 0..ROWS {
        let (before, after) = rest.split_once(&format!("{n:08}").repeat(1_000)).unwrap_or_else(|| panic!("row {n}"));
        assert!(before.len() < 100, "row {n}");
        rest = after;
    }
}
