//! Payloads of 16 MiB, and of more than a frame holds.

use std::time::Duration;

use bytes::Bytes;
use daffi::{CallError, FormatId, Router, Service, Value};
use daffi_testing::Peer;
use daffi_wire::Kind;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::{
    exposed::{Exposed, hex},
    raw::{self, Raw},
    support::{FORMATS, Transport, endpoint, python_client, rust_client, rust_worker},
};

const SIZE: usize = 16 * 1024 * 1024;
const TOO_MUCH: usize = 34 * 1024 * 1024;
const LIMIT: &str = "33554431";

/// Formats that carry bytes.
const BINARY: [FormatId; 3] = [FormatId::PICKLE, FormatId::MSGPACK, FormatId::OPAQUE];

/// How `peer.py` shows so many `x`.
fn digest(kind: &str) -> Json {
    json!({"$sha256": hex(&Sha256::digest(vec![b'x'; SIZE])), "len": SIZE, "type": kind})
}

/// In OPAQUE a number comes back as text.
fn number(format: FormatId) -> Json {
    if format == FormatId::OPAQUE { json!(SIZE.to_string()) } else { json!(SIZE) }
}

#[tokio::test]
async fn python_sends_and_gets_16_mib() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let client = python_client(&service).start().await;
    let (bytes, text) = (json!([{"$repeat": ["78", SIZE]}]), json!([{"$repeat_text": ["x", SIZE]}]));
    for format in FORMATS {
        let name = format.to_string();
        assert_eq!(client.call("total", text.clone()).serde(&name).ok().await, number(format), "{format}");
        assert_eq!(client.call("echo", text.clone()).serde(&name).ok().await, digest("str"), "{format}");
    }
    for format in BINARY {
        let name = format.to_string();
        assert_eq!(client.call("total", bytes.clone()).serde(&name).ok().await, number(format), "{format}");
        assert_eq!(client.call("echo", bytes.clone()).serde(&name).ok().await, digest("bytes"), "{format}");
        assert_eq!(client.call("big", json!([SIZE])).serde(&name).ok().await, digest("bytes"), "{format}");
    }
}

#[tokio::test]
async fn rust_sends_and_gets_16_mib() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let (bytes, text) = (Bytes::from(vec![b'x'; SIZE]), "x".repeat(SIZE));
    for format in FORMATS {
        let rpc = client.rpc().serde(format);
        assert_eq!(rpc.call::<usize>("total", (text.clone(),)).await.unwrap(), SIZE, "{format}");
        assert!(rpc.call::<String>("echo", (text.clone(),)).await.unwrap() == text, "{format}");
    }
    for format in BINARY {
        let rpc = client.rpc().serde(format);
        assert_eq!(rpc.call::<usize>("total", (bytes.clone(),)).await.unwrap(), SIZE, "{format}");
        assert!(rpc.call::<Bytes>("echo", (bytes.clone(),)).await.unwrap() == bytes, "{format}");
        assert!(rpc.call::<Value>("echo", (bytes.clone(),)).await.unwrap() == Value::from(bytes.clone()), "{format}");
    }
    for format in [FormatId::PICKLE, FormatId::MSGPACK] {
        assert!(client.rpc().serde(format).call::<Bytes>("big", (SIZE,)).await.unwrap() == bytes, "{format}");
    }
}

#[tokio::test]
async fn sixteen_mib_pass_every_transport() {
    for transport in [Transport::Unix, Transport::Tls] {
        let service = transport.rust_service("service", 1).await;
        let client = python_client(&service).start().await;
        let call = client.call("echo", json!([{"$repeat": ["78", SIZE]}])).serde("MSGPACK");
        assert_eq!(call.ok().await, digest("bytes"), "{transport:?}");

        let service = transport.python_service().start().await;
        let client = rust_client("caller", &service.endpoint()).await;
        let bytes = Bytes::from(vec![b'x'; SIZE]);
        assert!(client.rpc().call::<Bytes>("echo", (bytes.clone(),)).await.unwrap() == bytes, "{transport:?}");
    }
}

#[tokio::test]
async fn a_rust_caller_is_told_size_and_limit() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    for format in FORMATS {
        let error = client.rpc().serde(format).call::<usize>("total", ("x".repeat(TOO_MUCH),)).await.unwrap_err();
        assert!(matches!(error, CallError::TransmissionFailure { .. }), "{format}: {error}");
        // The size of the whole message, which has some bytes around the text.
        assert!(error.to_string().contains("35651") && error.to_string().contains(LIMIT), "{format}: {error}");
    }
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
}

#[tokio::test]
async fn a_result_that_is_too_large_is_an_error_and_the_service_goes_on() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let client: Peer = python_client(&service).start().await;
    for format in BINARY {
        let name = format.to_string();
        let error = client.call("big", json!([TOO_MUCH])).serde(&name).error().await;
        assert_eq!(error.class, "TransmissionFailure", "{format}: {error}");
        assert!(error.is_remote() && error.message.contains("35651") && error.message.contains(LIMIT), "{error}");
        assert_eq!(client.call("greet", json!(["you"])).serde(&name).ok().await, "Hello, you!");
    }
}

/// A worker of this project sends them in parts, which the Router puts together for 3.0.1.
#[tokio::test]
async fn python_gets_large_results_of_a_worker_behind_a_router_up_to_one_frame() {
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await.unwrap();
    let at = router.endpoints()[0].as_str();
    let _worker = rust_worker("worker", at).await;
    let caller = Peer::client(at).name("caller").start().await;
    for format in BINARY {
        let name = format.to_string();
        assert_eq!(caller.call("big", json!([SIZE])).serde(&name).ok().await, digest("bytes"), "{format}");
        let error = caller.call("big", json!([TOO_MUCH])).serde(&name).error().await;
        assert_eq!(error.class, "LevelUnsupported", "{format}: {error}");
        assert!(error.message.contains("caller") && error.message.contains("35651"), "{error}");
        assert_eq!(caller.call("greet", json!(["you"])).serde(&name).ok().await, "Hello, you!");
    }
}

/// A system takes more of an answer once a third of a large buffer is free, which takes this reader
/// far longer than it may take nothing.
#[tokio::test]
async fn a_steady_reader_is_kept_though_its_answer_fills_the_buffers_of_the_system() {
    let service = Service::builder("service")
        .callbacks(Exposed::default())
        .configure(|config| config.slow_peer_timeout = Duration::from_secs(4))
        .bind("tcp://127.0.0.1:0")
        .await
        .unwrap();
    let address = endpoint(&service).strip_prefix("tcp://").unwrap();
    let mut reader = Raw::join(address, "client", "reader", "null").await;
    let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(SIZE));
    reader.must_send([&raw::json(Kind::Request, 2, ["reader", "service", "echo"], &body)[..]]).await;
    let mut piece = vec![0; 4 * 1024];
    for _ in 0..128 {
        reader.stream.read_exact(&mut piece).await.expect("it takes 64 kB/s");
        tokio::time::sleep(Duration::from_millis(64)).await;
    }
    assert_eq!(service.clients().len(), 1);
}
