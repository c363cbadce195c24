//! Streams arrive whole and in order.

use bytes::Bytes;
use daffi::{FormatId, Value};
use futures::stream;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    exposed::hex,
    support::{Transport, python_client, rust_client},
};

const CHUNKS: usize = 16;
const SIZE: usize = 1024 * 1024;

/// Formats that carry bytes, and none: the default of a stream.
const BINARY: [Option<FormatId>; 3] = [None, Some(FormatId::PICKLE), Some(FormatId::MSGPACK)];

/// Chunk `number` of `{"$chunks": {"size": SIZE}}`, as the README of `peer.py` describes it.
fn chunk(number: usize) -> Bytes {
    let mut bytes: Vec<u8> = (0..SIZE).map(|j| ((31 * number + 7 * j) % 256).try_into().unwrap()).collect();
    bytes[..4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
    bytes.into()
}

fn whole() -> (usize, usize, String) {
    let digest = (0..CHUNKS).fold(Sha256::new(), |digest, number| digest.chain_update(chunk(number)));
    (CHUNKS, CHUNKS * SIZE, hex(&digest.finalize()))
}

#[tokio::test]
async fn chunks_of_python_arrive_in_order() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let client = python_client(&service).start().await;
    let chunks = json!({"$chunks": {"size": SIZE, "count": CHUNKS}});
    for style in ["stream", "stream_nowait"] {
        for format in BINARY {
            client.call("reset", json!([])).ok().await;
            let call = client.stream("receive_chunk", chunks.clone()).style(style);
            let call = match format {
                Some(format) => call.serde(&format.to_string()),
                None => call,
            };
            call.ok().await;
            let received = client.call("received", json!([])).serde("JSON").ok().await;
            assert_eq!(received, json!(whole()), "{style} in {format:?}");
        }
    }
}

#[tokio::test]
async fn chunks_of_rust_arrive_in_order() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let count = u64::try_from(CHUNKS).unwrap();
    let chunks = || stream::iter((0..CHUNKS).map(chunk));
    for format in BINARY {
        let (stream, nowait) = match format {
            Some(format) => (client.stream().serde(format), client.stream_nowait().serde(format)),
            None => (client.stream(), client.stream_nowait()),
        };
        for style in ["stream", "stream with a window", "stream_nowait"] {
            client.rpc().call::<()>("reset", ()).await.unwrap();
            let sent = match style {
                "stream" => stream.send("receive_chunk", chunks()).await,
                "stream_nowait" => nowait.send("receive_chunk", chunks()).await,
                _ => stream.clone().window(4).send("receive_chunk", chunks()).await,
            };
            assert_eq!(sent.unwrap(), count, "{style} in {format:?}");
            let received: (usize, usize, String) = client.rpc().call("received", ()).await.unwrap();
            assert_eq!(received, whole(), "{style} in {format:?}");
        }
    }
}

#[tokio::test]
async fn an_error_ends_a_stream_and_names_the_chunk() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let chunks = ["one".into(), Value::from(vec![1, 2]), Value::Int(3), "four".into()];
    let sent = client.stream().serde(FormatId::PICKLE).send("total", stream::iter(chunks)).await;
    let error = sent.unwrap_err();
    assert_eq!(error.chunk, 2, "{error}");
    assert_eq!(error.source.remote().unwrap().class, "TypeError", "{error}");
    assert!(error.to_string().contains("chunk 2") && error.to_string().contains("has no len()"), "{error}");
}

#[tokio::test]
async fn a_python_stream_hears_of_an_error() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let client = python_client(&service).start().await;
    let error = client.stream("total", json!(["one", [1, 2], 3.5])).serde("PICKLE").error().await;
    assert!(error.is_remote(), "{error}");
    assert_eq!(error.class, "TypeError", "{error}");
}
