//! Peers that say they took what was never written to them, and honest ones that take it slowly.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use daffi_core::{NodeConfig, Router};
use daffi_wire::{
    CallCredit, CallId, Credit, Data, DataEnd, FIRST_CALL_WINDOW, FIRST_WINDOW, FlowId, Frame, Grant, Kind, Limits,
    MAX_WINDOW, credit_cost,
};
use tokio::time::timeout;

use crate::{
    peer::{Peer, begins, raw, request, send},
    router_hostile::{BUDGET, CALL, MOST, NOTHING, data, network, settle, streams},
    support::router_with,
};

static ITEM: [u8; 8_000] = [b'x'; 8_000];

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

fn cost_of_item() -> u64 {
    credit_cost(ITEM.len())
}

/// What the other end of a call takes by now. `None`: the call has ended.
async fn next_limit(peer: &mut Peer) -> Option<u64> {
    loop {
        let frame = soon(peer.receive()).await.expect("the connection stands");
        match frame.kind() {
            Kind::Credit if frame.header().id() == CallId(2) => return Some(CallCredit::read(&frame).unwrap().limit()),
            Kind::Cancel | Kind::Error => return None,
            _ => {}
        }
    }
}

/// Waits until the Router has ended one of the two.
async fn is_ended(router: &Router) {
    soon(async {
        while router.members().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A caller takes nothing of a stream of results, and grants all of it.
#[tokio::test]
async fn a_caller_that_grants_results_that_it_was_not_sent_is_ended() {
    let (router, mut caller, mut worker) = network("caller", "client/4").await;
    send(&mut caller, &request(2, CALL, &streams(false, true), NOTHING)).await;
    settle(&mut caller).await;
    while soon(worker.receive()).await.unwrap().kind() != Kind::Request {}
    send(&mut worker, &begins(CallId(2), ["deaf", "caller"])).await;
    let bytes = Bytes::from_static(&ITEM);
    let item = Data { id: CallId(2), from_caller: false, end: DataEnd::Item, packed: false, bytes };
    let item = item.frame("deaf", "caller", &Limits::default()).unwrap();
    let (mut sent, mut limit) = (0, u64::from(FIRST_CALL_WINDOW));
    for _ in 0..1_000 {
        // The worker is honest: it sends no more than it was granted.
        while sent + cost_of_item() <= limit {
            send(&mut worker, &item).await;
            sent += cost_of_item();
        }
        // It has passed, and the caller reads nothing.
        settle(&mut worker).await;
        let credit = CallCredit::new(CallId(2), true, sent, FIRST_CALL_WINDOW).unwrap();
        send(&mut caller, &credit.frame("caller", "deaf", &Limits::default()).unwrap()).await;
        match next_limit(&mut worker).await {
            Some(next) => limit = next,
            None => break,
        }
    }
    is_ended(&router).await;
    assert!(sent < 2 << 20 && router.stats().held_bytes <= MOST, "{sent} {:?}", router.stats());
}

/// The same of a receiver and the items of a stream.
#[tokio::test]
async fn a_receiver_that_grants_items_that_it_was_not_sent_is_ended() {
    let (router, mut caller, mut deaf) = network("caller", "client/4").await;
    send(&mut caller, &request(2, CALL, &streams(true, false), NOTHING)).await;
    let item = data(2, ["caller", "deaf", ""], DataEnd::Item, &ITEM);
    let (mut sent, mut limit) = (0, u64::from(FIRST_CALL_WINDOW));
    for _ in 0..1_000 {
        while sent + cost_of_item() <= limit {
            send(&mut caller, &item).await;
            sent += cost_of_item();
        }
        settle(&mut caller).await;
        let credit = CallCredit::new(CallId(2), false, sent, FIRST_CALL_WINDOW).unwrap();
        send(&mut deaf, &credit.frame("deaf", "caller", &Limits::default()).unwrap()).await;
        match next_limit(&mut caller).await {
            Some(next) => limit = next,
            None => break,
        }
    }
    is_ended(&router).await;
    assert!(sent < 2 << 20 && router.stats().held_bytes <= MOST, "{sent} {:?}", router.stats());
}

/// Two nowait requests, of which the second waits for credit.
async fn block(caller: &mut Peer) {
    send(caller, &Credit::Begins(FlowId(7)).frame("caller", "deaf", &Limits::default()).unwrap()).await;
    for _ in 0..2 {
        caller.send_to(Kind::Request, 0, CALL, &body_of(8_000), false).await;
    }
}

fn body_of(bytes: usize) -> String {
    format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(bytes))
}

/// A call waits at the Router, with its items.
#[tokio::test]
async fn a_receiver_that_grants_items_of_a_call_that_waits_is_ended() {
    let (router, mut caller, mut deaf) = network("caller", "client/4").await;
    block(&mut caller).await;
    send(&mut caller, &request(2, CALL, &streams(true, false), NOTHING)).await;
    send(&mut caller, &data(2, ["caller", "deaf", ""], DataEnd::Item, &ITEM)).await;
    settle(&mut caller).await;
    let credit = CallCredit::new(CallId(2), false, cost_of_item(), FIRST_CALL_WINDOW).unwrap();
    send(&mut deaf, &credit.frame("deaf", "caller", &Limits::default()).unwrap()).await;
    is_ended(&router).await;
    assert_eq!(next_limit(&mut caller).await, None, "and the call with it");
}

/// A receiver grants each nowait request at once and reads none. Nothing is lost of them, and
/// nothing more comes, until it does.
#[tokio::test]
async fn nowait_requests_that_their_receiver_grants_unread_wait_until_it_reads() {
    let (router, mut caller, mut deaf) = network("caller", "client/4").await;
    send(&mut caller, &Credit::Begins(FlowId(7)).frame("caller", "deaf", &Limits::default()).unwrap()).await;
    let body = body_of(6_000);
    let cost = credit_cost(body.len());
    let (mut sent, mut limit, mut requests) = (0, u64::from(FIRST_WINDOW), 0);
    for _ in 0..1_000 {
        while sent + cost <= limit {
            caller.send_to(Kind::Request, 0, CALL, &body, false).await;
            (sent, requests) = (sent + cost, requests + 1);
        }
        settle_with_grants(&mut caller, &mut limit).await;
        let grant = Credit::Grants(Grant::new(FlowId(7), sent, MAX_WINDOW).unwrap());
        send(&mut deaf, &grant.frame("deaf", "caller", &Limits::default()).unwrap()).await;
        let told = async {
            while sent + cost > limit {
                let frame = caller.receive().await.expect("the connection stands");
                note_grant(&frame, &mut limit);
            }
        };
        // For ever, if no further word comes.
        if timeout(Duration::from_millis(500), told).await.is_err() {
            break;
        }
    }
    let stats = router.stats();
    assert!(stats.held_bytes <= BUDGET && stats.held_requests > 0 && sent < 4 << 20, "{sent} {stats:?}");
    let mut came = 0;
    while came < requests {
        let frame = soon(deaf.receive()).await.expect("the connection stands");
        came += usize::from(frame.kind() == Kind::Request);
    }
    soon(async {
        while router.stats().held_requests > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn note_grant(frame: &Frame, limit: &mut u64) {
    if frame.kind() == Kind::Credit
        && let Ok(Credit::Grants(grant)) = Credit::read(frame)
    {
        *limit = grant.worked_off() + u64::from(grant.window());
    }
}

/// Reads what comes until the Router has handled all that was sent before.
async fn settle_with_grants(peer: &mut Peer, limit: &mut u64) {
    let (asks, answers) = (daffi_wire::Ping::Asks(*b"granted?"), daffi_wire::Ping::Answers(*b"granted?"));
    send(peer, &asks.frame()).await;
    loop {
        let frame = soon(peer.receive()).await.expect("the connection stands");
        if frame == answers.frame() {
            return;
        }
        note_grant(&frame, limit);
    }
}

/// An honest receiver that reads late and slowly, and several senders of level 3, which know
/// nothing of credit: all that they sent comes, in the order of each.
#[tokio::test]
async fn a_slow_reader_gets_all_that_several_senders_sent() {
    for level in ["client", "client/4"] {
        let mut config = NodeConfig::server().budget_bytes(BUDGET).max_connections(16);
        config.limits.max_frame_bytes = 4 << 20;
        let (router, at) = router_with(config);
        let mut slow = raw(&at, "deaf", level, r#"["f"]"#).await;
        let mut senders = Vec::new();
        for name in ["one", "two", "three"] {
            let mut sender = raw(&at, name, "client", "null").await;
            senders.push(tokio::spawn(async move {
                for n in 0..60 {
                    let body = format!(r#"{{"args":["{n}","{}"],"kwargs":{{}}}}"#, "x".repeat(20_000));
                    sender.send_to(Kind::Request, 0, [name, "deaf", "f"], &body, false).await;
                }
                sender
            }));
        }
        soon(async {
            while router.stats().held_requests == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let (mut came, mut flows) = ([0; 3], [None; 3]);
        while came.iter().sum::<usize>() < 3 * 60 {
            let frame = soon(slow.receive()).await.expect("the connection stands");
            let Some(of) = ["one", "two", "three"].iter().position(|name| frame.is_from(name)) else { continue };
            match frame.kind() {
                Kind::Credit => match Credit::read(&frame).unwrap() {
                    Credit::Begins(flow) => flows[of] = Some((flow, 0)),
                    Credit::Grants(_) => panic!("it sends nothing"),
                },
                Kind::Request => {
                    let begin = format!(r#"{{"args":["{}","#, came[of]);
                    assert!(frame.payload().starts_with(begin.as_bytes()), "in order");
                    came[of] += 1;
                    if let Some((flow, worked_off)) = &mut flows[of] {
                        *worked_off += credit_cost(frame.payload().len());
                        let grant = Credit::Grants(Grant::new(*flow, *worked_off, 1 << 16).unwrap());
                        let to = frame.transmitter();
                        send(&mut slow, &grant.frame("deaf", to, &Limits::default()).unwrap()).await;
                    }
                }
                _ => {}
            }
        }
        assert_eq!((router.members().len(), router.stats().cut_connections), (4, 0), "nobody honest is ended");
        for sender in senders {
            soon(sender).await.unwrap();
        }
    }
}
