//! What nodes count.

use std::{sync::Arc, time::Duration};

use daffi_core::{CallError, CallbackOptions, CallbackStats, MemberStats, Policy, Router, Rule};
use daffi_serde::RemoteError;
use tokio::sync::Semaphore;

use crate::support::{asynchronous, client, hang, plain, plain_with, router, service, worker};

fn of<'a>(all: &'a [CallbackStats], name: &str) -> &'a CallbackStats {
    all.iter().find(|callback| callback.name == name).unwrap_or_else(|| panic!("{name} in {all:?}"))
}

fn member(router: &Router, name: &str) -> MemberStats {
    router.stats().nodes.into_iter().find(|node| node.name == name).unwrap()
}

fn fail(_: ()) -> Result<(), RemoteError> {
    Err(RemoteError::new("KeyError", "k"))
}

#[tokio::test]
async fn a_router_counts_by_callback_and_by_member() {
    let (router, at) = router();
    let gate = Arc::new(Semaphore::new(0));
    let callbacks = vec![asynchronous("double", |(n,): (u32,)| async move { n * 2 }), plain("fail", fail), hang(&gate)];
    let _w = worker(&at, "w", callbacks).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["w"], None).await.unwrap();
    for n in 0..100 {
        caller.rpc().call::<u32>("double", (n,)).await.unwrap();
    }
    caller.rpc().call::<()>("fail", ()).await.unwrap_err();
    let hanging = caller.rpc().timeout(Duration::from_millis(1)).call::<u32>("hang", (1,)).await;
    assert!(matches!(hanging, Err(CallError::Timeout { .. })), "{hanging:?}");
    let open = tokio::spawn({
        let caller = caller.clone();
        async move { caller.rpc().call::<u32>("hang", (1,)).await }
    });
    while router.stats().callbacks.iter().all(|callback| callback.calls < 2 || callback.name != "hang") {
        tokio::task::yield_now().await;
    }

    let stats = router.stats();
    let double = of(&stats.callbacks, "double");
    assert_eq!((double.calls, double.open, double.errors), (100, 0, 0));
    assert!(double.times.count() >= 64, "{double:?}");
    assert!(double.times.total() > Duration::ZERO && double.times.quantile(0.5).unwrap() < Duration::from_secs(5));
    let fail = of(&stats.callbacks, "fail");
    assert_eq!((fail.calls, fail.open, fail.errors), (1, 0, 1));
    assert_eq!(of(&stats.callbacks, "hang").calls, 2);
    let (w, c) = (member(&router, "w"), member(&router, "caller"));
    assert_eq!((w.level, w.callbacks, w.requests, w.errors), (4, 3, 0, 1));
    assert!(w.answers >= 101 && w.answering > Duration::ZERO && w.asked >= 1, "{w:?}");
    assert_eq!((c.requests, c.answers, c.callbacks, c.takeovers), (103, 0, 0, 0));
    assert!(c.open_calls >= 1 && c.address.starts_with("mem://"), "{c:?}");

    // Its receiver leaves.
    drop(_w);
    open.await.unwrap().unwrap_err();
    while of(&router.stats().callbacks, "hang").open > 0 {
        tokio::task::yield_now().await;
    }
    assert!(of(&router.stats().callbacks, "hang").unanswered >= 1);
}

#[tokio::test]
async fn a_router_counts_what_it_refuses_and_names_that_are_fought_over() {
    let (router, at) = router();
    let caller = client(&at, "caller").await;
    for round in 0..3 {
        let _w = worker(&at, "w", vec![plain("fail", fail)]).await;
        let _next = worker(&at, "w", vec![plain("fail", fail)]).await;
        assert_eq!(member(&router, "w").takeovers, 1, "round {round}");
    }
    assert_eq!(router.stats().evictions, 3);
    caller.rpc().receiver("nobody").call::<()>("fail", ()).await.unwrap_err();
    assert!(router.stats().callbacks.is_empty(), "nobody called what is exposed");
}

#[tokio::test]
async fn callbacks_without_end_take_no_memory_without_end() {
    let (router, at) = router();
    let caller = client(&at, "caller").await;
    let quick = |name: &str| plain_with(name, CallbackOptions::new().inline(), |(): ()| Ok(()));
    let _steady = worker(&at, "steady", vec![quick("steady")]).await;
    caller.wait_for_members(&["steady"], None).await.unwrap();
    caller.rpc().call::<()>("steady", ()).await.unwrap();
    let names: Vec<_> = (0..1200).map(|n| format!("made-up-{n}")).collect();
    let greedy = worker(&at, "greedy", names.iter().map(|name| quick(name)).collect()).await;
    caller.wait_for_members(&["greedy"], None).await.unwrap();
    for name in &names {
        caller.rpc().call::<()>(name, ()).await.unwrap();
    }
    let stats = router.stats().callbacks;
    assert!(stats.len() > 400 && stats.len() <= 1001, "{}", stats.len());
    assert_eq!(stats.last().unwrap().name, "other");
    assert_eq!(stats.iter().map(|callback| callback.calls).sum::<u64>(), 1201);
    assert_eq!(of(&stats, "steady").calls, 1);

    // Another finds room all the same.
    let _late = worker(&at, "late", vec![quick("late")]).await;
    caller.wait_for_members(&["late"], None).await.unwrap();
    caller.rpc().call::<()>("late", ()).await.unwrap();
    assert_eq!(of(&router.stats().callbacks, "late").calls, 1);
    drop(greedy);
}

/// What a deployment brings that gives its callbacks new names takes the places of those before.
#[tokio::test]
async fn callbacks_that_nobody_exposes_any_more_leave_their_places_to_new_ones() {
    let (router, at) = router();
    let caller = client(&at, "caller").await;
    let quick = |name: &String| plain_with(name, CallbackOptions::new().inline(), |(): ()| Ok(()));
    for deployment in 0..4 {
        let names: Vec<_> = (0..400).map(|n| format!("of-{deployment}-{n}")).collect();
        let name = format!("w-{deployment}");
        let worker = worker(&at, &name, names.iter().map(quick).collect()).await;
        caller.wait_for_members(&[&name], None).await.unwrap();
        let named = async {
            while router.stats().callbacks.iter().filter(|one| names.contains(&one.name)).count() < names.len() {
                for name in &names {
                    caller.rpc().call::<()>(name, ()).await.unwrap();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), named).await.expect("all of them are named");
        worker.stop().await;
    }
}

#[tokio::test]
async fn services_and_clients_count_too() {
    let gate = Arc::new(Semaphore::new(0));
    let callbacks = vec![
        plain("double", |(n,): (u32,)| Ok(n * 2)),
        plain("fail", fail),
        hang(&gate),
        asynchronous("quick", |(): ()| async {}),
    ];
    let (service, at) = service(callbacks);
    let caller = client(&at, "caller").await;
    for n in 0..100 {
        caller.rpc().call::<u32>("double", (n,)).await.unwrap();
        caller.rpc().call::<()>("quick", ()).await.unwrap();
    }
    caller.rpc().call::<()>("fail", ()).await.unwrap_err();
    let open = tokio::spawn({
        let caller = caller.clone();
        async move { caller.rpc().call::<u32>("hang", (1,)).await }
    });
    while of(&service.stats().callbacks, "hang").open < 1 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    open.await.unwrap().unwrap();

    let stats = service.stats();
    assert_eq!(stats.clients, 1);
    for name in ["double", "quick"] {
        let counted = of(&stats.callbacks, name);
        assert_eq!((counted.calls, counted.open, counted.errors), (100, 0, 0), "{name}");
        assert!(counted.times.count() > 0, "{name}");
    }
    let failed = of(&stats.callbacks, "fail");
    assert_eq!(failed.errors_by_class, [("KeyError".to_owned(), 1)]);
    assert_eq!(of(&stats.callbacks, "hang").times.count(), 1);

    assert_eq!((stats.refused_calls, stats.denied, stats.evictions, stats.cut_connections), (0, 0, 0, 0));
    assert!(stats.held_back_clients == 0 && caller.stats().budget_bytes > 0);

    let called = caller.stats().called;
    assert!(called.iter().all(|called| called.receiver == "svc"), "{called:?}");
    let called: Vec<_> = called.into_iter().map(|called| called.callback).collect();
    let double = of(&called, "double");
    assert_eq!((double.calls, double.open, double.times.count()), (100, 0, 64 + 5));
    assert_eq!(of(&called, "fail").errors_by_class, [("KeyError".to_owned(), 1)]);
}

#[tokio::test]
async fn a_service_counts_whom_it_ends_and_what_it_denies() {
    let (service, at) = service(vec![plain("fail", fail)]);
    let _first = client(&at, "caller").await;
    let second = client(&at, "caller").await;
    assert_eq!(service.stats().evictions, 1);
    let looks = Rule::new("looks").at([at.as_str()]).unwrap().names(["*"]).unwrap();
    service.set_policy(Some(Policy::new().rule(looks)));
    second.rpc().call::<()>("fail", ()).await.unwrap_err();
    let stats = service.stats();
    assert_eq!((stats.denied, stats.refused_calls), (1, 1));
    assert!(stats.callbacks[0].calls == 0 && stats.cut_connections == 0, "it did not run");
}

#[tokio::test]
async fn a_router_tells_its_numbers_to_who_is_near() {
    let (router, at) = router();
    let _w = worker(&at, "w", vec![plain("fail", fail)]).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["w"], None).await.unwrap();
    caller.rpc().call::<()>("fail", ()).await.unwrap_err();
    let told: serde_json::Value = caller.rpc().receiver("router").call("daffi.stats", ()).await.unwrap();
    assert_eq!((&told["name"], &told["members"]), (&"router".into(), &2.into()));
    assert_eq!((&told["callbacks"][0]["name"], &told["callbacks"][0]["errors"]), (&"fail".into(), &1.into()));
    let member = told["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "w").unwrap();
    assert_eq!((&member["level"], &member["answers"]), (&4.into(), &1.into()));
    assert!(member["age"].as_f64().unwrap() >= 0.0 && member["address"].as_str().unwrap().starts_with("mem://"));

    // To who only looks, too; and a member of that name is asked instead.
    let connector = Box::new(daffi_transport::mem::MemConnector::new(at.clone()));
    let builder = daffi_core::Client::builder(crate::support::node("looker"), connector, crate::support::formats());
    let looker = builder.look_only().connect().await.unwrap();
    let told: serde_json::Value = looker.rpc().call("daffi.stats", ()).await.unwrap();
    assert_eq!(told["members"], 2);
    let refused = caller.rpc().receiver("w").call::<serde_json::Value>("daffi.stats", ()).await;
    assert!(matches!(refused, Err(CallError::ReceiverNotFound { .. })), "{refused:?}");
    assert_eq!(router.stats().callbacks.len(), 1, "it is no callback of a member");
}
