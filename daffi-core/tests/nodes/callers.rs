//! More callers than a worker remembers: those of whom calls are open are remembered.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    time::Duration,
};

use daffi_core::{Callback, CallbackOptions, Client, NodeConfig, remote_error};
use daffi_transport::{LinkConfig, Listener, mem};
use daffi_wire::{
    CallId, CallerLeft, Cancel, CancelReason, Data, DataEnd, Extensions, Frame, Kind, Level, Limits, MethodName,
    StreamFlags,
};
use futures::{StreamExt, TryStreamExt};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

use crate::{
    peer::{Peer, data, next_of_a_call, nowait, request, send},
    support::{Formats, client_exposing, endpoint, formats, node, plain},
};

const SEVEN: &str = r#"{"args":[7],"kwargs":{}}"#;
const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;
const THREE_FOUR: &str = r#"{"args":[3,4],"kwargs":{}}"#;

/// With names of nearly 10 kB, more of them than a worker remembers.
const MANY: usize = 830;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), what).await.expect("it ends")
}

/// `echo`: each item as a result, and tells `ended` when its caller is seen to have given it up.
/// `wait`: async, until it is cancelled. `add`: at once. `note`: tells how often it ran.
fn callbacks(ended: &Arc<Notify>, noted: &Arc<Semaphore>) -> Vec<Callback> {
    let name = |name: &str| MethodName::new(name, &Limits::default()).unwrap();
    let (ended, noted) = (Arc::clone(ended), Arc::clone(noted));
    let echo = Callback::streaming(name("echo"), CallbackOptions::new(), formats(), move |(): (), ctx| {
        let (ctx, ended) = (ctx.clone(), Arc::clone(&ended));
        let items = ctx.items::<u64, Formats>("echo").into_iter();
        tokio::spawn(async move {
            ctx.cancelled().await;
            ended.notify_one();
        });
        Ok(futures::stream::iter(items).flatten().map_err(remote_error))
    });
    let wait = Callback::asynchronous(name("wait"), CallbackOptions::new(), formats(), |(): (), ctx| {
        let ctx = ctx.clone();
        async move {
            ctx.cancelled().await;
            Ok(())
        }
    });
    let note = plain("note", move |(): ()| {
        noted.add_permits(1);
        Ok(())
    });
    vec![echo, wait, note, plain("add", |(a, b): (u64, u64)| Ok(a + b))]
}

/// A worker and its Router, which is played by hand.
async fn worker(callbacks: Vec<Callback>) -> (Client<Formats>, Peer) {
    let at = endpoint();
    let mut listener = mem::MemListener::bind(&at).unwrap();
    let connecting = client_exposing(&at, "svc", NodeConfig::client().workers(2 * MANY), callbacks);
    let accepting = async {
        let accepted = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
        let mut router = Peer(accepted.upgrade().await.unwrap());
        let hello = router.receive().await.unwrap();
        let body = r#"{"meta":{"type":"router/4","error":null},"members":[]}"#;
        let answer = Frame::new(hello.header(), "svc", "", "", body.as_bytes(), &Limits::default()).unwrap();
        router.send_bytes(answer.as_bytes()).await;
        router.0.reader.set_level(Level::FOUR);
        router
    };
    tokio::join!(connecting, accepting)
}

fn long_name(n: usize) -> String {
    format!("{n:09900}")
}

async fn ask(router: &mut Peer, id: u16, from: &str, method: &str, body: &str) {
    send(router, &request(id, [from, "svc", method], &Extensions::default(), body)).await;
}

async fn cancel(router: &mut Peer, id: u16, from: &str, reason: CancelReason) {
    let frame = Cancel { id: CallId(id), reason }.frame(&node(from), &node("svc"), &Limits::default());
    send(router, &frame.unwrap()).await;
}

/// Whether a call of `add` is answered; else it is refused for want of room.
async fn is_answered(router: &mut Peer, from: &str) -> bool {
    ask(router, 9, from, "add", THREE_FOUR).await;
    let answer = loop {
        let answer = next_of_a_call(router).await.unwrap();
        // The call of `wait` before may have been refused, or have ended with its caller, of which
        // the last word is about no call.
        if ![CallId(3), CallId::NONE].contains(&answer.header().id()) {
            break answer;
        }
    };
    assert!(answer.header().id() == CallId(9) && answer.receiver() == from, "{:?}", answer.header());
    let text = String::from_utf8_lossy(answer.payload());
    let remembers = text.contains("Overloaded") && text.contains("remembers");
    assert!(answer.kind() == Kind::Response || remembers, "{text}");
    answer.kind() == Kind::Response
}

/// A call whose items and results go one by one.
async fn begin_echo(router: &mut Peer, id: u16) {
    let streams = StreamFlags { items_follow: true, takes_results: true };
    let said = Extensions::builder().stream(streams).build().unwrap();
    send(router, &request(id, ["caller", "svc", "echo"], &said, NOTHING)).await;
    echo(router, id).await;
}

/// An item of it comes back.
async fn echo(router: &mut Peer, id: u16) {
    send(router, &data(id, true, ["caller", "svc"], DataEnd::Item, SEVEN.as_bytes())).await;
    loop {
        let frame = next_of_a_call(router).await.unwrap();
        if frame.kind() == Kind::Data {
            assert!(Data::read(frame).unwrap().bytes.ends_with(SEVEN.as_bytes()));
            return;
        }
        assert_eq!(frame.kind(), Kind::Response, "{frame:?}");
    }
}

/// The callback hears that its caller gave the call up, and the caller has its end.
async fn cancel_echo(router: &mut Peer, id: u16, ended: &Notify) {
    cancel(router, id, "caller", CancelReason::Dropped).await;
    let answer = next_of_a_call(router).await.unwrap();
    assert_eq!((answer.kind(), answer.header().id()), (Kind::Error, CallId(id)));
    soon(ended.notified()).await;
}

#[tokio::test]
async fn callers_that_come_later_make_no_worker_forget_open_calls() {
    let (ended, noted) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let (_worker, mut router) = worker(callbacks(&ended, &noted)).await;
    begin_echo(&mut router, 2).await;
    let names: Vec<_> = (0..MANY).map(long_name).collect();
    for name in &names {
        assert!(is_answered(&mut router, name).await);
    }
    echo(&mut router, 2).await;
    cancel_echo(&mut router, 2, &ended).await;
    assert!(noted.try_acquire().is_err());
}

#[tokio::test]
async fn a_newcomer_is_refused_where_calls_of_all_others_are_open_and_not_after_them() {
    let (ended, noted) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let (_worker, mut router) = worker(callbacks(&ended, &noted)).await;
    begin_echo(&mut router, 2).await;
    let mut refused = 0;
    for n in 0..MANY {
        let name = long_name(n);
        ask(&mut router, 3, &name, "wait", NOTHING).await;
        // Those who are refused had no call that is open.
        refused += usize::from(!is_answered(&mut router, &name).await);
    }
    assert!((1..MANY / 10).contains(&refused), "{refused}");
    // What wants no answer needs nobody to be remembered.
    let newcomer = long_name(MANY);
    send(&mut router, &nowait([&newcomer, "svc", "note"], &Extensions::default(), NOTHING)).await;
    soon(noted.acquire()).await.unwrap().forget();
    assert!(!is_answered(&mut router, &newcomer).await);
    echo(&mut router, 2).await;
    cancel_echo(&mut router, 2, &ended).await;
    for (number, gone) in [(1, long_name(0)), (2, long_name(1))] {
        let told = CallerLeft::Told(number).frame(&node(&gone), &node("svc"), &Limits::default());
        send(&mut router, &told.unwrap()).await;
    }
    assert!(is_answered(&mut router, &newcomer).await);
}
