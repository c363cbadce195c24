//! The timeout of calls whose results come one by one: that of the first result, which its callback
//! sees as a deadline until it has returned its stream, and of each wait for a further one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use daffi_core::{CallError, Callback, CallbackOptions, NodeConfig};
use daffi_wire::{Kind, Limits, MethodName};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};

use crate::{
    peer::raw,
    support::{Formats, client, client_exposing, endpoint, formats, router, service_at},
};

const SHORT: Duration = Duration::from_millis(100);

fn name(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).unwrap()
}

/// 1 to n, each after so many milliseconds.
fn ticks(n: u64, ms: u64) -> impl Stream<Item = u64> + Send {
    stream::iter(1..=n).then(move |k| async move {
        sleep(Duration::from_millis(ms)).await;
        k
    })
}

/// `until`: a plain one that ends when nobody waits any more. `ticks`: whether there is a deadline
/// at first, and then one after another whether there is one. `late`: its stream at once, and the
/// first result much later. `echo`: takes and gives one by one.
fn callbacks(ended: &Arc<AtomicUsize>) -> Vec<Callback> {
    let options = CallbackOptions::new;
    let ended = Arc::clone(ended);
    let until = Callback::asynchronous(name("until"), options(), formats(), move |(): (), ctx| {
        let (ctx, ended) = (ctx.clone(), Arc::clone(&ended));
        async move {
            assert!(ctx.deadline().is_some());
            ctx.cancelled().await;
            ended.fetch_add(1, SeqCst);
            Ok(())
        }
    });
    let ticking = Callback::streaming(name("ticks"), options(), formats(), |(n, ms): (u64, u64), ctx| {
        let (ctx, first) = (ctx.clone(), ctx.deadline().is_some());
        let further = ticks(n, ms).map(move |_| Ok(ctx.deadline().is_some() || ctx.is_cancelled()));
        Ok(stream::iter([Ok(first)]).chain(further))
    });
    let late = Callback::streaming(name("late"), options(), formats(), |(): (), _| Ok(ticks(1, 500).map(Ok)));
    let echo = Callback::streaming(name("echo"), options(), formats(), |(): (), ctx| {
        let said = ctx.items::<u64, Formats>("echo").expect("items follow");
        Ok(said.map_err(daffi_core::remote_error))
    });
    vec![until, ticking, late, echo]
}

async fn callee(behind_router: bool, ended: &Arc<AtomicUsize>) -> (Box<dyn std::any::Any>, daffi_transport::Endpoint) {
    if behind_router {
        let (router, at) = router();
        let worker = client_exposing(&at, "svc", NodeConfig::client().workers(4), callbacks(ended)).await;
        (Box::new((router, worker)), at)
    } else {
        let at = endpoint();
        (Box::new(service_at(&at, NodeConfig::server().workers(4), callbacks(ended))), at)
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_callback_has_a_deadline_whoever_calls_it() {
    for behind_router in [false, true] {
        let ended = Arc::default();
        let (_nodes, at) = callee(behind_router, &ended).await;
        let caller = client(&at, "caller").await;
        let begun = Instant::now();
        let error = caller.rpc().timeout(SHORT).results::<()>("until", ()).await.unwrap_err();
        assert!(matches!(error, CallError::Timeout { after: SHORT, .. }), "{error}");
        assert!(begun.elapsed() < 2 * SHORT);
        while ended.load(SeqCst) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_no_deadline_once_its_results_go_one_by_one() {
    for behind_router in [false, true] {
        let (_nodes, at) = callee(behind_router, &Arc::default()).await;
        let caller = client(&at, "caller").await;
        let results = caller.rpc().timeout(SHORT).results::<bool>("ticks", (20, 80)).await.unwrap();
        let deadlines: Vec<bool> = results.try_collect().await.unwrap();
        assert_eq!((deadlines.len(), deadlines[0]), (21, true));
        assert!(!deadlines[1..].contains(&true), "twenty gaps of 80 ms are no timeout of 100 ms");
        let late = caller.rpc().timeout(SHORT).results::<bool>("ticks", (2, 120)).await.unwrap();
        let all: Vec<_> = late.collect().await;
        assert!(matches!(all[..], [Ok(true), Err(CallError::Timeout { .. })]), "{all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_first_result_counts_from_the_call() {
    let (_nodes, at) = callee(true, &Arc::default()).await;
    let caller = client(&at, "caller").await;
    let begun = Instant::now();
    let mut results = caller.rpc().timeout(SHORT).results::<u64>("late", ()).await.unwrap();
    sleep(Duration::from_millis(60)).await;
    let error = results.try_next().await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { after: SHORT, .. }), "{error}");
    assert!(begun.elapsed() < SHORT + Duration::from_millis(20), "{:?}", begun.elapsed());
}

/// What a program does between two results is not the time of the next.
#[tokio::test(start_paused = true)]
async fn a_reader_takes_its_time_with_each_result() {
    let (_nodes, at) = callee(true, &Arc::default()).await;
    let caller = client(&at, "caller").await;
    let (mut say, mut heard) = caller.rpc().timeout(SHORT).duplex::<u64, u64>("echo", ()).await.unwrap();
    for n in 0..5 {
        sleep(10 * SHORT).await;
        say.send(n).await.unwrap();
        assert_eq!(heard.try_next().await.unwrap(), Some(n));
    }
    let error = heard.try_next().await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
}

/// The time that is left of an outer call bounds the beginning of an inner one, not each of its
/// results.
#[tokio::test(start_paused = true)]
async fn results_that_a_callback_passes_on_have_the_time_of_their_own_call() {
    let (_router, at) = router();
    let _inner = client_exposing(&at, "svc", NodeConfig::client().workers(4), callbacks(&Arc::default())).await;
    let relay = Callback::streaming_async(name("relay"), CallbackOptions::new(), formats(), |(): (), ctx| {
        let node = ctx.client::<Formats>().expect("it is a client's");
        async move {
            sleep(Duration::from_millis(80)).await;
            let results = node.rpc().results::<bool>("ticks", (3, 60)).await.map_err(daffi_core::remote_error)?;
            Ok(results.map_err(daffi_core::remote_error))
        }
    });
    let _outer = client_exposing(&at, "relay", NodeConfig::client(), vec![relay]).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["svc", "relay"], None).await.unwrap();
    let results = caller.rpc().timeout(SHORT).results::<bool>("relay", ()).await.unwrap();
    let all: Vec<bool> = results.try_collect().await.unwrap();
    assert_eq!(all.len(), 4);
}

/// The inner call has no time but what is left of the outer one.
#[tokio::test(start_paused = true)]
async fn a_call_whose_receiver_finds_that_it_comes_too_late_is_a_timeout_whatever_gave_it_its_time() {
    let (_router, at) = router();
    let mut worker = raw(&at, "w", "client/4", r#"["f"]"#).await;
    let relay = Callback::asynchronous(name("relay"), CallbackOptions::new(), formats(), |(both,): (bool,), ctx| {
        let node = ctx.client::<Formats>().expect("it is a client's");
        async move {
            if both {
                let called = node.rpc().duplex::<u64, u64>("f", ()).await;
                let (_say, mut heard) = called.map_err(daffi_core::remote_error)?;
                return Ok(heard.try_next().await.unwrap_err().is_timeout());
            }
            Ok(node.rpc().results::<u64>("f", ()).await.unwrap_err().is_timeout())
        }
    });
    let _outer = client_exposing(&at, "relay", NodeConfig::client(), vec![relay]).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["w", "relay"], None).await.unwrap();
    for both in [false, true] {
        let call = caller.rpc().timeout(Duration::from_secs(60)).call::<bool>("relay", (both,));
        let refuses = async {
            let request = loop {
                let frame = worker.receive().await.unwrap();
                if frame.kind() == Kind::Request {
                    break frame;
                }
            };
            let late = r#"{"args": [["DeadlineExceeded", "daffi", "it is too late", null]], "kwargs": {}}"#;
            worker.send_to(Kind::Error, request.header().id().0, ["w", "relay", "f"], late, false).await;
        };
        let (is_timeout, ()) = tokio::join!(call, refuses);
        assert!(is_timeout.unwrap(), "both ways: {both}");
    }
}
