//! How streams of results end whose callbacks do what they should not: panic as they are dropped,
//! or hold up the thread that they run on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use daffi_core::{CallError, Callback, CallbackOptions, NodeConfig};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use crate::support::{client, client_exposing, formats, method, plain, router};

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("dropped");
        }
    }
}

/// `ends`: three results, and a panic as it is dropped. Else: one result, then nothing, and such a
/// panic.
fn bad(name: &str, ends: bool) -> Callback {
    Callback::streaming(method(name), CallbackOptions::new(), formats(), move |(): (), _| {
        let bad = PanicsOnDrop;
        let results = stream::iter(0..3).map(move |n| {
            let _held = &bad;
            Ok(n)
        });
        Ok(if ends { results.boxed() } else { results.take(1).chain(stream::pending()).boxed() })
    })
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

#[tokio::test]
async fn a_panic_of_a_stream_as_it_is_dropped_is_the_end_of_its_call() {
    let (_router, at) = router();
    let config = NodeConfig::client().max_streams(1);
    let _worker = client_exposing(&at, "svc", config, vec![bad("bad", true), bad("worse", false)]).await;
    let caller = client(&at, "caller").await;
    for _ in 0..3 {
        let results = soon(caller.rpc().results::<u64>("bad", ())).await.unwrap();
        let all: Vec<_> = soon(results.collect()).await;
        assert!(
            matches!(&all[..], [Ok(0), Ok(1), Ok(2), Err(CallError::Remote { error, .. })]
            if error.message.contains("dropped")),
            "{all:?}"
        );
        let list = soon(caller.rpc().call::<Vec<u64>>("bad", ())).await;
        assert!(matches!(&list, Err(CallError::Remote { error, .. }) if error.message.contains("dropped")), "{list:?}");
    }
}

/// Its place is free again, and so is its number: the next stream has both.
#[tokio::test]
async fn a_stream_that_is_given_up_and_panics_as_it_is_dropped_has_ended() {
    let (_router, at) = router();
    let config = NodeConfig::client().max_streams(1);
    let worker = client_exposing(&at, "svc", config, vec![bad("bad", true), bad("worse", false)]).await;
    let caller = client(&at, "caller").await;
    let mut results = soon(caller.rpc().results::<u64>("worse", ())).await.unwrap();
    assert_eq!(soon(results.try_next()).await.unwrap(), Some(0));
    drop(results);
    soon(async {
        while caller.rpc().results::<u64>("bad", ()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(worker.stop()).await;
}

/// On one thread each call of `tick` is served between two results.
#[tokio::test]
async fn a_stream_that_takes_its_time_for_each_result_lets_others_run() {
    let (_router, at) = router();
    let made = Arc::new(AtomicU64::new(0));
    let slow = {
        let made = Arc::clone(&made);
        Callback::streaming(method("slow"), CallbackOptions::new(), formats(), move |(): (), _| {
            let made = Arc::clone(&made);
            Ok(stream::iter(0..400).map(move |n| {
                thread::sleep(Duration::from_millis(2));
                made.fetch_add(1, SeqCst);
                Ok(n)
            }))
        })
    };
    let tick = plain("tick", |(): ()| Ok(()));
    let _worker = client_exposing(&at, "svc", NodeConfig::client().workers(4), vec![slow, tick]).await;
    let caller = client(&at, "caller").await;
    let mut results = soon(caller.rpc().results::<u64>("slow", ())).await.unwrap();
    assert_eq!(soon(results.try_next()).await.unwrap(), Some(0));
    let before = made.load(SeqCst);
    soon(caller.rpc().call::<()>("tick", ())).await.unwrap();
    let during = made.load(SeqCst) - before;
    assert!(during < 40, "{during} results were made while a call waited");
}
