//! Calls of one receiver that answers them: at once, late, in parts, or not at all.

use daffi_wire::{FIRST_CALL_WINDOW, SPLIT_FROM, data_cost};
use tokio::time::advance;

use super::*;
use crate::conn::Class;

#[tokio::test(start_paused = true)]
async fn an_answer_wakes_its_caller_and_no_other() {
    for link in LINKS {
        let (client, mut conn) = linked(link, &["w"]);
        let call = |text: &'static str| begin(client.client.rpc().call::<String>("f", (text,)));
        let mut calls = ["a", "b", "c"].map(call);
        let sent = requests(&mut conn).await;
        assert_eq!(sent.iter().map(Frame::payload).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        conn.handle(result_of(&sent[1], "w", "B"));
        conn.handle(error_of(&sent[2], "w", &RemoteError::new("ValueError", "no")));
        let [first, second, third] = &mut calls;
        assert!(ended(first).await.is_none());
        assert_eq!(ended(second).await.unwrap().unwrap(), "B");
        let error = ended(third).await.unwrap().unwrap_err();
        let CallError::Remote { receiver, method, error } = error else { panic!("{error:?}") };
        assert_eq!((&*receiver, &*method, &*error.class), ("w", "f", "ValueError"));
        // What comes under a number that is free again, or of another member, is nobody's.
        conn.handle(result_of(&sent[1], "w", "late"));
        conn.handle(result_of(&sent[0], "other", "mine?"));
        assert!(ended(first).await.is_none());
        conn.handle(result_of(&sent[0], "w", "A"));
        assert_eq!(ended(first).await.unwrap().unwrap(), "A");
        assert!(conn.is_quiet() && taken(&mut conn).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_receiver_costs_the_timeout_and_hears_that_nobody_waits() {
    for link in LINKS {
        let (client, mut conn) = linked(link, &["w"]);
        let mut call = begin(client.client.rpc().timeout(AFTER).call::<String>("f", ("x",)));
        let sent = request(&mut conn).await;
        let knows = link.1.at_least(Level::FOUR);
        assert_eq!(said(&sent).time_left_ms(), knows.then_some(50), "{link:?}");
        advance(AFTER - MS).await;
        assert!(ended(&mut call).await.is_none());
        advance(MS).await;
        let error = ended(&mut call).await.unwrap().unwrap_err();
        let CallError::Timeout { receiver, after: AFTER, waited_for: WaitedFor::Answer, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(receiver, "w");
        let told = knows.then_some((sent.header().id(), CancelReason::Dropped));
        assert_eq!(cancels(&mut conn).await, Vec::from_iter(told), "3.0.1 knows no such frame");
        assert!(!conn.is_quiet(), "its number rests until the answer comes");
        conn.handle(result_of(&sent, "w", "late"));
        assert!(conn.is_quiet());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_given_up_as_far_as_it_came() {
    let (client, mut conn) = routed(&["w"]);
    let rpc = client.client.rpc();
    drop(rpc.call::<String>("f", ("never polled",)));
    let answered = begin(rpc.call::<String>("f", ("answered",)));
    let sent = request(&mut conn).await;
    conn.handle(result_of(&sent, "w", "y"));
    answered.await.unwrap().unwrap();
    assert!(taken(&mut conn).await.is_empty() && conn.is_quiet(), "nothing is left to give up");
    let call = begin(rpc.call::<String>("f", ("dropped",)));
    let sent = request(&mut conn).await;
    call.abort();
    assert_eq!(cancels(&mut conn).await, [(sent.header().id(), CancelReason::Dropped)]);
    // The answer came before the caller looked: its receiver has nothing to stop.
    let mut call = Box::pin(rpc.call::<String>("f", ("answered unseen",)));
    assert!(call.as_mut().now_or_never().is_none());
    let sent = request(&mut conn).await;
    conn.handle(result_of(&sent, "w", "y"));
    drop(call);
    assert!(taken(&mut conn).await.is_empty());
    conn.handle(refused_by_stopping(&sent, "w"));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_room_and_one_that_is_dropped_there_was_never_sent() {
    for link in LINKS {
        let (client, mut conn) = linked(link, &["w"]);
        conn.fill();
        let call = |text: &'static str| begin(client.client.rpc().timeout(AFTER).call::<String>("f", (text,)));
        let (mut waits, dropped, mut late) = (call("waits"), call("dropped"), call("late"));
        settle().await;
        dropped.abort();
        advance(AFTER - MS).await;
        assert!(ended(&mut waits).await.is_none());
        late.abort();
        let _aborted = (&mut late).await;
        // The server takes what filled the queue, and then what waited for that.
        assert!(conn.take().is_empty());
        let sent = request(&mut conn).await;
        assert!(sent.payload().ends_with(b"waits"));
        // Its receiver gives up later than its caller, not sooner.
        let left = link.1.at_least(Level::FOUR).then_some(50);
        assert_eq!(said(&sent).time_left_ms(), left);
        conn.handle(result_of(&sent, "w", "y"));
        assert_eq!(ended(&mut waits).await.unwrap().unwrap(), "y");
        assert!(conn.is_quiet() && taken(&mut conn).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_costs_the_timeout_and_gets_nothing_later() {
    let (client, mut conn) = routed(&["w"]);
    conn.fill();
    let mut call = begin(client.client.rpc().timeout(AFTER).call::<String>("f", ("x",)));
    settle().await;
    advance(AFTER).await;
    let error = ended(&mut call).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Timeout { waited_for: WaitedFor::Answer, .. }), "{error:?}");
    assert!(conn.is_quiet(), "nothing was sent, so that no answer comes");
    conn.take();
    assert!(taken(&mut conn).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_ends_what_is_open_and_what_waits_for_room() {
    for link in LINKS {
        let (client, mut conn) = linked(link, &["w"]);
        let rpc = client.client.rpc();
        let mut open = begin(rpc.call::<String>("f", ("open",)));
        request(&mut conn).await;
        conn.fill();
        let mut waits = begin(rpc.call::<String>("f", ("waits",)));
        settle().await;
        conn.lose(&Disconnected::PeerClosed);
        for call in [&mut open, &mut waits] {
            let error = ended(call).await.expect("it is woken").unwrap_err();
            assert!(matches!(error, CallError::Disconnected(Disconnected::PeerClosed)), "{error:?}");
        }
        let error = rpc.call::<String>("f", ("x",)).now_or_never().unwrap().unwrap_err();
        assert!(is_not_connected(&error), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_member_that_leaves_end_where_no_router_ends_them() {
    let (client, mut conn) = linked((Role::Router, Level::THREE), &["w", "other"]);
    let call = |to: &str| begin(client.client.rpc().receiver(to).call::<String>("f", ("x",)));
    let (mut gone, mut stays) = (call("w"), call("other"));
    let sent = requests(&mut conn).await;
    conn.leave("w");
    let error = ended(&mut gone).await.unwrap().unwrap_err();
    let CallError::ReceiverGone { receiver, method } = error else { panic!("{error:?}") };
    assert_eq!((&*receiver, &*method), ("w", "f"));
    assert!(ended(&mut stays).await.is_none());
    conn.handle(result_of(&sent[1], "other", "y"));
    assert_eq!(ended(&mut stays).await.unwrap().unwrap(), "y");
    // A Router of this project says so itself, of each call.
    let (client, mut conn) = routed(&["w"]);
    let mut call = begin(client.client.rpc().call::<String>("f", ("x",)));
    let sent = request(&mut conn).await;
    conn.leave("w");
    assert!(ended(&mut call).await.is_none());
    conn.handle(error_of(&sent, "w", &Refusal::ReceiverGone.error("w left")));
    let error = ended(&mut call).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::ReceiverGone { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_sees_the_deadline_pass_first_is_a_timeout_too() {
    let (client, mut conn) = routed(&["w"]);
    let passed = Refusal::DeadlineExceeded.error("too late");
    for (from, waited_for) in [("w", WaitedFor::Answer), ("", WaitedFor::Receiver)] {
        let rpc = client.client.rpc().timeout(AFTER);
        let rpc = if from.is_empty() { rpc.wait_for_receiver() } else { rpc };
        let mut call = begin(rpc.call::<String>("f", ("x",)));
        let sent = request(&mut conn).await;
        conn.handle(error_of(&sent, from, &passed));
        let error = ended(&mut call).await.unwrap().unwrap_err();
        assert!(
            matches!(&error, CallError::Timeout { after: AFTER, waited_for: waited, .. } if *waited == waited_for),
            "{error:?}"
        );
    }
    // Of a call without a time it is what its receiver says.
    let mut call = begin(client.client.rpc().call::<String>("f", ("x",)));
    let sent = request(&mut conn).await;
    conn.handle(error_of(&sent, "w", &passed));
    let error = ended(&mut call).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Remote { .. }), "{error:?}");
}

/// The bytes of DATA, what they cost, and whether they end with the last.
fn parts(frames: Vec<Frame>) -> (usize, u64, bool) {
    let parts: Vec<_> = of_kind(frames, Kind::Data).into_iter().map(|frame| Data::read(frame).unwrap()).collect();
    let ends = parts.last().is_some_and(|part| part.end == DataEnd::Direction);
    (parts.iter().map(|part| part.bytes.len()).sum(), parts.iter().map(Data::cost).sum(), ends)
}

/// All that comes until nothing does.
async fn all(conn: &mut BareConn) -> Vec<Frame> {
    let mut all = Vec::new();
    loop {
        let more = taken(conn).await;
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

#[tokio::test(start_paused = true)]
async fn large_arguments_go_as_far_as_they_are_taken() {
    let (client, mut conn) = routed(&["w"]);
    let large = bytes::Bytes::from(vec![7; 2 * SPLIT_FROM]);
    let mut call = begin(client.client.rpc().call::<String>("f", (large.clone(),)));
    let mut came = all(&mut conn).await;
    let sent = came.remove(0);
    let mut first = sent.clone();
    let total = first.take_extensions().unwrap().body().expect("it says how long they are");
    assert_eq!((sent.kind(), total), (Kind::Request, large.len() as u64));
    let (mut bytes, mut cost, ends) = parts(came);
    let window = u64::from(FIRST_CALL_WINDOW);
    assert!(!ends && (window / 2..=window).contains(&cost), "{cost}");
    assert!(all(&mut conn).await.is_empty(), "one that is silent gets no more");
    // One that reads on gets the rest, a window at a time.
    loop {
        conn.handle(grant(&sent, "w", cost, FIRST_CALL_WINDOW));
        let (more, costs, ends) = parts(all(&mut conn).await);
        assert!(more > 0 || ends);
        assert!(costs <= window + data_cost(0), "{costs}");
        (bytes, cost) = (bytes + more, cost + costs);
        if ends {
            break;
        }
    }
    assert_eq!(first.payload().len() + bytes, large.len());
    conn.handle(result_of(&sent, "w", "y"));
    assert_eq!(ended(&mut call).await.unwrap().unwrap(), "y");
}

#[tokio::test(start_paused = true)]
async fn large_arguments_stop_with_their_call_however_that_ends() {
    for how in ["answered", "given up", "connection lost"] {
        let (client, mut conn) = routed(&["w"]);
        let large = bytes::Bytes::from(vec![7; 2 * SPLIT_FROM]);
        let mut call = begin(client.client.rpc().call::<String>("f", (large,)));
        let sent = all(&mut conn).await.remove(0);
        match how {
            "answered" => {
                conn.handle(result_of(&sent, "w", "enough"));
                assert_eq!(ended(&mut call).await.unwrap().unwrap(), "enough");
            }
            "given up" => {
                call.abort();
                assert_eq!(cancels(&mut conn).await, [(sent.header().id(), CancelReason::Dropped)]);
            }
            _ => {
                conn.lose(&Disconnected::PeerClosed);
                assert!(ended(&mut call).await.unwrap().is_err());
                continue;
            }
        }
        // Credit that was on its way moves nothing any more.
        conn.handle(grant(&sent, "w", 60_000, FIRST_CALL_WINDOW));
        assert!(all(&mut conn).await.is_empty(), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_greedy_program_makes_the_queue_hold_its_bound() {
    let (client, mut conn) = linked((Role::Service, Level::FOUR), &["w"]);
    let mut calls = Vec::new();
    for _ in 0..2000 {
        calls.push(begin(client.client.rpc().call::<String>("f", (bytes::Bytes::from(vec![7; 100_000]),))));
    }
    settle().await;
    let account = conn.conn.conn.outbox.account();
    let (held, most) = (account.held_bytes(), account.soft_share() + 200_000);
    assert!(held <= most, "{held} of {most}");
    assert!(!conn.conn.conn.outbox.admits(Class::Own, 100_000));
    // All go as the server takes them.
    let mut sent = 0;
    while sent < calls.len() {
        let more = requests(&mut conn).await;
        assert!(!more.is_empty());
        sent += more.len();
        more.iter().for_each(|of| conn.handle(result_of(of, "w", "y")));
    }
    for mut call in calls {
        assert_eq!(ended(&mut call).await.unwrap().unwrap(), "y");
    }
}
