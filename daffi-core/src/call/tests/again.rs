//! Calls that wait at a Router for whoever takes them, and were given to a member that stops.

use tokio::time::advance;

use super::*;
use crate::stats::CallbackStats;

fn waiting(client: &BareClient) -> JoinHandle<Result<String, CallError>> {
    begin(client.client.rpc().timeout(AFTER).wait_for_receiver().call::<String>("f", ("x",)))
}

/// What was counted of the calls of this client.
fn counted(client: &BareClient) -> CallbackStats {
    let [one] = client.client.stats().called.try_into().expect("calls of one callback");
    one.callback
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_to_one_that_stops_is_made_again_and_is_one_call() {
    let (client, mut conn) = routed(&["w"]);
    let mut call = waiting(&client);
    for (by, left, pause) in [("first", 50, 2), ("second", 40, 4), ("third", 28, 8)] {
        let sent = request(&mut conn).await;
        assert!(sent.is_to("") && said(&sent).waits_for_receiver(), "the Router chooses");
        assert_eq!(said(&sent).time_left_ms(), Some(left), "its time does not begin anew");
        advance(8 * MS).await;
        conn.handle(refused_by_stopping(&sent, by));
        assert!(ended(&mut call).await.is_none());
        advance((pause - 1) * MS).await;
        assert!(requests(&mut conn).await.is_empty(), "the Router may not know yet that it stops");
        advance(MS).await;
    }
    let sent = request(&mut conn).await;
    conn.handle(result_of(&sent, "fourth", "y"));
    assert_eq!(ended(&mut call).await.unwrap().unwrap(), "y");
    let counted = counted(&client);
    assert_eq!((counted.calls, counted.errors, counted.open, counted.unanswered), (1, 0, 0, 0));
    assert!(conn.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_call_passes_while_it_pauses() {
    let (client, mut conn) = routed(&["w"]);
    let mut call = waiting(&client);
    let sent = request(&mut conn).await;
    advance(AFTER - MS).await;
    conn.handle(refused_by_stopping(&sent, "w"));
    assert!(ended(&mut call).await.is_none());
    advance(MS).await;
    let error = ended(&mut call).await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    advance(AFTER).await;
    assert!(taken(&mut conn).await.is_empty() && conn.is_quiet(), "it is not made again");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_shall_repeat_is_told() {
    let (client, mut conn) = routed(&["w"]);
    // By the Router itself, which goes: it took the call from nobody.
    let mut by_router = waiting(&client);
    let sent = request(&mut conn).await;
    conn.handle(refused_by_stopping(&sent, ""));
    let error = ended(&mut by_router).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Stopping(_)), "{error:?}");
    // One of a callback looks like it, and ran.
    let mut by_callback = waiting(&client);
    let sent = request(&mut conn).await;
    conn.handle(error_of(&sent, "w", &RemoteError::new("NodeStopping", "says my callback")));
    let error = ended(&mut by_callback).await.unwrap().unwrap_err();
    assert!(error.is_remote(), "{error:?}");
    // One that does not wait, or is for one member, is for its program to repeat.
    let rpc = client.client.rpc().timeout(AFTER);
    for rpc in [rpc.clone(), rpc.wait_for_receiver().receiver("w")] {
        let mut call = begin(rpc.call::<String>("f", ("x",)));
        let sent = request(&mut conn).await;
        assert!(sent.is_to("w"));
        conn.handle(refused_by_stopping(&sent, "w"));
        let error = ended(&mut call).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Stopping(_)), "{error:?}");
    }
    advance(AFTER).await;
    assert!(taken(&mut conn).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_to_be_made_again_goes_over_the_next_connection() {
    let (client, mut conn) = routed(&["w"]);
    let mut call = waiting(&client);
    let sent = request(&mut conn).await;
    conn.handle(refused_by_stopping(&sent, "w"));
    assert!(ended(&mut call).await.is_none());
    conn.lose(&Disconnected::PeerClosed);
    advance(2 * MS).await;
    assert!(ended(&mut call).await.is_none(), "it waits for a connection");
    let mut conn = client.connect(Role::Router, Level::FOUR, &["w"]);
    let sent = request(&mut conn).await;
    conn.handle(result_of(&sent, "w", "y"));
    assert_eq!(ended(&mut call).await.unwrap().unwrap(), "y");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_while_it_pauses_is_not_made_again() {
    let (client, mut conn) = routed(&["w"]);
    let mut call = waiting(&client);
    let sent = request(&mut conn).await;
    conn.handle(refused_by_stopping(&sent, "w"));
    assert!(ended(&mut call).await.is_none());
    call.abort();
    advance(AFTER).await;
    assert!(taken(&mut conn).await.is_empty() && conn.is_quiet());
    let counted = counted(&client);
    assert_eq!((counted.calls, counted.open, counted.unanswered), (1, 0, 1));
}
