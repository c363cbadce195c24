//! What a client that has ended tells of requests that nobody answers: those of them that did not
//! arrive, and nothing of what else was on its way.

use std::{
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Buf;
use daffi_core::{Client, Ended, NodeConfig};
use daffi_transport::{
    Batch, BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, LinkError, LinkReader, LinkWriter, Listener,
    Path, Way,
    mem::{MemConnector, MemListener},
};
use daffi_transport_tcp::{TcpConnector, TcpListener};
use daffi_wire::{Extensions, Frame, Level};
use tokio::time::{sleep, timeout};

use crate::{
    peer::{Peer, accept, accept_as, next_of_a_call, request},
    support::{Formats, asynchronous, client_exposing, endpoint, formats, node},
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// How long a call waits for an answer that does not come.
const SHORT: Duration = Duration::from_millis(100);

/// A client and its server by hand, which reads nothing by itself.
async fn connected(connector: impl Connector, listener: &mut dyn Listener) -> (Client<Formats>, Peer) {
    let builder = Client::builder(node("caller"), Box::new(connector), formats());
    let config = NodeConfig::client().linger(SHORT);
    let (client, server) = tokio::join!(builder.config(config).connect(), accept(listener));
    (client.unwrap(), server)
}

async fn over_tcp() -> (Client<Formats>, Peer) {
    let mut listener = TcpListener::bind(&Endpoint::new("tcp", "127.0.0.1:0").unwrap()).await.unwrap();
    let connector = TcpConnector::new(listener.endpoint().clone());
    connected(connector, &mut listener).await
}

/// Makes a call of so many bytes that is not answered in time.
async fn call_in_vain(client: &Client<Formats>, bytes: usize) {
    let call = client.rpc().timeout(SHORT).call::<String>("f", ("x".repeat(bytes),));
    assert!(call.await.is_err(), "nobody answers");
}

async fn request_without_answer(client: &Client<Formats>, bytes: usize) {
    client.rpc_nowait().call("f", ("x".repeat(bytes),)).await.unwrap();
}

/// How it ends that is stopped, which its counts have to agree with.
async fn stopped(client: &Client<Formats>) -> Ended {
    timeout(LONG, client.stop()).await.expect("it stops");
    let (how, stats) = (client.join().await, client.stats());
    let counted = match how {
        Ended::Unsent { requests, bytes } => (requests, bytes),
        _ => (0, 0),
    };
    assert_eq!((stats.unsent_requests, stats.unsent_bytes), counted);
    how
}

#[tokio::test(start_paused = true)]
async fn a_call_of_which_a_part_was_written_is_no_request_without_answer() {
    let mut listener = MemListener::bind(&endpoint()).unwrap();
    let connector = MemConnector::new(listener.endpoint().clone());
    let (client, _deaf) = connected(connector, &mut listener).await;
    call_in_vain(&client, 3_000_000).await;
    assert_eq!(stopped(&client).await, Ended::Stopped);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_which_a_part_was_written_is_no_request() {
    let mut listener = MemListener::bind(&endpoint()).unwrap();
    let at = listener.endpoint().clone();
    let blob = asynchronous("blob", |(bytes,): (usize,)| async move { "x".repeat(bytes) });
    let worker = client_exposing(&at, "worker", NodeConfig::client(), vec![blob]);
    let (worker, mut router) = tokio::join!(worker, accept_as(&mut listener, "router/4"));
    let arguments = r#"{"args":[500000],"kwargs":{}}"#;
    router.send_bytes(request(2, ["c", "worker", "blob"], &Extensions::default(), arguments).as_bytes()).await;
    while worker.stats().queued_bytes == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(stopped(&worker).await, Ended::Stopped);
}

#[tokio::test]
async fn a_call_that_is_on_its_way_is_no_request_without_answer() {
    for after_one in [false, true] {
        let (client, mut server) = over_tcp().await;
        if after_one {
            request_without_answer(&client, 100).await;
            assert!(next_of_a_call(&mut server).await.is_some());
        }
        call_in_vain(&client, 1_000_000).await;
        assert_eq!(stopped(&client).await, Ended::Stopped, "after one: {after_one}");
    }
}

#[tokio::test]
async fn a_request_without_answer_that_is_on_its_way_is_told_and_not_the_call_before_it() {
    let (client, _deaf) = over_tcp().await;
    request_without_answer(&client, 1_000_000).await;
    let Ended::Unsent { requests: 1, bytes } = stopped(&client).await else { panic!("{:?}", client.join().await) };
    assert!((1..1_000_100).contains(&bytes), "{bytes}");

    let (client, _deaf) = over_tcp().await;
    call_in_vain(&client, 1_000_000).await;
    for _ in 0..3 {
        request_without_answer(&client, 1_000).await;
    }
    let Ended::Unsent { requests: 3, bytes } = stopped(&client).await else { panic!("{:?}", client.join().await) };
    assert!((3_000..3_300).contains(&bytes), "{bytes}");
}

/// Over memory, of which a test says what a system would know and a link would hold back.
#[derive(Clone)]
struct Scripted {
    inner: MemConnector,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    unacknowledged: usize,
    /// What is written stays in the link: so many bytes by now.
    held: Option<usize>,
    /// The write side was shut.
    shut: bool,
    /// The stream failed.
    reset: bool,
    reader: Option<Waker>,
}

impl Scripted {
    fn with<T>(&self, set: impl FnOnce(&mut Script) -> T) -> T {
        set(&mut self.script.lock().unwrap())
    }

    /// A client of a server by hand, over such a link.
    async fn connected() -> (Self, Client<Formats>, Peer, MemListener) {
        let mut listener = MemListener::bind(&endpoint()).unwrap();
        let scripted = Self { inner: MemConnector::new(listener.endpoint().clone()), script: Arc::default() };
        let (client, server) = connected(scripted.clone(), &mut listener).await;
        (scripted, client, server, listener)
    }
}

impl Connector for Scripted {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (connecting, of) = (self.inner.connect(config), self.clone());
        Box::pin(async move {
            let Link { reader, writer, peer, .. } = connecting.await?;
            let link =
                Link::new(Reader { inner: reader, of: of.clone() }, Writer { inner: writer, of: of.clone() }, peer);
            Ok(link.with_path(of))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        self.inner.endpoint()
    }
}

impl Path for Scripted {
    fn look(&mut self) -> Option<Way> {
        self.with(|script| (!script.reset).then_some(Way { unacknowledged: script.unacknowledged, silence: None }))
    }
}

struct Reader {
    inner: Box<dyn LinkReader>,
    of: Scripted,
}

impl LinkReader for Reader {
    fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<usize, LinkError>> {
        let is_reset = self.of.with(|script| {
            script.reader = Some(cx.waker().clone());
            script.reset
        });
        if is_reset {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset).into()));
        }
        self.inner.poll_fill(cx, limit)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, LinkError> {
        self.inner.next_frame()
    }

    fn set_level(&mut self, level: Level) {
        self.inner.set_level(level);
    }

    fn buffered_bytes(&self) -> usize {
        self.inner.buffered_bytes()
    }

    fn held_bytes(&self) -> usize {
        self.inner.held_bytes()
    }

    fn growth(&self) -> usize {
        self.inner.growth()
    }
}

struct Writer {
    inner: Box<dyn LinkWriter>,
    of: Scripted,
}

impl LinkWriter for Writer {
    fn poll_write(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Result<usize, LinkError>> {
        let bytes = batch.remaining();
        let is_held = self.of.with(|script| script.held.as_mut().map(|held| *held += bytes).is_some());
        if is_held {
            batch.advance(bytes);
            return Poll::Ready(Ok(bytes));
        }
        self.inner.poll_write(cx, batch)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.of.with(|script| script.held.is_some()) {
            return Poll::Pending;
        }
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.of.with(|script| script.shut = true);
        self.inner.poll_shutdown(cx)
    }
}

/// So does TLS, and what it holds back is known to nobody but it.
#[tokio::test(start_paused = true)]
async fn a_request_without_answer_that_lies_in_the_link_is_told() {
    let mut one = 0;
    for calls_before in [false, true] {
        let (scripted, client, _deaf, _listener) = Scripted::connected().await;
        scripted.with(|script| script.held = Some(0));
        if calls_before {
            call_in_vain(&client, 10_000).await;
        }
        let held = || scripted.with(|script| script.held.unwrap());
        let before = held();
        request_without_answer(&client, 1_000).await;
        while held() < before + 1_000 {
            sleep(Duration::from_millis(1)).await;
        }
        if !calls_before {
            one = held() as u64;
        }
        let told = Ended::Unsent { requests: 1, bytes: one };
        assert_eq!(stopped(&client).await, told, "calls before: {calls_before}");
    }
    let (scripted, client, mut server, _listener) = Scripted::connected().await;
    request_without_answer(&client, 1_000).await;
    assert!(next_of_a_call(&mut server).await.is_some());
    scripted.with(|script| script.held = Some(0));
    call_in_vain(&client, 10_000).await;
    assert_eq!(stopped(&client).await, Ended::Stopped, "that is a call");
}

#[tokio::test(start_paused = true)]
async fn a_reset_in_place_of_an_end_tells_what_had_not_arrived() {
    for (resets, unacknowledged, how) in
        [(true, 100, Ended::Unsent { requests: 1, bytes: 100 }), (true, 0, Ended::Stopped), (false, 0, Ended::Stopped)]
    {
        let (scripted, client, mut server, _listener) = Scripted::connected().await;
        request_without_answer(&client, 1_000).await;
        assert!(next_of_a_call(&mut server).await.is_some());
        scripted.with(|script| script.unacknowledged = unacknowledged);
        let ending = async {
            while !scripted.with(|script| script.shut) {
                tokio::task::yield_now().await;
            }
            if !resets {
                return drop(server);
            }
            let reader = scripted.with(|script| {
                script.reset = true;
                script.reader.take()
            });
            reader.into_iter().for_each(Waker::wake);
        };
        let (told, ()) = tokio::join!(stopped(&client), ending);
        assert_eq!(told, how, "resets: {resets}");
    }
}

/// The question whether its server lives, for one: its host has vanished.
#[tokio::test(start_paused = true)]
async fn what_follows_a_request_without_answer_that_has_arrived_is_none() {
    let (scripted, client, mut server, _listener) = Scripted::connected().await;
    request_without_answer(&client, 1_000).await;
    assert!(next_of_a_call(&mut server).await.is_some());
    sleep(Duration::from_secs(7)).await;
    // More than the question has, as behind TLS.
    scripted.with(|script| script.unacknowledged = 100);
    assert_eq!(stopped(&client).await, Ended::Stopped);
}
