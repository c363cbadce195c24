//! Streams into a service that is slower than they are: every byte arrives, in order, and the
//! service stays small.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::process::Command;

use bytes::Bytes;
use daffi::{Client, FormatId};
use daffi_stress::Node;
use futures::stream;

const MIB: usize = 1024 * 1024;

/// What a service may hold at most, everything included.
const MOST_RESIDENT: usize = 150 * MIB;

/// A `slow_sink` process.
struct Sink(Node);

impl Sink {
    fn start(pause_at: u64, pause_seconds: u64, bytes_per_second: usize) -> Self {
        let numbers = [pause_at.to_string(), pause_seconds.to_string(), bytes_per_second.to_string()];
        Self(Node::start(env!("CARGO_BIN_EXE_slow_sink"), &numbers.each_ref().map(String::as_str)))
    }

    async fn received(&self) -> [u64; 3] {
        let client = Client::unnamed().connect(self.0.endpoint()).await.unwrap();
        client.rpc().serde(FormatId::JSON).call("received", ()).await.unwrap()
    }
}

fn chunk(number: u32) -> Bytes {
    let mut chunk = vec![0x5a; MIB];
    chunk[..4].copy_from_slice(&number.to_le_bytes());
    chunk.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_of_a_rust_client_with_a_pause_of_40_seconds() {
    let sink = Sink::start(100, 40, 0);
    let client = Client::builder("pump").connect(sink.0.endpoint()).await.unwrap();
    let sent = client.stream_nowait().send("receive_chunk", stream::iter((0..1024).map(chunk))).await.unwrap();
    assert_eq!(sent, 1024);
    // Runs after all chunks: one worker, one connection.
    let received: [u64; 3] = client.rpc().call("received", ()).await.unwrap();
    assert_eq!(received, [1024, 1024 * MIB as u64, 0]);
    let peak = sink.0.peak();
    println!("peak resident of the service: {} MiB", peak / MIB);
    assert!(peak < MOST_RESIDENT, "{} MiB", peak / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_keep_nothing_of_a_large_frame() {
    let sink = Sink::start(u64::MAX, 0, 0);
    let mut idle = Vec::new();
    for number in 0..12u32 {
        let client = Client::builder(format!("c{number}")).connect(sink.0.endpoint()).await.unwrap();
        let mut large = vec![0x5a; 30 * MIB];
        large[..4].copy_from_slice(&number.to_le_bytes());
        client.rpc().serde(FormatId::OPAQUE).call::<()>("receive_chunk", (Bytes::from(large),)).await.unwrap();
        idle.push(client);
    }
    assert_eq!(sink.received().await, [12, 12 * 30 * MIB as u64, 0]);
    let resident = sink.0.resident();
    println!("resident with {} idle connections: {} MiB", idle.len(), resident / MIB);
    assert!(resident < MOST_RESIDENT, "{} MiB", resident / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarter_gibibyte_of_a_python_client_at_4_mib_a_second_with_a_pause_of_10_seconds() {
    let sink = Sink::start(20, 10, 4 * MIB);
    let (host, port) = sink.0.address().split_once(':').unwrap();
    let mut python = Command::new(daffi_testing::python()).arg("-c").arg(PUMP).args([host, port]).spawn().unwrap();
    let status = tokio::task::spawn_blocking(move || python.wait().unwrap()).await.unwrap();
    assert!(status.success(), "the Python client failed: {status}");
    assert_eq!(sink.received().await, [256, 256 * MIB as u64, 0]);
    let peak = sink.0.peak();
    println!("peak resident of the service: {} MiB", peak / MIB);
    assert!(peak < MOST_RESIDENT, "{} MiB", peak / MIB);
}

/// 256 chunks of 1 MiB from the unchanged library, then a call that waits for all of them.
const PUMP: &str = r#"
import sys
from daffi import Client, SerdeFormat

client = Client(app_name="pump", host=sys.argv[1], port=int(sys.argv[2]))
connection = client.connect()
chunks = (number.to_bytes(4, "little") + bytes(1024 * 1024 - 4) for number in range(256))
connection.stream_nowait(serde=SerdeFormat.OPAQUE).receive_chunk(chunks)
chunks, count, out_of_order = connection.rpc(serde=SerdeFormat.JSON, timeout=300).received()
assert (chunks, count, out_of_order) == (256, 256 * 1024 * 1024, 0), (chunks, count, out_of_order)
client.stop()
"#;
