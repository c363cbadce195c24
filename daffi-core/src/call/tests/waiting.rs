//! Calls that wait for what they need: a connection, a receiver, a number, their turn in a stack.

use std::task::{Context, Poll, Waker};

use tokio::time::advance;
use tower_service::Service;

use super::*;
use crate::{
    call::{Call, ReadAnswer},
    error::Ended,
};

#[tokio::test(start_paused = true)]
async fn a_call_that_was_made_before_there_is_a_connection_goes_over_the_first() {
    let client = BareClient::new(NodeConfig::client());
    let rpc = client.client.rpc().wait_for_connection();
    let mut waits = begin(rpc.clone().call::<String>("f", ("waits",)));
    let mut nowait = begin(client.client.rpc_nowait().wait_for_connection().call("f", ("nowait",)));
    let mut unknown = begin(rpc.call::<String>("g", ("unknown",)));
    assert!(ended(&mut waits).await.is_none());
    let mut conn = client.connect(Role::Router, Level::FOUR, &["w"]);
    let sent = requests(&mut conn).await;
    let answered: Vec<_> = sent.iter().filter(|frame| frame.header().wants_reply()).collect();
    let [call] = answered[..] else { panic!("{sent:?}") };
    assert!(call.payload() == b"waits" && sent.len() == 2);
    ended(&mut nowait).await.unwrap().unwrap();
    let error = ended(&mut unknown).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "it waits for no receiver: {error:?}");
    conn.handle(result_of(call, "w", "y"));
    assert_eq!(ended(&mut waits).await.unwrap().unwrap(), "y");
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_to_the_receiver_of_the_connection_that_it_is_sent_on() {
    let (client, conn) = routed(&["before"]);
    let rpc = client.client.rpc().wait_for_connection();
    let (made, nowait) = (rpc.call::<String>("f", ("x",)), client.client.rpc_nowait().call("f", ("y",)));
    conn.lose(&Disconnected::PeerClosed);
    let mut conn = client.connect(Role::Service, Level::THREE, &["after"]);
    let mut made = begin(made);
    begin(nowait).await.unwrap().unwrap();
    let sent = requests(&mut conn).await;
    assert!(sent.len() == 2 && sent.iter().all(|frame| frame.is_to("after")), "{sent:?}");
    let of_call = sent.iter().find(|frame| frame.header().wants_reply()).unwrap();
    assert_eq!(of_call.payload(), b"x", "without extensions, which 3.0.1 cannot read");
    conn.handle(result_of(of_call, "after", "y"));
    assert_eq!(ended(&mut made).await.unwrap().unwrap(), "y");
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_member_that_was_named() {
    let (client, mut conn) = routed(&["w"]);
    let rpc = client.client.rpc().timeout(AFTER).receiver("late");
    let error = rpc.clone().call::<String>("f", ("x",)).await.unwrap_err();
    assert!(matches!(&error, CallError::ReceiverNotFound { receiver: Some(name), .. } if name == "late"), "{error:?}");
    let call = || begin(rpc.clone().wait_for_receiver().call::<String>("f", ("x",)));
    let (mut waits, mut in_vain) = (call(), call());
    settle().await;
    conn.join("other");
    assert!(requests(&mut conn).await.is_empty() && ended(&mut waits).await.is_none());
    in_vain.abort();
    let _aborted = (&mut in_vain).await;
    conn.join("late");
    let sent = request(&mut conn).await;
    assert!(sent.is_to("late"));
    conn.handle(result_of(&sent, "late", "y"));
    assert_eq!(ended(&mut waits).await.unwrap().unwrap(), "y");
    conn.leave("late");
    let mut waits = call();
    settle().await;
    advance(AFTER).await;
    let error = ended(&mut waits).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Timeout { waited_for: WaitedFor::Receiver, .. }), "{error:?}");
    assert!(error.is_retryable() && conn.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_all_numbers_wait_for_one_each_and_say_so() {
    let (client, mut conn) = linked((Role::Service, Level::FOUR), &["w"]);
    let numbers = conn.use_up_numbers();
    let call = || begin(client.client.rpc().timeout(AFTER).call::<String>("f", ("x",)));
    let (mut first, mut second, dropped) = (call(), call(), call());
    settle().await;
    dropped.abort();
    assert!(requests(&mut conn).await.is_empty());
    advance(AFTER / 2).await;
    conn.give_back(numbers[7]);
    let sent = request(&mut conn).await;
    assert_eq!(sent.header().id(), numbers[7]);
    assert_eq!(said(&sent).time_left_ms(), Some(25), "what it waited for a number is taken off");
    assert!(ended(&mut second).await.is_none());
    advance(AFTER / 2 - MS).await;
    conn.handle(result_of(&sent, "w", "y"));
    assert_eq!(ended(&mut first).await.unwrap().unwrap(), "y");
    // The number of the first is the second's.
    let sent = request(&mut conn).await;
    advance(MS).await;
    let error = ended(&mut second).await.unwrap().unwrap_err();
    assert!(error.is_timeout() && !error.is_retryable(), "it was sent: {error:?}");
    conn.handle(result_of(&sent, "w", "late"));
    conn.give_back(numbers[8]);
    let kept = conn.use_up_numbers();
    assert_eq!(kept.len(), 2, "none is lost");
    let mut in_vain = call();
    settle().await;
    advance(AFTER).await;
    let error = ended(&mut in_vain).await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::Overloaded(text) if text.contains("65535")), "{error:?}");
    // A connection that is lost ends those who wait for a number of it.
    let mut waits = call();
    settle().await;
    conn.lose(&Disconnected::PeerClosed);
    let error = ended(&mut waits).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Disconnected(Disconnected::PeerClosed)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_number_goes_over_the_connection_that_takes_the_place() {
    let (client, conn) = linked((Role::Router, Level::THREE), &["before"]);
    conn.use_up_numbers();
    let mut call = begin(client.client.rpc().call::<String>("f", ("x",)));
    let mut cast = begin(client.client.cast().call::<String>("f", ("x",)));
    settle().await;
    let mut next = client.connect(Role::Router, Level::THREE, &["before", "after"]);
    conn.lose(&Disconnected::Replaced);
    let sent = requests(&mut next).await;
    assert_eq!(sent.len(), 2);
    sent.iter().for_each(|of| next.handle(result_of(of, of.receiver(), "y")));
    assert_eq!(ended(&mut call).await.unwrap().unwrap(), "y");
    let answers = ended(&mut cast).await.unwrap().unwrap();
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["before"], "who was asked when the call was made");
}

#[tokio::test(start_paused = true)]
async fn whatever_waits_ends_with_the_node() {
    for (how, is_stopped) in [(Ended::Stopped, true), (Ended::RuntimeGone, false)] {
        let client = BareClient::new(NodeConfig::client());
        let mut call = begin(client.client.rpc().wait_for_connection().call::<String>("f", ("x",)));
        let mut nowait = begin(client.client.rpc_nowait().wait_for_receiver().call("f", ("x",)));
        let mut cast = begin(client.client.cast().wait_for_receiver().call::<String>("f", ("x",)));
        settle().await;
        client.end(how);
        let errors = [
            ended(&mut call).await.unwrap().unwrap_err(),
            ended(&mut nowait).await.unwrap().unwrap_err(),
            ended(&mut cast).await.unwrap().unwrap_err(),
        ];
        let fits = |error: &CallError| match error {
            CallError::Stopped => is_stopped,
            CallError::RuntimeGone => !is_stopped,
            _ => false,
        };
        assert!(errors.iter().all(fits), "{errors:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_ready_when_a_call_could_be_made_and_keeps_it_a_number() {
    let client = BareClient::new(NodeConfig::client());
    let mut service = client.client.clone().into_service();
    let look = |service: &mut crate::call::CallService<_>| service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(look(&mut service).is_pending(), "there is no connection");
    let mut conn = client.connect(Role::Service, Level::FOUR, &["w"]);
    conn.take();
    conn.fill();
    assert!(look(&mut service).is_pending(), "its server takes nothing");
    conn.take();
    let numbers = conn.use_up_numbers();
    assert!(look(&mut service).is_pending(), "all numbers are in use");
    conn.give_back(numbers[0]);
    assert!(matches!(look(&mut service), Poll::Ready(Ok(()))) && matches!(look(&mut service), Poll::Ready(Ok(()))));
    let mut second = service.clone();
    assert!(look(&mut second).is_pending(), "a clone is not ready");
    assert!(conn.use_up_numbers().is_empty(), "the number is kept");
    let mut call = begin(service.call(Call::new("f", ("x",))));
    let sent = request(&mut conn).await;
    assert!(look(&mut second).is_pending() && look(&mut service).is_pending());
    conn.handle(result_of(&sent, "w", "y"));
    let answer = ended(&mut call).await.unwrap().unwrap();
    assert_eq!((answer.receiver(), answer.read::<String>().unwrap()), ("w", "y".to_owned()));
    assert!(look(&mut second).is_ready());
    // Who is ready and makes no call gives the number back.
    drop(second);
    assert!(look(&mut service).is_ready());
    drop(service);
    assert_eq!(conn.use_up_numbers().len(), 1);
}
