//! Arguments and results that come one by one.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use daffi_core::{CallError, Callback, CallbackOptions, Incoming, NodeConfig, SendError};
use daffi_serde::{Defaulted, RemoteError};
use daffi_wire::{Limits, MethodName};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use tokio::{sync::Semaphore, time::timeout};

use crate::support::{Formats, asynchronous, client, client_exposing, endpoint, formats, plain, router, service_at};

fn name(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).unwrap()
}

/// What callbacks did.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Results that were made.
    made: Arc<AtomicU64>,
    /// Streams of results that were dropped.
    dropped: Arc<AtomicUsize>,
    /// Runs of `never`.
    functions: Arc<AtomicUsize>,
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn counting(n: u64, seen: &Seen) -> impl Stream<Item = Result<u64, RemoteError>> + Send + use<> {
    let (made, dropped) = (Arc::clone(&seen.made), OnDrop(Arc::clone(&seen.dropped)));
    stream::iter(1..=n).map(move |k| {
        let _held = &dropped;
        made.fetch_add(1, SeqCst);
        Ok(k)
    })
}

type Items<T> = Defaulted<Vec<T>>;

fn incoming<T: daffi_serde::Returned>(list: Items<T>, ctx: &daffi_core::Context, method: &str) -> Incoming<T> {
    ctx.items::<T, Formats>(method).unwrap_or_else(|| Incoming::from_items(list.or_else(Vec::new)))
}

/// `count`: 1 to n, one by one. `failing`: two results and an error. `refuses`: an error. `never`:
/// one result, and then nothing. `sum`: takes numbers one by one. `first`: takes one of them.
/// `double`: both. `blobs`: results of so many bytes. `sizes`: takes blobs one by one. `add`: a
/// plain one.
fn callbacks(seen: &Seen) -> Vec<Callback> {
    let options = CallbackOptions::new;
    let (counts, nevers) = (seen.clone(), seen.clone());
    let count =
        Callback::streaming(name("count"), options(), formats(), move |(n,): (u64,), _| Ok(counting(n, &counts)));
    let failing = Callback::streaming(name("failing"), options(), formats(), |(): (), _| {
        Ok(stream::iter([Ok(1), Ok(2), Err(RemoteError::new("KeyError", "three"))]))
    });
    let refuses = Callback::streaming(name("refuses"), options(), formats(), |(): (), _| {
        Err::<stream::Empty<Result<u64, _>>, _>(RemoteError::new("ValueError", "no"))
    });
    let never = Callback::streaming_async(name("never"), options(), formats(), move |(): (), _| {
        let seen = nevers.clone();
        seen.functions.fetch_add(1, SeqCst);
        async move { Ok(counting(1, &seen).chain(stream::pending())) }
    });
    let sum = Callback::asynchronous(name("sum"), options(), formats(), |(list,): (Items<i64>,), ctx| {
        let numbers = incoming(list, ctx, "sum");
        async move {
            let sum = numbers.try_fold(0, |sum, n| async move { Ok(sum + n) }).await;
            sum.map_err(daffi_core::remote_error)
        }
    });
    let first = Callback::asynchronous(name("first"), options(), formats(), |(list,): (Items<i64>,), ctx| {
        let mut numbers = incoming(list, ctx, "first");
        async move { numbers.try_next().await.map_err(daffi_core::remote_error) }
    });
    let double = Callback::streaming(name("double"), options(), formats(), |(list,): (Items<i64>,), ctx| {
        Ok(incoming(list, ctx, "double").map(|n| n.map(|n| 2 * n).map_err(daffi_core::remote_error)))
    });
    let blobs = Callback::streaming(name("blobs"), options(), formats(), |(sizes,): (Vec<usize>,), _| {
        Ok(stream::iter(sizes).map(|bytes| Ok("x".repeat(bytes))))
    });
    let sizes = Callback::asynchronous(name("sizes"), options(), formats(), |(list,): (Items<String>,), ctx| {
        let blobs = incoming(list, ctx, "sizes");
        async move { blobs.map_ok(|blob| blob.len()).try_collect::<Vec<_>>().await.map_err(daffi_core::remote_error) }
    });
    let add = plain("add", |(a, b): (i64, i64)| Ok(a + b));
    vec![count, failing, refuses, never, sum, first, double, blobs, sizes, add]
}

/// Where a callee serves under the name `svc`: a Service, or a worker behind a Router.
async fn callee(behind_router: bool, seen: &Seen) -> (Box<dyn std::any::Any>, daffi_transport::Endpoint) {
    if behind_router {
        let (router, at) = router();
        let worker = client_exposing(&at, "svc", NodeConfig::client(), callbacks(seen)).await;
        (Box::new((router, worker)), at)
    } else {
        let at = endpoint();
        (Box::new(service_at(&at, NodeConfig::server(), callbacks(seen))), at)
    }
}

const WAYS: [bool; 2] = [false, true];

/// Ends the test in place of waiting for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

#[tokio::test]
async fn results_come_one_by_one_and_end() {
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let caller = client(&at, "caller").await;
        for n in [0, 1, 3, 20_000] {
            let results = soon(caller.rpc().results::<u64>("count", (n,))).await.unwrap();
            let all: Vec<_> = soon(results.try_collect()).await.unwrap();
            assert_eq!(all, (1..=n).collect::<Vec<_>>());
        }
        assert_eq!(caller.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn whoever_wants_no_results_takes_any() {
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let caller = client(&at, "caller").await;
        for n in [0, 1000] {
            let counted = soon(caller.rpc().results::<()>("count", (n,))).await.unwrap();
            assert_eq!(soon(counted.try_collect::<Vec<_>>()).await.unwrap().len(), n);
        }
        let added = soon(caller.rpc().results::<()>("add", (1, 2))).await.unwrap();
        assert_eq!(soon(added.try_collect::<Vec<_>>()).await.unwrap(), [()]);
    }
}

#[tokio::test]
async fn an_error_is_the_last_result_and_a_refusal_is_none() {
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let caller = client(&at, "caller").await;
        let results = soon(caller.rpc().results::<u64>("failing", ())).await.unwrap();
        let all: Vec<_> = soon(results.collect()).await;
        let [Ok(1), Ok(2), Err(CallError::Remote { error, .. })] = &all[..] else { panic!("{all:?}") };
        assert_eq!((&error.class[..], &error.message[..]), ("KeyError", "three"));
        let refused = soon(caller.rpc().results::<u64>("refuses", ())).await.unwrap_err();
        assert!(matches!(&refused, CallError::Remote { error, .. } if error.class == "ValueError"), "{refused}");
        let unknown = soon(caller.rpc().results::<u64>("nothing", ())).await.unwrap_err();
        assert!(matches!(unknown, CallError::ReceiverNotFound { .. }), "{unknown}");
    }
}

#[tokio::test]
async fn a_plain_answer_is_one_result_and_a_plain_caller_gets_a_list() {
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let caller = client(&at, "caller").await;
        let results = soon(caller.rpc().results::<i64>("add", (1, 2))).await.unwrap();
        assert_eq!(soon(results.try_collect::<Vec<_>>()).await.unwrap(), [3]);
        assert_eq!(caller.rpc().call::<Vec<u64>>("count", (3,)).await.unwrap(), [1, 2, 3]);
        let failed = caller.rpc().call::<Vec<u64>>("failing", ()).await.unwrap_err();
        assert!(matches!(&failed, CallError::Remote { error, .. } if error.class == "KeyError"), "{failed}");
        let many = soon(caller.rpc().call::<Vec<u64>>("count", (70_000,))).await.unwrap_err();
        assert!(matches!(&many, CallError::Remote { error, .. } if error.class == "OverflowError"), "{many}");
        assert_eq!(caller.rpc().call::<i64>("sum", (vec![1, 2, 3],)).await.unwrap(), 6);
    }
}

/// The honest slow one: it holds up its callback, and nobody else.
#[tokio::test]
async fn a_caller_that_reads_slowly_holds_its_callback_up() {
    for behind_router in WAYS {
        let seen = Seen::default();
        let (_nodes, at) = callee(behind_router, &seen).await;
        let caller = client(&at, "caller").await;
        let mut results = soon(caller.rpc().results::<u64>("count", (10_000_000_u64,))).await.unwrap();
        assert_eq!(soon(results.try_next()).await.unwrap(), Some(1));
        // Other calls are served meanwhile, until no further results are made.
        let mut before = 0;
        loop {
            for _ in 0..100 {
                assert_eq!(soon(caller.rpc().call::<i64>("add", (1, 2))).await.unwrap(), 3);
            }
            let made = seen.made.load(SeqCst);
            if made == before {
                break;
            }
            before = made;
        }
        assert!(before < 200_000, "{before} results were made for one that was read");
        drop(results);
        soon(async {
            while seen.dropped.load(SeqCst) == 0 {
                caller.rpc().call::<i64>("add", (1, 2)).await.unwrap();
            }
        })
        .await;
    }
}

#[tokio::test]
async fn results_that_are_dropped_end_the_callback() {
    for behind_router in WAYS {
        let seen = Seen::default();
        let (_nodes, at) = callee(behind_router, &seen).await;
        let caller = client(&at, "caller").await;
        for n in 1..=300 {
            let mut results = soon(caller.rpc().results::<u64>("never", ())).await.unwrap();
            assert_eq!(soon(results.try_next()).await.unwrap(), Some(1));
            assert!(results.try_next().now_or_never().is_none());
            drop(results);
            soon(async {
                while seen.dropped.load(SeqCst) < n {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        // Neither numbers nor places were lost.
        assert_eq!(soon(caller.rpc().call::<i64>("add", (1, 2))).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_result_that_does_not_come_in_time_is_a_timeout() {
    for behind_router in WAYS {
        let seen = Seen::default();
        let (_nodes, at) = callee(behind_router, &seen).await;
        let caller = client(&at, "caller").await;
        let rpc = caller.rpc().timeout(Duration::from_millis(50));
        let results = soon(rpc.results::<u64>("never", ())).await.unwrap();
        let all: Vec<_> = soon(results.collect()).await;
        assert!(matches!(&all[..], [Ok(1), Err(CallError::Timeout { .. })]), "{all:?}");
        soon(async {
            while seen.dropped.load(SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn arguments_go_one_by_one() {
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let caller = client(&at, "caller").await;
        for n in [0_i64, 1, 50_000] {
            let sum: i64 = soon(caller.rpc().send("sum", (), stream::iter(1..=n))).await.unwrap();
            assert_eq!(sum, n * (n + 1) / 2);
        }
        // One that takes no more than it needs ends what would never end.
        let first: Option<i64> = soon(caller.rpc().send("first", (), stream::repeat(7_i64))).await.unwrap();
        assert_eq!(first, Some(7));
        let failing = stream::iter([Ok(1_i64), Err("broken")]).chain(stream::pending());
        let failed = soon(caller.rpc().try_send::<i64, _>("sum", (), failing)).await.unwrap_err();
        assert!(matches!(failed, SendError::Source("broken")), "{failed:?}");
        assert_eq!(soon(caller.rpc().send::<i64>("sum", (), stream::iter([1, 2]))).await.unwrap(), 3);
    }
}

/// One that goes silent in the middle holds no worker: there is one for all.
#[tokio::test]
async fn a_callback_that_waits_for_an_argument_holds_no_worker() {
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let (caller, other) = (client(&at, "caller").await, client(&at, "other").await);
        let silent = stream::iter([1_i64]).chain(stream::pending());
        let call = caller.rpc();
        let mut silent = std::pin::pin!(call.send::<i64>("sum", (), silent));
        for _ in 0..100 {
            assert!(futures::poll!(&mut silent).is_pending());
            assert_eq!(soon(other.rpc().call::<i64>("add", (1, 2))).await.unwrap(), 3);
        }
        assert_eq!(soon(other.rpc().send::<i64>("sum", (), stream::iter([1, 2]))).await.unwrap(), 3);
    }
}

/// Nor does it give it away later, because it once looked for an argument.
#[tokio::test]
async fn a_callback_that_looked_for_an_argument_and_waits_for_else_keeps_its_worker() {
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
    let (entered, quick) = (Arc::clone(&seen), Arc::clone(&seen));
    let opens = Arc::clone(&gate);
    let looks = Callback::asynchronous(name("looks"), CallbackOptions::new(), formats(), move |(list,), ctx| {
        let mut numbers = incoming::<i64>(list, ctx, "looks");
        let (gate, entered) = (Arc::clone(&opens), Arc::clone(&entered));
        async move {
            // As with a timeout that has passed.
            let nothing = async { futures::poll!(numbers.next()).is_pending() };
            assert!(nothing.await);
            entered.fetch_add(1, SeqCst);
            let _passed = gate.acquire().await.map_err(|closed| RemoteError::new("E", closed.to_string()))?;
            Ok(entered.load(SeqCst))
        }
    });
    let add = asynchronous("add", move |(): ()| {
        quick.fetch_add(10, SeqCst);
        async {}
    });
    let at = endpoint();
    let _service = service_at(&at, NodeConfig::server(), vec![looks, add]);
    let (caller, other) = (client(&at, "caller").await, client(&at, "other").await);
    let silent = stream::pending::<i64>();
    let call = caller.rpc();
    let looking = tokio::spawn(async move { call.send::<u64>("looks", (), silent).await });
    soon(async {
        while seen.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let call = other.rpc();
    let adding = tokio::spawn(async move { call.call::<()>("add", ()).await });
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    assert_eq!(soon(looking).await.unwrap().unwrap(), 1, "nothing ran beside it");
    soon(adding).await.unwrap().unwrap();
}

#[tokio::test]
async fn arguments_and_results_go_both_ways_at_once() {
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let caller = client(&at, "caller").await;
        let (mut say, mut heard) = soon(caller.rpc().duplex::<i64, i64>("double", ())).await.unwrap();
        for n in 0..100 {
            soon(say.send(n)).await.unwrap();
            assert_eq!(soon(heard.try_next()).await.unwrap(), Some(2 * n));
        }
        say.finish();
        assert_eq!(soon(heard.try_next()).await.unwrap(), None);
        let _never: Result<(), Infallible> = Ok(());
    }
}

/// As one needs it who prints what comes, and knows late how long to wait.
#[tokio::test]
async fn results_tell_whether_they_are_a_stream_and_take_another_timeout() {
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let caller = client(&at, "caller").await;
        let mut counted = soon(caller.rpc().results::<u64>("count", (1,))).await.unwrap();
        assert!(counted.is_stream());
        assert_eq!(soon(counted.try_next()).await.unwrap(), Some(1));
        assert!(counted.is_stream());
        let mut added = soon(caller.rpc().results::<i64>("add", (3, 4))).await.unwrap();
        assert!(!added.is_stream());
        assert_eq!(soon(added.try_next()).await.unwrap(), Some(7));
        assert!(!added.is_stream());
        let never = caller.rpc().timeout(Duration::from_millis(20));
        let mut never = soon(never.duplex::<i64, u64>("never", ())).await.unwrap().1;
        never.set_timeout(None);
        assert_eq!(soon(never.try_next()).await.unwrap(), Some(1));
        assert!(timeout(Duration::from_millis(50), never.try_next()).await.is_err(), "nothing ends it");
        never.set_timeout(Some(Duration::from_millis(1)));
        let error = soon(never.try_next()).await.unwrap_err();
        assert!(matches!(&error, CallError::Timeout { after, .. } if after.as_millis() == 1), "{error}");
    }
}

#[tokio::test]
async fn a_receiver_that_leaves_is_the_last_result() {
    let (_router, at) = router();
    let worker = client_exposing(&at, "svc", NodeConfig::client(), callbacks(&Seen::default())).await;
    let caller = client(&at, "caller").await;
    let mut results = soon(caller.rpc().results::<u64>("never", ())).await.unwrap();
    assert_eq!(soon(results.try_next()).await.unwrap(), Some(1));
    drop(worker);
    let error = soon(results.try_next()).await.unwrap_err();
    assert_eq!(error.to_string(), "svc left before it answered never");
    assert_eq!(soon(results.try_next()).await.unwrap(), None);
}

/// Whatever comes before in the window: a part that waits for credit never waits for more than the
/// other end owes.
#[tokio::test]
async fn items_of_all_sizes_travel_in_any_order() {
    let mut orders = vec![vec![65_000], vec![65_280], vec![5_000_000], vec![1, 70_000], vec![16_300, 16_300, 70_000]];
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..40 {
        let most = *random.choice(&[300, 17_000, 80_000]).unwrap();
        orders.push((0..random.usize(2..12)).map(|_| random.usize(..most)).collect());
    }
    // Those that fill a frame alone, by twos and threes, and almost.
    for most in [16_400, 16_384, 12_000, 8_210, 8_192, 5_470, 1_640] {
        orders.push((0..40).map(|_| random.usize(most * 49 / 50..most)).collect());
    }
    for behind_router in WAYS {
        let (_nodes, at) = callee(behind_router, &Seen::default()).await;
        let caller = client(&at, "caller").await;
        for sizes in &orders {
            let results = soon(caller.rpc().results::<String>("blobs", (sizes,))).await.unwrap();
            let came: Vec<_> = soon(results.map_ok(|blob| blob.len()).try_collect()).await.unwrap();
            assert_eq!(&came, sizes);
            let blobs = stream::iter(sizes.clone()).map(|bytes| "x".repeat(bytes));
            let sent: Vec<usize> = soon(caller.rpc().send("sizes", (), blobs)).await.unwrap();
            assert_eq!(&sent, sizes);
        }
    }
}

#[tokio::test]
async fn one_caller_has_so_many_streams() {
    let seen = Seen::default();
    let at = endpoint();
    let _service = service_at(&at, NodeConfig::server().max_streams(3), callbacks(&seen));
    let (caller, other) = (client(&at, "caller").await, client(&at, "other").await);
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(soon(caller.rpc().results::<u64>("never", ())).await.unwrap());
    }
    let refused = soon(caller.rpc().results::<u64>("never", ())).await.unwrap_err();
    assert!(matches!(&refused, CallError::Overloaded(why) if why.contains("max_streams")), "{refused}");
    assert_eq!(caller.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let theirs = soon(other.rpc().results::<u64>("count", (2,))).await.unwrap();
    assert_eq!(soon(theirs.try_collect::<Vec<_>>()).await.unwrap(), [1, 2]);
    open.clear();
    soon(async {
        while seen.dropped.load(SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mine = soon(caller.rpc().results::<u64>("count", (2,))).await;
    assert!(mine.is_ok(), "{mine:?}");
}

/// Callers that take lists have as many calls open as those that take results one by one.
#[tokio::test]
async fn one_caller_has_so_many_lists_gathered() {
    let seen = Seen::default();
    let at = endpoint();
    let _service = service_at(&at, NodeConfig::server().max_streams(3), callbacks(&seen));
    let caller = client(&at, "caller").await;
    let call = caller.rpc();
    let mut calls: Vec<_> = (0..4).map(|_| Box::pin(call.call::<Vec<u64>>("never", ()))).collect();
    let refused = soon(futures::future::select_all(&mut calls)).await.0.unwrap_err();
    assert!(matches!(&refused, CallError::Overloaded(why) if why.contains("max_streams")), "{refused}");
    assert_eq!(soon(caller.rpc().call::<i64>("add", (1, 2))).await.unwrap(), 3);
    let ran = seen.functions.load(SeqCst);
    assert_eq!(ran, 3, "what is refused as never run did not begin");
}
