//! What is wrong is told on the page and by the metrics of a router: a worker that is slow, or
//! stands still, a queue that is full, a certificate that ends, a caller that floods, a name that
//! is fought over.

use std::time::Duration;

use daffi::{Client, Value};
use daffi_testing::{Authority, Page, go_on, stand_still};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinSet, block_in_place},
    time::sleep,
};

use crate::{
    support::{Running, TempFile},
    watched::Watched,
};

/// What the page says needs attention.
const CAUSES: &str = "document.getElementById('why').innerText";

/// Waits until the page says so.
fn is_told(page: &mut Page, words: &str) {
    block_in_place(|| page.wait(&format!("{CAUSES}.includes({words:?})")));
}

/// So many calls at a time, again and again, until they are dropped.
fn calling(
    client: &Client,
    at_once: usize,
    receiver: &'static str,
    method: &'static str,
    argument: Value,
) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for _ in 0..at_once {
        let (client, argument) = (client.clone(), argument.clone());
        calls.spawn(async move {
            loop {
                let called = client.rpc().receiver(receiver).call::<Value>(method, (argument.clone(),)).await;
                if called.is_err() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    calls
}

async fn client(at: &str, name: &str, workers: &[&str]) -> Client {
    let client = Client::builder(name).connect(at).await.unwrap();
    client.wait_for_members(workers, None).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_worker_and_one_that_stands_still_are_told() {
    let watched = Watched::start(&[]);
    let slow = Running::worker(&watched.at, "sluggish");
    let stopped = Running::worker(&watched.at, "frozen");
    let _idle = Running::worker(&watched.at, "idle");
    let caller = client(&watched.at, "caller", &["sluggish", "frozen", "idle"]).await;
    let mut page = block_in_place(|| Page::open(&watched.page));
    let calls = calling(&caller, 12, "sluggish", "sleep", Value::Float(0.2));
    is_told(&mut page, "sluggish is slow: 12 calls wait there");
    block_in_place(|| watched.wait_for("daffi_most_asked", |asked| asked >= 12.0));
    drop(calls);

    block_in_place(|| stand_still(stopped.pid()));
    let calls = calling(&caller, 3, "frozen", "add", Value::Int(1));
    // At first only that it does not answer is seen of it.
    is_told(&mut page, "frozen answers nothing: 3 calls wait there");
    is_told(&mut page, "frozen stands still: it gives no sign of life.");
    assert_eq!(block_in_place(|| watched.metric("daffi_stopped_members")), 1.0);
    block_in_place(|| page.wait("document.querySelector('#why a[aria-label=\"Look at frozen\"]')"));
    go_on(stopped.pid());
    block_in_place(|| page.wait(&format!("!{CAUSES}.includes('frozen')")));
    assert!(!block_in_place(|| page.text(CAUSES)).contains("idle"), "nothing is wrong with it");
    drop((calls, slow));
}

/// Passes on what a node says, and to it so many bytes every 100 ms.
async fn narrow_way(to: String, bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (node, _) = listener.accept().await.unwrap();
        let router = TcpStream::connect(to.strip_prefix("tcp://").unwrap()).await.unwrap();
        let ((mut from_node, mut to_node), (mut from_router, mut to_router)) = (node.into_split(), router.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_node, &mut to_router).await });
        let mut some = vec![0; bytes];
        while let Ok(read @ 1..) = from_router.read(&mut some).await {
            if to_node.write_all(&some[..read]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_told() {
    let watched = Watched::start(&["--budget-bytes", "8MiB"]);
    let way = narrow_way(watched.at.clone(), 16 << 10).await;
    let _far = Running::worker(&way, "far");
    let caller = client(&watched.at, "caller", &["far"]).await;
    let mut page = block_in_place(|| Page::open(&watched.page));
    let calls = calling(&caller, 40, "far", "receive_chunk", Value::Bytes(vec![7; 256 << 10].into()));
    is_told(&mut page, "wait to be sent to far, which takes them too slowly");
    is_told(&mut page, "refused as Overloaded lately: too much waits for the node that was called");
    block_in_place(|| watched.wait_for("daffi_longest_queue_bytes", |bytes| bytes > f64::from(1 << 17)));
    block_in_place(|| {
        watched.wait_for("daffi_refused_calls_by_class_total{error_type=\"Overloaded\"}", |refused| refused > 0.0);
    });
    drop(calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_floods_is_told() {
    let watched = Watched::start(&[]);
    let _worker = Running::start(&["demo", "--connect", &watched.at, "--name", "willing", "--workers", "400"]);
    let loud = client(&watched.at, "loud", &["willing"]).await;
    let calm = client(&watched.at, "calm", &["willing"]).await;
    let mut page = block_in_place(|| Page::open(&watched.page));
    let (flood, trickle) = (
        calling(&loud, 300, "willing", "sleep", Value::Float(1.0)),
        calling(&calm, 2, "willing", "sleep", Value::Float(0.5)),
    );
    is_told(&mut page, "loud floods: it makes ");
    block_in_place(|| watched.wait_for("daffi_most_open_calls", |open| open > 100.0));
    assert!(!block_in_place(|| page.text(CAUSES)).contains("calm"));
    drop((flood, trickle));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_fought_over_is_told() {
    let watched = Watched::start(&[]);
    let mut page = block_in_place(|| Page::open(&watched.page));
    let fighter = || {
        let builder = Client::builder("billing").configure(|config| {
            config.reconnect_when_evicted = true;
            config.reconnect_max = Duration::from_millis(300);
        });
        builder.connect(&watched.at)
    };
    let _one = fighter().await.unwrap();
    let _other = fighter().await.unwrap();
    is_told(&mut page, "The name billing is fought over: it passed to another connection");
    block_in_place(|| watched.wait_for("daffi_most_takeovers", |times| times >= 2.0));
    block_in_place(|| watched.wait_for("daffi_evictions_total", |times| times >= 2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_is_told() {
    let authority = Authority::new();
    let [cert, key] = ["ending.pem", "ending.key"].map(|name| TempFile::new(name, b""));
    authority.write(cert.path().as_ref(), key.path().as_ref(), Duration::from_secs(3 * 86_400 + 3600));
    let tls = ["-l", "tls://127.0.0.1:0", "--tls-cert", cert.path(), "--tls-key", key.path()];
    let watched = Watched::start(&tls);
    let mut page = block_in_place(|| Page::open(&watched.page));
    is_told(&mut page, "The certificate ends in 3 days: put a new one into its files.");
    let days = watched.node()["certificate_days"].as_f64().unwrap();
    assert!((3.0..3.1).contains(&days), "{days}");
    assert!(block_in_place(|| watched.metric("daffi_certificate_expiry_timestamp_seconds")) > 1.7e9);
    watched.router.log("the certificate ends soon");
    // What is put there is taken.
    authority.write(cert.path().as_ref(), key.path().as_ref(), Duration::from_secs(90 * 86_400));
    watched.router.signal("HUP");
    block_in_place(|| page.wait(&format!("!{CAUSES}.includes('certificate')")));
}

/// Whoever looks at nothing wrong is told nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_wrong_nothing_is_told() {
    let watched = Watched::start(&[]);
    let _worker = Running::worker(&watched.at, "well");
    let caller = client(&watched.at, "caller", &["well"]).await;
    let calls = calling(&caller, 2, "well", "echo", Value::from("hello"));
    let mut page = block_in_place(|| Page::open(&watched.page));
    // As many looks as the page compares.
    block_in_place(|| page.wait("told.length === 10"));
    assert_eq!(block_in_place(|| page.text(CAUSES)), "");
    drop(calls);
}
