//! Senders of nowait traffic to a slow worker behind a router are held back: nothing is lost, and
//! the router stays small.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use daffi::{Client, FormatId};
use daffi_stress::Node;
use daffi_testing::Peer;
use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

const ROUTER: &str = env!("CARGO_BIN_EXE_router_node");
const MIB: usize = 1024 * 1024;

/// What the router may grow by while a sender waits.
const MOST_GROWN: usize = 24 * MIB;

const SIZE: usize = 16 * 1024;
const CHUNKS: usize = 4096;

fn chunk(number: usize) -> Bytes {
    let mut chunk = vec![0x5a; SIZE];
    chunk[..4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
    chunk.into()
}

/// Takes a chunk for each permit, and counts those that come in order.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    in_order: Arc<AtomicUsize>,
}

impl Gate {
    fn closed() -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), in_order: Arc::default() }
    }

    async fn worker(&self, name: &str, at: &str) -> Client {
        let gate = self.clone();
        let told = Arc::clone(&self.in_order);
        let take = move |data: Bytes| {
            let gate = gate.clone();
            async move {
                gate.permits.acquire().await.unwrap().forget();
                let number = u32::from_le_bytes(*data.first_chunk().unwrap()) as usize;
                let _out_of_order = gate.in_order.compare_exchange(number, number + 1, SeqCst, SeqCst);
            }
        };
        let taken = move || {
            let told = told.load(SeqCst);
            async move { told }
        };
        Client::builder(name).callback_fn("take", take).callback_fn("taken", taken).connect(at).await.unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum Style {
    RpcNowait,
    Stream,
    StreamNowait,
}

/// Sends all chunks and counts those that are on their way.
async fn send(client: Client, receiver: &'static str, method: &'static str, style: Style, sent: Arc<AtomicUsize>) {
    let chunks = stream::iter(0..CHUNKS).map(move |number| {
        // The one before is on its way when the next is asked for.
        sent.store(number, Relaxed);
        chunk(number)
    });
    match style {
        Style::RpcNowait => {
            let mut chunks = chunks;
            let nowait = client.rpc_nowait().receiver(receiver).serde(FormatId::OPAQUE);
            while let Some(chunk) = chunks.next().await {
                nowait.call(method, (chunk,)).await.unwrap();
            }
        }
        Style::Stream => {
            let stream = client.stream().receiver(receiver).window(64);
            assert_eq!(stream.send(method, chunks).await.unwrap(), CHUNKS as u64);
        }
        Style::StreamNowait => {
            let stream = client.stream_nowait().receiver(receiver);
            assert_eq!(stream.send(method, chunks).await.unwrap(), CHUNKS as u64);
        }
    }
}

/// Waits until the number stays the same for half a second.
async fn settled(sent: &AtomicUsize) -> usize {
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(500) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = sent.load(Relaxed);
        if now != last || now == 0 {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

async fn adder(at: &str) -> Client {
    let adder = Client::builder("adder").callback_fn("add", |a: i64, b: i64| async move { a + b });
    adder.connect(at).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rust_sender_waits_for_a_rust_worker() {
    for style in [Style::RpcNowait, Style::StreamNowait, Style::Stream] {
        let router = Node::start(ROUTER, &["60"]);
        let (slow, quick) = (Gate::closed(), Gate::closed());
        let _slow = slow.worker("slow", router.endpoint()).await;
        let _quick = quick.worker("quick", router.endpoint()).await;
        let _adder = adder(router.endpoint()).await;
        let sender = Client::builder("sender").connect(router.endpoint()).await.unwrap();
        let before = router.resident();
        let sent = Arc::new(AtomicUsize::new(0));
        let sending = tokio::spawn(send(sender.clone(), "slow", "take", style, Arc::clone(&sent)));
        let stopped_at = settled(&sent).await;
        let grown = router.resident().saturating_sub(before);
        println!(
            "{style:?}: the sender waits after {stopped_at} of {CHUNKS} chunks; the router grew {} KiB",
            grown / 1024
        );
        // Half a mebibyte of credit.
        assert!(stopped_at * SIZE < MIB, "{stopped_at} chunks");
        assert!(grown < MOST_GROWN, "{} MiB", grown / MIB);
        // What waits for one receiver keeps back no call, and nothing that goes to another.
        assert_eq!(sender.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
        quick.permits.add_permits(CHUNKS);
        send(sender.clone(), "quick", "take", style, Arc::default()).await;
        assert_eq!(sender.rpc().receiver("quick").call::<usize>("taken", ()).await.unwrap(), CHUNKS);
        slow.permits.add_permits(CHUNKS);
        sending.await.unwrap();
        // One callback at a time: this one runs after all chunks.
        assert_eq!(sender.rpc().receiver("slow").call::<usize>("taken", ()).await.unwrap(), CHUNKS);
        assert!(router.peak() < before + MOST_GROWN, "{} MiB", router.peak() / MIB);
    }
}

fn signal(peer: &Peer, signal: &str) {
    let status = Command::new("kill").args([signal, &peer.pid().to_string()]).status().unwrap();
    assert!(status.success());
}

/// One that takes nothing from its socket for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rust_sender_waits_for_a_python_worker() {
    for style in [Style::RpcNowait, Style::StreamNowait] {
        let router = Node::start(ROUTER, &["60"]);
        let worker = Peer::client(router.endpoint()).name("python").worker().start().await;
        let _adder = adder(router.endpoint()).await;
        let sender = Client::builder("sender").connect(router.endpoint()).await.unwrap();
        let before = router.resident();
        signal(&worker, "-STOP");
        let sent = Arc::new(AtomicUsize::new(0));
        let sending = tokio::spawn(send(sender.clone(), "python", "receive_chunk", style, Arc::clone(&sent)));
        let stopped_at = settled(&sent).await;
        let grown = router.resident().saturating_sub(before);
        println!(
            "{style:?}: the sender waits after {stopped_at} of {CHUNKS} chunks; the router grew {} KiB",
            grown / 1024
        );
        // The credit, and what the sockets' buffers take.
        assert!(stopped_at * SIZE < 24 * MIB, "{stopped_at} chunks");
        assert!(grown < MOST_GROWN, "{} MiB", grown / MIB);
        let sum: i64 = sender.rpc().receiver("adder").call("add", (3, 4)).await.unwrap();
        assert_eq!(sum, 7);
        signal(&worker, "-CONT");
        sending.await.unwrap();
        let (count, bytes, _digest): (usize, usize, String) =
            sender.rpc().receiver("python").call("received", ()).await.unwrap();
        assert_eq!((count, bytes), (CHUNKS, CHUNKS * SIZE));
        assert!(router.peak() < before + MOST_GROWN, "{} MiB", router.peak() / MIB);
    }
}

/// 3.0.1 cannot wait: it is read slowly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_sender_is_slowed_down_for_a_rust_worker() {
    let router = Node::start(ROUTER, &["60"]);
    let gate = Gate::closed();
    let _worker = gate.worker("slow", router.endpoint()).await;
    let (host, port) = router.address().split_once(':').unwrap();
    let mut command = Command::new(daffi_testing::python());
    command.args(["-c", PUMP, host, port, &PUMPED.to_string()]);
    let python = tokio::task::spawn_blocking(move || command.status().unwrap());
    // A pause, then 8 MiB a second.
    while gate.in_order.load(SeqCst) == 0 {
        gate.permits.add_permits(usize::from(gate.permits.available_permits() == 0));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    for _ in 0..PUMPED {
        gate.permits.add_permits(1);
        tokio::time::sleep(Duration::from_millis(125)).await;
    }
    let status = python.await.unwrap();
    assert!(status.success(), "the Python sender failed: {status}");
    let peak = router.peak();
    println!("peak resident of the router: {} MiB", peak / MIB);
    assert!(peak < 150 * MIB, "{} MiB", peak / MIB);
}

const PUMPED: usize = 96;

/// Chunks of 1 MiB from the unchanged library, then a call that waits for all of them.
const PUMP: &str = r#"
import sys
from daffi import Client, SerdeFormat

client = Client(app_name="pump", host=sys.argv[1], port=int(sys.argv[2]))
connection = client.connect()
count = int(sys.argv[3])
chunks = (number.to_bytes(4, "little") + bytes(1024 * 1024 - 4) for number in range(count))
connection.stream_nowait(serde=SerdeFormat.OPAQUE).take(chunks)
taken = connection.rpc(timeout=120).taken()
assert taken == count, taken
client.stop()
"#;

/// Each sends calls and nowait requests to the other, as many as it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_flood_each_other_keep_working() {
    let router = Node::start(ROUTER, &["60"]);
    let mut nodes = Vec::new();
    for name in ["one", "two"] {
        let gate = Gate::closed();
        gate.permits.add_permits(CHUNKS);
        nodes.push((gate.worker(name, router.endpoint()).await, gate));
    }
    let ((one, gate_of_one), (two, gate_of_two)) = (nodes.remove(0), nodes.remove(0));
    one.wait_for_members(&["two"], None).await.unwrap();
    let flood = |from: Client, to: &'static str| async move {
        let rpc = from.rpc().receiver(to);
        let calls = stream::iter(0..CHUNKS).map(|_| rpc.call::<usize>("taken", ()));
        let calls = calls.buffer_unordered(64).for_each(|taken| async {
            assert!(taken.unwrap() <= CHUNKS);
        });
        tokio::join!(send(from.clone(), to, "take", Style::RpcNowait, Arc::default()), calls);
        assert_eq!(from.rpc().receiver(to).call::<usize>("taken", ()).await.unwrap(), CHUNKS);
    };
    let floods = async { tokio::join!(flood(one.clone(), "two"), flood(two.clone(), "one")) };
    tokio::time::timeout(Duration::from_secs(60), floods).await.expect("both are served");
    for gate in [gate_of_one, gate_of_two] {
        assert_eq!(gate.in_order.load(SeqCst), CHUNKS);
    }
}
