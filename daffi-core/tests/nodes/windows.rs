//! What many may send at once, each of which may: what waits of it at a Router stays within its
//! memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use daffi_core::{NodeConfig, Router};
use daffi_wire::{Credit, FIRST_WINDOW, FlowId, Frame, Grant, Kind, Limits, MAX_WINDOW, Ping, credit_cost};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    peer::{Peer, raw, send},
    support::router_with,
};

const BUDGET: usize = 8 << 20;
const FRAME: usize = 1 << 20;

/// What all may make the Router hold: its budget and the overdraft, and what they were reading when
/// that was used up.
const MOST: usize = BUDGET + 2 * FRAME + FRAME;

/// Each end of so many.
const ENDS: usize = 20;

const LONG: Duration = Duration::from_secs(60);

struct Many {
    router: Router,
    senders: Vec<Peer>,
    receivers: Vec<Peer>,
}

fn sender(n: usize) -> String {
    format!("s{n}")
}

fn receiver(n: usize) -> String {
    format!("r{n}")
}

/// Members that send, and others that read nothing more.
async fn many(level: &str) -> Many {
    let mut config = NodeConfig::server().budget_bytes(BUDGET).max_connections(64);
    config.limits.max_frame_bytes = FRAME;
    let (router, at) = router_with(config);
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    for n in 0..ENDS {
        receivers.push(raw(&at, &receiver(n), "client/4", r#"["f"]"#).await);
        senders.push(raw(&at, &sender(n), level, "null").await);
    }
    Many { router, senders, receivers }
}

fn body(bytes: usize) -> String {
    format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(bytes))
}

/// Reads what comes until the Router has handled all that was sent before, and gives what the
/// member may send by now.
async fn settle(peer: &mut Peer, limits: &mut BTreeMap<String, u64>) {
    send(peer, &Ping::Asks(*b"granted?").frame()).await;
    let answered = async {
        loop {
            let frame = peer.receive().await.expect("the connection stands");
            if frame == Ping::Answers(*b"granted?").frame() {
                return;
            }
            note_grant(&frame, limits);
        }
    };
    timeout(LONG, answered).await.expect("an answer");
}

fn note_grant(frame: &Frame, limits: &mut BTreeMap<String, u64>) {
    if frame.kind() == Kind::Credit
        && let Ok(Credit::Grants(grant)) = Credit::read(frame)
    {
        limits.insert(frame.transmitter().to_owned(), grant.worked_off() + u64::from(grant.window()));
    }
}

/// Looks at what is held until all have sent what they may, or nothing goes on.
async fn most_held<T>(router: &Router, sending: &[JoinHandle<T>]) -> usize {
    let (mut most, mut last, mut still) = (0, 0, 0);
    while still < 100 && sending.iter().any(|one| !one.is_finished()) {
        let held = router.stats().held_bytes;
        most = most.max(held);
        still = if held == last { still + 1 } else { 0 };
        last = held;
        sleep(Duration::from_millis(10)).await;
    }
    most.max(router.stats().held_bytes)
}

/// Has receivers grant a sender all that there is.
async fn begin_flows(name: &str, peer: &mut Peer, receivers: &mut [Peer]) -> BTreeMap<String, u64> {
    let (mut limits, cost) = (BTreeMap::new(), credit_cost(body(10).len()));
    for (n, receiver_end) in receivers.iter_mut().enumerate() {
        let to = receiver(n);
        send(peer, &Credit::Begins(FlowId(7)).frame(name, &to, &Limits::default()).unwrap()).await;
        peer.send_to(Kind::Request, 0, [name, &to, "f"], &body(10), false).await;
        settle(peer, &mut limits).await;
        let grant = Credit::Grants(Grant::new(FlowId(7), cost, MAX_WINDOW).unwrap());
        send(receiver_end, &grant.frame(&to, name, &Limits::default()).unwrap()).await;
    }
    while limits.len() < receivers.len() {
        settle(peer, &mut limits).await;
    }
    limits
}

/// Sends what it may to all, and `at_most` requests to each. Gives how many that were.
async fn flood(name: String, mut peer: Peer, limits: BTreeMap<String, u64>, at_most: usize) -> (usize, Peer) {
    let (large, one, mut requests) = (body(1_000), credit_cost(body(1_000).len()), 0);
    for (to, limit) in limits {
        let (mut sent, mut count) = (credit_cost(body(10).len()), 0);
        while sent + one <= limit && count < at_most {
            peer.send_to(Kind::Request, 0, [&name, &to, "f"], &large, false).await;
            (sent, count) = (sent + one, count + 1);
        }
        requests += count;
    }
    // Else what it sent last might not be read.
    settle(&mut peer, &mut BTreeMap::new()).await;
    // What waits of one that has left may be lost.
    (requests, peer)
}

/// Receivers that work together with senders grant all that there is, while there is much, and take
/// nothing.
#[tokio::test(start_paused = true)]
async fn windows_that_were_granted_while_there_was_much_stay_within_the_budget() {
    let Many { router, senders, mut receivers } = many("client/4").await;
    let mut ready = Vec::new();
    for (n, mut peer) in senders.into_iter().enumerate() {
        let limits = begin_flows(&sender(n), &mut peer, &mut receivers).await;
        ready.push((sender(n), peer, limits));
    }
    let allowed = ready.iter().flat_map(|(.., limits)| limits.values()).sum::<u64>();
    let sending: Vec<_> =
        ready.into_iter().map(|(name, peer, limits)| tokio::spawn(flood(name, peer, limits, usize::MAX))).collect();
    let most = most_held(&router, &sending).await;
    assert!(allowed > 2 * MOST as u64, "{allowed}: too little to show anything");
    assert!(most <= MOST, "{most} of {MOST} were held, of {allowed}");
    assert_eq!(router.stats().cut_connections, 0, "they kept to their windows");
    // Nothing is lost: it comes as soon as it is taken.
    let came = Arc::new(AtomicUsize::new(0));
    let taking: Vec<_> = receivers.into_iter().map(|peer| tokio::spawn(take_all(peer, Arc::clone(&came)))).collect();
    let (mut sent, mut stay) = (ENDS * ENDS, Vec::new());
    for one in sending {
        let (requests, peer) = timeout(LONG, one).await.expect("they are read again").unwrap();
        sent += requests;
        stay.push(peer);
    }
    let all = async {
        while came.load(Relaxed) < sent {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let all = timeout(LONG, all).await;
    assert!(all.is_ok(), "{} of {sent} came: {:?}", came.load(Relaxed), router.stats());
    assert_eq!((came.load(Relaxed), router.stats().cut_connections), (sent, 0));
    taking.iter().for_each(JoinHandle::abort);
}

/// Takes requests, and counts them.
async fn take_all(mut peer: Peer, came: Arc<AtomicUsize>) {
    while let Some(frame) = peer.receive().await {
        came.fetch_add(usize::from(frame.kind() == Kind::Request), Relaxed);
    }
}

/// Nobody granted it, and each sends no more than a large frame has.
#[tokio::test(start_paused = true)]
async fn what_many_send_beyond_their_credit_stays_within_the_budget() {
    for level in ["client/4", "client"] {
        let Many { router, senders, receivers } = many(level).await;
        let sending: Vec<_> = (senders.into_iter().enumerate())
            .map(|(n, mut peer)| {
                tokio::spawn(async move {
                    let (name, to) = (sender(n), receiver(n));
                    if level == "client/4" {
                        let begins = Credit::Begins(FlowId(7)).frame(&name, &to, &Limits::default()).unwrap();
                        send(&mut peer, &begins).await;
                    }
                    let body = body(1_000);
                    for _ in 0..FRAME / 1_500 + FIRST_WINDOW as usize / 1_000 {
                        peer.send_to(Kind::Request, 0, [&name, &to, "f"], &body, false).await;
                    }
                    peer
                })
            })
            .collect();
        let most = most_held(&router, &sending).await;
        assert!(most <= MOST, "{most} of {MOST} were held: {level}");
        drop(receivers);
    }
}

/// Of what waits about as much is its own as of each of the others.
#[tokio::test(start_paused = true)]
async fn a_worker_answers_at_once_while_others_use_all_memory_up() {
    let Many { router, senders, mut receivers } = many("client/4").await;
    let at = &router.endpoints()[0];
    let mut worker = raw(at, "w", "client/4", r#"["g"]"#).await;
    let mut caller = raw(at, "c", "client/4", "null").await;
    let limits = begin_flows("w", &mut worker, &mut receivers).await;
    let mut ready = Vec::new();
    for (n, mut peer) in senders.into_iter().enumerate() {
        let limits = begin_flows(&sender(n), &mut peer, &mut receivers).await;
        ready.push((sender(n), peer, limits));
    }
    let start = |(name, peer, limits)| tokio::spawn(flood(name, peer, limits, usize::MAX));
    let rest = ready.split_off(4);
    let mut sending: Vec<_> = ready.into_iter().map(start).collect();
    most_held(&router, &sending).await;
    let (_, mut worker) = flood("w".to_owned(), worker, limits, 8).await;
    sending.extend(rest.into_iter().map(start));
    most_held(&router, &sending).await;
    assert!(sending.iter().any(|one| !one.is_finished()), "all memory is used up");
    let begun = Instant::now();
    caller.send_to(Kind::Request, 9, ["c", "w", "g"], "1", true).await;
    let asked = async { while worker.receive().await.is_none_or(|frame| frame.kind() != Kind::Request) {} };
    timeout(LONG, asked).await.expect("it is asked");
    worker.send_to(Kind::Response, 9, ["w", "c", "g"], "1", false).await;
    let answered = async { while caller.receive().await.is_none_or(|frame| frame.kind() != Kind::Response) {} };
    timeout(LONG, answered).await.expect("it is read");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(router.stats().cut_connections, 0);
    drop(receivers);
}
