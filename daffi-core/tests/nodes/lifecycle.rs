//! Connections that come, go and come back.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use daffi_core::{
    CallError, Client, ClientState, Disconnected, Ended, InitializationError, MemberEvent, NodeConfig, Router, Service,
};
use daffi_transport::{Endpoint, Listener, mem};
use daffi_wire::{Limits, NodeName};
use futures::{FutureExt, StreamExt};
use tokio::sync::Notify;

use crate::support::{Formats, asynchronous, client, client_with, endpoint, formats, node, plain, service, service_at};

fn add() -> daffi_core::Callback {
    plain("add", |(a, b): (i64, i64)| Ok(a + b))
}

/// `begin` is told when the callback runs; it ends when `end` is.
fn held(begin: &Arc<Notify>, end: &Arc<Notify>) -> daffi_core::Callback {
    let (begin, end) = (Arc::clone(begin), Arc::clone(end));
    asynchronous("held", move |(): ()| {
        let (begin, end) = (Arc::clone(&begin), Arc::clone(&end));
        async move {
            begin.notify_one();
            end.notified().await;
            7
        }
    })
}

/// They say which setting, what it is and what it lacks.
#[tokio::test]
async fn settings_that_no_node_can_work_with_are_refused() {
    let threads = |count| NonZeroUsize::new(count).unwrap();
    let unusable: [(NodeConfig, &str); 14] = [
        (NodeConfig::server().workers(0), "workers is 0: at least 1 callback"),
        (NodeConfig::server().max_connections(0), "max_connections is 0: at least 1 connection"),
        (NodeConfig::server().budget_bytes(1), "budget_bytes is 1: small messages need 4096 bytes"),
        (NodeConfig::server().share(0.0), "share is 0: a number above 0"),
        (NodeConfig::server().share(f64::NAN), "share is NaN: a number above 0"),
        (NodeConfig::server().share(f64::INFINITY), "share is inf: a number above 0"),
        (NodeConfig::server().max_pending_handshakes(0), "max_pending_handshakes is 0: at least 1"),
        (NodeConfig::server().threads(threads(usize::MAX)), "threads is 18446744073709551615: 1024 are the most"),
        (NodeConfig::server().threads(threads(1025)), "threads is 1025: 1024 are the most"),
        (NodeConfig::server().handshake_timeout(Duration::ZERO), "handshake_timeout is 0s: it would be over at once"),
        (NodeConfig::server().connect_timeout(Duration::ZERO), "connect_timeout is 0s: it would be over at once"),
        (NodeConfig::server().slow_peer_timeout(Duration::ZERO), "slow_peer_timeout is 0s: it would be over at once"),
        (NodeConfig::server().level3_call_limit(Some(Duration::ZERO)), "level3_call_limit is 0s: it would be over"),
        (NodeConfig::server().default_timeout(Some(Duration::ZERO)), "default_timeout is 0s: it would be over at once"),
    ];
    for (config, words) in unusable {
        let name = || NodeName::new("n", &Limits::default()).unwrap();
        let at = endpoint();
        let listener = || vec![Box::new(mem::MemListener::bind(&endpoint()).unwrap()) as Box<dyn Listener>];
        let connector = Box::new(mem::MemConnector::new(at.clone()));
        let told = [
            Service::builder(name(), formats()).config(config.clone()).listen(listener()).map(drop),
            Router::builder(name()).config(config.clone()).listen(listener()).map(drop),
            Client::builder(name(), connector, formats()).config(config).connect_lazy().map(drop),
        ];
        for error in told.map(|started| started.unwrap_err().to_string()) {
            assert!(error.starts_with(words), "{error}");
        }
    }
}

/// A time beyond all clocks is long, and nothing else.
#[tokio::test]
async fn times_without_end_stop_nothing() {
    let config = || {
        NodeConfig::client()
            .default_timeout(Some(Duration::MAX))
            .handshake_timeout(Duration::MAX)
            .connect_timeout(Duration::MAX)
            .slow_peer_timeout(Duration::MAX)
            .grace(Duration::MAX)
            .linger(Duration::MAX)
            .reconnect_first(Duration::MAX)
            .reconnect_max(Duration::MAX)
    };
    let at = endpoint();
    let first = service_at(&at, config(), vec![add()]);
    let caller = client_with(&at, "caller", config()).await;
    assert_eq!(caller.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    // It waits for its next attempt, and hears that it is to stop.
    first.stop().await;
    let mut state = caller.state();
    state.wait_for(|state| *state == ClientState::Reconnecting).await.unwrap();
    caller.stop().await;
    assert_eq!(caller.join().await, Ended::Stopped);
}

#[tokio::test]
async fn the_newest_connection_takes_the_name() {
    let (service, at) = service(vec![add()]);
    let mut events = service.events();
    let old = client(&at, "same").await;
    let new = client(&at, "same").await;
    assert_eq!(old.join().await, Ended::Evicted);
    assert!(matches!(old.rpc().call::<i64>("add", (1, 2)).await, Err(CallError::Evicted)));
    assert_eq!(new.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    assert_eq!(events.next().await, Some(MemberEvent::Added("same".into())));
    assert_eq!(events.next().await, Some(MemberEvent::Evicted("same".into())));
    assert_eq!(events.next().await, Some(MemberEvent::Added("same".into())));
    new.stop().await;
    assert_eq!(events.next().await, Some(MemberEvent::Removed("same".into())));
}

#[tokio::test(start_paused = true)]
async fn a_client_comes_back_by_itself() {
    let (at, begin, end) = (endpoint(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let first = service_at(&at, NodeConfig::server(), vec![add(), held(&begin, &end)]);
    let client = client(&at, "c").await;
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().call::<i64>("held", ()).await }
    });
    begin.notified().await;
    drop(first);
    let error = open.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Disconnected(_)), "{error}");
    let error = client.rpc().call::<i64>("add", (1, 2)).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected(Disconnected::NotConnected)), "{error}");
    assert!(error.is_retryable());
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().wait_for_connection().call::<i64>("add", (3, 4)).await }
    });
    tokio::time::sleep(Duration::from_secs(300)).await;
    let _second = service_at(&at, NodeConfig::server(), vec![add()]);
    let back = tokio::time::Instant::now();
    assert_eq!(waiting.await.unwrap().unwrap(), 7);
    assert!(back.elapsed() <= Duration::from_millis(1100), "within the back-off's ceiling, not {:?}", back.elapsed());
}

#[tokio::test]
async fn stop_lets_run_what_was_received() {
    let (begin, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (service, at) = service(vec![held(&begin, &end)]);
    let client = client(&at, "c").await;
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().call::<i64>("held", ()).await }
    });
    begin.notified().await;
    let stopping = tokio::spawn({
        let service = service.clone();
        async move { service.stop().await }
    });
    // One thread: the stop begins before this call is sent.
    let late = client.rpc().call::<i64>("held", ()).await.unwrap_err();
    assert!(matches!(&late, CallError::Stopping(why) if why == "svc is stopping: held did not run"), "{late}");
    assert!(late.is_retryable());
    end.notify_one();
    assert_eq!(open.await.unwrap().unwrap(), 7);
    stopping.await.unwrap();
    assert_eq!(service.join().await, Ended::Stopped);
}

#[tokio::test(start_paused = true)]
async fn stop_waits_no_longer_than_its_grace() {
    let (begin, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (service, at) = service(vec![held(&begin, &end)]);
    let client = client(&at, "c").await;
    let open = tokio::spawn({
        let client = client.clone();
        async move { client.rpc().call::<i64>("held", ()).await }
    });
    begin.notified().await;
    let begun = tokio::time::Instant::now();
    service.stop().await;
    assert!((10..14).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(open.await.unwrap().is_err());
}

#[tokio::test]
async fn late_callbacks_are_told_at_once() {
    let (service, at) = service(vec![]);
    let client = client(&at, "c").await;
    assert!(matches!(client.rpc().call::<i64>("add", (1, 2)).await, Err(CallError::ReceiverNotFound { .. })));
    service.add_callbacks(vec![add()]).unwrap();
    while client.members().receivers_of("add").is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let error = service.add_callbacks(vec![add()]).unwrap_err();
    assert_eq!(error.to_string(), "two callbacks are named add: give one of them another name");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_and_hurts_nobody() {
    let (_service, at) = service(vec![add()]);
    let connector = daffi_transport::mem::MemConnector::new(at.clone());
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(
            daffi_transport::Connector::connect(&connector, &daffi_transport::LinkConfig::default()).await.unwrap(),
        );
    }
    let client = client_with(&at, "c", NodeConfig::client()).await;
    assert_eq!(client.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    for link in &mut silent {
        let ended = std::future::poll_fn(|cx| link.reader.poll_fill(cx, 1024)).await;
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
}

/// Whoever hears that its call has ended with the connection finds none, and waits for the next
/// one.
#[tokio::test]
async fn no_call_ends_before_its_connection_is_gone() {
    let (begin, end) = (Arc::default(), Arc::default());
    let at = endpoint();
    let service = service_at(&at, NodeConfig::server(), vec![held(&begin, &end)]);
    let client = client(&at, "caller").await;
    let rpc = client.rpc();
    let call = rpc.call::<i64>("held", ());
    let ended = tokio::join!(call, async {
        begin.notified().await;
        drop(service);
    });
    assert!(matches!(ended.0, Err(CallError::Disconnected(_))), "{:?}", ended.0);
    assert!(!client.is_connected());
    assert!(client.wait_for_connection().now_or_never().is_none());
    assert!(client.wait_for_members(&["svc"], None).now_or_never().is_none(), "the list is that of before");
    let _again = service_at(&at, NodeConfig::server(), vec![add()]);
    client.wait_for_members(&["svc"], None).await.unwrap();
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
}

#[tokio::test]
async fn no_member_is_waited_for_by_a_client_that_has_ended() {
    let (_service, at) = service(vec![add()]);
    let client = client(&at, "caller").await;
    client.wait_for_members(&["svc"], None).await.unwrap();
    client.stop().await;
    assert!(matches!(client.wait_for_members(&["svc"], None).await, Err(CallError::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_reason_for_which_there_is_no_connection_stands_in_the_timeout() {
    let client = lazily("caller", &[&endpoint()]);
    let rpc = client.rpc().wait_for_connection().timeout(Duration::from_secs(1));
    let words = rpc.call::<i64>("add", (1, 2)).await.unwrap_err().to_string();
    assert!(
        words.starts_with(r#"no connection within 1s, so "add" was not called: cannot connect to mem://"#),
        "{words}"
    );
    assert!(words.contains(&*client.last_failure().unwrap()), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_was_waited_for_in_vain_is_named() {
    let (_service, at) = service(vec![add()]);
    let client = client(&at, "caller").await;
    let rpc = client.rpc().receiver("other").wait_for_receiver().timeout(Duration::from_secs(1));
    let words = rpc.call::<i64>("add", (1, 2)).await.unwrap_err().to_string();
    assert!(words.starts_with(r#"other was no member that exposes "add" within 1s"#), "{words}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_members_without_a_connection_says_that() {
    let connector = Box::new(mem::MemConnector::new(endpoint()));
    let client = Client::builder(node("caller"), connector, formats()).connect_lazy().unwrap();
    let second = Duration::from_secs(1);
    let error = client.wait_for_members(&["svc"], Some(second)).await.unwrap_err();
    let words = error.to_string();
    assert!(words.starts_with("no connection within 1s, so nobody is a member: cannot connect to mem://"), "{words}");
    let (_service, at) = service(vec![add()]);
    let client = client_with(&at, "caller", NodeConfig::client()).await;
    let error = client.wait_for_members(&["other"], Some(second)).await.unwrap_err();
    assert!(error.to_string().starts_with("not a member within 1s: other; is it running"), "{error}");
}

/// It takes the time that it is given, however long the pauses have become.
#[tokio::test(start_paused = true)]
async fn a_first_connect_is_tried_to_the_end_of_its_time() {
    let (at, second) = (endpoint(), Duration::from_secs(1));
    let connector = Box::new(mem::MemConnector::new(at.clone()));
    let connecting = Client::builder(node("early"), connector, formats()).retry(20 * second).connect();
    let listening = async {
        tokio::time::sleep(20 * second - Duration::from_millis(50)).await;
        service_at(&at, NodeConfig::server(), vec![add()])
    };
    let (client, _service) = tokio::join!(connecting, listening);
    assert!(client.unwrap().is_connected());
}

/// A client of the Service's own name never gets in there, however long it tries.
#[tokio::test(start_paused = true)]
async fn what_can_never_work_ends_trying_at_once() {
    let (_service, at) = service(vec![]);
    let begun = tokio::time::Instant::now();
    let connector = Box::new(daffi_transport::mem::MemConnector::new(at));
    let same = Client::builder(node("svc"), connector, formats()).retry(Duration::from_secs(3600)).connect().await;
    let error = same.unwrap_err();
    let is_same = matches!(&error, InitializationError::Handshake { source: Disconnected::SameName(_), .. });
    assert!(is_same && !error.is_retryable(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

fn lazily(name: &str, addresses: &[&Endpoint]) -> Client<Formats> {
    let mut each = addresses.iter().map(|at| Box::new(mem::MemConnector::new((*at).clone())));
    let builder = Client::builder(node(name), each.next().unwrap(), formats());
    each.fold(builder, |builder, connector| builder.or_at(connector)).connect_lazy().unwrap()
}

/// What ends `connect` and its retries ends a client that connects in the background as well:
/// whoever waits for it hears why.
#[tokio::test(start_paused = true)]
async fn what_can_never_work_ends_a_client_that_connects_in_the_background() {
    let (_service, at) = service(vec![add()]);
    let client = lazily("svc", &[&at]);
    let asked = tokio::time::timeout(Duration::from_secs(60), async {
        let rpc = client.rpc().wait_for_connection();
        let call = rpc.call::<i64>("add", (1, 2)).await;
        (call.unwrap_err(), client.wait_for_connection().await.unwrap_err(), client.join().await)
    });
    let (call, waiting, ended) = asked.await.expect("they end");
    for error in [call, waiting, client.rpc().call::<i64>("add", (1, 2)).await.unwrap_err()] {
        assert!(matches!(error, CallError::CannotConnect(_)) && !error.is_retryable(), "{error:?}");
        let words = error.to_string();
        assert!(words.contains("give this node another name"), "{words}");
        assert!(words.contains(&*client.last_failure().unwrap()), "{words}");
    }
    assert_eq!(ended, Ended::CannotConnect);
    assert_eq!(*client.state().borrow(), ClientState::Ended(Ended::CannotConnect));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_connected_tries_on_whoever_stands_there_meanwhile() {
    let (first, at) = service(vec![add()]);
    let client = client(&at, "c").await;
    first.stop().await;
    client.state().wait_for(|state| *state == ClientState::Reconnecting).await.unwrap();
    let listener = Box::new(mem::MemListener::bind(&at).unwrap());
    let namesake = Service::builder(node("c"), formats()).listen(vec![listener]).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(600), client.join()).await;
    assert!(ended.is_err(), "{ended:?}");
    assert!(client.last_failure().is_some_and(|said| said.contains("give this node another name")));
    namesake.stop().await;
    let listener = Box::new(mem::MemListener::bind(&at).unwrap());
    let _again = Service::builder(node("svc"), formats()).callbacks(vec![add()]).listen(vec![listener]).unwrap();
    assert_eq!(client.rpc().wait_for_connection().call::<i64>("add", (1, 2)).await.unwrap(), 3);
}

/// Of several addresses one that may work later is enough to go on.
#[tokio::test(start_paused = true)]
async fn a_client_goes_on_as_long_as_one_of_its_addresses_may_work() {
    let ((_service, taken), later) = (service(vec![add()]), endpoint());
    let client = lazily("svc", &[&taken, &later]);
    let ended = tokio::time::timeout(Duration::from_secs(600), client.join()).await;
    assert!(ended.is_err(), "{ended:?}");
    let listener = Box::new(mem::MemListener::bind(&later).unwrap());
    let _other = Service::builder(node("other"), formats()).callbacks(vec![add()]).listen(vec![listener]).unwrap();
    assert_eq!(client.rpc().wait_for_receiver().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let (_second, taken_too) = service(vec![]);
    let ended = tokio::time::timeout(Duration::from_secs(60), lazily("svc", &[&taken, &taken_too]).join()).await;
    assert_eq!(ended, Ok(Ended::CannotConnect));
}
