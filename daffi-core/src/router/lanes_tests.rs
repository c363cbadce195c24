//! Connections that move from lane to lane while they are used.

use std::{num::NonZeroUsize, sync::Arc};

use daffi_testing::{Certificate, SocketPath};
use daffi_transport::{Connector, Link, LinkConfig, Listener, mem};
use daffi_transport_tcp::{TcpConnector, TcpListener};
use daffi_transport_tls::{ClientTls, ServerTls, TlsConnector, TlsListener};
use daffi_transport_uds::{UnixConnector, UnixListener};
use daffi_transport_ws::{WebSockets, WsConnector};
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits, NodeName};
use futures::future::select;
use tokio::{sync::watch, task::yield_now};

use super::Router;
use crate::{config::NodeConfig, error::Ended};

/// Calls that a caller has open at once.
const BATCH: u32 = 16;

/// Moves that each test sees at least.
const MOVES: usize = 60;

type Ends = (Box<dyn Listener>, Box<dyn Connector>);

fn router(listener: Box<dyn Listener>) -> Router {
    let config = NodeConfig::server().threads(NonZeroUsize::new(3).unwrap());
    let name = NodeName::new("router", &Limits::default()).unwrap();
    Router::builder(name).config(config).listen(vec![listener]).unwrap()
}

async fn join(connector: &dyn Connector, name: &str, methods: &str) -> Link {
    let mut link = connector.connect(&LinkConfig::default()).await.unwrap();
    let body =
        format!(r#"{{"meta":{{"type":"client","error":null}},"members":[{{"name":"{name}","methods":{methods}}}]}}"#);
    let header = Header::control(Kind::Handshake, CallId(1), true);
    link.send(&Frame::new(header, name, "", "", body.as_bytes(), &Limits::default()).unwrap()).await.unwrap();
    assert_eq!(receive(&mut link, Kind::Handshake).await.unwrap().kind(), Kind::Handshake);
    link
}

/// The next frame of this kind, past what tells of others.
async fn receive(link: &mut Link, kind: Kind) -> Option<Frame> {
    loop {
        let frame = link.receive().await.unwrap()?;
        if frame.kind() == kind {
            return Some(frame);
        }
        assert!(matches!(frame.kind(), Kind::Events | Kind::Handshake), "{frame:?}");
    }
}

/// The payload of the call with this number: some are larger than what is read or written at once.
fn payload(call: u32) -> Vec<u8> {
    let size = if call % 37 == 5 { 300_000 } else { call as usize * 7919 % 3000 };
    let mut payload = call.to_le_bytes().to_vec();
    payload.extend((0..=u8::MAX).cycle().take(size));
    payload
}

fn number(frame: &Frame) -> u32 {
    u32::from_le_bytes(frame.payload()[..4].try_into().unwrap())
}

async fn call(link: &mut Link, me: &str, call: u32) {
    let id = CallId(u16::try_from(call % 60_000).unwrap() + 1);
    let header = Header::new(Kind::Request, id, FormatId::OPAQUE, false, true);
    link.send(&Frame::new(header, me, "worker", "echo", &payload(call), &Limits::default()).unwrap()).await.unwrap();
}

async fn expect_answer(link: &mut Link, call: u32) {
    let answer = receive(link, Kind::Response).await.unwrap();
    assert_eq!(number(&answer), call, "answers come in the order of the calls");
    assert!(answer.payload() == payload(call), "the answer to {call} is whole");
}

/// Answers all requests, once `go` says so; each caller's come in their order. Ends with the link.
async fn work(mut link: Link, mut go: watch::Receiver<bool>) {
    let mut next = std::collections::HashMap::new();
    go.wait_for(|go| *go).await.unwrap();
    while let Some(request) = receive(&mut link, Kind::Request).await {
        let next = next.entry(request.transmitter().to_owned()).or_insert(0);
        assert_eq!(number(&request), *next, "requests of {} come in their order", request.transmitter());
        *next += 1;
        let header = Header::new(Kind::Response, request.header().id(), FormatId::OPAQUE, false, false);
        let to = request.transmitter();
        let answer = Frame::new(header, "worker", to, "echo", request.payload(), &Limits::default()).unwrap();
        link.send(&answer).await.unwrap();
    }
}

/// Moves all connections, again and again.
async fn scatter(router: &Router) {
    for turn in 0.. {
        router.shared().server.lanes.scatter(turn);
        let moved = router.shared().server.lanes.move_count();
        for _ in 0..20 {
            if router.shared().server.lanes.move_count() > moved + 1 {
                break;
            }
            yield_now().await;
        }
    }
}

async fn calls(router: &Router, connector: &dyn Connector, me: &str) {
    let mut link = join(connector, me, "[]").await;
    let mut begun = 0;
    while router.shared().server.lanes.move_count() < MOVES || begun < 10 * BATCH {
        for next in begun..begun + BATCH {
            call(&mut link, me, next).await;
        }
        for next in begun..begun + BATCH {
            expect_answer(&mut link, next).await;
        }
        begun += BATCH;
    }
}

/// Moved connections lose and reorder nothing, and a Router stops in order while they move.
async fn holds((listener, connector): Ends) {
    let (router, connector) = (router(listener), &*connector);
    let (go, waits) = watch::channel(true);
    let worker = tokio::spawn(work(join(connector, "worker", r#"["echo"]"#).await, waits));
    let all = futures::future::join(calls(&router, connector, "one"), calls(&router, connector, "two"));
    select(Box::pin(scatter(&router)), Box::pin(all)).await;
    worker.abort();
    drop(worker.await);

    go.send_replace(false);
    let mut caller = join(connector, "three", "[]").await;
    let worker = tokio::spawn(work(join(connector, "worker", r#"["echo"]"#).await, go.subscribe()));
    for next in 0..BATCH {
        call(&mut caller, "three", next).await;
    }
    while router.stats().open_calls < BATCH as usize {
        yield_now().await;
    }
    let stopping = async {
        let answers = async {
            go.send_replace(true);
            for next in 0..BATCH {
                expect_answer(&mut caller, next).await;
            }
            assert!(receive(&mut caller, Kind::Response).await.is_none(), "the end comes after the last answer");
        };
        futures::future::join(router.stop(), answers).await;
    };
    select(Box::pin(scatter(&router)), Box::pin(stopping)).await;
    assert_eq!(router.join().await, Ended::Stopped);
    assert!(router.shared().server.tasks.is_empty());
    worker.await.unwrap();
}

async fn tcp() -> Ends {
    let http = Arc::new(WebSockets::new());
    let listener = TcpListener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap().with_http(http);
    let connector = TcpConnector::new(listener.endpoint().clone());
    (Box::new(listener), Box::new(connector))
}

#[tokio::test]
async fn connections_over_tcp_move_without_loss() {
    holds(tcp().await).await;
}

#[tokio::test]
async fn websockets_move_without_loss() {
    let (listener, _) = tcp().await;
    let endpoint = format!("ws://{}/", listener.endpoint().address()).parse().unwrap();
    holds((listener, Box::new(WsConnector::new(endpoint)))).await;
}

#[tokio::test]
async fn connections_over_tls_move_without_loss() {
    let files = Certificate::localhost();
    let server = ServerTls::from_files(&files.certificate, &files.key).unwrap();
    let listener = TlsListener::bind(&"tls://127.0.0.1:0".parse().unwrap(), server).await.unwrap();
    let connector = TlsConnector::new(listener.endpoint().clone(), ClientTls::ca_file(&files.authority).unwrap());
    holds((Box::new(listener), Box::new(connector))).await;
}

#[tokio::test]
async fn connections_over_unix_sockets_move_without_loss() {
    let path = SocketPath::new();
    let listener = UnixListener::bind(&path.endpoint().parse().unwrap()).unwrap();
    let connector = UnixConnector::new(listener.endpoint().clone());
    holds((Box::new(listener), Box::new(connector))).await;
}

#[tokio::test]
async fn connections_in_memory_move_without_loss() {
    let listener = mem::MemListener::bind(&"mem://lanes".parse().unwrap()).unwrap();
    let connector = mem::MemConnector::new(listener.endpoint().clone());
    holds((Box::new(listener), Box::new(connector))).await;
}
