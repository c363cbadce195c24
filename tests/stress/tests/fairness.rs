//! A worker that never reads costs nobody else anything.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::{
    fmt,
    io::Write,
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use daffi::{CallError, Client, FormatId, MemberEvent};
use daffi_stress::{Node, bare_member, percentile};
use daffi_wire::{CallId, Frame, Header, Kind, Limits};
use futures::StreamExt;

const ROUTER: &str = env!("CARGO_BIN_EXE_router_node");
const MIB: usize = 1024 * 1024;

/// What the router may hold at most, everything included.
const MOST_RESIDENT: usize = 200 * MIB;

/// Of the flood.
const CALLS_A_SECOND: usize = 5000;
const SIZE: usize = 4096;

const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug)]
enum Style {
    Rpc,
    Nowait,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Healthy,
    /// Did its handshake and never reads again.
    Silent,
}

/// Calls between two nodes, beside a flood between two others.
struct Measured {
    calls: usize,
    median: Duration,
    p99: Duration,
    flood: usize,
    router_cpu: Duration,
    router_peak: usize,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, median, p99, flood, router_cpu, router_peak } = self;
        let cpu = router_cpu.as_secs_f64() / MEASURED.as_secs_f64();
        write!(f, "{calls} calls, median {median:?}, p99 {p99:?}; {flood} flooding requests sent; ")?;
        write!(f, "router: {cpu:.2} CPUs, at most {} MiB", router_peak / MIB)
    }
}

/// Requests in even steps until told to stop.
#[derive(Clone, Default)]
struct Pace {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

impl Pace {
    const STEP: Duration = Duration::from_millis(2);

    /// How many are due after this time.
    fn due(&self, begun: Instant) -> usize {
        let due = begun.elapsed().as_micros() * CALLS_A_SECOND as u128 / 1_000_000;
        usize::try_from(due).expect("a test is short") - self.sent.load(Relaxed)
    }
}

async fn flood_with_calls(client: Client, pace: Pace) {
    let begun = Instant::now();
    let chunk = Bytes::from(vec![0x5a; SIZE]);
    while !pace.stop.load(Relaxed) {
        for _ in 0..pace.due(begun) {
            let (rpc, chunk) = (client.rpc().receiver("target").serde(FormatId::OPAQUE), chunk.clone());
            tokio::spawn(async move { rpc.call::<()>("take", (chunk,)).await });
            pace.sent.fetch_add(1, Relaxed);
        }
        tokio::time::sleep(Pace::STEP).await;
    }
}

/// As 3.0.1 would: it knows of no credit.
fn flood_without_waiting(mut stream: TcpStream, pace: &Pace) {
    let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, false);
    let frame = Frame::new(header, "flooder", "target", "take", &[0x5a; SIZE], &Limits::default()).unwrap();
    let begun = Instant::now();
    while !pace.stop.load(Relaxed) {
        for _ in 0..pace.due(begun).min(CALLS_A_SECOND) {
            if stream.write_all(frame.as_bytes()).is_err() {
                assert!(pace.stop.load(Relaxed), "the router cut the flood off");
                return;
            }
            pace.sent.fetch_add(1, Relaxed);
        }
        thread::sleep(Pace::STEP);
    }
}

async fn add(client: &Client) -> Duration {
    let begun = Instant::now();
    let sum: i64 = client.rpc().timeout(Duration::from_secs(20)).call("add", (3, 4)).await.unwrap();
    assert_eq!(sum, 7);
    begun.elapsed()
}

async fn measure(style: Style, target: Target) -> Measured {
    let mut router = Node::start(ROUTER, &["120"]);
    let at = router.endpoint().to_owned();
    let worker = Client::builder("worker").callback_fn("add", |a: i64, b: i64| async move { a + b });
    let _worker = worker.connect(&at).await.unwrap();
    let healthy = Client::builder("target").callback_fn("take", |_: Bytes| async {});
    let target: (Option<Client>, Option<TcpStream>) = match target {
        Target::Healthy => (Some(healthy.connect(&at).await.unwrap()), None),
        Target::Silent => (None, Some(bare_member(router.address(), "target", r#"["take"]"#).unwrap())),
    };
    let caller = Client::builder("caller").connect(&at).await.unwrap();
    let pace = Pace::default();
    let (mut flooder, mut thread) = (None, None);
    match style {
        Style::Rpc => {
            let client = Client::builder("flooder").connect(&at).await.unwrap();
            flooder = Some(tokio::spawn(flood_with_calls(client, pace.clone())));
        }
        Style::Nowait => {
            let stream = bare_member(router.address(), "flooder", "null").unwrap();
            let (end, pace) = (stream.try_clone().unwrap(), pace.clone());
            thread = Some((end, thread::spawn(move || flood_without_waiting(stream, &pace))));
        }
    }
    let begun = Instant::now();
    while begun.elapsed() < WARM_UP {
        add(&caller).await;
    }
    let (begun, cpu) = (Instant::now(), router.cpu());
    let mut took = Vec::new();
    while begun.elapsed() < MEASURED {
        took.push(add(&caller).await);
    }
    let router_cpu = router.cpu().saturating_sub(cpu);
    println!("  the router counts {}", router.ask("stats"));
    pace.stop.store(true, Relaxed);
    if let Some(flooder) = flooder {
        flooder.await.unwrap();
    }
    if let Some((end, thread)) = thread {
        end.shutdown(Shutdown::Both).unwrap();
        thread.join().unwrap();
    }
    drop(target);
    took.sort_unstable();
    Measured {
        calls: took.len(),
        median: percentile(&took, 50),
        p99: percentile(&took, 99),
        flood: pace.sent.load(Relaxed),
        router_cpu,
        router_peak: router.peak(),
    }
}

async fn compare(style: Style) {
    let healthy = measure(style, Target::Healthy).await;
    println!("{style:?} flood to a healthy worker: {healthy}");
    let silent = measure(style, Target::Silent).await;
    println!("{style:?} flood to a silent worker:  {silent}");
    let ratio = |of: fn(&Measured) -> Duration| of(&silent).as_secs_f64() / of(&healthy).as_secs_f64();
    let (median, p99, cpu) = (ratio(|m| m.median), ratio(|m| m.p99), ratio(|m| m.router_cpu));
    println!("silent beside healthy: median {median:.2}, p99 {p99:.2}, CPU of the router {cpu:.2}");
    // As fast, but for what a busy machine makes of it.
    assert!(median < 3.0, "the median call took {median:.2} times as long");
    assert!(silent.router_peak < MOST_RESIDENT, "{} MiB", silent.router_peak / MIB);
}

/// One after the other: they are measurements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_as_fast_beside_a_flood_to_a_worker_that_never_reads() {
    compare(Style::Rpc).await;
    compare(Style::Nowait).await;

    a_worker_that_never_reads_is_disconnected().await;
}

async fn a_worker_that_never_reads_is_disconnected() {
    let router = Node::start(ROUTER, &["1.5"]);
    let silent = bare_member(router.address(), "target", r#"["take"]"#).unwrap();
    let caller = Client::builder("caller").connect(router.endpoint()).await.unwrap();
    let mut events = caller.events();
    let begun = Instant::now();
    let mut calls = Vec::new();
    for _ in 0..64 {
        let rpc = caller.rpc().serde(FormatId::OPAQUE);
        calls.push(tokio::spawn(async move { rpc.call::<()>("take", (Bytes::from(vec![0; MIB]),)).await }));
    }
    let (mut overloaded, mut gone) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Err(CallError::Overloaded(_)) => overloaded += 1,
            Err(CallError::ReceiverGone { receiver, .. }) if receiver == "target" => gone += 1,
            other => panic!("{other:?}"),
        }
    }
    println!("of 64 calls {overloaded} were overloaded, {gone} ended with their receiver {:?} later", begun.elapsed());
    assert!(overloaded > 0 && gone > 0);
    assert_eq!(events.next().await, Some(MemberEvent::Removed("target".into())));
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1500) && took < Duration::from_secs(10), "{took:?}");
    let error = caller.rpc().call::<()>("take", ("x",)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
    drop(silent);
}
