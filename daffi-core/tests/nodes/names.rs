//! Who keeps a name, who lives, and what is left of those who are gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_core::{CallError, Ended, MemberEvent, NamePolicy, NodeConfig, Others, Policy, Router};
use daffi_transport::Endpoint;
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits, Ping};
use futures::{FutureExt, StreamExt};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    peer::Peer,
    support::{
        asynchronous, client, client_exposing, client_with, endpoint, plain, router, router_with, service, service_at,
        worker,
    },
};

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(300), future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_keeps_its_name_where_the_server_says_so() {
    let config = NodeConfig::server().name_policy(NamePolicy::First);
    let at_service = endpoint();
    let _service = service_at(&at_service, config.clone(), vec![plain("echo", |(n,): (i64,)| Ok(n))]);
    let (_router, at_router) = router_with(config);
    let _worker = worker(&at_router, "w", vec![plain("echo", |(n,): (i64,)| Ok(n))]).await;
    for at in [at_service, at_router] {
        let first = client(&at, "same").await;
        for node_type in ["client", "client/4"] {
            let mut second = Peer::connect(&at).await;
            let refused = second.hello_with("same", node_type, "null").await;
            assert!(refused.error.is_some_and(|why| why.contains("same")));
            assert!(soon("the newcomer is ended", second.receive()).await.is_none());
        }
        assert_eq!(first.rpc().call::<i64>("echo", (5,)).await.unwrap(), 5);
        // Whoever leaves gives the name back.
        first.stop().await;
        let second = client(&at, "same").await;
        assert_eq!(second.rpc().call::<i64>("echo", (6,)).await.unwrap(), 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicted_client_comes_back_if_it_is_told_to() {
    let (_router, at) = router();
    let _worker = worker(&at, "w", vec![plain("echo", |(n,): (i64,)| Ok(n))]).await;
    let config = NodeConfig::client().reconnect_when_evicted(true).reconnect_max(Duration::from_millis(10));
    let stubborn = client_with(&at, "same", config).await;
    let mut thief = Peer::connect(&at).await;
    thief.hello("same").await;
    let evicted = soon("the thief loses the name", async {
        loop {
            let Some(frame) = thief.receive().await else { return false };
            if frame.kind() == Kind::Events && frame.payload() == br#"{"type":"evicted","member":"same"}"# {
                return true;
            }
        }
    });
    assert!(evicted.await);
    stubborn.wait_for_connection().await.unwrap();
    assert_eq!(stubborn.rpc().call::<i64>("echo", (5,)).await.unwrap(), 5);
    let meek = client(&at, "meek").await;
    let mut thief = Peer::connect(&at).await;
    thief.hello("meek").await;
    assert_eq!(soon("it has ended", meek.join()).await, Ended::Evicted);
}

/// Calls that wait behind a slow one, and who still runs.
async fn waiting_calls(through_router: bool) {
    let (gate, ran) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let running = Arc::new(AtomicUsize::new(0));
    let (router, at) = router();
    let (service, service_at) = service(callbacks_of(&gate, &running, &ran));
    let worker = if through_router { Some(worker(&at, "w", callbacks_of(&gate, &running, &ran)).await) } else { None };
    let at = if through_router { at } else { service_at };
    let honest = client(&at, "honest").await;
    let receiver = if through_router { "w" } else { "svc" };
    let mut greedy = Peer::connect(&at).await;
    greedy.hello("greedy").await;
    let slow = tokio::spawn({
        let honest = honest.clone();
        async move { honest.rpc().call::<()>("slow", ()).await }
    });
    until("it runs", || running.load(Ordering::SeqCst) == 1).await;
    for id in 2..100 {
        greedy.send_to(Kind::Request, id, ["greedy", receiver, "count"], r#"{"args":[1],"kwargs":{}}"#, true).await;
    }
    // One that nobody waits for runs all the same: its sender may have meant to leave.
    greedy.send_to(Kind::Request, 100, ["greedy", receiver, "count"], r#"{"args":[1],"kwargs":{}}"#, false).await;
    let mut events = honest.events();
    drop(greedy);
    if through_router {
        while soon("it is gone", events.next()).await != Some(MemberEvent::Removed("greedy".into())) {}
        until("the worker knows", || worker.as_ref().is_some_and(|w| w.members().get("greedy").is_none())).await;
    } else {
        until("it is gone", || service.clients() == ["honest"]).await;
    }
    let last = tokio::spawn(async move { honest.rpc().call::<usize>("count", (7,)).await });
    gate.add_permits(1);
    soon("the slow one", slow).await.unwrap().unwrap();
    assert_eq!(soon("the honest one", last).await.unwrap().unwrap(), 7);
    // It came last of its caller's, so by then none of the others is left.
    until("the nowait call ran", || ran.load(Ordering::SeqCst) >= 2).await;
    assert_eq!(ran.load(Ordering::SeqCst), 2, "the nowait call and the honest one");
    drop(router);
}

fn callbacks_of(
    gate: &Arc<Semaphore>,
    running: &Arc<AtomicUsize>,
    ran: &Arc<AtomicUsize>,
) -> Vec<daffi_core::Callback> {
    let (gate, running, ran) = (Arc::clone(gate), Arc::clone(running), Arc::clone(ran));
    vec![
        asynchronous("slow", move |(): ()| {
            running.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move { gate.acquire_owned().await.expect("never closed").forget() }
        }),
        plain("count", move |(n,): (usize,)| {
            ran.fetch_add(1, Ordering::SeqCst);
            Ok(n)
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_of_a_client_that_is_gone_never_runs() {
    waiting_calls(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_of_a_member_that_is_gone_never_runs() {
    waiting_calls(true).await;
}

/// In stopped time, which goes on when nothing else can happen.
#[tokio::test(start_paused = true)]
async fn calls_to_a_member_that_stands_still_end_and_it_is_shown() {
    let (router, at) = router();
    let mut stopped = Peer::connect(&at).await;
    stopped.hello_with("w", "client/4", r#"["f"]"#).await;
    let caller = client(&at, "caller").await;
    let begun = tokio::time::Instant::now();
    let call = tokio::spawn(async move {
        let ended = caller.rpc().call::<()>("f", ()).await;
        (caller, ended)
    });
    until("it is shown as stopped", || router.stats().stopped_members == 1).await;
    assert_eq!(router.stats().members, 2, "and is a member still");
    let (caller, ended) = soon("the call ends", call).await.unwrap();
    assert!(matches!(ended, Err(CallError::ReceiverGone { .. })), "{ended:?}");
    let after = begun.elapsed();
    assert!((Duration::from_secs(30)..=Duration::from_secs(41)).contains(&after), "{after:?}");
    assert!(caller.is_connected());
    assert_eq!((router.stats().members, router.stats().stopped_members), (1, 0));
}

/// Whoever comes next under its name is told of the others, and told to them when it has answered.
#[tokio::test(start_paused = true)]
async fn one_that_never_hears_is_a_member_once_and_the_next_of_its_name_when_it_hears() {
    let (router, at) = router();
    let caller = client(&at, "caller").await;
    let mut events = router.events();
    for _ in 0..3 {
        let mut deaf = Peer::connect(&at).await;
        deaf.hello_with("w", "client/4", r#"["echo"]"#).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(deaf);
    }
    let mut told = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        told.push(event);
    }
    assert_eq!(told, [MemberEvent::Added("w".to_owned()), MemberEvent::Removed("w".to_owned())]);
    let waits = caller.rpc().receiver("w").wait_for_receiver().timeout(Duration::from_secs(60));
    let waits = tokio::spawn(waits.call::<i64>("echo", (5,)));
    let worker = worker(&at, "w", vec![plain("echo", |(n,): (i64,)| Ok(n))]).await;
    assert_eq!(soon("it is called", waits).await.unwrap().unwrap(), 5);
    assert_eq!(soon("an event", events.next()).await.unwrap(), MemberEvent::Added("w".to_owned()));
    worker.stop().await;
}

/// One of whose name nothing came before.
async fn suspect(router: &Router, at: &Endpoint, name: &str) -> Peer {
    for _ in 0..2 {
        let mut deaf = Peer::connect(at).await;
        deaf.hello_with(name, "client/4", r#"["echo"]"#).await;
        if router.stats().unheard_members == 1 {
            return deaf;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(deaf);
        until("it has left", || router.members().is_empty()).await;
    }
    panic!("it is shown each time")
}

/// Bytes that come now and then are a sign of life, and nobody else sees it.
#[tokio::test(start_paused = true)]
async fn one_that_is_not_shown_is_ended_when_no_frame_of_it_is_whole_in_time() {
    let (router, at) = router();
    let mut silent = suspect(&router, &at, "w").await;
    let begun = tokio::time::Instant::now();
    let header = Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true);
    let frame = Frame::new(header, "w", "x", "echo", &[b'1'; 1 << 20], &Limits::default()).unwrap();
    for bytes in frame.as_bytes().chunks(4096) {
        if router.stats().unheard_members == 0 {
            break;
        }
        silent.send_bytes(bytes).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let after = begun.elapsed();
    assert!((Duration::from_secs(29)..Duration::from_secs(33)).contains(&after), "{after:?}");
    while soon("its end", silent.receive()).await.is_some() {}
    assert_eq!(router.stats().cut_connections, 1);
}

#[tokio::test(start_paused = true)]
async fn another_policy_ends_also_one_that_is_not_shown() {
    let (router, at) = router();
    let mut silent = suspect(&router, &at, "w").await;
    router.set_policy(Some(Policy::new().others(Others::Nobody)));
    while soon("its end", silent.receive()).await.is_some() {}
    let stats = router.stats();
    assert_eq!((stats.denied, stats.cut_connections, stats.unheard_members), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn members_that_answer_or_cannot_be_asked_stay() {
    let (router, at) = router();
    let mut answers = Peer::connect(&at).await;
    answers.hello_with("answers", "client/4", "null").await;
    let mut old = Peer::connect(&at).await;
    old.hello_with("old", "client", "null").await;
    let idle = client(&at, "idle").await;
    let mut asked = 0;
    while asked < 20 {
        let frame = soon("a question", answers.receive()).await.unwrap();
        if frame.kind() == Kind::Ping {
            asked += 1;
            answers.send_bytes(Ping::read(&frame).unwrap().answer().unwrap().frame().as_bytes()).await;
        }
    }
    assert_eq!((router.stats().members, router.stats().stopped_members), (3, 0));
    assert!(idle.is_connected());
    drop(old);
}

/// Both ends ask: a client finds a server that stands still.
#[tokio::test(start_paused = true)]
async fn a_client_leaves_a_server_that_stands_still() {
    use daffi_transport::{LinkConfig, Listener, mem::MemListener};
    let at = endpoint();
    let mut listener = MemListener::bind(&at).unwrap();
    let connecting = tokio::spawn({
        let at = at.clone();
        async move { client_exposing(&at, "c", NodeConfig::client(), Vec::new()).await }
    });
    let accept = std::future::poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default()));
    let mut link = accept.await.unwrap().upgrade().await.unwrap();
    let hello = link.receive().await.unwrap().unwrap();
    let body = br#"{"meta":{"type":"service/4","error":null},"members":[{"name":"svc","methods":["f"]}]}"#;
    let limits = daffi_wire::Limits::default();
    link.send(&daffi_wire::Frame::new(hello.header(), "c", "", "", body, &limits).unwrap()).await.unwrap();
    let client = connecting.await.unwrap();
    let ended = soon("the call ends", client.rpc().call::<()>("f", ())).await;
    assert!(matches!(&ended, Err(CallError::Disconnected(daffi_core::Disconnected::Silent(_)))), "{ended:?}");
}
