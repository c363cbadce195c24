//! Clients of several addresses: any of them, and all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_core::{
    Callback, CallbackOptions, Client, ClientBuilder, ClientGroup, ClientState, Ended, InitializationError, NodeConfig,
    Router,
};
use daffi_transport::{BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, mem};
use daffi_wire::{Frame, Limits, MethodName};
use futures::future::poll_fn;
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

use crate::support::{Formats, client, endpoint, formats, hang, node, plain, router};

/// Longer than a client waits for one address of several.
const LONG: Duration = Duration::from_secs(60);

fn at_any(name: &str, places: &[&Endpoint]) -> ClientBuilder<Formats> {
    let mut connectors = places.iter().map(|at| Box::new(mem::MemConnector::new((*at).clone())));
    let builder = Client::builder(node(name), connectors.next().unwrap(), formats());
    connectors.fold(builder, |builder, connector| builder.or_at(connector))
}

/// A worker of two Routers.
async fn at_both(name: &str, places: [&Endpoint; 2], callbacks: Vec<Callback>) -> ClientGroup<Formats> {
    at_any(name, &places).callbacks(callbacks).connect_all().await.unwrap()
}

fn double() -> Callback {
    plain("double", |(n,): (i64,)| Ok(n * 2))
}

async fn await_connection(client: &Client<Formats>) {
    timeout(LONG, client.wait_for_connection()).await.unwrap().unwrap();
}

async fn all_connected(group: &ClientGroup<Formats>) {
    for client in group.clients() {
        await_connection(client).await;
    }
}

/// Whichever comes first: one of the addresses is nobody's.
#[tokio::test]
async fn one_that_answers_is_enough() {
    let (_router, there) = router();
    let nobody = endpoint();
    for _ in 0..8 {
        let client = at_any("caller", &[&nobody, &there]).connect().await.unwrap();
        assert_eq!(client.endpoint(), &there);
        client.stop().await;
    }
}

#[tokio::test]
async fn where_none_answers_each_is_named_and_what_can_be_repeated_is() {
    let places = [endpoint(), endpoint()];
    let error = at_any("caller", &[&places[0], &places[1]]).connect().await.unwrap_err();
    let text = error.to_string();
    assert!(error.is_retryable() && text.starts_with("none of 2 addresses works; "), "{text}");
    assert!(places.iter().all(|at| text.contains(at.as_str())), "{text}");
    let error = at_any("caller", &[&places[0], &places[1]]).connect_all().await.unwrap_err();
    assert!(matches!(error, InitializationError::AllFailed(errors) if errors.len() == 2));
    let one = at_any("caller", &[&places[0]]).connect().await.unwrap_err();
    assert!(matches!(one, InitializationError::Connect(_)), "an only address fails as itself: {one}");
}

/// One that takes connections and says nothing, until its task is aborted.
fn silent() -> (Endpoint, JoinHandle<()>) {
    let at = endpoint();
    let mut listener = mem::MemListener::bind(&at).unwrap();
    let taking = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
            kept.extend(pending.upgrade().await);
        }
    });
    (at, taking)
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_connections_and_says_nothing_gives_way_to_the_next() {
    let (silent, taking) = silent();
    let (_router, there) = router();
    for _ in 0..8 {
        let begun = tokio::time::Instant::now();
        let client = at_any("caller", &[&silent, &there]).connect().await.unwrap();
        assert!(client.endpoint() == &there && begun.elapsed() < Duration::from_secs(3));
        client.stop().await;
    }
    taking.abort();
}

/// Two hosts of one name.
struct OneName([Endpoint; 2], AtomicUsize);

impl Connector for OneName {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let at = self.1.load(Ordering::Relaxed) % 2;
        mem::MemConnector::new(self.0[at].clone()).connect(config)
    }

    fn endpoint(&self) -> &Endpoint {
        &self.0[0]
    }

    fn give_way(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn of_one_name_the_next_host_is_tried_when_one_takes_connections_and_says_nothing() {
    let (silent, taking) = silent();
    let (_router, there) = router();
    let connector = Box::new(OneName([silent, there], AtomicUsize::new(0)));
    Client::builder(node("caller"), connector, formats()).retry(LONG).connect().await.unwrap();
    taking.abort();
}

#[tokio::test]
async fn a_lost_connection_is_made_again_at_the_next_address() {
    let (one, two) = (router(), router());
    let client = at_any("caller", &[&one.1, &two.1]).connect().await.unwrap();
    let (lost, other) = if client.endpoint() == &one.1 { (one, two) } else { (two, one) };
    drop(lost);
    let mut state = client.state();
    timeout(LONG, state.wait_for(|state| *state == ClientState::Reconnecting)).await.unwrap().unwrap();
    await_connection(&client).await;
    assert_eq!(client.endpoint(), &other.1);
}

/// The Router that `client` is at, and the other one.
fn sorted(client: &Client<Formats>, one: (Router, Endpoint), two: (Router, Endpoint)) -> [(Router, Endpoint); 2] {
    if client.endpoint() == &one.1 { [one, two] } else { [two, one] }
}

#[tokio::test]
async fn when_a_router_stops_open_calls_end_there_and_new_ones_go_to_the_next() {
    let (one, two) = (router(), router());
    let gate = Arc::new(Semaphore::new(0));
    let config = NodeConfig::client().workers(8);
    let worker = at_any("worker", &[&one.1, &two.1]).config(config).callbacks(vec![hang(&gate), double()]);
    let worker = worker.connect_all().await.unwrap();
    all_connected(&worker).await;
    let client = at_any("caller", &[&one.1, &two.1]).connect().await.unwrap();
    client.wait_for_members(&["worker"], Some(LONG)).await.unwrap();
    let [here, there] = sorted(&client, one, two);
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().call::<u32>("hang", (5,)).await }
    });
    while here.0.stats().open_calls == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stopping = tokio::spawn(async move { here.0.stop().await });
    while client.endpoint() != &there.1 || !client.is_connected() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(client.rpc().wait_for_receiver().call::<i64>("double", (4,)).await.unwrap(), 8);
    assert!(!open.is_finished() && !stopping.is_finished(), "the old connection stands while a call is open there");
    gate.add_permits(1);
    assert_eq!(open.await.unwrap().unwrap(), 5);
    timeout(LONG, stopping).await.unwrap().unwrap();
    assert_eq!(client.rpc().call::<i64>("double", (5,)).await.unwrap(), 10);
}

#[tokio::test]
async fn a_client_that_has_nowhere_to_go_stays_and_can_be_stopped() {
    let (one, nobody) = (router(), endpoint());
    let gate = Arc::new(Semaphore::new(0));
    let _worker = crate::support::worker(&one.1, "worker", vec![hang(&gate)]).await;
    let client = at_any("caller", &[&one.1, &nobody]).connect().await.unwrap();
    client.wait_for_members(&["worker"], Some(LONG)).await.unwrap();
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().call::<u32>("hang", (5,)).await }
    });
    while one.0.stats().open_calls == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let router = one.0.clone();
    let stopping = tokio::spawn(async move { router.stop().await });
    while !one.0.is_stopping() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    gate.add_permits(1);
    assert_eq!(open.await.unwrap().unwrap(), 5);
    timeout(LONG, stopping).await.unwrap().unwrap();
    timeout(LONG, client.stop()).await.unwrap();
}

#[tokio::test]
async fn a_worker_of_all_routers_is_one_node_with_one_line_of_workers() {
    let (one, two) = (router(), router());
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let alone = crate::support::asynchronous("alone", move |(): ()| {
        let (running, seen) = (Arc::clone(&running), Arc::clone(&seen));
        async move {
            seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let worker = at_both("worker", [&one.1, &two.1], vec![alone]).await;
    all_connected(&worker).await;
    let (first, second) = (client(&one.1, "first").await, client(&two.1, "second").await);
    let calls = |client: Client<Formats>| async move {
        client.wait_for_members(&["worker"], Some(LONG)).await.unwrap();
        futures::future::join_all((0..50).map(|_| client.rpc().call::<()>("alone", ()))).await
    };
    let (a, b) = futures::future::join(calls(first.clone()), calls(second.clone())).await;
    assert!(a.iter().chain(&b).all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 1, "`workers` is 1 for the node, not for each Router");

    worker.add_callbacks(vec![double()]).unwrap();
    for client in [&first, &second] {
        assert_eq!(client.rpc().wait_for_receiver().call::<i64>("double", (4,)).await.unwrap(), 8);
    }
    worker.clients()[0].stop().await;
    assert_eq!(timeout(LONG, worker.join()).await.unwrap(), Ended::Stopped, "it is one node, and ends as one");
}

/// `through`: calls `name` of the Router that its own call came through.
fn through() -> Callback {
    let name = MethodName::new("through", &Limits::default()).unwrap();
    Callback::asynchronous(name, CallbackOptions::new(), formats(), |(): (), ctx| {
        let client = ctx.client::<Formats>().unwrap();
        async move { client.rpc().call::<String>("here", ()).await.map_err(daffi_core::remote_error) }
    })
}

#[tokio::test]
async fn a_callback_calls_on_where_it_was_called() {
    let (one, two) = (router(), router());
    let worker = at_both("worker", [&one.1, &two.1], vec![through()]).await;
    all_connected(&worker).await;
    let mut nodes = Vec::new();
    for (at, says) in [(&one.1, "one"), (&two.1, "two")] {
        nodes.push(crate::support::worker(at, "local", vec![plain("here", move |(): ()| Ok(says))]).await);
        let caller = client(at, "caller").await;
        caller.wait_for_members(&["worker", "local"], Some(LONG)).await.unwrap();
        // The worker has heard of its neighbour, too.
        let there = worker.clients().iter().find(|client| client.endpoint() == at).unwrap();
        there.wait_for_members(&["local"], Some(LONG)).await.unwrap();
        assert_eq!(caller.rpc().call::<String>("through", ()).await.unwrap(), says);
        nodes.push(caller);
    }
}

#[tokio::test]
async fn one_router_of_two_is_enough_to_begin_with_and_the_other_is_joined_when_it_comes() {
    let (_one, here) = router();
    let late = endpoint();
    let worker = at_both("worker", [&late, &here], vec![double()]).await;
    let listener = Box::new(mem::MemListener::bind(&late).unwrap());
    let _late = Router::builder(node("late")).listen(vec![listener]).unwrap();
    let caller = client(&late, "caller").await;
    assert_eq!(timeout(LONG, caller.rpc().wait_for_receiver().call::<i64>("double", (4,))).await.unwrap().unwrap(), 8);
    drop(worker);
}

/// Calls until it is told to end, at once and once each. Counts how often a call worked; none may
/// fail.
async fn calls_on(client: Client<Formats>, over: Arc<AtomicUsize>, worked: Arc<AtomicUsize>) {
    while over.load(Ordering::SeqCst) == 0 {
        let called = client.rpc().wait_for_receiver().timeout(LONG).call::<i64>("double", (4,)).await;
        assert_eq!(called.map_err(|error| error.to_string()), Ok(8));
        worked.fetch_add(1, Ordering::SeqCst);
        // The clients' connections run on the same thread.
        tokio::task::yield_now().await;
    }
}

async fn until_more_work(worked: &AtomicUsize) {
    let before = worked.load(Ordering::SeqCst);
    let more = async {
        while worked.load(Ordering::SeqCst) < before + 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, more).await.expect("calls go on");
}

#[tokio::test]
async fn routers_restarted_one_after_another_under_load_lose_no_call() {
    let (one, two) = (router(), router());
    let _worker = at_both("worker", [&one.1, &two.1], vec![double()]).await;
    let client = at_any("caller", &[&one.1, &two.1]).connect().await.unwrap();
    let (over, worked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let calling: Vec<_> =
        (0..8).map(|_| tokio::spawn(calls_on(client.clone(), Arc::clone(&over), Arc::clone(&worked)))).collect();
    let mut now = sorted(&client, one, two);
    for _ in 0..4 {
        until_more_work(&worked).await;
        let [(here, at), there] = now;
        timeout(LONG, here.stop()).await.unwrap();
        until_more_work(&worked).await;
        assert_eq!(client.endpoint(), &there.1);
        let listener = Box::new(mem::MemListener::bind(&at).unwrap());
        let back = Router::builder(node("router")).listen(vec![listener]).unwrap();
        now = [there, (back, at)];
    }
    over.store(1, Ordering::SeqCst);
    for caller in calling {
        timeout(LONG, caller).await.unwrap().unwrap();
    }
}

/// Not even those that are made while their client is on its way, nor of a client that tries once.
#[tokio::test]
async fn a_router_that_stops_takes_calls_until_its_clients_are_elsewhere() {
    for _ in 0..10 {
        let (one, two) = (router(), router());
        let worker = at_both("worker", [&one.1, &two.1], vec![double()]).await;
        all_connected(&worker).await;
        let client = at_any("caller", &[&one.1, &two.1]).connect().await.unwrap();
        client.wait_for_members(&["worker"], Some(LONG)).await.unwrap();
        let [here, there] = sorted(&client, one, two);
        let stopping = tokio::spawn(async move { here.0.stop().await });
        while !stopping.is_finished() || client.endpoint() != &there.1 {
            assert_eq!(client.rpc().call::<i64>("double", (4,)).await.unwrap(), 8);
            tokio::task::yield_now().await;
        }
        stopping.await.unwrap();
        assert_eq!(there.0.stats().open_calls, 0);
        worker.stop().await;
    }
}

/// Each is stopped a moment after the other is back.
#[tokio::test(start_paused = true)]
async fn an_address_whose_router_was_stopped_in_order_does_not_hold_up_the_other() {
    let (one, two) = (router(), router());
    let client = at_any("caller", &[&one.1, &two.1]).connect().await.unwrap();
    let [mut here, mut there] = sorted(&client, one, two);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (gone, at) = here;
        let begun = tokio::time::Instant::now();
        gone.stop().await;
        drop(gone);
        await_connection(&client).await;
        assert!(client.endpoint() == &there.1 && begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
        let listener = Box::new(mem::MemListener::bind(&at).unwrap());
        here = there;
        there = (Router::builder(node("router")).listen(vec![listener]).unwrap(), at);
    }
}

/// One that is killed says nothing before.
#[tokio::test(start_paused = true)]
async fn connections_that_are_lost_soon_hold_up_their_own_address_alone() {
    let (one, two) = (router(), router());
    let client = at_any("caller", &[&one.1, &two.1]).connect().await.unwrap();
    let [mut here, mut there] = sorted(&client, one, two);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (gone, at) = here;
        let begun = tokio::time::Instant::now();
        drop(gone);
        let mut state = client.state();
        timeout(LONG, state.wait_for(|state| *state == ClientState::Reconnecting)).await.unwrap().unwrap();
        await_connection(&client).await;
        // The pause of that address may still run when it is needed again.
        assert!(client.endpoint() == &there.1 && begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
        let listener = Box::new(mem::MemListener::bind(&at).unwrap());
        here = there;
        there = (Router::builder(node("router")).listen(vec![listener]).unwrap(), at);
    }
}

/// The one is killed and is back at once; the other takes connections and says nothing.
#[tokio::test(start_paused = true)]
async fn a_silent_address_holds_the_other_up_for_no_longer_each_time() {
    let (silent, taking) = silent();
    let (mut one, at) = router();
    let client = at_any("caller", &[&at, &silent]).retry(LONG).connect().await.unwrap();
    let mut held_up = 0;
    for _ in 0..8 {
        assert_eq!(client.endpoint(), &at);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut state = client.state();
        drop(one);
        timeout(LONG, state.wait_for(|state| *state == ClientState::Reconnecting)).await.unwrap().unwrap();
        let begun = tokio::time::Instant::now();
        let listener = Box::new(mem::MemListener::bind(&at).unwrap());
        one = Router::builder(node("router")).listen(vec![listener]).unwrap();
        await_connection(&client).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        held_up += u32::from(begun.elapsed() > Duration::from_secs(1));
    }
    assert!(held_up <= 1, "it is known by then: {held_up}");
    taking.abort();
}

/// Nor does it hold up who leaves a Router that stops.
#[tokio::test(start_paused = true)]
async fn who_moves_on_tries_the_others_side_by_side() {
    let silent = [silent(), silent()];
    let (mut one, mut two) = (router(), router());
    let client = at_any("caller", &[&one.1, &silent[0].0, &silent[1].0, &two.1]).retry(LONG).connect().await.unwrap();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let [(here, at), there] = sorted(&client, one, two);
        let begun = tokio::time::Instant::now();
        here.stop().await;
        drop(here);
        await_connection(&client).await;
        assert!(client.endpoint() == &there.1 && begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(client.stats().reconnects, 0, "it moved before it was left");
        let listener = Box::new(mem::MemListener::bind(&at).unwrap());
        one = (Router::builder(node("router")).listen(vec![listener]).unwrap(), at);
        two = there;
    }
    silent.iter().for_each(|(_, taking)| taking.abort());
}

/// A Router whose process was stopped: its links stand, and nothing comes.
#[tokio::test(start_paused = true)]
async fn a_client_whose_router_gives_no_sign_of_life_goes_to_the_other_before_that_is_given_up() {
    let at = endpoint();
    let mut listener = mem::MemListener::bind(&at).unwrap();
    let deaf = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
            let mut link = pending.upgrade().await.unwrap();
            let hello = link.receive().await.unwrap().unwrap();
            let body =
                r#"{"meta":{"type":"router/4","error":null},"members":[{"name":"caller","methods":[],"level":4}]}"#;
            let answer = Frame::new(hello.header(), "caller", "", "", body.as_bytes(), &Limits::default()).unwrap();
            link.send(&answer).await.unwrap();
            kept.push(link);
        }
    });
    let connector = Box::new(mem::MemConnector::new(at.clone()));
    let (other, there) = router();
    drop(other);
    let second = Box::new(mem::MemConnector::new(there.clone()));
    let client =
        Client::builder(node("caller"), connector, formats()).or_at(second).retry(LONG).connect().await.unwrap();
    assert_eq!(client.endpoint(), &at);
    let listener = Box::new(mem::MemListener::bind(&there).unwrap());
    let _router = Router::builder(node("router")).listen(vec![listener]).unwrap();
    let begun = tokio::time::Instant::now();
    while client.endpoint() != &there || !client.is_connected() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(begun.elapsed() < Duration::from_secs(25), "it is given up after 35 s");
    }
    assert_eq!(client.stats().reconnects, 0, "the silent connection stands for what is open on it");
    deaf.abort();
}
