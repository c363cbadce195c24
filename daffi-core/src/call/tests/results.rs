//! Results that come one by one: as they are read, late, in vain, and of one that stops.

use bytes::Bytes;
use daffi_wire::{FIRST_CALL_WINDOW, data_cost};
use futures::StreamExt;
use tokio::time::advance;

use super::*;
use crate::call::Results;

pub(super) type TestResults = Results<Bytes, Single<Opaque>>;

fn asked(client: &BareClient) -> JoinHandle<Result<TestResults, CallError>> {
    let rpc = client.client.rpc().timeout(AFTER);
    begin(async move { rpc.results("f", ("x",)).await })
}

/// Results that have begun, and their request.
async fn begun(client: &BareClient, conn: &mut BareConn) -> (TestResults, Frame) {
    let mut results = asked(client);
    let sent = request(conn).await;
    assert!(said(&sent).stream().takes_results && ended(&mut results).await.is_none());
    conn.handle(begins(&sent, "w"));
    (ended(&mut results).await.unwrap().unwrap(), sent)
}

/// The next result, if it is there.
fn next(results: &mut TestResults) -> Option<Option<Result<Bytes, CallError>>> {
    results.next().now_or_never()
}

fn credits(frames: Vec<Frame>) -> Vec<u64> {
    of_kind(frames, Kind::Credit).iter().map(|frame| CallCredit::read(frame).unwrap().worked_off()).collect()
}

#[tokio::test(start_paused = true)]
async fn results_come_in_their_order_and_end() {
    for link in [(Role::Service, Level::FOUR), (Role::Router, Level::FOUR)] {
        let (client, mut conn) = linked(link, &["w"]);
        let (mut results, sent) = begun(&client, &mut conn).await;
        assert!(next(&mut results).is_none() && results.is_stream());
        for text in ["a", "b", "c"] {
            conn.handle(item(&sent, "w", text.as_bytes()));
        }
        conn.handle(item(&sent, "other", b"mine?"));
        for text in ["a", "b", "c"] {
            assert_eq!(next(&mut results).unwrap().unwrap().unwrap(), text);
        }
        assert!(next(&mut results).is_none());
        conn.handle(item(&sent, "w", b"last"));
        conn.handle(item(&sent, "w", b""));
        assert_eq!(next(&mut results).unwrap().unwrap().unwrap(), "last");
        assert!(next(&mut results).unwrap().is_none() && next(&mut results).unwrap().is_none());
        drop(results);
        assert!(taken(&mut conn).await.is_empty() && conn.is_quiet(), "there is nothing to give up");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_reads_slowly_lets_no_more_come_than_it_has_room_for() {
    let (client, mut conn) = routed(&["w"]);
    let (mut results, sent) = begun(&client, &mut conn).await;
    let large = vec![7; 10_000];
    let many = usize::try_from(u64::from(FIRST_CALL_WINDOW) / data_cost(large.len())).expect("a window is small");
    (0..many).for_each(|_| conn.handle(item(&sent, "w", &large)));
    assert!(credits(taken(&mut conn).await).is_empty(), "nothing was read");
    for _ in 0..many {
        assert_eq!(next(&mut results).unwrap().unwrap().unwrap().len(), large.len());
    }
    let told = credits(taken(&mut conn).await);
    assert!(told.is_sorted() && told.last().is_some_and(|told| *told > 0), "{told:?}");
    // One that sends more than it may ends its connection, and nobody else's.
    let mut ends = None;
    for _ in 0..100 * many {
        ends = conn.try_handle(item(&sent, "w", &large)).err();
        if ends.is_some() {
            break;
        }
    }
    assert!(matches!(ends, Some(Disconnected::Protocol(_))), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_result_has_the_time_of_the_call_and_each_further_one_its_own() {
    let (client, mut conn) = routed(&["w"]);
    // Nothing comes at all.
    let mut results = asked(&client);
    let sent = request(&mut conn).await;
    advance(AFTER).await;
    let error = ended(&mut results).await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(cancels(&mut conn).await, [(sent.header().id(), CancelReason::EnoughResults)]);
    // The word that they come, and then none.
    let (mut results, sent) = begun(&client, &mut conn).await;
    advance(AFTER - MS).await;
    assert!(next(&mut results).is_none());
    conn.handle(item(&sent, "w", b"a"));
    assert_eq!(next(&mut results).unwrap().unwrap().unwrap(), "a");
    // A reader may take its time with it.
    advance(10 * AFTER).await;
    assert!(next(&mut results).is_none());
    advance(AFTER - MS).await;
    assert!(next(&mut results).is_none());
    conn.handle(item(&sent, "w", b"b"));
    assert_eq!(next(&mut results).unwrap().unwrap().unwrap(), "b");
    assert!(next(&mut results).is_none());
    results.set_timeout(Some(2 * AFTER));
    advance(AFTER).await;
    assert!(next(&mut results).is_none());
    advance(AFTER).await;
    let error = next(&mut results).unwrap().unwrap().unwrap_err();
    assert!(matches!(error, CallError::Timeout { after, .. } if after == 2 * AFTER), "{error:?}");
    assert!(next(&mut results).unwrap().is_none());
    assert_eq!(
        cancels(&mut conn).await,
        [(sent.header().id(), CancelReason::EnoughResults)],
        "now, and not at its drop"
    );
}

#[tokio::test(start_paused = true)]
async fn what_came_is_read_before_the_call_fails() {
    for how in ["error", "connection lost"] {
        let (client, mut conn) = routed(&["w"]);
        let (mut results, sent) = begun(&client, &mut conn).await;
        conn.handle(item(&sent, "w", b"a"));
        conn.handle(item(&sent, "w", b"b"));
        match how {
            "error" => conn.handle(error_of(&sent, "w", &RemoteError::new("ValueError", "no"))),
            _ => conn.lose(&Disconnected::PeerClosed),
        }
        assert_eq!(next(&mut results).unwrap().unwrap().unwrap(), "a");
        assert_eq!(next(&mut results).unwrap().unwrap().unwrap(), "b");
        let error = next(&mut results).unwrap().unwrap().unwrap_err();
        assert!(
            matches!(error, CallError::Remote { .. } | CallError::Disconnected(Disconnected::PeerClosed)),
            "{how}: {error:?}"
        );
        assert!(next(&mut results).unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_result_is_the_only_one_and_a_refusal_is_none() {
    let (client, mut conn) = routed(&["w"]);
    let mut results = asked(&client);
    let sent = request(&mut conn).await;
    conn.handle(result_of(&sent, "w", "all"));
    let mut results = ended(&mut results).await.unwrap().unwrap();
    assert!(!results.is_stream());
    assert_eq!(next(&mut results).unwrap().unwrap().unwrap(), "all");
    assert!(next(&mut results).unwrap().is_none());
    let mut results = asked(&client);
    let sent = request(&mut conn).await;
    conn.handle(error_of(&sent, "w", &Refusal::Overloaded.error("too much")));
    let error = ended(&mut results).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Overloaded(_)) && conn.is_quiet(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn results_that_are_dropped_tell_their_callback_and_leave_nothing() {
    let (client, mut conn) = routed(&["w"]);
    let (results, sent) = begun(&client, &mut conn).await;
    (0..6).for_each(|_| conn.handle(item(&sent, "w", &[7; 10_000])));
    let held = || conn.conn.conn.data_account().held_bytes();
    assert!(held() > 0);
    drop(results);
    assert_eq!(held(), 0);
    assert_eq!(cancels(&mut conn).await, [(sent.header().id(), CancelReason::EnoughResults)]);
    // What was on its way, and its end.
    conn.handle(item(&sent, "w", b"late"));
    assert!(!conn.is_quiet());
    conn.handle(item(&sent, "w", b""));
    assert!(conn.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn results_of_one_that_stops_are_asked_for_again_as_one_call() {
    let (client, mut conn) = routed(&["w"]);
    let rpc = client.client.rpc().timeout(AFTER).wait_for_receiver();
    let mut results = begin(async move { rpc.results::<Bytes>("f", ("x",)).await });
    for (left, pause) in [(50, 2), (40, 4)] {
        let sent = request(&mut conn).await;
        assert_eq!(said(&sent).time_left_ms(), Some(left));
        advance(8 * MS).await;
        conn.handle(refused_by_stopping(&sent, "stops"));
        assert!(ended(&mut results).await.is_none());
        advance(pause * MS).await;
    }
    let sent = request(&mut conn).await;
    conn.handle(begins(&sent, "w"));
    let mut results = ended(&mut results).await.unwrap().unwrap();
    conn.handle(item(&sent, "w", b"a"));
    conn.handle(item(&sent, "w", b""));
    assert_eq!(next(&mut results).unwrap().unwrap().unwrap(), "a");
    assert!(next(&mut results).unwrap().is_none());
    let [counted] = client.client.stats().called.try_into().unwrap();
    assert_eq!((counted.callback.calls, counted.callback.open, counted.callback.unanswered), (1, 0, 0));
    assert!(conn.is_quiet());
    // Where its time is up in the pause it is not sent once more.
    let rpc = client.client.rpc().timeout(AFTER).wait_for_receiver();
    let mut results = begin(async move { rpc.results::<Bytes>("f", ("x",)).await });
    let sent = request(&mut conn).await;
    advance(AFTER - MS).await;
    conn.handle(refused_by_stopping(&sent, "stops"));
    assert!(ended(&mut results).await.is_none());
    advance(MS).await;
    assert!(ended(&mut results).await.unwrap().unwrap_err().is_timeout());
    advance(AFTER).await;
    assert!(taken(&mut conn).await.is_empty() && conn.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn streams_for_which_there_is_no_room_are_refused_here() {
    let client = BareClient::new(NodeConfig::client().budget_bytes(2 << 20));
    let mut conn = client.connect(Role::Router, Level::FOUR, &["w"]);
    conn.take();
    let mut open = Vec::new();
    let error = loop {
        let mut results = asked(&client);
        if let Some(refused) = ended(&mut results).await {
            break refused.unwrap_err();
        }
        open.push(results);
        assert!(open.len() < 100, "each takes a window of {FIRST_CALL_WINDOW}");
    };
    assert!(matches!(&error, CallError::Overloaded(text) if text.contains("budget_bytes")), "{error:?}");
    assert_eq!(requests(&mut conn).await.len(), open.len(), "the one that was refused was not sent");
    let mut small = begin(client.client.rpc().call::<String>("f", ("x",)));
    let sent = request(&mut conn).await;
    conn.handle(result_of(&sent, "w", "y"));
    assert_eq!(ended(&mut small).await.unwrap().unwrap(), "y");
    // One that ends makes room for the next.
    open.pop().unwrap().abort();
    settle().await;
    assert!(ended(&mut asked(&client)).await.is_none());
}
