//! How many callbacks run at once, and in which order.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use daffi_core::{Callback, CallbackOptions, Callbacks, NodeConfig, Service};
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
    NodeConfig { workers: n, ..NodeConfig::server() }
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
    let layer = |callbacks: Callbacks| {
        let timeout = ServiceBuilder::new().timeout(Duration::from_secs(60)).service(callbacks);
        Callbacks::from_service(ServiceBuilder::new().timeout(Duration::from_secs(60)).service(timeout))
    };
    let callbacks = vec![barrier(Arc::clone(&inside), 10)];
    let _service = Service::start(node("svc"), workers(10), vec![listener], callbacks, layer, formats()).unwrap();
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
    let callback = plain_with("note", CallbackOptions { ordered: true, ..CallbackOptions::default() }, {
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

#[tokio::test]
async fn a_callback_runs_on_the_reader_while_it_is_quick() {
    let (at, reader, on_reader) = (endpoint(), thread::current().id(), Arc::new(Mutex::new(Vec::new())));
    let callback = plain("work", {
        let on_reader = Arc::clone(&on_reader);
        move |(slow,): (bool,)| {
            on_reader.lock().unwrap().push(thread::current().id() == reader);
            if slow {
                thread::sleep(Duration::from_millis(3));
            }
            Ok(())
        }
    });
    let _service = service_at(&at, workers(1), vec![callback]);
    let client = client(&at, "c").await;
    let rpc = client.rpc();
    assert!(!{
        rpc.call::<()>("work", (false,)).await.unwrap();
        on_reader.lock().unwrap()[0]
    });
    // A busy machine may make a quick call slow for once: it proves itself again.
    while on_reader.lock().unwrap().last() != Some(&true) {
        rpc.call::<()>("work", (false,)).await.unwrap();
    }
    rpc.call::<()>("work", (true,)).await.unwrap();
    assert_eq!(on_reader.lock().unwrap().last(), Some(&true), "it held up its reader once");
    for slow in [true, false, true] {
        rpc.call::<()>("work", (slow,)).await.unwrap();
        assert_eq!(on_reader.lock().unwrap().last(), Some(&false), "and not again");
    }
    // A busy machine may have made a quick call slow, which asks for more quick ones.
    let before = on_reader.lock().unwrap().len();
    while on_reader.lock().unwrap().last() != Some(&true) {
        rpc.call::<()>("work", (false,)).await.unwrap();
    }
    let quick = on_reader.lock().unwrap().len() - before;
    assert!(quick > 64, "it had to prove quick more often than at first, and did after {quick} calls");
}

#[tokio::test]
async fn a_function_that_must_not_run_on_a_reader_fails_there_once() {
    let (at, count) = (endpoint(), Arc::new(tokio::sync::Mutex::new(0)));
    let callback = plain("count", move |(): ()| {
        // Panics on a thread that drives tasks.
        let mut count = count.blocking_lock();
        *count += 1;
        Ok(*count)
    });
    let _service = service_at(&at, workers(1), vec![callback]);
    let client = client(&at, "c").await;
    let mut failed = 0;
    for _ in 0..100 {
        failed += usize::from(client.rpc().call::<i64>("count", ()).await.is_err());
    }
    assert!(failed <= 1, "{failed} calls failed");
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
    let layer = |callbacks: Callbacks| {
        Callbacks::from_service(ServiceBuilder::new().timeout(Duration::from_millis(5)).service(callbacks))
    };
    let _service = Service::start(node("svc"), workers(1), vec![listener], vec![callback], layer, formats()).unwrap();
    let client = client(&at, "c").await;
    let errors = join_all((0..8).map(|_| async { client.rpc().call::<()>("work", ()).await.unwrap_err() })).await;
    assert!(errors.iter().any(|e| e.remote().unwrap().class == "TimeoutError"), "{errors:?}");
    assert_eq!(inside.most.load(SeqCst), 1);
}
