//! Calls that their callers give up: the callback hears of it, what has not begun does not run, and
//! numbers come back.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use daffi_core::{Callback, CallbackOptions, Client, NodeConfig};
use daffi_serde::RemoteError;
use daffi_transport::Endpoint;
use daffi_wire::{CallId, CallerLeft, Cancel, CancelReason, Frame, Kind, Limits, MethodName};
use futures::{FutureExt, StreamExt};
use tokio::{sync::Notify, time::timeout};

use crate::{
    peer::{Peer, request},
    support::{Formats, client, client_exposing, endpoint, formats, plain, router, service_at},
};

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(300), future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// What callbacks saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) begun: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
    changed: Notify,
}

impl Seen {
    fn count(&self, counter: &AtomicUsize) {
        counter.fetch_add(1, SeqCst);
        self.changed.notify_waiters();
    }

    async fn until(&self, what: &str, counter: &AtomicUsize, count: usize) {
        soon(what, async {
            loop {
                let changed = self.changed.notified();
                if counter.load(SeqCst) >= count {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    pub(crate) async fn await_begun(&self, count: usize) {
        self.until("callbacks begin", &self.begun, count).await;
    }

    pub(crate) async fn await_cancelled(&self, count: usize) {
        self.until("callbacks see that they were cancelled", &self.cancelled, count).await;
    }
}

/// `wait`: async, ends when it is cancelled. `block`: plain, the same on a thread. `add`: at once.
pub(crate) fn callbacks(seen: &Arc<Seen>) -> Vec<Callback> {
    let name = |name: &str| MethodName::new(name, &Limits::default()).unwrap();
    let (waits, blocks) = (Arc::clone(seen), Arc::clone(seen));
    let wait = Callback::asynchronous(name("wait"), CallbackOptions::new(), formats(), move |(): (), ctx| {
        let (ctx, seen) = (ctx.clone(), Arc::clone(&waits));
        async move {
            seen.count(&seen.begun);
            ctx.cancelled().await;
            assert!(ctx.is_cancelled());
            seen.count(&seen.cancelled);
            Ok("too late")
        }
    });
    let block = Callback::plain(name("block"), CallbackOptions::new(), formats(), move |(): (), ctx| {
        blocks.count(&blocks.begun);
        tokio::runtime::Handle::current().block_on(ctx.cancelled());
        blocks.count(&blocks.cancelled);
        Ok("too late")
    });
    vec![wait, block, plain("add", |(a, b): (i64, i64)| Ok(a + b))]
}

/// Keeps the node, or the nodes, that serve.
type Nodes = Box<dyn std::any::Any>;

/// A callee with `workers`, and where its callers connect: a Service, or a worker behind a Router.
async fn callee(behind_router: bool, workers: usize, seen: &Arc<Seen>) -> (Nodes, Endpoint) {
    if behind_router {
        let (router, at) = router();
        let config = NodeConfig::client().workers(workers);
        let worker = client_exposing(&at, "worker", config, callbacks(seen)).await;
        (Box::new((router, worker)), at)
    } else {
        let at = endpoint();
        let service = service_at(&at, NodeConfig::server().workers(workers), callbacks(seen));
        (Box::new(service), at)
    }
}

/// Polls a call once, which sends it.
pub(crate) async fn begin<T>(call: impl Future<Output = T>) -> impl Future<Output = T> {
    let mut call = Box::pin(call);
    assert!((&mut call).now_or_never().is_none(), "it waits for its answer");
    call
}

pub(crate) async fn answers(caller: &Client<Formats>) {
    let sum = soon("an answer", caller.rpc().call::<i64>("add", (3, 4))).await;
    assert_eq!(sum.unwrap(), 7);
}

#[tokio::test]
async fn a_callback_hears_that_its_caller_dropped_the_call_or_ran_out_of_time() {
    for behind_router in [false, true] {
        for method in ["wait", "block"] {
            let seen = Arc::default();
            let (_nodes, at) = callee(behind_router, 4, &seen).await;
            let caller = client(&at, "caller").await;
            let call = begin(caller.rpc().call::<String>(method, ())).await;
            seen.await_begun(1).await;
            assert_eq!(seen.cancelled.load(SeqCst), 0);
            drop(call);
            seen.await_cancelled(1).await;
            let late = caller.rpc().timeout(Duration::from_millis(1)).call::<String>(method, ()).await;
            assert!(late.is_err(), "{late:?}");
            // It may have been taken back before it began.
            answers(&caller).await;
            seen.await_cancelled(seen.begun.load(SeqCst)).await;
        }
    }
}

#[tokio::test]
async fn what_was_given_up_before_it_began_does_not_run() {
    for behind_router in [false, true] {
        for method in ["wait", "block"] {
            let seen = Arc::default();
            let (_nodes, at) = callee(behind_router, 1, &seen).await;
            let caller = client(&at, "caller").await;
            let first = begin(caller.rpc().call::<String>(method, ())).await;
            seen.await_begun(1).await;
            let mut waiting = Vec::new();
            for _ in 0..100 {
                waiting.push(begin(caller.rpc().call::<String>(method, ())).await);
            }
            let last = begin(caller.rpc().call::<i64>("add", (1, 2))).await;
            drop(waiting);
            drop(first);
            assert_eq!(soon("the one that was kept", last).await.unwrap(), 3);
            assert_eq!(seen.begun.load(SeqCst), 1, "{method}, behind a router: {behind_router}");
        }
    }
}

/// More than there are call numbers: each comes back, though no callback ever answers by itself.
#[tokio::test]
async fn numbers_of_cancelled_calls_come_back() {
    for behind_router in [false, true] {
        let seen = Arc::default();
        let (_nodes, at) = callee(behind_router, 100_000, &seen).await;
        let caller = client(&at, "caller").await;
        for _ in 0..656 {
            let mut calls = Vec::new();
            for _ in 0..100 {
                calls.push(begin(caller.rpc().call::<String>("wait", ())).await);
            }
            drop(calls);
            answers(&caller).await;
        }
        seen.await_cancelled(seen.begun.load(SeqCst)).await;
    }
}

/// Never ends by itself, and notes when it is dropped.
async fn never(seen: Arc<Seen>) {
    struct Noted(Arc<Seen>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.count(&self.0.cancelled);
        }
    }
    let noted = Noted(seen);
    noted.0.count(&noted.0.begun);
    std::future::pending::<()>().await;
}

/// `drops`, which gives a value, and `drops_rows`, which gives a stream: neither ends by itself.
fn drops(seen: &Arc<Seen>) -> Vec<Callback> {
    let name = |name| MethodName::new(name, &Limits::default()).unwrap();
    let options = CallbackOptions::new().drop_when_cancelled();
    let (one, rows) = (Arc::clone(seen), Arc::clone(seen));
    vec![
        Callback::asynchronous(name("drops"), options, formats(), move |(): (), _| {
            let never = never(Arc::clone(&one));
            async move {
                never.await;
                Ok(())
            }
        }),
        Callback::streaming_async(name("drops_rows"), options, formats(), move |(): (), _| {
            let never = never(Arc::clone(&rows));
            async move {
                never.await;
                Ok(futures::stream::empty::<Result<i64, RemoteError>>())
            }
        }),
    ]
}

#[tokio::test]
async fn a_future_that_may_be_dropped_is_dropped_with_its_call_and_at_its_deadline() {
    for method in ["drops", "drops_rows"] {
        let (seen, at) = (Arc::default(), endpoint());
        let mut callbacks = drops(&seen);
        callbacks.push(plain("add", |(a, b): (i64, i64)| Ok(a + b)));
        let service = service_at(&at, NodeConfig::server(), callbacks);
        let caller = client(&at, "caller").await;
        let call = begin(caller.rpc().call::<()>(method, ())).await;
        seen.await_begun(1).await;
        drop(call);
        seen.await_cancelled(1).await;
        // One worker: it is free again.
        answers(&caller).await;
        // Nobody says CANCEL, so the deadline is told.
        let mut peer = Peer::connect(&at).await;
        peer.hello_with("peer", "client/4", "null").await;
        let said = daffi_wire::Extensions::builder().time_left_ms(20).build().unwrap();
        let call = request(2, ["peer", "svc", method], &said, r#"{"args":[],"kwargs":{}}"#);
        peer.send_bytes(call.as_bytes()).await;
        let ended = soon("the deadline", peer.expect(Kind::Error)).await;
        assert!(ended.contains("DeadlineExceeded") && ended.contains("it was dropped"), "{ended}");
        seen.await_cancelled(2).await;
        // A nowait call has nobody who could give it up.
        peer.send_to(Kind::Request, 3, ["peer", "svc", method], r#"{"args":[],"kwargs":{}}"#, false).await;
        seen.await_begun(3).await;
        drop(peer);
        assert_eq!(seen.cancelled.load(SeqCst), 2);
        drop(service);
    }
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[tokio::test]
async fn a_future_that_panics_as_it_is_dropped_costs_no_worker() {
    let (seen, at): (Arc<Seen>, _) = (Arc::default(), endpoint());
    let begun = Arc::clone(&seen);
    let name = MethodName::new("panics", &Limits::default()).unwrap();
    let options = CallbackOptions::new().drop_when_cancelled().ordered();
    let panics = Callback::asynchronous(name, options, formats(), move |(): (), _| {
        let never = never(Arc::clone(&begun));
        async move {
            let _held = PanicsOnDrop;
            never.await;
            Ok(())
        }
    });
    let add = plain("add", |(a, b): (i64, i64)| Ok(a + b));
    let service = service_at(&at, NodeConfig::server().workers(2), vec![panics, add]);
    let caller = client(&at, "caller").await;
    for call in 1..=3 {
        let open = begin(caller.rpc().call::<()>("panics", ())).await;
        // Each begins once the one before has ended: they are ordered.
        seen.await_begun(call).await;
        drop(open);
        seen.await_cancelled(call).await;
    }
    answers(&caller).await;
    drop(service);
}

pub(crate) async fn cancel(peer: &mut Peer, id: u16, from: &str, to: &str, reason: CancelReason) {
    let frame = Cancel { id: CallId(id), reason }.frame(from, to, &Limits::default()).unwrap();
    peer.send_bytes(frame.as_bytes()).await;
}

#[tokio::test]
async fn a_cancelled_call_has_one_end() {
    let seen = Arc::default();
    let at = endpoint();
    let service = service_at(&at, NodeConfig::server().workers(4), callbacks(&seen));
    let mut caller = Peer::connect(&at).await;
    caller.hello_with("caller", "client/4", "null").await;
    caller.send_to(Kind::Request, 2, ["caller", "svc", "wait"], r#"{"args":[],"kwargs":{}}"#, true).await;
    seen.await_begun(1).await;
    // Of a call that is not open, of another's, and one that says more than its caller may: nothing
    // happens.
    cancel(&mut caller, 3, "caller", "svc", CancelReason::Dropped).await;
    cancel(&mut caller, 2, "another", "svc", CancelReason::Dropped).await;
    cancel(&mut caller, 2, "caller", "svc", CancelReason::EnoughItems).await;
    caller.send_to(Kind::Request, 4, ["caller", "svc", "add"], r#"{"args":[1,2],"kwargs":{}}"#, true).await;
    assert!(caller.expect(Kind::Response).await.contains('3'));
    assert_eq!(seen.cancelled.load(SeqCst), 0);
    for _ in 0..2 {
        cancel(&mut caller, 2, "caller", "svc", CancelReason::Deadline).await;
    }
    let ended = caller.receive().await.unwrap();
    let text = String::from_utf8_lossy(ended.payload()).into_owned();
    assert_eq!((ended.kind(), ended.header().id()), (Kind::Error, CallId(2)), "{text}");
    assert!(text.contains("Cancelled") && text.contains("daffi"), "{text}");
    seen.await_cancelled(1).await;
    service.stop().await;
    // What the callback returned is dropped.
    caller.sees_a_farewell().await;
}

#[tokio::test]
async fn a_worker_of_3_0_1_is_told_nothing_and_its_late_answer_reaches_nobody() {
    let (_router, at) = router();
    let mut worker = Peer::connect(&at).await;
    worker.hello_with("worker", "client", r#"["f"]"#).await;
    let caller = client(&at, "caller").await;
    worker.expect(Kind::Events).await;
    let call = begin(caller.rpc().call::<String>("f", ())).await;
    let request = worker.receive().await.unwrap();
    drop(call);
    let next = begin(caller.rpc().call::<String>("f", ())).await;
    let second = worker.receive().await.unwrap();
    assert_eq!((second.kind(), second.method()), (Kind::Request, "f"), "no frame in between");
    for frame in [request, second] {
        let body = format!(r#"{{"args":["to {}"],"kwargs":{{}}}}"#, frame.header().id().0);
        let id = frame.header().id();
        let header = daffi_wire::Header::new(Kind::Response, id, daffi_wire::FormatId::JSON, true, false);
        let answer = Frame::new(header, "worker", "caller", "f", body.as_bytes(), &Limits::default()).unwrap();
        worker.send_bytes(answer.as_bytes()).await;
    }
    assert_eq!(soon("the answer", next).await.unwrap(), "to 3");
}

/// A receiver that reads slowly pays for no more than its open calls.
#[tokio::test]
async fn a_receiver_hears_of_a_call_that_is_given_up_once_however_often_its_caller_says_so() {
    let (_router, at) = router();
    let mut worker = Peer::connect(&at).await;
    worker.hello_with("worker", "client/4", r#"["f"]"#).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello_with("caller", "client/4", "null").await;
    for id in [2, 3] {
        caller.send_to(Kind::Request, id, ["caller", "worker", "f"], "{}", true).await;
        for _ in 0..1_000 {
            cancel(&mut caller, 2, "caller", "worker", CancelReason::Dropped).await;
        }
    }
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let frame = soon("calls and a cancel", worker.receive()).await.unwrap();
        if matches!(frame.kind(), Kind::Request | Kind::Cancel) {
            heard.push((frame.kind(), frame.header().id().0));
        }
    }
    assert_eq!(heard, [(Kind::Request, 2), (Kind::Cancel, 2), (Kind::Request, 3)]);
    // It ends as any other call does.
    worker.send_to(Kind::Error, 2, ["worker", "caller", "f"], "{}", false).await;
    while soon("the end", caller.receive()).await.unwrap().header().id() != CallId(2) {}
}

#[tokio::test]
async fn nobody_cancels_the_calls_of_another() {
    let seen = Arc::default();
    let (_nodes, at) = callee(true, 4, &seen).await;
    let caller = client(&at, "caller").await;
    let call = begin(caller.rpc().call::<String>("wait", ())).await;
    seen.await_begun(1).await;
    let mut other = Peer::connect(&at).await;
    other.hello_with("other", "client/4", "null").await;
    for id in 1..100 {
        for from in ["caller", "other"] {
            cancel(&mut other, id, from, "worker", CancelReason::Dropped).await;
            cancel(&mut other, id, from, "worker", CancelReason::CallerGone).await;
        }
    }
    for says in [CallerLeft::Told(1), CallerLeft::Answered(1)] {
        let frame = says.frame("caller", "worker", &Limits::default()).unwrap();
        other.send_bytes(frame.as_bytes()).await;
    }
    other.send_to(Kind::Request, 200, ["other", "worker", "add"], r#"{"args":[1,2],"kwargs":{}}"#, true).await;
    while other.receive().await.unwrap().header().id() != CallId(200) {}
    answers(&caller).await;
    assert_eq!(seen.cancelled.load(SeqCst), 0);
    drop(call);
    seen.await_cancelled(1).await;
}

/// At once, and before the news that it left, which wait for their turn.
#[tokio::test]
async fn who_has_calls_of_a_caller_that_is_gone_is_told_by_the_router() {
    let (_router, at) = router();
    let mut worker = Peer::connect(&at).await;
    worker.hello_with("worker", "client/4", r#"["f"]"#).await;
    let mut idle = Peer::connect(&at).await;
    idle.hello_with("idle", "client/4", r#"["f"]"#).await;
    for by_eviction in [false, true] {
        let mut caller = Peer::connect(&at).await;
        caller.hello_with("caller", "client/4", "null").await;
        for id in [2, 3] {
            caller.send_to(Kind::Request, id, ["caller", "worker", "f"], "{}", true).await;
        }
        let mut open = 0;
        while open < 2 {
            let frame = soon("the calls", worker.receive()).await.unwrap();
            open += usize::from(frame.kind() == Kind::Request);
        }
        if by_eviction {
            let mut newer = Peer::connect(&at).await;
            newer.hello_with("caller", "client/4", "null").await;
        } else {
            drop(caller);
        }
        let gone = loop {
            let frame = soon("the word", worker.receive()).await.unwrap();
            match frame.kind() {
                Kind::Cancel => break frame,
                Kind::Events => panic!("the news were quicker: {frame:?}"),
                _ => {}
            }
        };
        let said = CallerLeft::Told(1 + u32::from(by_eviction));
        assert_eq!((CallerLeft::read(&gone).unwrap(), gone.transmitter()), (Some(said), "caller"));
        let mut heard = Vec::new();
        // What was evicted leaves for good when the newer connection ends.
        while heard.last() != Some(&Kind::Events) {
            heard.push(soon("the news", worker.receive()).await.unwrap().kind());
        }
        assert!(!heard.contains(&Kind::Cancel), "once for all calls: {heard:?}");
    }
    // Who has no calls of it hears the news, and nothing else.
    let mut events = 0;
    while events < 3 {
        let frame = soon("the news", idle.receive()).await.unwrap();
        assert_ne!(frame.kind(), Kind::Cancel);
        events += usize::from(frame.kind() == Kind::Events);
    }
}

/// How many calls are given up below; `DAFFI_CANCELLED_CALLS` says another number.
fn many() -> usize {
    std::env::var("DAFFI_CANCELLED_CALLS").ok().and_then(|count| count.parse().ok()).unwrap_or(4_000)
}

/// Neither numbers, nor places, nor tasks, nor memory, whatever was given up: what runs, what waits
/// in line, and results that go one by one.
#[tokio::test]
async fn cancelled_calls_leave_nothing() {
    let (router, at) = router();
    let seen: Arc<Seen> = Arc::default();
    let name = |name: &str| MethodName::new(name, &Limits::default()).unwrap();
    let endless = Callback::streaming_async(name("endless"), CallbackOptions::new(), formats(), |(): (), _| async {
        Ok(futures::stream::repeat(1).map(Ok))
    });
    let served = callbacks(&seen).into_iter().chain([endless]).collect();
    let _worker = client_exposing(&at, "worker", NodeConfig::client().workers(8), served).await;
    let caller = client(&at, "caller").await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut before = None;
    // Twice: the first round shows what is kept for the next.
    for _ in 0..2 {
        for round in 0..many() / 20 {
            // First, for the others take all workers.
            let results = soon("results", caller.rpc().results::<u64>("endless", ())).await.unwrap();
            let begun = (0..19).map(|_| begin(caller.rpc().call::<String>("wait", ())));
            let calls = futures::future::join_all(begun).await;
            if round % 2 == 0 {
                // All of it is on its way.
                answers_in_line(&caller, calls).await;
            } else {
                drop(calls);
            }
            drop(results);
        }
        soon("nothing is left", async {
            loop {
                let now = (router.stats().open_calls, router.stats().held_bytes, alive());
                let is_less = |before: (usize, usize, usize)| now.1 <= before.1 && now.2 <= before.2;
                if now.0 == 0 && now.2 <= 60 && before.is_none_or(is_less) {
                    break before = Some(now);
                }
                answers(&caller).await;
            }
        })
        .await;
    }
}

/// Gives calls up while one behind them waits for its turn.
async fn answers_in_line<T>(caller: &Client<Formats>, calls: Vec<T>) {
    let sum = begin(caller.rpc().call::<i64>("add", (3, 4))).await;
    drop(calls);
    assert_eq!(soon("an answer", sum).await.unwrap(), 7);
}
