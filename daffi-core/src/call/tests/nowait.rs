//! Calls that nobody answers: as far as their receiver takes them, and the connection.

use daffi_wire::{Credit, FIRST_WINDOW, FlowId, Grant, credit_cost};
use tokio::time::advance;

use super::*;

/// One that costs a third of the first window.
const LARGE: usize = FIRST_WINDOW as usize / 3 - 300;

fn call(client: &BareClient, to: &str) -> JoinHandle<Result<(), CallError>> {
    let nowait = client.client.rpc_nowait().receiver(to).timeout(AFTER);
    begin(nowait.call("f", (bytes::Bytes::from(vec![7; LARGE]),)))
}

/// The flows that began.
fn begun(frames: &[Frame]) -> Vec<(String, FlowId)> {
    let begins = |frame: &Frame| match Credit::read(frame) {
        Ok(Credit::Begins(flow)) => Some((frame.receiver().to_owned(), flow)),
        _ => None,
    };
    frames.iter().filter_map(begins).collect()
}

fn granted(from: &str, flow: FlowId, worked_off: u64) -> Frame {
    Credit::Grants(Grant::new(flow, worked_off, FIRST_WINDOW).unwrap()).frame(from, CALLER, &Limits::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_go_as_far_as_their_receiver_takes_them_and_in_order() {
    let (client, mut conn) = routed(&["w", "other"]);
    let mut calls: Vec<_> = (0..5).map(|_| call(&client, "w")).collect();
    let frames = taken(&mut conn).await;
    let flows = begun(&frames);
    let [(to, flow)] = &flows[..] else { panic!("{flows:?}") };
    assert!(to == "w" && frames[0].kind() == Kind::Credit, "before the first request");
    let sent = of_kind(frames, Kind::Request);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|frame| !frame.header().wants_reply() && said(frame).time_left_ms().is_none()));
    for queued in &mut calls[..3] {
        ended(queued).await.unwrap().unwrap();
    }
    // A receiver that is silent holds its own sender up and nobody else.
    let mut others = call(&client, "other");
    ended(&mut others).await.unwrap().unwrap();
    assert_eq!(begun(&taken(&mut conn).await).len(), 1);
    assert!(ended(&mut calls[3]).await.is_none());
    let cost = credit_cost(LARGE);
    conn.handle(granted("other", *flow, 9 * cost));
    assert!(taken(&mut conn).await.is_empty(), "no grant of another");
    conn.handle(granted("w", FlowId(flow.0 ^ 1), 9 * cost));
    assert!(taken(&mut conn).await.is_empty(), "none of a flow before");
    conn.handle(granted("w", *flow, cost));
    assert_eq!(requests(&mut conn).await.len(), 1);
    ended(&mut calls[3]).await.unwrap().unwrap();
    assert!(ended(&mut calls[4]).await.is_none());
    conn.handle(granted("w", *flow, 2 * cost));
    ended(&mut calls[4]).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_says_that_nothing_was_sent_and_leaves_its_place_to_the_next() {
    let (client, mut conn) = routed(&["w"]);
    let mut calls: Vec<_> = (0..4).map(|_| call(&client, "w")).collect();
    let [(_, flow)] = begun(&taken(&mut conn).await).try_into().unwrap();
    advance(AFTER / 2).await;
    let mut next = call(&client, "w");
    let dropped = call(&client, "w");
    settle().await;
    dropped.abort();
    advance(AFTER / 2).await;
    let error = ended(&mut calls[3]).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Timeout { waited_for: WaitedFor::Room, .. }), "{error:?}");
    assert!(error.is_retryable());
    conn.handle(granted("w", flow, credit_cost(LARGE)));
    ended(&mut next).await.unwrap().unwrap();
    assert_eq!(requests(&mut conn).await.len(), 1);
    assert!(conn.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn what_was_paid_for_and_found_no_room_is_given_back() {
    let (client, mut conn) = routed(&["w"]);
    conn.fill();
    let mut waits = call(&client, "w");
    let dropped: Vec<_> = (0..10).map(|_| call(&client, "w")).collect();
    assert!(ended(&mut waits).await.is_none());
    for one in dropped {
        one.abort();
    }
    settle().await;
    conn.take();
    assert_eq!(requests(&mut conn).await.len(), 1);
    ended(&mut waits).await.unwrap().unwrap();
    // Of its window one request is outstanding.
    let mut more: Vec<_> = (0..3).map(|_| call(&client, "w")).collect();
    assert_eq!(requests(&mut conn).await.len(), 2);
    assert!(ended(&mut more[2]).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn nobody_counts_where_there_is_no_router_of_this_project() {
    for link in [(Role::Service, Level::THREE), (Role::Service, Level::FOUR), (Role::Router, Level::THREE)] {
        let (client, mut conn) = linked(link, &["w"]);
        let calls: Vec<_> = (0..50).map(|_| call(&client, "w")).collect();
        let frames = taken(&mut conn).await;
        assert_eq!((frames.len(), of_kind(frames, Kind::Request).len()), (50, 50));
        for mut queued in calls {
            ended(&mut queued).await.unwrap().unwrap();
        }
        // A server that takes nothing holds them up all the same.
        conn.fill();
        let mut waits = call(&client, "w");
        assert!(ended(&mut waits).await.is_none());
        advance(AFTER).await;
        let error = ended(&mut waits).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Timeout { waited_for: WaitedFor::Room, .. }), "{error:?}");
        conn.take();
        assert!(requests(&mut conn).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_credit_ends_with_its_receiver_or_the_connection() {
    for leaves in [true, false] {
        let (client, mut conn) = routed(&["w", "other"]);
        let mut calls: Vec<_> = (0..4).map(|_| call(&client, "w")).collect();
        let mut others: Vec<_> = (0..4).map(|_| call(&client, "other")).collect();
        let flows = begun(&taken(&mut conn).await);
        if leaves {
            conn.leave("w");
            let error = ended(&mut calls[3]).await.unwrap().unwrap_err();
            assert!(matches!(&error, CallError::ReceiverGone { receiver, .. } if receiver == "w"), "{error:?}");
            assert!(ended(&mut others[3]).await.is_none());
            // The next of the name has a window of its own, of which grants of the one before are
            // no part.
            conn.join("w");
            conn.handle(granted("w", flows.iter().find(|(to, _)| to == "w").unwrap().1, 10_000));
            let mut calls: Vec<_> = (0..4).map(|_| call(&client, "w")).collect();
            let frames = taken(&mut conn).await;
            assert_eq!((begun(&frames).len(), of_kind(frames, Kind::Request).len()), (1, 3));
            assert!(ended(&mut calls[3]).await.is_none());
        } else {
            conn.lose(&Disconnected::PeerClosed);
            for waits in [&mut calls[3], &mut others[3]] {
                let error = ended(waits).await.unwrap().unwrap_err();
                assert!(matches!(error, CallError::Disconnected(Disconnected::PeerClosed)), "{error:?}");
            }
        }
    }
}
