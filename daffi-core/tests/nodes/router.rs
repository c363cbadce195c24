//! A router between members that are played by hand, and between real clients.

use std::{sync::Arc, time::Duration};

use daffi_core::{CallError, Disconnected, Ended, MemberEvent};
use daffi_transport::Endpoint;
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Level, Limits};
use futures::StreamExt;
use tokio::sync::Notify;

use crate::{
    peer::Peer,
    support::{asynchronous, client, plain, router, worker},
};

async fn join(at: &Endpoint, name: &str, methods: &str) -> Peer {
    let mut peer = Peer::connect(at).await;
    peer.hello_with(name, "client", methods).await;
    peer
}

fn event(kind: &str, member: &str) -> String {
    format!(r#"{{"type":"{kind}","member":"{member}"}}"#)
}

fn notice(name: &str, methods: &str) -> String {
    format!(r#"{{"meta":{{"type":"router","error":null}},"members":[{{"name":"{name}","methods":{methods}}}]}}"#)
}

/// `held` tells when it runs and gives 7 when it is told.
fn held() -> (Vec<daffi_core::Callback>, Arc<Notify>, Arc<Notify>) {
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let callback = {
        let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
        asynchronous("held", move |(): ()| {
            let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
            async move {
                begun.notify_one();
                end.notified().await;
                7
            }
        })
    };
    (vec![callback], begun, end)
}

#[tokio::test]
async fn everybody_hears_of_everybody_in_the_order_of_3_0_1() {
    let (router, at) = router();
    let mut a = Peer::connect(&at).await;
    let alone = a.hello("a").await;
    assert_eq!((alone.members.len(), alone.node_type.to_string().as_str()), (1, "router"));
    let mut w = Peer::connect(&at).await;
    let two = w.hello_with("w", "client", r#"["f"]"#).await;
    assert_eq!(two.members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["a", "w"]);
    assert_eq!(a.expect(Kind::Handshake).await, notice("w", r#"["f"]"#));
    assert_eq!(a.expect(Kind::Events).await, event("connected", "w"));
    let mut again = join(&at, "w", "null").await;
    assert_eq!(w.expect(Kind::Events).await, event("evicted", "w"));
    assert!(w.receive().await.is_none(), "the old connection is closed");
    assert_eq!(a.expect(Kind::Events).await, event("evicted", "w"));
    assert_eq!(a.expect(Kind::Events).await, event("connected", "w"));
    drop(again.0.writer);
    drop(again.0.reader);
    assert_eq!(a.expect(Kind::Events).await, event("disconnected", "w"));
    assert_eq!(router.members().iter().map(|m| m.name.to_string()).collect::<Vec<_>>(), ["a"]);
    // A caller that has not heard of the eviction is answered all the same.
    a.send_to(Kind::Request, 2, ["a", "w", "f"], "{}", true).await;
    assert!(a.expect(Kind::Error).await.contains("ReceiverNotFound"));
    again = join(&at, "b", "null").await;
    assert_eq!(a.expect(Kind::Events).await, event("connected", "b"));
    drop(again);
}

#[tokio::test]
async fn frames_are_forwarded_byte_for_byte() {
    let (_router, at) = router();
    let mut caller = join(&at, "caller", "null").await;
    let mut w = join(&at, "w", r#"["f"]"#).await;
    caller.expect(Kind::Handshake).await;
    caller.expect(Kind::Events).await;
    // An endian bit and a number of parts that 3.0.1 never writes, and a payload that is no JSON.
    let mut request = Frame::new(
        Header::new(Kind::Request, CallId(9), FormatId::JSON, true, true),
        "caller",
        "w",
        "f",
        b"\xff\x00not json",
        &Limits::default(),
    )
    .unwrap()
    .into_bytes()
    .to_vec();
    request[8] = 0x05;
    caller.send_bytes(&request).await;
    assert_eq!(w.receive().await.unwrap().as_bytes()[..], request[..]);
    w.send_to(Kind::Response, 9, ["w", "caller", "f"], "anything", false).await;
    assert_eq!(caller.expect(Kind::Response).await, "anything");
}

#[tokio::test]
async fn what_cannot_be_delivered_is_answered_at_once() {
    let (router, at) = router();
    let mut caller = join(&at, "caller", "null").await;
    let _w = join(&at, "w", r#"["f"]"#).await;
    caller.expect(Kind::Handshake).await;
    caller.expect(Kind::Events).await;
    let refused = [
        (2, ["caller", "nobody", "f"], "ReceiverNotFound", "nobody"),
        (3, ["caller", "w", "g"], "ReceiverNotFound", "exposes no callback"),
        (4, ["caller", "", "f"], "ReceiverNotFound", "not a member"),
        (5, ["w", "w", "f"], "PermissionError", "cannot speak for"),
        (0, ["caller", "w", "f"], "ValueError", "number 0"),
    ];
    for (id, names, class, words) in refused {
        caller.send_to(Kind::Request, id, names, "{}", true).await;
        let error = caller.receive().await.unwrap();
        let text = String::from_utf8(error.payload().to_vec()).unwrap();
        assert_eq!((error.kind(), error.header().id(), error.receiver()), (Kind::Error, CallId(id), "caller"));
        assert_eq!(error.header().format(Level::THREE), FormatId::JSON);
        assert!(text.starts_with(&format!(r#"{{"args":[["{class}""#)) && text.contains(words), "{text}");
    }
    // A nowait request is never answered: the next frame is the answer to the call behind it.
    caller.send_to(Kind::Request, 6, ["caller", "nobody", "f"], "{}", false).await;
    caller.send_to(Kind::Request, 7, ["caller", "nobody", "f"], "{}", true).await;
    assert_eq!(caller.receive().await.unwrap().header().id(), CallId(7));
    let stats = router.stats();
    assert_eq!((stats.refused_calls, stats.dropped_requests, stats.open_calls), (6, 1, 0));
}

#[tokio::test]
async fn a_format_that_the_receiver_cannot_read_is_refused() {
    let (_router, at) = router();
    let mut caller = Peer::connect(&at).await;
    let list = caller.hello_with("caller", "client/4", "null").await;
    assert_eq!(list.node_type.to_string(), "router/4");
    let _old = join(&at, "old", r#"["f"]"#).await;
    caller.expect(Kind::Handshake).await;
    caller.expect(Kind::Events).await;
    let header = Header::new(Kind::Request, CallId(2), FormatId::POSTCARD, false, true);
    let frame = Frame::new(header, "caller", "old", "f", b"", &Limits::default()).unwrap();
    caller.send_bytes(frame.as_bytes()).await;
    let text = caller.expect(Kind::Error).await;
    assert!(text.contains("FormatUnsupported") && text.contains("POSTCARD"), "{text}");
}

#[tokio::test]
async fn replies_that_nobody_waits_for_are_dropped_and_counted() {
    let (router, at) = router();
    let mut caller = join(&at, "caller", "null").await;
    let mut w = join(&at, "w", r#"["f"]"#).await;
    let mut other = join(&at, "other", r#"["f"]"#).await;
    for _ in 0..4 {
        caller.receive().await.unwrap();
    }
    for _ in 0..2 {
        w.receive().await.unwrap();
    }
    caller.send_to(Kind::Request, 2, ["caller", "w", "f"], "{}", true).await;
    w.expect(Kind::Request).await;
    // Not whom was asked; under another's name; another number; to nobody; the right one; a second
    // one.
    other.send_to(Kind::Response, 2, ["other", "caller", "f"], "wrong", false).await;
    other.send_to(Kind::Response, 2, ["w", "caller", "f"], "wrong", false).await;
    w.send_to(Kind::Response, 3, ["w", "caller", "f"], "wrong", false).await;
    w.send_to(Kind::Error, 2, ["w", "nobody", "f"], "wrong", false).await;
    while router.stats().dropped_replies < 4 {
        tokio::task::yield_now().await;
    }
    w.send_to(Kind::Response, 2, ["w", "caller", "f"], "right", false).await;
    w.send_to(Kind::Response, 2, ["w", "caller", "f"], "late", false).await;
    assert_eq!(caller.expect(Kind::Response).await, "right");
    while router.stats().dropped_replies < 5 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_receiver_that_leaves_or_is_evicted_ends_the_calls_to_it() {
    let (router, at) = router();
    let caller = client(&at, "caller").await;
    let mut w = join(&at, "w", r#"["f"]"#).await;
    caller.wait_for_members(&["w"], None).await.unwrap();
    for evicted in [false, true] {
        let calls: Vec<_> = (0..10)
            .map(|_| {
                let caller = caller.clone();
                tokio::spawn(async move { caller.rpc().call::<i64>("f", ()).await })
            })
            .collect();
        for _ in 0..10 {
            w.expect(Kind::Request).await;
        }
        if evicted {
            w = join(&at, "w", r#"["f"]"#).await;
        } else {
            drop(w);
            w = Peer::connect(&at).await;
            // After the calls ended: a newcomer of the same name could otherwise be what ended
            // them.
            while router.stats().open_calls > 0 {
                tokio::task::yield_now().await;
            }
            w.hello_with("w", "client", r#"["f"]"#).await;
        }
        for call in calls {
            let error = call.await.unwrap().unwrap_err();
            assert!(matches!(&error, CallError::ReceiverGone { receiver, method } if receiver == "w" && method == "f"));
        }
        caller.wait_for_members(&["w"], None).await.unwrap();
    }
    assert_eq!(router.stats().open_calls, 0);
}

#[tokio::test]
async fn a_second_handshake_changes_what_a_member_exposes() {
    let (_router, at) = router();
    let mut a = join(&at, "a", "null").await;
    let mut w = join(&at, "w", r#"["f"]"#).await;
    a.expect(Kind::Handshake).await;
    a.expect(Kind::Events).await;
    let list = w.hello_with("w", "client", r#"["f","g"]"#).await;
    assert_eq!(list.members[1].methods.len(), 2);
    assert_eq!(a.expect(Kind::Handshake).await, notice("w", r#"["f","g"]"#), "and no event: nobody came or went");
    a.send_to(Kind::Request, 2, ["a", "w", "g"], "{}", true).await;
    assert_eq!(w.receive().await.unwrap().method(), "g");
    w.send_to(Kind::Response, 2, ["w", "a", "g"], "{}", false).await;
    a.expect(Kind::Response).await;
    w.hello_with("w", "client", "null").await;
    assert_eq!(a.expect(Kind::Handshake).await, notice("w", "null"));
    a.send_to(Kind::Request, 3, ["a", "w", "g"], "{}", true).await;
    assert!(a.expect(Kind::Error).await.contains("ReceiverNotFound"));
}

#[tokio::test]
async fn a_handshake_that_cannot_be_is_refused() {
    let (_router, at) = router();
    let mut peer = Peer::connect(&at).await;
    let body = r#"{"meta":{"type":"client","error":null},"members":[{"name":"someone else","methods":null}]}"#;
    peer.send_to(Kind::Handshake, 1, ["me", "", ""], body, true).await;
    let answer = peer.expect(Kind::Handshake).await;
    assert!(answer.contains("does not list its sender"), "{answer}");
    assert!(peer.receive().await.is_none());
    let mut peer = join(&at, "me", "null").await;
    let body = r#"{"meta":{"type":"client","error":null},"members":[{"name":"you","methods":null}]}"#;
    peer.send_to(Kind::Handshake, 2, ["you", "", ""], body, true).await;
    let answer = peer.expect(Kind::Handshake).await;
    assert!(answer.contains("another name"), "{answer}");
    assert!(peer.receive().await.is_none());
    for kind in [Kind::Events, Kind::Credit] {
        let mut peer = join(&at, "me", "null").await;
        peer.send_to(kind, 0, ["me", "", ""], "{}", false).await;
        assert!(peer.receive().await.is_none(), "{kind} is not for routers, or not on level 3");
    }
}

#[tokio::test]
async fn clients_of_this_project_call_each_other() {
    let (router, at) = router();
    let add = || plain("add", |(a, b): (i64, i64)| Ok(a + b));
    let (one, two) = (worker(&at, "one", vec![add()]).await, worker(&at, "two", vec![add()]).await);
    let caller = client(&at, "caller").await;
    assert_eq!(caller.members().level("one"), Level::FOUR);
    let both = caller.cast().call::<i64>("add", (3, 4)).await.unwrap();
    assert_eq!(
        both.into_iter().map(|(name, sum)| (name, sum.unwrap())).collect::<Vec<_>>(),
        [("one".to_owned(), 7), ("two".to_owned(), 7)]
    );
    // A node without callbacks is a member too.
    one.wait_for_members(&["caller", "two"], None).await.unwrap();
    assert_eq!(one.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3, "one can only mean two");
    // A late callback is told without a new connection.
    two.add_callbacks(vec![plain("late", |(): ()| Ok(1))]).unwrap();
    while caller.members().receivers_of("late").is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(caller.rpc().call::<i64>("late", ()).await.unwrap(), 1);
    let mut events = caller.events();
    two.stop().await;
    assert_eq!(events.next().await, Some(MemberEvent::Removed("two".into())));
    let error = caller.rpc().call::<i64>("late", ()).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
    assert_eq!(router.stats().open_calls, 0);
}

#[tokio::test]
async fn the_newest_connection_keeps_the_name() {
    let (router, at) = router();
    let mut events = router.events();
    let old = client(&at, "same").await;
    let new = client(&at, "same").await;
    assert_eq!(old.join().await, Ended::Evicted);
    assert!(new.is_connected());
    assert_eq!(events.next().await, Some(MemberEvent::Added("same".into())));
    assert_eq!(events.next().await, Some(MemberEvent::Evicted("same".into())));
    assert_eq!(events.next().await, Some(MemberEvent::Added("same".into())));
}

#[tokio::test]
async fn a_router_that_stops_waits_for_the_answers() {
    let (router, at) = router();
    let (callbacks, begun, end) = held();
    let _worker = worker(&at, "w", callbacks).await;
    let caller = client(&at, "caller").await;
    let open = tokio::spawn({
        let caller = caller.clone();
        async move { caller.rpc().call::<i64>("held", ()).await }
    });
    begun.notified().await;
    let stopping = tokio::spawn({
        let router = router.clone();
        async move { router.stop().await }
    });
    let refused = loop {
        match caller.rpc().timeout(Duration::from_millis(200)).call::<i64>("held", ()).await {
            Err(error @ CallError::Stopping(_)) => break error,
            other => assert!(matches!(other, Err(CallError::Timeout { .. })), "{other:?}"),
        }
    };
    assert!(refused.is_retryable() && refused.to_string().contains("router is stopping"), "{refused}");
    assert!(!stopping.is_finished());
    end.notify_waiters();
    end.notify_one();
    assert_eq!(open.await.unwrap().unwrap(), 7);
    // Calls that were given up above may still run.
    while !stopping.is_finished() {
        end.notify_one();
        tokio::task::yield_now().await;
    }
    assert_eq!(router.join().await, Ended::Stopped);
    let error = caller.rpc().call::<i64>("held", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected(Disconnected::NotConnected)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_overtakes_the_news_of_its_caller() {
    let (_router, at) = router();
    let mut w = join(&at, "w", r#"["f"]"#).await;
    for n in 0..20_u16 {
        let name = format!("c{n}");
        let mut caller = Peer::connect(&at).await;
        caller.hello_with(&name, "client", r#"["back"]"#).await;
        caller.send_to(Kind::Request, 2 + n, [&name, "w", "f"], "{}", n % 2 == 0).await;
        assert_eq!(w.expect(Kind::Handshake).await, notice(&name, r#"["back"]"#));
        assert_eq!(w.expect(Kind::Events).await, event("connected", &name));
        w.expect(Kind::Request).await;
        // A change is news as well.
        caller.hello_with(&name, "client", r#"["back","more"]"#).await;
        caller.send_to(Kind::Request, 100 + n, [&name, "w", "f"], "{}", n % 2 == 1).await;
        assert_eq!(w.expect(Kind::Handshake).await, notice(&name, r#"["back","more"]"#));
        w.expect(Kind::Request).await;
        drop(caller);
        assert_eq!(w.expect(Kind::Events).await, event("disconnected", &name));
    }
}

#[tokio::test]
async fn an_answer_to_an_older_connection_reaches_no_call_of_the_newer() {
    let (_router, at) = router();
    let mut w = join(&at, "w", r#"["f"]"#).await;
    for evicted in [true, false] {
        let mut old = join(&at, "caller", "null").await;
        old.send_to(Kind::Request, 2, ["caller", "w", "f"], "of the older", true).await;
        while w.receive().await.unwrap().kind() != Kind::Request {}
        let kept = evicted.then_some(old);
        if !evicted {
            // Its end is told before the newer one joins.
            while !w.expect(Kind::Events).await.contains("disconnected") {}
        }
        let mut new = join(&at, "caller", "null").await;
        new.send_to(Kind::Request, 2, ["caller", "w", "f"], "of the newer", true).await;
        let request = loop {
            let frame = w.receive().await.unwrap();
            if frame.kind() == Kind::Request {
                break frame;
            }
        };
        assert_eq!(request.payload(), b"of the newer");
        let number = request.header().id();
        assert_ne!(number, CallId(2), "the number of a call that may still be answered");
        w.send_to(Kind::Response, 2, ["w", "caller", "f"], "to the older", false).await;
        w.send_to(Kind::Response, number.0, ["w", "caller", "f"], "to the newer", false).await;
        let answer = new.receive().await.unwrap();
        assert_eq!((answer.header().id(), answer.payload()), (CallId(2), &b"to the newer"[..]));
        drop((kept, new));
        while !w.expect(Kind::Events).await.contains("disconnected") {}
    }
}
