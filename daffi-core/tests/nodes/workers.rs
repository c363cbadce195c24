//! How many callbacks run at once, and in which order.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use daffi_core::{Callback, CallbackOptions, CallbackService, NodeConfig, Service};
use daffi_wire::{CallId, Kind};
use futures::future::join_all;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;

use crate::{
    peer::Peer,
    support::{asynchronous, client, endpoint, formats, node, plain, plain_with, service_at},
};

/// Counts how many are inside at once.
#[derive(Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Inside {
    fn enter(&self) -> usize {
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        now
    }

    fn leave(&self) {
        self.now.fetch_sub(1, SeqCst);
    }
}

fn workers(n: usize) -> NodeConfig {
    NodeConfig::server().workers(n)
}

/// A plain function that returns once `meet` callers are inside it.
fn barrier(inside: Arc<Inside>, meet: usize) -> Callback {
    plain("meet", move |(): ()| {
        inside.enter();
        while inside.most.load(SeqCst) < meet {
            thread::sleep(Duration::from_millis(1));
        }
        inside.leave();
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_functions_that_sleep_run_as_many_at_once_as_there_are_workers() {
    let (at, inside) = (endpoint(), Arc::new(Inside::default()));
    let _service = service_at(&at, workers(10), vec![barrier(Arc::clone(&inside), 10)]);
    let mut clients = Vec::new();
    for i in 0..10 {
        clients.push(client(&at, &format!("c{i}")).await);
    }
    join_all(clients.iter().map(|c| async { c.rpc().call::<()>("meet", ()).await.unwrap() })).await;
    assert_eq!(inside.most.load(SeqCst), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_on_one_connection_and_under_layers() {
    let (at, inside) = (endpoint(), Arc::new(Inside::default()));
    let listener = Box::new(daffi_transport::mem::MemListener::bind(&at).unwrap());
    let layer = |callbacks: CallbackService| {
        let timeout = ServiceBuilder::new().timeout(Duration::from_secs(60)).service(callbacks);
        CallbackService::from_service(ServiceBuilder::new().timeout(Duration::from_secs(60)).service(timeout))
    };
    let callbacks = vec![barrier(Arc::clone(&inside), 10)];
    let _service = Service::builder(node("svc"), formats())
        .config(workers(10))
        .callbacks(callbacks)
        .layer(layer)
        .listen(vec![listener])
        .unwrap();
    let client = client(&at, "c").await;
    join_all((0..30).map(|_| async { client.rpc().call::<()>("meet", ()).await.unwrap() })).await;
    assert_eq!(inside.most.load(SeqCst), 10, "never more than there are workers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_runs_in_order_of_arrival() {
    let (at, inside, ran) = (endpoint(), Arc::new(Inside::default()), Arc::new(Mutex::new(Vec::new())));
    let gate = Arc::new(Semaphore::new(0));
    let callbacks = vec![
        asynchronous("gate", {
            let gate = Arc::clone(&gate);
            move |(): ()| {
                let gate = Arc::clone(&gate);
                async move { gate.acquire().await.unwrap().forget() }
            }
        }),
        plain("note", {
            let (inside, ran) = (Arc::clone(&inside), Arc::clone(&ran));
            move |(n,): (usize,)| {
                assert_eq!(inside.enter(), 1);
                thread::sleep(Duration::from_millis(2));
                ran.lock().unwrap().push(n);
                inside.leave();
                Ok(())
            }
        }),
    ];
    let _service = service_at(&at, workers(1), callbacks);
    let mut peers = Vec::new();
    for i in 0..10 {
        let mut peer = Peer::connect(&at).await;
        peer.hello(&format!("c{i}")).await;
        peers.push(peer);
    }
    // Behind a callback that waits all others queue.
    peers[0].send(Kind::Request, 2, "c0", "gate", r#"{"args": [], "kwargs": {}}"#).await;
    for (i, peer) in peers.iter_mut().enumerate() {
        let name = format!("c{i}");
        peer.send(Kind::Request, 3, &name, "note", &format!(r#"{{"args": [{i}], "kwargs": {{}}}}"#)).await;
        // An unknown callback is refused where it is read: what was sent before it was read too.
        peer.send(Kind::Request, 4, &name, "unknown", "").await;
        assert_eq!(peer.receive().await.unwrap().header().id(), CallId(4));
    }
    gate.add_permits(1);
    for (i, peer) in peers.iter_mut().enumerate() {
        let expected = if i == 0 { CallId(2) } else { CallId(3) };
        assert_eq!(peer.receive().await.unwrap().header().id(), expected);
    }
    peers[0].receive().await.unwrap();
    assert_eq!(*ran.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordered_callbacks_keep_each_callers_order() {
    let (at, ran) = (endpoint(), Arc::new(Mutex::new(Vec::new())));
    let callback = plain_with("note", CallbackOptions::new().ordered(), {
        let ran = Arc::clone(&ran);
        move |(who, n): (usize, usize)| {
            if n % 7 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            ran.lock().unwrap().push((who, n));
            Ok(())
        }
    });
    let _service = service_at(&at, workers(8), vec![callback]);
    let clients = [client(&at, "a").await, client(&at, "b").await];
    for n in 0..200 {
        for (who, client) in clients.iter().enumerate() {
            client.rpc_nowait().call("note", (who, n)).await.unwrap();
        }
    }
    for (who, client) in clients.iter().enumerate() {
        client.rpc().call::<()>("note", (who, 200)).await.unwrap();
        let seen: Vec<_> = ran.lock().unwrap().iter().filter(|(w, _)| *w == who).map(|(_, n)| *n).collect();
        assert_eq!(seen, (0..=200).collect::<Vec<_>>());
    }
}

/// Callbacks that run where their request was read, if they may, and say whether they did: `true`
/// asks for a slow run.
fn quick_ones(ran: &Arc<Mutex<Vec<bool>>>) -> [Callback; 2] {
    let (reader, ran) = (thread::current().id(), Arc::clone(ran));
    let work = move |slow: bool| {
        ran.lock().unwrap().push(thread::current().id() == reader);
        if slow {
            thread::sleep(Duration::from_millis(3));
        }
    };
    let again = work.clone();
    [
        plain_with("plain", CallbackOptions::new().inline(), move |(slow,): (bool,)| {
            work(slow);
            Ok(())
        }),
        asynchronous("async", move |(slow,): (bool,)| {
            let work = again.clone();
            async move { work(slow) }
        }),
    ]
}

#[tokio::test]
async fn what_promises_to_be_quick_runs_on_the_reader_while_it_is() {
    let (at, ran) = (endpoint(), Arc::new(Mutex::new(Vec::new())));
    let _service = service_at(&at, workers(1), quick_ones(&ran).into());
    let client = client(&at, "c").await;
    let rpc = client.rpc();
    let on_reader = || *ran.lock().unwrap().last().unwrap();
    rpc.call::<()>("plain", (false,)).await.unwrap();
    assert!(on_reader());
    rpc.call::<()>("plain", (true,)).await.unwrap();
    assert!(on_reader(), "it held up its reader once");
    for slow in [true, false, true] {
        rpc.call::<()>("plain", (slow,)).await.unwrap();
        assert!(!on_reader(), "and not again");
    }
    // A busy machine may have made a quick call slow, which asks for more quick ones.
    let before = ran.lock().unwrap().len();
    while !on_reader() {
        rpc.call::<()>("plain", (false,)).await.unwrap();
    }
    let quick = ran.lock().unwrap().len() - before;
    assert!(quick > 64, "it proved itself quick, and did after {quick} calls");
}

/// Calls whose function runs on a task of its own look like those on the reader on one thread, but
/// do not hold it up.
#[tokio::test]
async fn an_async_function_that_blocks_is_found_and_begins_elsewhere() {
    let (at, ran) = (endpoint(), Arc::new(Mutex::new(Vec::new())));
    let _service = service_at(&at, workers(1), quick_ones(&ran).into());
    let mut peer = Peer::connect(&at).await;
    peer.hello("c").await;
    let slow = r#"{"args": [true], "kwargs": {}}"#;
    peer.send(Kind::Request, 2, "c", "async", slow).await;
    assert_eq!(peer.receive().await.unwrap().header().id(), CallId(2));
    // Both are read together: one on the reader would be answered before the refusal.
    peer.send(Kind::Request, 3, "c", "async", slow).await;
    peer.send(Kind::Request, 4, "c", "unknown", "").await;
    assert_eq!(peer.receive().await.unwrap().header().id(), CallId(4));
    assert_eq!(peer.receive().await.unwrap().header().id(), CallId(3));
}

/// One that waits in tokio's own terms, which a thread that drives tasks must not.
fn waiting(name: &str, options: CallbackOptions) -> Callback {
    plain_with(name, options, move |(n,): (i64,)| {
        Ok(tokio::runtime::Handle::current().block_on(async move {
            tokio::task::yield_now().await;
            n
        }))
    })
}

#[tokio::test]
async fn plain_functions_may_block_on_futures_in_every_run() {
    let at = endpoint();
    let _service = service_at(&at, workers(1), vec![waiting("wait", CallbackOptions::new())]);
    let client = client(&at, "c").await;
    let rpc = client.rpc();
    for n in 0..1000 {
        assert_eq!(rpc.call::<i64>("wait", (n,)).await.unwrap(), n);
    }
    let many = join_all((0..1000).map(|n| rpc.call::<i64>("wait", (n,)))).await;
    for (n, waited) in many.into_iter().enumerate() {
        assert_eq!(waited.unwrap(), n as i64);
    }
}

#[tokio::test]
async fn an_inline_function_that_must_not_run_on_a_reader_fails_there_once() {
    let at = endpoint();
    let _service = service_at(&at, workers(1), vec![waiting("wait", CallbackOptions::new().inline())]);
    let client = client(&at, "c").await;
    assert!(client.rpc().call::<i64>("wait", (0,)).await.unwrap_err().to_string().contains("panicked"));
    for n in 0..100 {
        assert_eq!(client.rpc().call::<i64>("wait", (n,)).await.unwrap(), n);
    }
}

/// A plain function that blocks until something else was called on the same connection, and one
/// that does so.
fn blocked_and_release() -> Vec<Callback> {
    let (release, released) = std::sync::mpsc::channel();
    let released = Mutex::new(released);
    vec![
        plain("blocked", move |(): ()| Ok(released.lock().unwrap().recv().unwrap())),
        asynchronous("release", move |(n,): (i64,)| {
            let release = release.clone();
            async move { release.send(n).unwrap() }
        }),
    ]
}

#[tokio::test]
async fn a_plain_function_that_blocks_holds_up_no_reader() {
    let at = endpoint();
    let _service = service_at(&at, workers(2), blocked_and_release());
    let client = client(&at, "c").await;
    let rpc = client.rpc();
    for n in 0..100 {
        let both = tokio::join!(rpc.call::<i64>("blocked", ()), rpc.call::<()>("release", (n,)));
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (n, ()));
    }
}

#[tokio::test]
async fn nothing_overtakes_plain_functions_that_were_read_before() {
    let (at, ran) = (endpoint(), Arc::new(Mutex::new(Vec::new())));
    let note = |name, options| {
        let ran = Arc::clone(&ran);
        plain_with(name, options, move |(n,): (usize,)| {
            ran.lock().unwrap().push(n);
            Ok(())
        })
    };
    let callbacks = vec![
        note("plain", CallbackOptions::new()),
        note("inline", CallbackOptions::new().inline()),
        asynchronous("async", {
            let ran = Arc::clone(&ran);
            move |(n,): (usize,)| {
                ran.lock().unwrap().push(n);
                async {}
            }
        }),
    ];
    let _service = service_at(&at, workers(1), callbacks);
    let client = client(&at, "c").await;
    for n in 0..500 {
        client.rpc_nowait().call(["plain", "plain", "inline", "plain", "async"][n % 5], (n,)).await.unwrap();
    }
    client.rpc().call::<()>("plain", (500,)).await.unwrap();
    assert_eq!(*ran.lock().unwrap(), (0..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_panic_of_a_plain_function_is_its_own_callers_error() {
    let at = endpoint();
    let odd = plain("odd", |(n,): (i64,)| {
        assert!(n % 2 == 1, "{n} is even");
        Ok(n)
    });
    let _service = service_at(&at, workers(1), vec![odd]);
    let client = client(&at, "c").await;
    let client = &client;
    let all = join_all((0..200).map(|n| async move { client.rpc().call::<i64>("odd", (n,)).await })).await;
    for (n, answer) in all.into_iter().enumerate() {
        match answer {
            Ok(odd) => assert_eq!(odd, n as i64),
            Err(error) => assert!(n % 2 == 0 && error.to_string().contains(&format!("{n} is even")), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_layer_frees_no_worker_while_the_function_runs() {
    let (at, inside) = (endpoint(), Arc::new(Inside::default()));
    let listener = Box::new(daffi_transport::mem::MemListener::bind(&at).unwrap());
    let callback = plain("work", {
        let inside = Arc::clone(&inside);
        move |(): ()| {
            inside.enter();
            thread::sleep(Duration::from_millis(50));
            inside.leave();
            Ok(())
        }
    });
    let layer = |callbacks: CallbackService| {
        CallbackService::from_service(ServiceBuilder::new().timeout(Duration::from_millis(5)).service(callbacks))
    };
    let _service = Service::builder(node("svc"), formats())
        .config(workers(1))
        .callbacks(vec![callback])
        .layer(layer)
        .listen(vec![listener])
        .unwrap();
    let client = client(&at, "c").await;
    // On a busy machine no thread may begin in time, and what nobody waits for any more does not
    // run.
    while inside.most.load(SeqCst) == 0 {
        let calls = (0..8).map(|_| async { client.rpc().call::<()>("work", ()).await.unwrap_err() });
        let errors = join_all(calls).await;
        assert!(errors.iter().any(|e| e.remote().unwrap().class == "TimeoutError"), "{errors:?}");
    }
    assert_eq!(inside.most.load(SeqCst), 1);
}

#[tokio::test]
async fn greedy_callers_leave_an_honest_one_its_turn() {
    let (at, ran, permits) = (endpoint(), Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
    let callbacks = ["plain", "async"].map(|name| {
        let (ran, permits) = (Arc::clone(&ran), Arc::clone(&permits));
        let note = move |who: usize| ran.lock().unwrap().push(who);
        if name == "plain" {
            plain(name, move |(who,): (usize,)| {
                note(who);
                Ok(())
            })
        } else {
            asynchronous(name, move |(who,): (usize,)| {
                let (note, permits) = (note.clone(), Arc::clone(&permits));
                async move {
                    permits.acquire().await.unwrap().forget();
                    note(who);
                }
            })
        }
    });
    let _service = service_at(&at, workers(1), callbacks.into());
    let mut peers = Vec::new();
    for n in 0..=20 {
        let mut peer = Peer::connect(&at).await;
        peer.hello(&format!("c{n}")).await;
        peers.push(peer);
    }
    let (honest, greedy) = peers.split_last_mut().unwrap();
    for (who, peer) in greedy.iter_mut().enumerate() {
        let name = format!("c{who}");
        for n in 0..200 {
            let method = ["async", "plain"][n % 2];
            peer.send(Kind::Request, 2, &name, method, &format!(r#"{{"args": [{who}], "kwargs": {{}}}}"#)).await;
        }
        // Refused where it is read: all before was read too.
        peer.send(Kind::Request, 3, &name, "unknown", "").await;
        assert_eq!(peer.receive().await.unwrap().header().id(), CallId(3));
    }
    honest.send(Kind::Request, 2, "c20", "plain", r#"{"args": [20], "kwargs": {}}"#).await;
    honest.send(Kind::Request, 3, "c20", "unknown", "").await;
    assert_eq!(honest.receive().await.unwrap().header().id(), CallId(3));
    permits.add_permits(20 * 200);
    assert_eq!(honest.receive().await.unwrap().header().id(), CallId(2));
    let before = ran.lock().unwrap().iter().position(|who| *who == 20).unwrap();
    assert!(before <= 20 * 16 + 1, "{before} requests of others ran before");
}
