//! What holds behind a router of either library.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use daffi::{CallError, Callbacks, Client, MemberEvent, Value};
use futures::future::join_all;
use serde_json::json;

use crate::{
    lifecycle::{AT_ONCE, held_call, next},
    routers::{RouterKind, behind_either_router},
    support::{Held, eventually},
};

behind_either_router! {
    one_worker_can_be_named_among_several,
    calls_go_around_evenly_method_by_method,
    a_python_workers_death_ends_rust_calls_at_once,
    a_callback_calls_on_over_its_own_connection,
    callbacks_that_wait_for_each_other_in_a_circle_time_out,
    a_caller_serves_while_it_waits,
    late_callbacks_of_a_rust_worker_reach_everybody,
    all_hear_of_who_comes_and_goes,
    nodes_are_found_that_joined_before_and_later,
}

async fn one_worker_can_be_named_among_several(kind: RouterKind) {
    let router = kind.start().await;
    let _rust = router.rust_worker("rust").await;
    let _python = router.python_worker("python").await;
    let _third = router.rust_worker("third").await;
    let rust_caller = router.rust_client("rust-caller").await;
    let python_caller = router.python("python-caller").aio().start().await;
    for name in ["rust", "python", "third", "rust"] {
        let called: String = rust_caller.rpc().receiver(name).call("whoami", ()).await.unwrap();
        assert_eq!(called, name);
        assert_eq!(python_caller.call("whoami", json!([])).receiver(name).ok().await, name);
        rust_caller.rpc_nowait().receiver(name).call("record", (name,)).await.unwrap();
        let recorded: Vec<String> = rust_caller.rpc().receiver(name).call("recorded", ()).await.unwrap();
        assert_eq!(recorded.last().map(String::as_str), Some(name));
        python_caller.call("record", json!([format!("{name} again")])).style("rpc_nowait").receiver(name).ok().await;
        let recorded = python_caller.call("recorded", json!([])).receiver(name).ok().await;
        assert_eq!(recorded.as_array().unwrap().last().unwrap(), &json!(format!("{name} again")));
    }
    let own_name = |name: &str| (name.to_owned(), name.to_owned());
    let all = BTreeMap::from(["python", "rust", "third"].map(own_name));
    let answers = rust_caller.cast().call::<String>("whoami", ()).await.unwrap();
    assert_eq!(answers.into_iter().map(|(name, answer)| (name, answer.unwrap())).collect::<BTreeMap<_, _>>(), all);
    assert_eq!(python_caller.call("whoami", json!([])).style("cast").ok().await, json!(all));
    let some = rust_caller.cast().receivers(["python", "third", "nobody"]).call::<String>("whoami", ()).await.unwrap();
    assert_eq!(some.len(), 3);
    assert_eq!(some["python"].as_deref().unwrap(), "python");
    assert_eq!(some["third"].as_deref().unwrap(), "third");
    assert!(matches!(some["nobody"], Err(CallError::ReceiverNotFound { .. })));
    let some = python_caller.call("whoami", json!([])).style("cast").receiver(json!(["python", "rust"])).ok().await;
    assert_eq!(some, json!(BTreeMap::from(["python", "rust"].map(own_name))));
}

/// Each method is spread by itself, also when calls alternate between them.
async fn calls_go_around_evenly_method_by_method(kind: RouterKind) {
    let router = kind.start().await;
    let _rust = router.rust_worker("rust").await;
    let python = router.python_worker("python").await;
    let client = router.rust_client("caller").await;
    let call = async |n: usize| {
        client.rpc().call::<usize>("record", (n,)).await.unwrap();
        client.rpc().call::<String>("whoami", ()).await.unwrap()
    };
    let mut counts: HashMap<String, usize> = HashMap::new();
    for batch in 0..20 {
        for name in join_all((0..50).map(|n| call(50 * batch + n))).await {
            *counts.entry(name).or_default() += 1;
        }
    }
    assert_eq!(counts, HashMap::from([("rust".to_owned(), 500), ("python".to_owned(), 500)]));
    assert_eq!(python.invoke("recorded", json!([])).await.as_array().unwrap().len(), 500);
    let recorded: Vec<usize> = client.rpc().receiver("rust").call("recorded", ()).await.unwrap();
    assert_eq!(recorded.len(), 500);
}

async fn a_python_workers_death_ends_rust_calls_at_once(kind: RouterKind) {
    let router = kind.start().await;
    let client = router.rust_client("caller").await;
    let mut events = client.events();
    let worker = router.python_worker("worker").await;
    assert_eq!(next(&mut events).await, MemberEvent::Added("worker".into()));
    client.wait_for_members(&["worker"], None).await.unwrap();
    let open = held_call(&client, &worker).await;
    let killed = Instant::now();
    worker.kill();
    let error = open.await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::ReceiverGone { receiver, .. } if receiver == "worker"), "{error}");
    assert!(killed.elapsed() < AT_ONCE, "{:?}", killed.elapsed());
    assert_eq!(next(&mut events).await, MemberEvent::Removed("worker".into()));
    let error = client.rpc().call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
}

/// The callback of a worker with one permit calls another worker over the connection that its own
/// call came on.
async fn a_callback_calls_on_over_its_own_connection(kind: RouterKind) {
    let router = kind.start().await;
    let _rust = router.rust_worker("rust").await;
    let _python = router.python_worker("python").await;
    let python_caller = router.python_client("python-caller").await;
    let rust_caller = router.rust_client("rust-caller").await;
    rust_caller.wait_for_members(&["rust", "python"], None).await.unwrap();
    python_caller.wait_for_members(&["rust", "python"]).await;
    for serde in ["PICKLE", "JSON", "MSGPACK"] {
        let call = python_caller.call("relay", json!(["greet", serde])).receiver("rust").serde(serde);
        assert_eq!(call.timeout(10).ok().await, format!("Hello, {serde}!"));
    }
    // And back: Python's worker calls on to Rust's.
    for target in ["python", "rust"] {
        let answer: String = rust_caller.rpc().receiver(target).call("relay", ("greet", target)).await.unwrap();
        assert_eq!(answer, format!("Hello, {target}!"));
    }
    let error = rust_caller.rpc().receiver("rust").call::<()>("relay", ("fail", "far away")).await.unwrap_err();
    assert_eq!(error.remote().unwrap().to_string(), "ValueError: far away");
}

async fn callbacks_that_wait_for_each_other_in_a_circle_time_out(kind: RouterKind) {
    let router = kind.start().await;
    let _rust = router.rust_worker("rust").await;
    let _python = router.python_worker("python").await;
    let caller = router.rust_client("caller").await;
    // The Rust worker relays to the Python worker, which calls the Rust worker, whose only permit
    // is taken.
    let rust = caller.rpc().receiver("rust");
    let error = rust.call::<Value>("relay", ("relay", "whoami")).await.unwrap_err();
    assert!(error.is_remote() && error.to_string().contains("imeout"), "{error}");
    for name in ["rust", "python"] {
        assert_eq!(caller.rpc().receiver(name).call::<String>("whoami", ()).await.unwrap(), name);
    }
}

/// A node that calls is called back while its own call is open.
async fn a_caller_serves_while_it_waits(kind: RouterKind) {
    let router = kind.start().await;
    let rust = router.rust_worker("rust").await;
    let _python = router.python("python").expose(&["relay"]).start().await;
    rust.wait_for_members(&["python"], None).await.unwrap();
    let answer: String = rust.rpc().call("relay", ("greet", "caller")).await.unwrap();
    assert_eq!(answer, "Hello, caller!");
}

async fn late_callbacks_of_a_rust_worker_reach_everybody(kind: RouterKind) {
    let router = kind.start().await;
    let worker = router.rust_worker("worker").await;
    let python = router.python_client("python").await;
    let rust = router.rust_client("rust").await;
    python.wait_for_members(&["worker"]).await;
    worker.add_callbacks(Callbacks::new().callback_fn("late", |x: i64| async move { x * 2 })).unwrap();
    eventually("Python knows it", async || {
        python.members().await.get("worker")?.contains(&"late".to_owned()).then_some(())
    })
    .await;
    assert_eq!(python.call("late", json!([21])).timeout(10).ok().await, 42);
    assert_eq!(python.call("add", json!([3, 4])).timeout(10).ok().await, 7);
    eventually("Rust knows it", async || rust.members().receivers_of("late").is_some().then_some(())).await;
    assert_eq!(rust.rpc().call::<i64>("late", (21,)).await.unwrap(), 42);
    assert!(worker.is_connected());
}

async fn all_hear_of_who_comes_and_goes(kind: RouterKind) {
    let router = kind.start().await;
    let python = router.python_client("python").await;
    let asyncio = router.python("asyncio").aio().start().await;
    let rust = router.rust_client("rust").await;
    let mut events = rust.events();
    for (round, name) in ["one", "two"].into_iter().enumerate() {
        let came = router.rust_client(name).await;
        assert_eq!(next(&mut events).await, MemberEvent::Added(name.into()));
        came.stop().await;
        assert_eq!(next(&mut events).await, MemberEvent::Removed(name.into()));
        let killed = router.python_worker(&format!("python-{round}")).await;
        assert_eq!(next(&mut events).await, MemberEvent::Added(killed.name().into()));
        killed.kill();
        assert_eq!(next(&mut events).await, MemberEvent::Removed(killed.name().into()));
        for member in [name, killed.name()] {
            for watcher in [&python, &asyncio] {
                watcher.wait_event("added", member, 1).await;
                watcher.wait_event("removed", member, 1).await;
            }
        }
    }
    // The newest of one name wins; the others hear of both.
    let old = router.rust_worker("same").await;
    assert_eq!(next(&mut events).await, MemberEvent::Added("same".into()));
    let new = router.python_worker("same").await;
    assert_eq!(next(&mut events).await, MemberEvent::Evicted("same".into()));
    assert_eq!(next(&mut events).await, MemberEvent::Added("same".into()));
    assert_eq!(old.join().await.unwrap(), daffi::Ended::Evicted);
    // Only Python exposes it: the newcomer's callbacks are known.
    assert_eq!(rust.rpc().call::<(String, String)>("describe", (1,)).await.unwrap(), ("int".into(), "1".into()));
    assert_eq!(python.call("whoami", json!([])).timeout(10).ok().await, "same");
    drop(new);
    assert_eq!(next(&mut events).await, MemberEvent::Removed("same".into()));
    python.wait_event("removed", "same", 1).await;
}

async fn nodes_are_found_that_joined_before_and_later(kind: RouterKind) {
    let router = kind.start().await;
    let early = router.python_worker("early").await;
    let (rust, python) = (router.rust_client("rust").await, router.python_client("python").await);
    let late = async {
        rust.wait_for_members(&["late"], None).await.unwrap();
        python.wait_for_members(&["late"]).await;
    };
    let ((), late) = tokio::join!(late, router.rust_worker("late"));
    rust.wait_for_members(&["early", "late"], None).await.unwrap();
    python.wait_for_members(&["early", "late"]).await;
    drop((early, late));
}

/// 3.0.1 polls for its receiver; a Rust router answers.
#[tokio::test]
async fn a_rust_workers_end_is_seen_by_a_python_caller() {
    for (kind, class) in [(RouterKind::Python, "TransmissionFailure"), (RouterKind::Rust, "ReceiverGone")] {
        let router = kind.start().await;
        let held = Held::default();
        let worker = Client::builder("worker").callbacks(held.callbacks()).connect(&router.endpoint()).await.unwrap();
        let client = router.python_client("caller").await;
        let ending = async {
            held.begun.notified().await;
            drop(worker);
            client.wait_event("removed", "worker", 1).await;
        };
        let (error, ()) = tokio::join!(client.call("held", json!([])).timeout(60).error(), ending);
        assert_eq!(error.class, class, "{kind:?}: {error}");
    }
}
