//! Whatever state a node is in, what is asked of it ends, and says how the node stands.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use daffi_core::{CallError, Client, ClientState, Disconnected, Ended, InitializationError, NodeConfig, Service};
use daffi_transport::Endpoint;
use futures::{FutureExt, StreamExt, stream};
use tokio::{sync::Notify, time::timeout};

use crate::support::{
    Formats, asynchronous, client, client_with, endpoint, formats, node, plain, router, service, service_at, worker,
};

async fn ends<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), future).await.unwrap_or_else(|_| panic!("{what} does not end"))
}

fn add() -> daffi_core::Callback {
    plain("add", |(a, b): (i64, i64)| Ok(a + b))
}

/// `begun` is told when it runs; it ends when `end` is.
fn held(begun: &Arc<Notify>, end: &Arc<Notify>) -> daffi_core::Callback {
    let (begun, end) = (Arc::clone(begun), Arc::clone(end));
    asynchronous("held", move |(): ()| {
        let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
        async move {
            begun.notify_one();
            end.notified().await;
        }
    })
}

/// How a client can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connected,
    Reconnecting,
    Draining,
    Stopped,
    Evicted,
    CannotConnect,
    RuntimeGone,
}

const STATES: [State; 7] = [
    State::Connected,
    State::Reconnecting,
    State::Draining,
    State::Stopped,
    State::Evicted,
    State::CannotConnect,
    State::RuntimeGone,
];

/// A client in that state, and its Service where that lives on.
async fn in_state(state: State) -> (Client<Formats>, Option<Service>) {
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    if state == State::RuntimeGone {
        return std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (service, at) = runtime.block_on(async { service(vec![add()]) });
            (runtime.block_on(client(&at, "c")), Some(service))
        })
        .join()
        .unwrap();
    }
    if state == State::Draining {
        // A callback that it received still runs.
        let (router, at) = router();
        let node = worker(&at, "c", vec![held(&begun, &end)]).await;
        let caller = client(&at, "caller").await;
        caller.rpc_nowait().call("held", ()).await.unwrap();
        begun.notified().await;
        assert!(node.stop().now_or_never().is_none());
        drop((caller, router));
        return (node, None);
    }
    let (service, at) = service(vec![add()]);
    if state == State::CannotConnect {
        let connector = Box::new(daffi_transport::mem::MemConnector::new(at));
        let node = Client::builder(node("svc"), connector, formats()).connect_lazy().unwrap();
        ends("join", node.join()).await;
        return (node, Some(service));
    }
    let node = client(&at, "c").await;
    match state {
        State::Reconnecting => {
            service.stop().await;
            while node.is_connected() {
                tokio::task::yield_now().await;
            }
        }
        State::Stopped => node.stop().await,
        State::Evicted => {
            let newer = client(&at, "c").await;
            node.join().await;
            drop(newer);
        }
        State::Connected | State::Draining | State::CannotConnect | State::RuntimeGone => {}
    }
    (node, Some(service))
}

fn is_expected(state: State, error: &CallError) -> bool {
    match state {
        State::Connected => false,
        State::Reconnecting => {
            matches!(error, CallError::Timeout { .. } | CallError::Disconnected(Disconnected::NotConnected))
        }
        // The connection may stand a little longer, to a server that is there or not.
        State::Draining => matches!(
            error,
            CallError::Stopped
                | CallError::Timeout { .. }
                | CallError::Disconnected(_)
                | CallError::ReceiverNotFound { .. }
        ),
        State::Stopped => matches!(error, CallError::Stopped),
        State::Evicted => matches!(error, CallError::Evicted),
        State::CannotConnect => matches!(error, CallError::CannotConnect(_)),
        State::RuntimeGone => matches!(error, CallError::RuntimeGone),
    }
}

/// Its error says what ended it, which the program may have to hunt for.
#[tokio::test]
async fn a_call_that_is_open_when_the_runtime_is_dropped_says_so() {
    for threads in [None, Some(2)] {
        let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (_service, at) = service(vec![held(&begun, &end)]);
        let mut runtime = match threads {
            None => tokio::runtime::Builder::new_current_thread(),
            Some(_) => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime.enable_all().build().unwrap();
        let (told, node) = tokio::sync::oneshot::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            runtime.block_on(async {
                let node = client(&at, "c").await;
                told.send(node).map_err(|_| ()).unwrap();
                while stopped.try_recv().is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        });
        let node = node.await.unwrap();
        let rpc = node.rpc();
        let call = tokio::spawn(async move { rpc.call::<()>("held", ()).await });
        begun.notified().await;
        stop.send(()).unwrap();
        let error = ends("an open call", call).await.unwrap().unwrap_err();
        other.join().unwrap();
        assert!(matches!(error, CallError::RuntimeGone), "{error:?}");
        assert!(error.to_string().contains("may run all the same"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_asked_of_a_client_ends_in_every_state() {
    const WITHIN: Duration = Duration::from_secs(2);
    for state in STATES {
        let asked = ["call", "waiting call", "nowait", "cast", "stream", "stream_nowait", "members"];
        for what in asked {
            let (client, _service) = in_state(state).await;
            assert_eq!(client.is_connected(), state == State::Connected || state == State::Draining, "{state:?}");
            let chunks = || stream::iter([(1, 2), (3, 4)].map(|(a, b)| a * b));
            let error = ends(&format!("{what} while {state:?}"), async {
                match what {
                    "call" => client.rpc().timeout(WITHIN).call::<i64>("add", (1, 2)).await.err(),
                    "waiting call" => {
                        client.rpc().timeout(WITHIN).wait_for_connection().call::<i64>("add", (1, 2)).await.err()
                    }
                    "nowait" => {
                        client.rpc_nowait().timeout(WITHIN).wait_for_connection().call("add", (1, 2)).await.err()
                    }
                    "cast" => {
                        client.cast().timeout(WITHIN).wait_for_connection().call::<i64>("add", (1, 2)).await.err()
                    }
                    "stream" => {
                        let stream = client.stream().serde(daffi_wire::FormatId::JSON).timeout(WITHIN);
                        stream.wait_for_connection().send("missing", chunks()).await.err().map(|error| *error.source)
                    }
                    "stream_nowait" => {
                        let stream = client.stream_nowait().serde(daffi_wire::FormatId::JSON).timeout(WITHIN);
                        stream.wait_for_connection().send("missing", chunks()).await.err().map(|error| *error.source)
                    }
                    _ => client.wait_for_members(&["nobody"], Some(WITHIN)).await.err(),
                }
            })
            .await;
            match error {
                Some(CallError::ReceiverNotFound { .. }) if what.starts_with("stream") => {}
                Some(CallError::Timeout { .. }) if what == "members" => {}
                Some(error) => assert!(is_expected(state, &error), "{what} while {state:?}: {error}"),
                None => assert!(matches!(state, State::Connected | State::Draining), "{what} while {state:?}"),
            }
        }
        for what in ["stop", "stop twice", "join", "wait"] {
            let (client, _service) = in_state(state).await;
            ends(&format!("{what} while {state:?}"), async {
                match what {
                    "stop" => client.stop().await,
                    "stop twice" => drop(tokio::join!(client.stop(), client.stop())),
                    "join" => {
                        // Given up half-way, it goes on.
                        let _unfinished = client.stop().now_or_never();
                        client.join().await;
                    }
                    _ => drop(timeout(WITHIN, client.wait_for_connection()).await),
                }
            })
            .await;
            if what != "wait" {
                let how = ends("join", client.join()).await;
                let expected = match state {
                    State::Evicted => Ended::Evicted,
                    State::CannotConnect => Ended::CannotConnect,
                    State::RuntimeGone => Ended::RuntimeGone,
                    State::Draining => Ended::CutOff(1),
                    _ => Ended::Stopped,
                };
                assert_eq!(how, expected, "{what} while {state:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_takes_no_callbacks_and_its_events_end() {
    for state in STATES {
        let (client, _service) = in_state(state).await;
        let added = client.add_callbacks(vec![plain("later", |(): ()| Ok(1))]);
        let expected = match state {
            State::Connected | State::Reconnecting => None,
            State::Draining | State::Stopped => Some((Ended::Stopped, "this node was stopped: start a new one")),
            State::Evicted => Some((Ended::Evicted, "give every node a name of its own")),
            State::CannotConnect => Some((Ended::CannotConnect, "correct what its last_failure() says")),
            State::RuntimeGone => Some((Ended::RuntimeGone, "on a runtime that is kept")),
        };
        match (added, expected) {
            (Ok(()), None) => {}
            (Err(error @ InitializationError::Ended(how)), Some((end, words))) => {
                assert!(how == end && error.to_string().contains(words), "{state:?}: {error}");
            }
            (added, _) => panic!("{state:?}: {added:?}"),
        }
        let mut events = client.events();
        if matches!(state, State::Stopped | State::Evicted | State::CannotConnect | State::RuntimeGone) {
            assert_eq!(ends("events", events.by_ref().count()).await, 0, "{state:?}");
            assert_eq!(ends("their end, asked for again", events.next()).await, None, "{state:?}");
        }
        // These have nothing to say.
        client.reannounce();
        drop(client.members());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_connect_says_so() {
    let nobody: Endpoint = endpoint();
    let connector = Box::new(daffi_transport::mem::MemConnector::new(nobody));
    let connecting = Client::builder(node("c"), connector, formats()).connect();
    assert!(matches!(ends("connecting", connecting).await, Err(InitializationError::Connect(_))));
}

#[tokio::test(start_paused = true)]
async fn everything_asked_of_a_service_ends_in_every_state() {
    for state in ["running", "half stopped", "stopping", "stopped", "runtime gone"] {
        for what in ["stop", "join", "add"] {
            let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let service = if state == "runtime gone" {
                std::thread::spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async { service(vec![]).0 })
                })
                .join()
                .unwrap()
            } else {
                let (service, at) = service(vec![held(&begun, &end)]);
                let caller = client(&at, "caller").await;
                caller.rpc_nowait().call("held", ()).await.unwrap();
                begun.notified().await;
                match state {
                    "half stopped" => drop(timeout(Duration::from_secs(1), service.stop()).await),
                    "stopping" => assert!(service.stop().now_or_never().is_none()),
                    "stopped" => service.stop().await,
                    _ => {}
                }
                service
            };
            ends(&format!("{what} while {state}"), async {
                match what {
                    "stop" => service.stop().await,
                    "join" if state == "running" => {}
                    "join" => drop(service.join().await),
                    _ => match (service.add_callbacks(vec![add()]), state) {
                        (Ok(()), "running") => {}
                        (Err(InitializationError::Ended(Ended::RuntimeGone)), "runtime gone") => {}
                        (Err(InitializationError::Ended(Ended::CutOff(1))), "stopped") => {}
                        (Err(InitializationError::Ended(Ended::Stopped)), "half stopped" | "stopping") => {}
                        (added, _) => panic!("{state}: {added:?}"),
                    },
                }
            })
            .await;
            ends("stop", service.stop()).await;
            let expected = if state == "runtime gone" { Ended::RuntimeGone } else { Ended::CutOff(1) };
            assert_eq!(ends("join", service.join()).await, expected, "{what} while {state}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_waits_for_the_stop_of_its_own_node_is_cut_off() {
    let service: Arc<OnceLock<Service>> = Arc::default();
    let stop = asynchronous("stop", {
        let service = Arc::clone(&service);
        move |(): ()| {
            let service = service.get().unwrap().clone();
            async move { service.stop().await }
        }
    });
    let at = endpoint();
    service.set(service_at(&at, NodeConfig::server(), vec![stop, add()])).unwrap();
    let caller = client(&at, "caller").await;
    let begun = tokio::time::Instant::now();
    assert!(ends("the call", caller.rpc().call::<()>("stop", ())).await.is_err());
    assert_eq!(ends("join", service.get().unwrap().join()).await, Ended::CutOff(1));
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn so_is_a_plain_one() {
    let service: Arc<OnceLock<Service>> = Arc::default();
    let stop = plain("stop", {
        let service = Arc::clone(&service);
        move |(): ()| {
            tokio::runtime::Handle::current().block_on(service.get().unwrap().stop());
            Ok(())
        }
    });
    let at = endpoint();
    let config = NodeConfig::server().grace(Duration::from_millis(50)).linger(Duration::from_millis(20));
    service.set(service_at(&at, config, vec![stop])).unwrap();
    let caller = client(&at, "caller").await;
    assert!(ends("the call", caller.rpc().call::<()>("stop", ())).await.is_err());
    assert_eq!(ends("join", service.get().unwrap().join()).await, Ended::CutOff(1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reconnects_stops_after_its_callbacks() {
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (router, at) = router();
    let node = worker(&at, "w", vec![held(&begun, &end)]).await;
    let caller = client(&at, "caller").await;
    caller.rpc_nowait().call("held", ()).await.unwrap();
    begun.notified().await;
    drop(router);
    while node.is_connected() {
        tokio::task::yield_now().await;
    }
    let mut stopping = Box::pin(node.stop());
    assert!(timeout(Duration::from_secs(5), &mut stopping).await.is_err(), "its callback runs");
    end.notify_one();
    assert!(timeout(Duration::from_secs(1), stopping).await.is_ok());
}

#[tokio::test]
async fn a_client_with_the_name_of_its_service_is_refused() {
    let (_service, at) = service(vec![add()]);
    let connector = Box::new(daffi_transport::mem::MemConnector::new(at.clone()));
    let error = Client::builder(node("svc"), connector, formats()).connect().await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("the service has the name of this node, svc,"), "{error}");
    let client = client_with(&at, "c", NodeConfig::client()).await;
    assert_eq!(client.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
}

/// Everything that says how a node stands says the same once its runtime is gone, whoever asks
/// first and however the runtime went.
#[test]
fn a_node_whose_runtime_is_gone_says_so_everywhere() {
    fn in_vain(what: &str, future: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ends(what, future));
    }
    for (threads, in_background) in [(0, false), (2, false), (2, true)] {
        let runtime = match threads {
            0 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            _ => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
        };
        let runtime = runtime.unwrap();
        let (service, router, caller, joined) = runtime.block_on(async {
            let ((service, at), (router, through)) = (service(vec![add()]), router());
            let (caller, joined) = (client(&at, "caller").await, client(&through, "joined").await);
            while router.members().is_empty() || service.clients().is_empty() {
                tokio::task::yield_now().await;
            }
            (service, router, caller, joined)
        });
        assert!(!service.is_stopping() && !router.is_stopping());
        match in_background {
            true => {
                runtime.shutdown_background();
                in_vain("nodes", async {
                    service.join().await;
                    router.join().await;
                    caller.join().await;
                    joined.join().await;
                });
            }
            false => drop(runtime),
        }
        let of = format!("{threads} threads, in background: {in_background}");
        assert!(service.is_stopping() && router.is_stopping(), "{of}");
        for client in [&caller, &joined] {
            assert!(!client.is_connected(), "{of}");
            assert_eq!(*client.state().borrow(), ClientState::Ended(Ended::RuntimeGone), "{of}");
            assert_eq!((client.server_role(), client.server_level()), (None, None), "{of}");
        }
        assert_eq!((service.clients(), router.members()), (vec![], vec![]), "{of}");
        assert_eq!(router.stats().members, 0, "{of}");
        in_vain("nodes", async {
            assert_eq!((service.join().await, router.join().await), (Ended::RuntimeGone, Ended::RuntimeGone), "{of}");
            assert_eq!((caller.join().await, joined.join().await), (Ended::RuntimeGone, Ended::RuntimeGone), "{of}");
            assert_eq!(service.events().count().await + router.events().count().await, 0, "{of}");
            tokio::join!(service.stop(), router.stop(), caller.stop(), joined.stop());
        });
        // These have nothing to do.
        service.set_policy(None);
        router.set_policy(None);
        router.reconfigure(&NodeConfig::server());
        caller.reannounce();
    }
}
