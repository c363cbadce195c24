//! Calls of several members: quick, slow, silent and gone, none of which holds up another.

use daffi_wire::{FIRST_WINDOW, credit_cost};
use futures::StreamExt;
use tokio::time::advance;

use super::*;
use crate::call::{Answers, CastItem};

fn cast(client: &BareClient) -> JoinHandle<Result<Answers<String>, CallError>> {
    begin(client.client.cast().timeout(AFTER).call::<String>("f", ("x",)))
}

/// The request for this member.
fn to<'f>(sent: &'f [Frame], member: &str) -> &'f Frame {
    sent.iter().find(|frame| frame.is_to(member)).expect("it was asked")
}

#[tokio::test(start_paused = true)]
async fn each_member_is_asked_once_and_a_silent_one_costs_its_own_answer() {
    for link in [(Role::Router, Level::THREE), (Role::Router, Level::FOUR)] {
        let (client, mut conn) = linked(link, &["quick", "fails", "silent", "leaves"]);
        let mut all = cast(&client);
        let sent = requests(&mut conn).await;
        let mut asked: Vec<_> = sent.iter().map(Frame::receiver).collect();
        asked.sort_unstable();
        assert_eq!(asked, ["fails", "leaves", "quick", "silent"]);
        conn.handle(result_of(to(&sent, "quick"), "quick", "y"));
        conn.handle(error_of(to(&sent, "fails"), "fails", &RemoteError::new("ValueError", "no")));
        match link.1 {
            Level::THREE => conn.leave("leaves"),
            _ => conn.handle(error_of(to(&sent, "leaves"), "leaves", &Refusal::ReceiverGone.error("it left"))),
        }
        assert!(ended(&mut all).await.is_none());
        advance(AFTER).await;
        let answers = ended(&mut all).await.unwrap().unwrap();
        assert_eq!(answers["quick"].as_ref().unwrap(), "y");
        assert!(answers["fails"].as_ref().unwrap_err().is_remote());
        assert!(matches!(&answers["leaves"], Err(CallError::ReceiverGone { method, .. }) if method == "f"));
        let error = answers["silent"].as_ref().unwrap_err();
        assert!(
            matches!(error, CallError::Timeout { receiver, waited_for: WaitedFor::Answer, .. } if receiver == "silent")
        );
        let told = link.1.at_least(Level::FOUR).then(|| (to(&sent, "silent").header().id(), CancelReason::Dropped));
        assert_eq!(cancels(&mut conn).await, Vec::from_iter(told));
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_named_and_is_not_there_is_told_or_waited_for_beside_the_others() {
    let (client, mut conn) = routed(&["w", "unnamed"]);
    let named = client.client.cast().timeout(AFTER).receivers(["late", "w", "w"]);
    let mut all = begin(named.call::<String>("f", ("x",)));
    let sent = request(&mut conn).await;
    conn.handle(result_of(&sent, "w", "y"));
    let answers = ended(&mut all).await.unwrap().unwrap();
    assert!(matches!(answers["late"], Err(CallError::ReceiverNotFound { .. })) && answers.len() == 2);
    let mut all = begin(named.wait_for_receiver().call::<String>("f", ("x",)));
    let sent = request(&mut conn).await;
    advance(AFTER / 2).await;
    conn.handle(result_of(&sent, "w", "y"));
    assert!(ended(&mut all).await.is_none());
    conn.join("late");
    let sent = request(&mut conn).await;
    assert!(sent.is_to("late"));
    assert_eq!(said(&sent).time_left_ms(), Some(25), "its time is that of the cast");
    advance(AFTER / 2).await;
    let answers = ended(&mut all).await.unwrap().unwrap();
    assert!(answers["w"].is_ok() && answers["late"].as_ref().unwrap_err().is_timeout());
    let error = client.client.cast().receivers([""; 0]).call::<String>("f", ("x",)).await.unwrap_err();
    assert!(matches!(error, CallError::NoReceivers { .. }), "{error:?}");
    let error = client.client.cast().call::<String>("g", ("x",)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { receiver: None, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cast_that_is_dropped_gives_up_what_is_open_of_it() {
    let (client, mut conn) = routed(&["a", "b", "c"]);
    let all = cast(&client);
    let sent = requests(&mut conn).await;
    conn.handle(result_of(to(&sent, "b"), "b", "y"));
    settle().await;
    all.abort();
    let mut given_up = cancels(&mut conn).await;
    given_up.sort_unstable_by_key(|(id, _)| *id);
    let mut open: Vec<_> = ["a", "c"].map(|name| (to(&sent, name).header().id(), CancelReason::Dropped)).into();
    open.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(given_up, open);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_without_credit_holds_back_no_other_s_request() {
    let (client, mut conn) = routed(&["greedy", "w"]);
    let large = bytes::Bytes::from(vec![7; FIRST_WINDOW as usize - 1000]);
    assert!(credit_cost(large.len()) > u64::from(FIRST_WINDOW) / 2);
    client.client.rpc_nowait().receiver("greedy").call("f", (large.clone(),)).await.unwrap();
    taken(&mut conn).await;
    let mut all = begin(client.client.cast_nowait().timeout(AFTER).call("f", (large,)));
    let sent = request(&mut conn).await;
    assert!(sent.is_to("w") && ended(&mut all).await.is_none());
    advance(AFTER).await;
    let error = ended(&mut all).await.unwrap().unwrap_err();
    assert!(
        matches!(&error, CallError::Timeout { receiver, waited_for: WaitedFor::Room, .. } if receiver == "greedy"),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn results_of_a_cast_come_from_whoever_has_some_and_each_member_ends_once() {
    let (client, mut conn) = routed(&["quick", "silent", "plain"]);
    let casting = client.client.cast().timeout(AFTER);
    let mut results = begin(async move { casting.results::<bytes::Bytes>("f", ("x",)).await });
    let sent = requests(&mut conn).await;
    let mut results = ended(&mut results).await.unwrap().unwrap();
    assert_eq!((results.open(), sent.len()), (3, 3));
    let quick = to(&sent, "quick");
    conn.handle(begins(quick, "quick"));
    for text in ["1", "2", ""] {
        conn.handle(item(quick, "quick", text.as_bytes()));
    }
    conn.handle(result_of(to(&sent, "plain"), "plain", "all"));
    let mut came = Vec::new();
    while let Some(next) = results.next().now_or_never() {
        let (member, item) = next.expect("one is open");
        came.push(match item {
            CastItem::Item(bytes) => format!("{member} {}", String::from_utf8_lossy(&bytes)),
            CastItem::Ended => format!("{member} ended"),
            CastItem::Failed(error) => panic!("{error:?}"),
        });
    }
    let of = |member: &str| came.iter().filter(|came| came.starts_with(member)).cloned().collect::<Vec<_>>();
    assert_eq!(of("quick"), ["quick 1", "quick 2", "quick ended"]);
    assert_eq!(of("plain"), ["plain all", "plain ended"]);
    assert_eq!(results.open(), 1);
    advance(AFTER).await;
    let (member, item) = results.next().now_or_never().unwrap().unwrap();
    assert!(matches!(item, CastItem::Failed(CallError::Timeout { .. })) && member == "silent");
    assert!(results.next().now_or_never().unwrap().is_none() && results.open() == 0);
    assert_eq!(cancels(&mut conn).await, [(to(&sent, "silent").header().id(), CancelReason::EnoughResults)]);
}
