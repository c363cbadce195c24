//! Browsers and other WebSockets. What 3.0.1's own browser client sends (docs/protocol.md#9) is
//! sent by hand, to servers of both libraries: what is proven of one is compared with the other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use daffi::{Client, FormatId, InitializationError, Limits, Router, Service};
use daffi_testing::Peer;
use daffi_wire::{CallId, Frame, Header, Kind};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

use crate::support::{PATIENCE, Transport, endpoint, rust_client, rust_worker};

/// The messages of 3.0.1's browser client.
struct Page {
    name: &'static str,
    socket: WebSocketStream<TcpStream>,
}

impl Page {
    async fn open(name: &'static str, at: &str) -> Self {
        let address = at.strip_prefix("tcp://").unwrap();
        let mut request = format!("ws://{address}/").into_client_request().unwrap();
        request.headers_mut().insert("Origin", "http://localhost:8000".parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(request, stream).await.unwrap();
        let mut page = Self { name, socket };
        let hello = json!({"meta": {"type": "client", "error": null}, "members": [{"name": name, "methods": null}]});
        page.send(Header::control(Kind::Handshake, CallId(1), true), "", "", hello.to_string().as_bytes()).await;
        page
    }

    async fn send(&mut self, header: Header, receiver: &str, method: &str, payload: &[u8]) {
        let frame = Frame::new(header, self.name, receiver, method, payload, &Limits::default()).unwrap();
        self.socket.send(Message::Binary(frame.into_bytes())).await.unwrap();
    }

    /// The next frame, one binary message.
    async fn receive(&mut self) -> Frame {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the server answers").unwrap().unwrap() {
                Message::Binary(message) => return Frame::from_message(message, &Limits::default()).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Its handshake's answer: the header's bytes, the type, and the names of the members.
    async fn hello(&mut self) -> (String, Vec<String>) {
        let answer = self.receive().await;
        assert_eq!(
            (answer.kind(), answer.header().id(), answer.transmitter()),
            (Kind::Handshake, CallId(1), self.name)
        );
        let body: Value = serde_json::from_slice(answer.payload()).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        // An unknown key leaves the browser client with an empty list.
        assert_eq!(
            (keys(&body), keys(&body["meta"])),
            (vec!["members".into(), "meta".into()], vec!["error".into(), "type".into()])
        );
        let members = body["members"].as_array().unwrap();
        assert!(members.iter().all(|member| keys(member) == ["methods", "name"]), "{body}");
        let names = members.iter().map(|member| member["name"].as_str().unwrap().to_owned()).collect();
        (body["meta"]["type"].as_str().unwrap().to_owned(), names)
    }

    async fn event(&mut self) -> Value {
        let event = self.receive().await;
        assert_eq!(event.kind(), Kind::Events, "{event:?}");
        serde_json::from_slice(event.payload()).unwrap()
    }

    /// Calls in JSON, in OPAQUE, without waiting, and one that fails.
    async fn calls(&mut self, receiver: &str) {
        let json = |id, wants| Header::new(Kind::Request, CallId(id), FormatId::JSON, true, wants);
        self.send(json(2, true), receiver, "add", br#"{"args":[3,4],"kwargs":{}}"#).await;
        let answer = self.receive().await;
        assert_eq!((answer.kind(), answer.header().id(), answer.transmitter()), (Kind::Response, CallId(2), receiver));
        assert_eq!(serde_json::from_slice::<Value>(answer.payload()).unwrap(), json!({"args": [7], "kwargs": {}}));

        let raw: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let opaque = Header::new(Kind::Request, CallId(3), FormatId::OPAQUE, false, true);
        self.send(opaque, receiver, "echo", &raw).await;
        let answer = self.receive().await;
        assert_eq!((answer.kind(), answer.header().id()), (Kind::Response, CallId(3)));
        assert_eq!(answer.payload(), raw);

        self.send(json(4, false), receiver, "record", br#"{"args":["from a page"],"kwargs":{}}"#).await;
        self.send(json(5, true), receiver, "recorded", br#"{"args":[],"kwargs":{}}"#).await;
        let answer = self.receive().await;
        assert_eq!(answer.header().id(), CallId(5));
        assert_eq!(serde_json::from_slice::<Value>(answer.payload()).unwrap()["args"], json!([["from a page"]]));

        self.send(json(6, true), receiver, "fail", br#"{"args":["no"],"kwargs":{}}"#).await;
        let answer = self.receive().await;
        assert_eq!((answer.kind(), answer.header().id()), (Kind::Error, CallId(6)));
        let error: Value = serde_json::from_slice(answer.payload()).unwrap();
        assert_eq!(error["args"][0], json!(["ValueError", "builtins", "no", null]));
    }

    /// Closes in order, and gives what the server says.
    async fn close(mut self) -> CloseCode {
        self.socket.close(None).await.unwrap();
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the server answers the close").unwrap().unwrap() {
                Message::Close(close) => return close.unwrap().code,
                Message::Binary(_) | Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn check_service(at: &str, name: &str) {
    let mut page = Page::open("page", at).await;
    assert_eq!(page.hello().await, ("service".to_owned(), vec![name.to_owned()]));
    page.calls(name).await;
    assert_eq!(page.close().await, CloseCode::Normal);
}

async fn check_router(at: &str, worker: &str) {
    let mut page = Page::open("page", at).await;
    let (kind, mut names) = page.hello().await;
    names.sort();
    assert_eq!((kind.as_str(), names), ("router", vec!["page".to_owned(), worker.to_owned()]));
    page.calls(worker).await;

    // Pages call each other's workers, and see each other come and go.
    let mut other = Page::open("other", at).await;
    assert_eq!(page.event().await, json!({"type": "connected", "member": "other"}));
    other.hello().await;
    assert_eq!(other.close().await, CloseCode::Normal);
    // A router of 3.0.1 hears of the end when TCP ends, which the drop has done.
    assert_eq!(page.event().await, json!({"type": "disconnected", "member": "other"}));
    assert_eq!(page.close().await, CloseCode::Normal);
}

#[tokio::test]
async fn the_browser_client_of_3_0_1_calls_a_service() {
    let service = Transport::Tcp.rust_service("svc", 1).await;
    check_service(endpoint(&service), "svc").await;
    let service = Peer::service().name("svc").start().await;
    check_service(&service.endpoint(), "svc").await;
}

#[tokio::test]
async fn the_browser_client_of_3_0_1_calls_through_a_router() {
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await.unwrap();
    let at = router.endpoints()[0].as_str();
    let _worker = Peer::client(at).name("worker").worker().start().await;
    check_router(at, "worker").await;

    let router = Peer::router().start().await;
    let _worker = rust_worker("worker", &router.endpoint()).await;
    check_router(&router.endpoint(), "worker").await;
}

#[tokio::test]
async fn native_nodes_and_websockets_are_one_network() {
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await.unwrap();
    let at = router.endpoints()[0].as_str();
    let on_socket = rust_worker("on-socket", &Transport::Ws.of_client(at)).await;
    let python = Peer::client(at).name("python").start().await;
    assert_eq!(python.call("whoami", json!([])).ok().await, "on-socket");
    let caller = rust_client("caller", &Transport::Ws.of_client(at)).await;
    let large = Bytes::from(vec![7; 5_000_000]);
    let total: usize =
        caller.rpc().serde(FormatId::OPAQUE).call::<String>("total", (large,)).await.unwrap().parse().unwrap();
    assert_eq!(total, 5_000_000);

    on_socket.stop().await;
    assert!(caller.rpc().call::<String>("whoami", ()).await.is_err());
    assert_eq!(router.members().len(), 2);
    router.stop().await;
    timeout(PATIENCE, caller.stop()).await.unwrap();
}

#[tokio::test]
async fn a_rust_client_leaves_a_server_of_3_0_1_without_waiting_for_it() {
    let service = Peer::service().start().await;
    let client = rust_client("leaving", &Transport::Ws.of_client(&service.endpoint())).await;
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
    let begun = Instant::now();
    client.stop().await;
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_on_a_websocket_finds_its_service_again() {
    let service = Transport::Ws.rust_service("svc", 1).await;
    let at = endpoint(&service).to_owned();
    let client = rust_client("caller", &Transport::Ws.of_client(&at)).await;
    service.stop().await;
    let service = Service::builder("svc").callback_fn("two", || async { 2 }).bind(&at).await.unwrap();
    timeout(PATIENCE, client.wait_for_members(&["svc"], None)).await.unwrap().unwrap();
    assert_eq!(client.rpc().wait_for_connection().call::<i64>("two", ()).await.unwrap(), 2);
    drop(service);
}

fn chain(error: &InitializationError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

#[tokio::test]
async fn wrong_endpoints_and_origins_are_explained() {
    for (endpoint, says) in
        [("ws://127.0.0.1:0", "listen on tcp://host:port"), ("wss://127.0.0.1:0", "listen on tls://host:port")]
    {
        let error = Service::builder("svc").bind(endpoint).await.unwrap_err();
        assert!(chain(&error).contains(says), "{}", chain(&error));
    }
    let error = Router::builder("router").allow_origin("app.example").bind("tcp://127.0.0.1:0").await.unwrap_err();
    assert!(chain(&error).contains("\"app.example\" is not an origin"), "{}", chain(&error));

    let python = Peer::service().with_certificate(&daffi_testing::Certificate::localhost()).start().await;
    let at = python.endpoint().replace("tls://", "ws://");
    let impatient = Client::builder("c").configure(|c| c.connect_timeout = Duration::from_secs(5));
    let error = impatient.connect(&at).await.unwrap_err();
    assert!(chain(&error).contains("WebSocket") || chain(&error).contains("HTTP"), "{}", chain(&error));
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_connect() {
    let service = Service::builder("svc").allow_origin("https://app.example").bind("tcp://127.0.0.1:0").await.unwrap();
    let address = service.endpoints()[0].address();
    for (origin, status) in [("https://app.example", 101), ("https://other.example", 403)] {
        let mut request = format!("ws://{address}/").into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        let answer = client_async(request, TcpStream::connect(address).await.unwrap()).await;
        let seen = match &answer {
            Ok((_, response)) => response.status(),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status(),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(seen.as_u16(), status);
    }
}
