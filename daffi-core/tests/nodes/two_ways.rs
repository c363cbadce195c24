//! One Router at two addresses: a client that connects by both ways takes its name from itself.

use std::{future::poll_fn, sync::Arc, time::Duration};

use daffi_core::{Client, ClientBuilder, ClientState, Ended, NodeConfig, Router};
use daffi_transport::{
    BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener,
    mem::{MemConnector, MemListener},
};
use daffi_wire::{Frame, Level, Limits};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::support::{Formats, endpoint, formats, node, router, router_with};

const LONG: Duration = Duration::from_secs(120);

/// Another address of a server, by a way that holds back each handshake or the answer to it.
struct Way {
    at: Endpoint,
    /// Told, the connections by this way end.
    cut: Arc<Notify>,
    relaying: JoinHandle<()>,
}

impl Way {
    fn to(server: &Endpoint, holds: Duration) -> Self {
        Self::holding(server, Holds { answer: holds, ..Holds::default() })
    }

    /// One that hands each handshake on so late, also of a client that has gone elsewhere.
    fn late(server: &Endpoint, hello: Duration, is_of_old: bool) -> Self {
        Self::holding(server, Holds { hello, is_of_old, ..Holds::default() })
    }

    fn holding(server: &Endpoint, holds: Holds) -> Self {
        let (at, to, cut) = (endpoint(), server.clone(), Arc::new(Notify::new()));
        let (mut listener, cuts) = (MemListener::bind(&at).unwrap(), Arc::clone(&cut));
        let relaying = tokio::spawn(async move {
            loop {
                let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
                // A client that has gone elsewhere is gone.
                let Ok(inward) = pending.upgrade().await else { continue };
                let outward = MemConnector::new(to.clone()).connect(&LinkConfig::default()).await.unwrap();
                let cuts = Arc::clone(&cuts);
                tokio::spawn(async move {
                    tokio::select! {
                        () = cuts.notified() => {}
                        () = relay(inward, outward, holds) => {}
                    }
                });
            }
        });
        Self { at, cut, relaying }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.relaying.abort();
    }
}

/// For how long.
#[derive(Clone, Copy, Default)]
struct Holds {
    hello: Duration,
    answer: Duration,
    /// The server is one that knows no attempts: it hears of none.
    is_of_old: bool,
}

/// A handshake without the words of its function section.
fn without_words(hello: &Frame) -> Frame {
    let (from, to) = (hello.transmitter(), hello.receiver());
    Frame::new(hello.header(), from, to, "", hello.payload(), &Limits::default()).unwrap()
}

/// Passes frames on until an end closes.
async fn relay(mut inward: Link, mut outward: Link, holds: Holds) {
    let Ok(Some(hello)) = inward.receive().await else { return };
    sleep(holds.hello).await;
    let hello = if holds.is_of_old { without_words(&hello) } else { hello };
    outward.send(&hello).await.unwrap();
    let mut held = Some(holds.answer);
    loop {
        let (frame, to_client) = tokio::select! {
            frame = inward.receive() => (frame, false),
            frame = outward.receive() => (frame, true),
        };
        let Ok(Some(frame)) = frame else { return };
        if let Some(holds) = held.take_if(|_| to_client) {
            // The client may give it up meanwhile.
            if timeout(holds, inward.receive()).await.is_ok() {
                return;
            }
            inward.reader.set_level(Level::FOUR);
            outward.reader.set_level(Level::FOUR);
        }
        let to = if to_client { &mut inward } else { &mut outward };
        if to.send(&frame).await.is_err() {
            return;
        }
    }
}

fn at_any(name: &str, places: &[&Endpoint]) -> ClientBuilder<Formats> {
    let mut connectors = places.iter().map(|at| Box::new(MemConnector::new((*at).clone())));
    let builder = Client::builder(node(name), connectors.next().unwrap(), formats());
    connectors.fold(builder, |builder, connector| builder.or_at(connector))
}

/// A client of a Router by two ways.
async fn client_by_two(router: &Endpoint, holds: [Duration; 2]) -> (Client<Formats>, [Way; 2]) {
    let ways = holds.map(|holds| Way::to(router, holds));
    let client = at_any("me", &[&ways[0].at, &ways[1].at]).retry(LONG).connect().await.unwrap();
    (client, ways)
}

/// There is one member, and none ever lost its name.
fn is_one_member(router: &Router) {
    let stats = router.stats();
    assert_eq!((stats.members, stats.evictions), (1, 0));
}

/// The answer takes longer than the next address waits for.
#[tokio::test(start_paused = true)]
async fn a_router_at_two_slow_addresses_gets_one_handshake() {
    for millis in [300, 600, 1500] {
        let (router, at) = router();
        let begun = Instant::now();
        let (client, _ways) = client_by_two(&at, [Duration::from_millis(millis); 2]).await;
        assert!(begun.elapsed() < Duration::from_millis(2 * millis), "{:?}", begun.elapsed());
        sleep(Duration::from_secs(30)).await;
        assert_eq!(*client.state().borrow(), ClientState::Connected);
        assert_eq!(client.stats().reconnects, 0);
        is_one_member(&router);
    }
}

/// Whichever comes first: of one way the answer does not come in time.
#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_in_vain_gives_up_before_it_says_hello_elsewhere() {
    let (router, at) = router();
    for _ in 0..8 {
        let begun = Instant::now();
        let (client, _ways) = client_by_two(&at, [LONG, Duration::from_millis(400)]).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(*client.state().borrow(), ClientState::Connected);
        assert_eq!((client.stats().reconnects, router.stats().members), (0, 1));
        client.stop().await;
    }
}

/// It is lost again and again, and both ways are slow.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again_by_one_of_two_ways() {
    let (router, at) = router();
    let (client, ways) = client_by_two(&at, [Duration::from_millis(700); 2]).await;
    for lost in 1..6 {
        sleep(Duration::from_secs(10)).await;
        let mut state = client.state();
        ways.iter().for_each(|way| way.cut.notify_waiters());
        timeout(LONG, state.wait_for(|state| *state != ClientState::Connected)).await.unwrap().unwrap();
        timeout(LONG, client.wait_for_connection()).await.unwrap().unwrap();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(client.stats().reconnects, lost);
        is_one_member(&router);
    }
}

/// A proxy that buffers: what was said by it arrives when another way is used by then.
#[tokio::test(start_paused = true)]
async fn a_way_that_hands_handshakes_on_late_takes_the_name_for_a_while_only() {
    for late in [[0, 2], [0, 5], [0, 9], [3, 9], [9, 9]] {
        for is_of_old in [true, true, false, false] {
            let (router, at) = router();
            let ways = late.map(|late| Way::late(&at, Duration::from_secs(late), is_of_old));
            let client = at_any("me", &[&ways[0].at, &ways[1].at]).retry(LONG).connect().await.unwrap();
            for _ in 0..3 {
                sleep(Duration::from_secs(60)).await;
                let before = router.stats().evictions;
                sleep(Duration::from_secs(60)).await;
                assert_eq!(*client.state().borrow(), ClientState::Connected, "{late:?}");
                assert_eq!(router.stats().evictions, before, "{late:?}: nothing is on its way any more");
                assert!(is_of_old || before == 0, "{late:?}: {before}");
                ways.iter().for_each(|way| way.cut.notify_waiters());
            }
        }
    }
}

/// A handshake of it was given up just before, and explains no eviction: its Router knows better.
#[tokio::test(start_paused = true)]
async fn another_node_of_its_name_is_believed_to_be_one() {
    let ((_router, at), (_other, slow)) = (router(), router());
    let silent = Way::to(&slow, LONG);
    for _ in 0..8 {
        let old = at_any("me", &[&silent.at, &at]).retry(LONG).connect().await.unwrap();
        let new = at_any("me", &[&at]).connect().await.unwrap();
        assert_eq!(timeout(LONG, old.join()).await, Ok(Ended::Evicted));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(*new.state().borrow(), ClientState::Connected);
        new.stop().await;
    }
}

/// A Router that answers each handshake and closes the connection soon after.
struct Ending(Endpoint, JoinHandle<()>);

impl Ending {
    fn begin() -> Self {
        let at = endpoint();
        let mut listener = MemListener::bind(&at).unwrap();
        let ending = tokio::spawn(async move {
            loop {
                let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
                let Ok(mut link) = pending.upgrade().await else { continue };
                let Ok(Some(hello)) = link.receive().await else { continue };
                let body =
                    r#"{"meta":{"type":"router/4","error":null},"members":[{"name":"me","methods":[],"level":4}]}"#;
                let answer = Frame::new(hello.header(), "me", "", "", body.as_bytes(), &Limits::default()).unwrap();
                drop(link.send(&answer).await);
                sleep(Duration::from_millis(100)).await;
            }
        });
        Self(at, ending)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.1.abort();
    }
}

/// An address where a link takes its time.
struct SlowLink(MemConnector);

impl Connector for SlowLink {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let link = self.0.connect(config);
        Box::pin(async move {
            sleep(Duration::from_secs(5)).await;
            link.await
        })
    }

    fn endpoint(&self) -> &Endpoint {
        self.0.endpoint()
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_connection_soon_keeps_no_slow_one_out() {
    let (_router, at) = router();
    let (ending, slow) = (Ending::begin(), Way::to(&at, Duration::from_secs(5)));
    let slow_link = || Box::new(SlowLink(MemConnector::new(at.clone())));
    for _ in 0..4 {
        for (client, good) in
            [(at_any("me", &[&ending.0, &slow.at]), &slow.at), (at_any("me", &[&ending.0]).or_at(slow_link()), &at)]
        {
            let client = client.connect_lazy().unwrap();
            let (begun, mut lasts) = (Instant::now(), 0);
            while lasts < 10 {
                sleep(Duration::from_secs(1)).await;
                lasts = if client.endpoint() == good && client.is_connected() { lasts + 1 } else { 0 };
                assert!(begun.elapsed() < LONG, "{good} is good");
            }
            client.stop().await;
        }
    }
}

/// Its Router was restarted, and closed one link when it was about to listen again. The others are
/// known to be silent.
#[tokio::test(start_paused = true)]
async fn an_address_that_refused_once_is_not_kept_waiting_behind_silent_ones() {
    let (_other, slow) = router();
    let silent = [(); 2].map(|()| Way::to(&slow, LONG));
    let (mut one, at) = router();
    let client = at_any("me", &[&silent[0].at, &at, &silent[1].at]).retry(LONG).connect().await.unwrap();
    for _ in 0..5 {
        sleep(Duration::from_secs(20)).await;
        let mut state = client.state();
        drop(one);
        timeout(LONG, state.wait_for(|state| *state == ClientState::Reconnecting)).await.unwrap().unwrap();
        let begun = Instant::now();
        let mut listener = MemListener::bind(&at).unwrap();
        loop {
            let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
            // A link that waited too long for its turn is made anew.
            let Ok(mut link) = pending.upgrade().await else { continue };
            if let Ok(Some(_hello)) = link.receive().await {
                break;
            }
        }
        drop(listener);
        one = Router::builder(node("router")).listen(vec![Box::new(MemListener::bind(&at).unwrap())]).unwrap();
        timeout(LONG, client.wait_for_connection()).await.unwrap().unwrap();
        assert_eq!(client.endpoint(), &at);
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }
}

/// A server that takes connections, and closes them: at once, or when hands are to be shaken.
struct Closing(Endpoint, JoinHandle<()>);

impl Closing {
    fn begin(hears: bool) -> Self {
        let at = endpoint();
        let mut listener = MemListener::bind(&at).unwrap();
        let closing = tokio::spawn(async move {
            loop {
                let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
                let Ok(mut link) = pending.upgrade().await else { continue };
                if hears {
                    tokio::spawn(async move { link.receive().await });
                }
            }
        });
        Self(at, closing)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.1.abort();
    }
}

/// It is back in line at once, each time.
#[tokio::test(start_paused = true)]
async fn an_address_that_closes_connections_leaves_a_slow_one_its_time() {
    for hears in [false, true] {
        let (_router, at) = router();
        let (slow, closing) = (Way::to(&at, Duration::from_secs(5)), Closing::begin(hears));
        for _ in 0..4 {
            let client = at_any("me", &[&slow.at, &closing.0]).connect_lazy().unwrap();
            timeout(LONG, client.wait_for_connection()).await.expect("it comes to its turn").unwrap();
            assert_eq!(client.endpoint(), &slow.at);
            client.stop().await;
        }
    }
}

/// The server waits for a handshake no longer than one silent address has its turn.
#[tokio::test(start_paused = true)]
async fn who_waits_behind_silent_addresses_is_not_given_up_meanwhile() {
    let hasty = NodeConfig::server().handshake_timeout(Duration::from_millis(600));
    let (_router, at) = router_with(hasty);
    let (_other, slow) = router();
    let silent = [(); 3].map(|()| Way::to(&slow, LONG));
    for _ in 0..8 {
        let client = at_any("me", &[&silent[0].at, &silent[1].at, &silent[2].at, &at]).connect().await.unwrap();
        assert_eq!(client.endpoint(), &at);
        client.stop().await;
    }
}
