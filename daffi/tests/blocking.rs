//! The client that blocks.
#![cfg(all(feature = "blocking", feature = "macros", feature = "msgpack"))]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{collections::BTreeMap, sync::mpsc, thread, time::Duration};

use daffi::{CallError, Callbacks, Client, Context, Incoming, Service, blocking, callback, callbacks};
use futures::{Stream, TryStreamExt, stream};
use tokio::runtime::{Builder, Runtime};

#[callback]
fn count(n: u64) -> impl Stream<Item = u64> {
    stream::iter(1..=n)
}

#[callback]
async fn sum(numbers: Incoming<i64>) -> Result<i64, CallError> {
    numbers.try_fold(0, |sum, n| async move { Ok(sum + n) }).await
}

fn streaming() -> Callbacks {
    callbacks![count, sum]
}

/// A service on a runtime of its own.
fn serve(at: &str) -> (Runtime, Service) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let service = runtime.block_on(
        Service::builder("service")
            .workers(64)
            .callback_fn("add", |a: i64, b: i64| async move { a + b })
            .callbacks(streaming())
            .callback_fn("hang", std::future::pending::<()>)
            .callback_fn("take", |_: String| async {})
            .bind(at),
    );
    (runtime, service.unwrap())
}

fn calls(client: &blocking::Client) {
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).unwrap(), 7);
    client.rpc().run("add", (3, 4)).unwrap();
    client.rpc_nowait().call("add", (3, 4)).unwrap();
    let counted: Result<Vec<u64>, _> = client.rpc().results("count", (3,)).unwrap().collect();
    assert_eq!(counted.unwrap(), [1, 2, 3]);
    assert_eq!(client.rpc().results::<u64>("count", (u64::MAX,)).unwrap().nth(1).unwrap().unwrap(), 2);
    assert_eq!(client.rpc().send::<i64>("sum", (), [1, 2, 3]).unwrap(), 6);
    let all: BTreeMap<_, _> = client.cast().call::<i64>("add", (3, 4)).unwrap();
    assert_eq!(*all["service"].as_ref().unwrap(), 7);
    client.cast_nowait().call("add", (3, 4)).unwrap();
    assert_eq!(client.stream().window(2).send("take", ["a", "b", "c"]).unwrap(), 3);
    assert_eq!(client.stream_nowait().send("take", ["a", "b"]).unwrap(), 2);
    let error = client.rpc().timeout(Duration::from_millis(20)).call::<()>("hang", ()).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    client.wait_for_members(&["service"], None).unwrap();
    client.wait_for_connection(Some(Duration::from_secs(60))).unwrap();
    assert!(client.is_connected());
}

#[test]
fn outside_a_runtime() {
    let (_runtime, _service) = serve("mem://blocking-outside");
    let client = Client::builder("client").connect_blocking("mem://blocking-outside").unwrap();
    calls(&client);
    let other = client.clone();
    thread::spawn(move || calls(&other)).join().unwrap();
    client.stop();
    assert!(matches!(client.rpc().call::<i64>("add", (3, 4)), Err(CallError::Stopped)));
}

#[test]
fn inside_runtimes_of_both_kinds() {
    let (_runtime, _service) = serve("mem://blocking-inside");
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        builder.enable_all().build().unwrap().block_on(async {
            let client = Client::builder("client").connect_blocking("mem://blocking-inside").unwrap();
            calls(&client);
            client.stop();
            drop(client);
        });
    }
}

/// The thread ends with the client: a callback that it runs is dropped.
#[test]
fn dropped_it_leaves_nothing() {
    let (_runtime, service) = serve("mem://blocking-dropped");
    let client = Client::builder("client").connect_blocking("mem://blocking-dropped").unwrap();
    drop(client);
    while !service.clients().is_empty() {
        thread::yield_now();
    }
}

#[test]
fn on_its_own_thread_it_says_that_it_would_wait_for_itself() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let at = "mem://blocking-own";
    let _router = runtime.block_on(daffi::Router::builder("router").bind(at)).unwrap();
    let (send, receive) = mpsc::channel::<blocking::Client>();
    let receive = std::sync::Mutex::new(receive);
    let client = Client::builder("worker")
        .callback_fn("nested", move |_: Context| {
            let client = receive.lock().unwrap().recv().unwrap();
            async move { client.rpc().call::<i64>("nested", ()).unwrap_err().to_string() }
        })
        .connect_blocking(at)
        .unwrap();
    send.send(client.clone()).unwrap();
    let caller = Client::builder("caller").connect_blocking(at).unwrap();
    caller.wait_for_members(&["worker"], None).unwrap();
    let words: String = caller.rpc().call("nested", ()).unwrap();
    assert!(words.contains("would wait for itself"), "{words}");
}

#[test]
fn what_cannot_connect_says_so() {
    let error = Client::builder("client").connect_blocking("mem://blocking-nobody").unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    let retried = Client::builder("client")
        .connect_retry(Duration::from_millis(120))
        .connect_blocking("mem://blocking-nobody")
        .unwrap_err();
    assert!(retried.is_retryable(), "{retried:?}");
    assert!(!Client::builder("").connect_blocking("mem://x").unwrap_err().is_retryable());
}

/// A first connect that is tried again meets a server that starts later.
#[test]
fn the_first_connect_can_wait_for_its_server() {
    let connecting = thread::spawn(|| {
        Client::builder("early").connect_retry(Duration::from_secs(60)).connect_blocking("mem://blocking-late")
    });
    let (_runtime, _service) = serve("mem://blocking-late");
    let client = connecting.join().unwrap().unwrap();
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).unwrap(), 7);
}

/// On a thread that is none of a runtime.
#[test]
fn members_are_heard_of_without_a_runtime() {
    let at = "mem://blocking-events";
    let router = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node = router.block_on(daffi::Router::builder("router").bind(at)).unwrap();
    let client = Client::builder("client").connect_blocking(at).unwrap();
    let mut events = client.events();
    let (tell, told) = std::sync::mpsc::channel();
    let listen = |what: &'static str| {
        let tell = tell.clone();
        move |name: String| drop(tell.send(format!("{what} {name}")))
    };
    client.on_member_added(listen("added"));
    client.as_async().on_member_removed(listen("removed"));
    node.on_member_added(listen("let in"));

    let other = Client::builder("other").connect_blocking(at).unwrap();
    assert_eq!(events.next().unwrap().unwrap().member(), "other");
    let mut heard = vec![told.recv().unwrap(), told.recv().unwrap()];
    heard.sort_unstable();
    assert_eq!(heard, ["added other", "let in other"]);
    other.stop();
    assert_eq!(told.recv().unwrap(), "removed other");
    assert!(matches!(events.next(), Some(Ok(daffi::MemberEvent::Removed(name))) if name == "other"));
    client.stop();
    assert!(events.next().is_none());
}
