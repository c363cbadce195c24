//! Clients that are stopped, or dropped, while something is on its way: a result, a connection, or
//! what is open at a server that they have left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use daffi_core::{
    CallError, Callback, CallbackOptions, Client, ClientBuilder, ClientState, Disconnected, Ended, NodeConfig, Router,
    Service,
};
use daffi_transport::{Endpoint, LinkConfig, Listener, mem};
use daffi_transport_tcp::{TcpConnector, TcpListener};
use daffi_wire::{CallCredit, CallId, Data, DataEnd, Extensions, FormatId, Kind, Limits};
use futures::{FutureExt, future::poll_fn};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::{
    peer::{Peer, accept, raw, request},
    support::{
        Formats, asynchronous, client, client_exposing, endpoint, formats, hang, node, plain_with, router, router_with,
        worker,
    },
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// For as long the first attempt is repeated.
const RETRY: Duration = Duration::from_secs(3600);

fn at_any(name: &str, places: &[&Endpoint]) -> ClientBuilder<Formats> {
    let mut connectors = places.iter().map(|at| Box::new(mem::MemConnector::new((*at).clone())));
    let builder = Client::builder(node(name), connectors.next().unwrap(), formats());
    connectors.fold(builder, |builder, connector| builder.or_at(connector))
}

fn router_at(at: &Endpoint) -> Router {
    let listener = Box::new(mem::MemListener::bind(at).unwrap());
    Router::builder(node("router")).listen(vec![listener]).unwrap()
}

/// `blob`: a text of so many bytes.
fn blob() -> Callback {
    asynchronous("blob", |(bytes,): (usize,)| async move { "x".repeat(bytes) })
}

/// Takes the rest of a large result, as fast as it comes; gives its bytes.
async fn take_rest(caller: &mut Peer, [me, other]: [&str; 2]) -> usize {
    let (mut bytes, mut worked_off) = (0, 0);
    loop {
        let credit = CallCredit::new(CallId(2), true, worked_off, 1 << 20).unwrap();
        caller.send_bytes(credit.frame(me, other, &Limits::default()).unwrap().as_bytes()).await;
        let frame = timeout(LONG, caller.receive()).await.expect("the rest comes").expect("the connection stands");
        if frame.kind() != Kind::Data {
            assert!(matches!(frame.kind(), Kind::Handshake | Kind::Events | Kind::Ping), "{frame:?}");
            continue;
        }
        let data = Data::read(frame).unwrap();
        worked_off += data.cost();
        bytes += data.bytes.len();
        if data.end == DataEnd::Direction {
            return bytes;
        }
    }
}

/// It waits for its reader long after its callback has returned.
#[tokio::test(start_paused = true)]
async fn a_large_result_that_is_on_its_way_comes_whole() {
    let (_router, at) = router();
    let node = worker(&at, "worker", vec![blob()]).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello_with("caller", "client/4", "null").await;
    let arguments = r#"{"args":[8000000],"kwargs":{}}"#;
    let call = request(2, ["caller", "worker", "blob"], &Extensions::default(), arguments);
    caller.send_bytes(call.as_bytes()).await;
    let first = loop {
        let frame = timeout(LONG, caller.receive()).await.unwrap().unwrap();
        if frame.kind() == Kind::Response {
            break frame.in_data().unwrap().unwrap().body.unwrap();
        }
    };
    let mut stopping = Box::pin(node.stop());
    assert!(timeout(Duration::from_secs(1), &mut stopping).await.is_err(), "a result is on its way");
    assert!(take_rest(&mut caller, ["caller", "worker"]).await > 7_000_000, "of {first} bytes");
    assert!(timeout(Duration::from_secs(2), stopping).await.is_ok());
    assert_eq!(node.join().await, Ended::Stopped);
}

/// One that does not connect any more leaves the next of its name alone.
async fn nobody_comes_to(at: &Endpoint, name: &str) {
    let _router = router_at(at);
    let successor = client(at, name).await;
    sleep(2 * RETRY).await;
    assert!(successor.join().now_or_never().is_none(), "its name was taken");
}

#[tokio::test(start_paused = true)]
async fn a_node_of_several_servers_stops_while_one_of_them_is_away() {
    for retries in [false, true] {
        let ((_router, here), away) = (router(), endpoint());
        let builder = at_any("w", &[&here, &away]);
        let builder = if retries { builder.retry(RETRY) } else { builder };
        let group = timeout(LONG, builder.connect_all()).await.unwrap().unwrap();
        timeout(LONG, group.stop()).await.expect("it stops");
        assert_eq!(group.join().await, Ended::Stopped);
        nobody_comes_to(&away, "w").await;
    }
}

/// A server that takes connections and says nothing, until it is aborted.
fn silent_server() -> (Endpoint, JoinHandle<()>) {
    let at = endpoint();
    let mut listener = mem::MemListener::bind(&at).unwrap();
    let taking = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
            kept.push(pending.upgrade().await.unwrap());
        }
    });
    (at, taking)
}

#[tokio::test(start_paused = true)]
async fn a_node_of_several_servers_stops_while_one_of_them_says_nothing() {
    let ((_router, here), (silent, taking)) = (router(), silent_server());
    let group = timeout(LONG, at_any("w", &[&here, &silent]).connect_all()).await.unwrap().unwrap();
    let begun = Instant::now();
    timeout(LONG, group.stop()).await.expect("it stops");
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited for who says nothing: {:?}", begun.elapsed());
    taking.abort();
}

/// Of each address it is told why, from the first attempt on.
#[tokio::test(start_paused = true)]
async fn a_client_of_a_group_says_why_its_first_attempt_failed() {
    let ((_router, here), (silent, taking)) = (router(), silent_server());
    let group = timeout(LONG, at_any("w", &[&here, &silent]).connect_all()).await.unwrap().unwrap();
    let within = NodeConfig::client().handshake_timeout;
    sleep(within + within / 2).await;
    assert_eq!(group.clients()[0].last_failure(), None);
    let why = group.clients()[1].last_failure().expect("one attempt has failed by now");
    assert!(why.contains("handshake"), "{why}");
    taking.abort();
}

/// Whoever makes it is told why, and nothing tries on behind that.
#[tokio::test(start_paused = true)]
async fn a_node_that_reached_no_server_makes_no_further_attempt() {
    let (at, made) = (endpoint(), Arc::new(AtomicUsize::new(0)));
    let mut listener = mem::MemListener::bind(&at).unwrap();
    let counted = Arc::clone(&made);
    let taking = tokio::spawn(async move {
        loop {
            let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
            drop(pending.upgrade().await.unwrap());
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    timeout(LONG, at_any("w", &[&at]).connect_all()).await.unwrap().unwrap_err();
    sleep(RETRY).await;
    assert_eq!(made.load(Ordering::SeqCst), 1);
    taking.abort();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_dropped_leaves_nothing_that_connects() {
    let ((_router, here), away, nobody) = (router(), endpoint(), endpoint());
    let group = timeout(LONG, at_any("w", &[&here, &away]).retry(RETRY).connect_all()).await.unwrap().unwrap();
    drop(group);
    nobody_comes_to(&away, "w").await;

    let connecting = at_any("w", &[&away, &nobody]).retry(RETRY).connect_all();
    assert!(timeout(Duration::from_secs(5), connecting).await.is_err(), "nobody is there");
    nobody_comes_to(&away, "w").await;

    let connecting = at_any("w", &[&away]).retry(RETRY).connect();
    assert!(timeout(Duration::from_secs(5), connecting).await.is_err(), "nobody is there");
    nobody_comes_to(&away, "w").await;
}

/// Also the one that has never been connected.
#[tokio::test(start_paused = true)]
async fn all_clients_of_a_node_end_with_its_runtime() {
    let group = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ((_router, here), away) = (router(), endpoint());
            at_any("w", &[&here, &away]).retry(RETRY).connect_all().await.unwrap()
        })
    });
    let group = group.join().unwrap();
    assert_eq!(timeout(LONG, group.join()).await.expect("it ends"), Ended::RuntimeGone);
    timeout(LONG, group.stop()).await.expect("it ends");
    for client in group.clients() {
        assert!(timeout(LONG, client.wait_for_connection()).await.expect("it ends").is_err());
        assert_eq!(timeout(LONG, client.join()).await.expect("it ends"), Ended::RuntimeGone);
    }
}

/// The connection that it has left is a part of the node until what is open there has ended.
#[tokio::test(start_paused = true)]
async fn what_is_open_at_the_server_before_ends_there_when_the_next_one_is_lost() {
    let gate = Arc::new(Semaphore::new(0));
    let (one, two) = (router(), router());
    let node = at_any("w", &[&one.1, &two.1]).callbacks(vec![hang(&gate)]).connect().await.unwrap();
    let [here, there] = if node.endpoint() == &one.1 { [one, two] } else { [two, one] };
    let caller = client(&here.1, "caller").await;
    caller.wait_for_members(&["w"], Some(LONG)).await.unwrap();
    let open = tokio::spawn(async move { caller.rpc().call::<u32>("hang", (5,)).await });
    while node.stats().running == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let stopping_router = tokio::spawn(async move { here.0.stop().await });
    while node.endpoint() != &there.1 || !node.is_connected() {
        sleep(Duration::from_millis(1)).await;
    }
    drop(there);
    node.state().wait_for(|state| *state == ClientState::Reconnecting).await.unwrap();
    let mut stopping = Box::pin(node.stop());
    assert!(timeout(Duration::from_secs(1), &mut stopping).await.is_err(), "its callback runs");
    gate.add_permits(1);
    assert_eq!(timeout(LONG, open).await.unwrap().unwrap().expect("it was answered"), 5);
    timeout(LONG, stopping).await.expect("it stops");
    assert_eq!(node.join().await, Ended::Stopped);
    timeout(LONG, stopping_router).await.unwrap().unwrap();
}

/// Whoever stops it may be the first to see that it is connected.
#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_as_it_connects_leaves() {
    for _ in 0..20 {
        let (router, at) = router();
        let watcher = client(&at, "watcher").await;
        let node = at_any("w", &[&at]).callbacks(vec![blob()]).connect_lazy().unwrap();
        node.state().wait_for(|state| *state == ClientState::Connected).await.unwrap();
        timeout(LONG, node.stop()).await.expect("it stops");
        let left = async {
            while watcher.members().get("w").is_some() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, left).await.expect("it leaves");
        drop(router);
    }
}

/// An operator would look at the worker's host.
#[tokio::test(start_paused = true)]
async fn who_is_cut_off_by_a_router_hears_of_the_router_and_not_of_the_worker() {
    for _ in 0..5 {
        let (router, at) = router_with(NodeConfig::server().grace(Duration::from_secs(1)));
        let gate = Arc::new(Semaphore::new(0));
        let config = NodeConfig::client().workers(8);
        let _worker = client_exposing(&at, "worker", config, vec![hang(&gate)]).await;
        let mut calls = Vec::new();
        for n in 0..8 {
            let caller = client(&at, &format!("caller-{n}")).await;
            caller.wait_for_members(&["worker"], Some(LONG)).await.unwrap();
            calls.push(tokio::spawn(async move { caller.rpc().call::<u32>("hang", (5,)).await }));
        }
        while router.stats().open_calls < 8 {
            sleep(Duration::from_millis(1)).await;
        }
        router.stop().await;
        assert_eq!(router.join().await, Ended::CutOff(8));
        for call in calls {
            let error = call.await.unwrap().unwrap_err();
            assert!(matches!(error, CallError::Disconnected(Disconnected::ServerCutOff)), "{error}");
        }
    }
}

/// Queues a large request of that style to a server that takes nothing from its HANDSHAKE on, whose
/// end of the connection is given.
async fn queued_at_a_deaf_server(style: &str) -> (Client<Formats>, Peer, mem::MemListener) {
    let at = endpoint();
    let mut listener = mem::MemListener::bind(&at).unwrap();
    let (client, server) = tokio::join!(client(&at, "caller"), accept(&mut listener));
    let large = "x".repeat(3_000_000);
    match style {
        "rpc" => client.rpc_nowait().call("f", (large,)).await.unwrap(),
        "cast" => client.cast_nowait().call("f", (large,)).await.unwrap(),
        _ => {
            let stream = client.stream_nowait().serde(FormatId::JSON);
            assert_eq!(stream.send("f", futures::stream::iter([large])).await.unwrap(), 1);
        }
    }
    (client, server, listener)
}

/// Nothing else tells: nobody waits for an answer.
#[tokio::test(start_paused = true)]
async fn who_stops_hears_that_a_request_without_answer_was_not_sent() {
    for style in ["rpc", "cast", "stream"] {
        let (client, _deaf, _listener) = queued_at_a_deaf_server(style).await;
        timeout(LONG, client.stop()).await.expect("it stops");
        let how = client.join().await;
        let Ended::Unsent { requests: 1, bytes } = how else { panic!("{style}: {how:?}") };
        assert!((2_000_000..3_000_100).contains(&bytes), "{style}: {bytes}");
        let stats = client.stats();
        assert_eq!((stats.unsent_requests, stats.unsent_bytes), (1, bytes), "{style}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_answer_that_is_lost_with_its_connection_is_counted() {
    let (client, server, mut listener) = queued_at_a_deaf_server("rpc").await;
    drop(server);
    let _next = timeout(LONG, accept(&mut listener)).await.expect("it comes back");
    assert_eq!(client.stats().unsent_requests, 1);
    client.stop().await;
    assert_eq!(client.join().await, Ended::Stopped, "that was before");
}

#[tokio::test]
async fn a_request_without_answer_that_was_taken_is_sent() {
    let (client, mut server, _listener) = queued_at_a_deaf_server("rpc").await;
    let stopping = client.stop();
    let taking = async { while server.receive().await.is_some() {} };
    timeout(LONG, async { tokio::join!(stopping, taking) }).await.expect("it stops");
    assert_eq!(client.join().await, Ended::Stopped);
    assert_eq!((client.stats().unsent_requests, client.stats().unsent_bytes), (0, 0));
}

/// How often the log warned of frames that were not sent: of one connection, and of all at once.
#[derive(Clone, Default)]
struct Warned(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for Warned {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            let count = match format!("{value:?}").as_str() {
                "a connection ended with unsent frames" => &self.0,
                "stopping left frames unsent" => &self.1,
                _ => return,
            };
            if field.name() == "message" && *event.metadata().level() == tracing::Level::WARN {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Who drops a client asks nobody how it ended; of one that is stopped, its end tells.
#[tokio::test(start_paused = true)]
async fn the_log_warns_of_what_a_client_left_unsent_that_nobody_stopped() {
    let warned = Warned::default();
    let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(warned.clone()));
    let (client, _deaf, _listener) = queued_at_a_deaf_server("rpc").await;
    client.stop().await;
    assert!(matches!(client.join().await, Ended::Unsent { .. }));
    assert_eq!(warned.0.load(Ordering::Relaxed), 0);
    let (client, mut server, _listener) = queued_at_a_deaf_server("rpc").await;
    drop(client);
    timeout(LONG, async { while server.receive().await.is_some() {} }).await.expect("it is dropped");
    assert_eq!(warned.0.load(Ordering::Relaxed), 1);
}

/// Peers that took nothing are one line, however many they are.
#[tokio::test(start_paused = true)]
async fn the_log_warns_once_of_all_that_a_node_that_stops_left_unsent() {
    let warned = Warned::default();
    let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(warned.clone()));
    let (router, at) = router_with(NodeConfig::server().grace(Duration::from_secs(1)));
    let mut deaf = Vec::new();
    for name in ["one", "two", "three"] {
        deaf.push(raw(&at, name, "client", r#"["f"]"#).await);
    }
    let sender = client(&at, "sender").await;
    sender.wait_for_members(&["one", "two", "three"], Some(LONG)).await.unwrap();
    for name in ["one", "two", "three"] {
        sender.rpc_nowait().receiver(name).call("f", ("x".repeat(3_000_000),)).await.unwrap();
    }
    sender.stop().await;
    router.stop().await;
    assert_eq!((warned.0.load(Ordering::Relaxed), warned.1.load(Ordering::Relaxed)), (0, 1));
}

/// The end of a stream is no byte of a request, though the system counts it as one that has not
/// arrived.
#[tokio::test]
async fn a_client_that_was_idle_leaves_nothing_unsent() {
    let any = Endpoint::new("tcp", "127.0.0.1:0").unwrap();
    let listener = TcpListener::bind(&any).await.unwrap();
    let at = listener.endpoint().clone();
    let _service = Service::builder(node("svc"), formats()).listen(vec![Box::new(listener)]).unwrap();
    let linger = Duration::from_millis(20);
    let mut clients = Vec::new();
    for n in 0..40 {
        let connector = Box::new(TcpConnector::new(at.clone()));
        let builder = Client::builder(node(&format!("c{n}")), connector, formats());
        clients.push(builder.config(NodeConfig::client().linger(linger)).connect().await.unwrap());
    }
    sleep(20 * linger).await;
    for client in clients {
        timeout(LONG, client.stop()).await.expect("it stops");
        assert_eq!(client.join().await, Ended::Stopped);
    }
}

/// A function that blocks the thread on which a connection is read also keeps that from ending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_does_not_wait_for_a_connection_whose_thread_is_blocked() {
    let (router, at) = router();
    let (blocks, blocked) = mpsc::channel::<()>();
    let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let blocked = parking_lot::Mutex::new(blocked);
    let block = plain_with("block", CallbackOptions::new().inline(), move |(): ()| {
        begins.send(()).unwrap();
        // Until the test lets it go, or has ended.
        let _over = blocked.lock().recv();
        Ok(())
    });
    let config = NodeConfig::client().grace(Duration::from_millis(50)).linger(Duration::from_millis(50));
    let worker = client_exposing(&at, "worker", config, vec![block]).await;
    let caller = client(&at, "caller").await;
    caller.rpc_nowait().receiver("worker").call("block", ()).await.unwrap();
    timeout(LONG, begun.recv()).await.expect("it runs");
    timeout(LONG, worker.stop()).await.expect("it stops");
    drop(blocks);
    router.stop().await;
}
