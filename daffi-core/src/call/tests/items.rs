//! Arguments that go one by one: as far as they are taken, until there is an answer, or a source
//! that fails.

use bytes::Bytes;
use daffi_wire::FIRST_CALL_WINDOW;
use futures::{StreamExt, channel::mpsc};
use tokio::time::advance;

use super::results::TestResults;
use super::*;
use crate::call::{ItemSender, SendError};

/// What a program sends, as it comes to it.
type ItemFeed = mpsc::UnboundedSender<Result<Bytes, String>>;
type SentItems = JoinHandle<Result<String, SendError<String>>>;

/// A call that was sent, with the source of its items.
async fn sending(client: &BareClient, conn: &mut BareConn) -> (ItemFeed, SentItems, Frame) {
    let (source, items) = mpsc::unbounded();
    let rpc = client.client.rpc().timeout(AFTER);
    let call = begin(async move { rpc.try_send::<String, _>("f", ("x",), items).await });
    let sent = request(conn).await;
    assert!(said(&sent).stream().items_follow && said(&sent).time_left_ms().is_none());
    (source, call, sent)
}

/// The items that came, what they cost, and whether they were all.
fn items(frames: Vec<Frame>) -> (Vec<Bytes>, u64, bool) {
    let (mut items, mut cost, mut ends) = (Vec::new(), 0, false);
    for data in of_kind(frames, Kind::Data).into_iter().map(|frame| Data::read(frame).unwrap()) {
        assert!(data.from_caller && !ends);
        cost += data.cost();
        ends = data.end == DataEnd::Direction;
        if ends {
            assert!(data.bytes.is_empty());
        } else if data.packed {
            let mut at = 0;
            while let Some(place) = daffi_wire::PackedItems::place(&data.bytes, at).unwrap() {
                at = place.end;
                items.push(data.bytes.slice(place));
            }
        } else {
            items.push(data.bytes);
        }
    }
    (items, cost, ends)
}

#[tokio::test(start_paused = true)]
async fn items_go_as_they_come_and_as_far_as_they_are_taken() {
    let (client, mut conn) = routed(&["w"]);
    let (source, mut call, sent) = sending(&client, &mut conn).await;
    let mut first_cost = 0;
    for texts in [&["a", "b"][..], &["c"]] {
        texts.iter().for_each(|text| source.unbounded_send(Ok((*text).into())).unwrap());
        let (came, cost, ends) = items(taken(&mut conn).await);
        assert!(came == texts && !ends);
        first_cost += cost;
    }
    // Half a minute passes over a source that has no more.
    advance(1000 * AFTER).await;
    assert!(ended(&mut call).await.is_none());
    // A greedy source goes as far as the window, and a silent receiver gets no more.
    for _ in 0..100 {
        source.unbounded_send(Ok(vec![7; 10_000].into())).unwrap();
    }
    let (mut cost, mut bytes) = (first_cost, 0);
    let mut come = async |conn: &mut BareConn| {
        loop {
            let (came, more, ends) = items(taken(conn).await);
            (cost, bytes) = (cost + more, bytes + came.iter().map(Bytes::len).sum::<usize>());
            if ends || came.is_empty() {
                return (cost, bytes, ends);
            }
        }
    };
    let (mut sent_cost, first_bytes, _) = come(&mut conn).await;
    let window = u64::from(FIRST_CALL_WINDOW);
    assert!((window / 2..=window).contains(&sent_cost), "{sent_cost}");
    advance(1000 * AFTER).await;
    assert!(ended(&mut call).await.is_none(), "its time begins when all were sent");
    drop(source);
    let (mut sent_bytes, mut ends) = (first_bytes, false);
    while !ends {
        conn.handle(grant(&sent, "w", sent_cost, FIRST_CALL_WINDOW));
        let before = sent_bytes;
        (sent_cost, sent_bytes, ends) = come(&mut conn).await;
        assert!(ends || sent_bytes > before);
    }
    assert_eq!(sent_bytes, 100 * 10_000);
    advance(AFTER - MS).await;
    assert!(ended(&mut call).await.is_none());
    conn.handle(result_of(&sent, "w", "y"));
    assert_eq!(ended(&mut call).await.unwrap().unwrap(), "y");
    assert!(taken(&mut conn).await.is_empty() && conn.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_an_answer_begins_when_all_were_sent() {
    let (client, mut conn) = routed(&["w"]);
    let (source, mut call, sent) = sending(&client, &mut conn).await;
    advance(10 * AFTER).await;
    drop(source);
    assert!(items(taken(&mut conn).await).2);
    advance(AFTER - MS).await;
    assert!(ended(&mut call).await.is_none());
    advance(MS).await;
    let error = ended(&mut call).await.unwrap().unwrap_err();
    let SendError::Call(CallError::Timeout { receiver, waited_for: WaitedFor::Answer, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(receiver, "w");
    assert_eq!(cancels(&mut conn).await, [(sent.header().id(), CancelReason::Dropped)]);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_answers_early_or_wants_no_more_gets_no_more() {
    for answers in [true, false] {
        let (client, mut conn) = routed(&["w"]);
        let (source, mut call, sent) = sending(&client, &mut conn).await;
        source.unbounded_send(Ok("a".into())).unwrap();
        taken(&mut conn).await;
        if answers {
            conn.handle(result_of(&sent, "w", "early"));
            assert_eq!(ended(&mut call).await.unwrap().unwrap(), "early");
            assert!(source.is_closed());
        } else {
            let enough = Cancel { id: sent.header().id(), reason: CancelReason::EnoughItems };
            conn.handle(enough.frame("w", CALLER, &Limits::default()).unwrap());
            source.unbounded_send(Ok("b".into())).unwrap();
            assert!(ended(&mut call).await.is_none(), "there is an answer to come");
            conn.handle(result_of(&sent, "w", "y"));
            assert_eq!(ended(&mut call).await.unwrap().unwrap(), "y");
        }
        assert!(taken(&mut conn).await.is_empty() && conn.is_quiet());
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_gives_the_call_up_behind_what_it_gave() {
    let (client, mut conn) = routed(&["w"]);
    let (source, mut call, sent) = sending(&client, &mut conn).await;
    source.unbounded_send(Ok("a".into())).unwrap();
    source.unbounded_send(Err("no more".into())).unwrap();
    let error = ended(&mut call).await.unwrap().unwrap_err();
    assert!(matches!(&error, SendError::Source(why) if why == "no more"), "{error:?}");
    let frames = taken(&mut conn).await;
    let cancels = of_kind(frames.clone(), Kind::Cancel);
    let [cancel] = &cancels[..] else { panic!("{frames:?}") };
    assert_eq!(Cancel::read(cancel).unwrap(), Cancel { id: sent.header().id(), reason: CancelReason::Dropped });
    assert!(!items(frames).2, "they were not all");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_or_receiver_ends_a_call_that_still_sends() {
    for (lost, fills) in [(true, false), (true, true), (false, true)] {
        let (client, mut conn) = routed(&["w"]);
        let (source, mut call, sent) = sending(&client, &mut conn).await;
        if fills {
            (0..100).for_each(|_| source.unbounded_send(Ok(vec![7; 10_000].into())).unwrap());
        }
        settle().await;
        if lost {
            conn.lose(&Disconnected::PeerClosed);
        } else {
            conn.handle(error_of(&sent, "w", &Refusal::ReceiverGone.error("it left")));
        }
        let error = ended(&mut call).await.expect("it is woken").unwrap_err();
        let SendError::Call(error) = error else { panic!("{error:?}") };
        assert!(matches!(error, CallError::Disconnected(_) | CallError::ReceiverGone { .. }), "{error:?}");
        assert!(source.is_closed(), "its source is dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_of_three_takes_items_and_nothing_is_sent() {
    let (client, mut conn) = linked((Role::Service, Level::THREE), &["w"]);
    let rpc = client.client.rpc();
    let call = rpc.send::<String>("f", ("x",), stream::iter(["a"]));
    let error = call.now_or_never().unwrap().unwrap_err();
    let CallError::LevelUnsupported { receiver, reason, .. } = error else { panic!("{error:?}") };
    assert!(receiver == "w" && reason.contains("3.0.1"), "{reason}");
    assert!(taken(&mut conn).await.is_empty() && conn.is_quiet());
}

type TestSender = ItemSender<Bytes, Single<Opaque>>;

async fn duplex(client: &BareClient, conn: &mut BareConn) -> (TestSender, TestResults, Frame) {
    let rpc = client.client.rpc().timeout(AFTER);
    let mut both = begin(async move { rpc.duplex::<Bytes, Bytes>("f", ("x",)).await });
    let sent = request(conn).await;
    let (sender, results) = ended(&mut both).await.expect("it waits for no word").unwrap();
    (sender, results, sent)
}

#[tokio::test(start_paused = true)]
async fn both_ways_go_at_once_and_end_each_for_itself() {
    let (client, mut conn) = routed(&["w"]);
    let (mut sender, mut results, sent) = duplex(&client, &mut conn).await;
    sender.send("a".into()).now_or_never().unwrap().unwrap();
    assert_eq!(items(taken(&mut conn).await).0, ["a"]);
    conn.handle(begins(&sent, "w"));
    conn.handle(item(&sent, "w", b"A"));
    assert_eq!(results.next().now_or_never().unwrap().unwrap().unwrap(), "A");
    sender.finish();
    assert!(items(taken(&mut conn).await).2);
    conn.handle(item(&sent, "w", b"B"));
    conn.handle(item(&sent, "w", b""));
    assert_eq!(results.next().now_or_never().unwrap().unwrap().unwrap(), "B");
    assert!(results.next().now_or_never().unwrap().is_none());
    assert!(taken(&mut conn).await.is_empty() && conn.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_hears_that_its_call_has_ended() {
    for how in ["last result", "results dropped", "timeout", "connection lost"] {
        let (client, mut conn) = routed(&["w"]);
        let (mut sender, mut results, sent) = duplex(&client, &mut conn).await;
        let mut waits = begin(async move { sender.send(vec![7; 1_000_000].into()).await });
        assert!(ended(&mut waits).await.is_none(), "nobody takes so much");
        match how {
            "last result" => {
                conn.handle(begins(&sent, "w"));
                conn.handle(item(&sent, "w", b""));
                assert!(results.next().now_or_never().unwrap().is_none());
            }
            "results dropped" => drop(results),
            "timeout" => {
                assert!(results.next().now_or_never().is_none());
                advance(AFTER).await;
                assert!(results.next().now_or_never().unwrap().unwrap().unwrap_err().is_timeout());
            }
            _ => conn.lose(&Disconnected::PeerClosed),
        }
        let error = ended(&mut waits).await.expect(how).unwrap_err();
        assert!(matches!(error, CallError::Items { .. }), "{error:?}");
    }
}
