//! Call numbers: never shared, never lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_core::CallError;
use daffi_wire::{FormatId, Frame, Header, Kind, Limits};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    level_three::{ROUTER, Server, connect},
    peer::Peer,
    support::{client, endpoint, hang, plain, router, service, worker},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_calls_never_hand_their_answer_to_another() {
    let (_service, at) = service(vec![plain("echo", |(n,): (u64,)| Ok(n))]);
    let client = client(&at, "c").await;
    let mut open = FuturesUnordered::new();
    for n in 0..200_000u64 {
        let rpc = client.rpc();
        // Every other call is given up at one of several stages; the rest must get their own
        // answer.
        open.push(async move {
            match n % 4 {
                0 => {
                    let call = rpc.call::<u64>("echo", (n,));
                    futures::pin_mut!(call);
                    let _given_up = futures::poll!(&mut call);
                    true
                }
                2 => {
                    let limit = Duration::from_nanos(n % 50_000);
                    match rpc.timeout(limit).call::<u64>("echo", (n,)).await {
                        Ok(answer) => answer == n,
                        Err(CallError::Timeout { .. } | CallError::Overloaded(_)) => true,
                        Err(other) => panic!("{other}"),
                    }
                }
                _ => rpc.call::<u64>("echo", (n,)).await.unwrap() == n,
            }
        });
        if open.len() >= 512 {
            assert!(open.next().await.unwrap());
        }
    }
    while let Some(own) = open.next().await {
        assert!(own);
    }
    // All numbers are free again: as many calls as there are numbers can be open at once.
    let rpc = client.rpc();
    let all = (0..65_535u64).map(|n| {
        let rpc = rpc.clone();
        async move { rpc.call::<u64>("echo", (n,)).await.unwrap() == n }
    });
    assert!(join_all(all).await.into_iter().all(|own| own));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_number_a_call_is_overloaded_and_later_works_again() {
    let gate = Arc::new(Semaphore::new(0));
    let (_service, at) = service(vec![hang(&gate)]);
    let client = client(&at, "c").await;
    let rpc = client.rpc();
    let mut open: FuturesUnordered<_> = (0..65_535u32)
        .map(|n| {
            let rpc = rpc.clone();
            async move { rpc.call::<u32>("hang", (n,)).await.unwrap() == n }
        })
        .collect();
    // Each is polled once, so each has its number.
    assert!(futures::poll!(open.next()).is_pending());
    let error = rpc.clone().timeout(Duration::from_millis(50)).call::<u32>("hang", (0,)).await.unwrap_err();
    assert!(matches!(error, CallError::Overloaded(_)), "{error}");
    gate.add_permits(100_000);
    let mut answered = 0;
    while let Some(own) = open.next().await {
        assert!(own);
        answered += 1;
    }
    assert_eq!(answered, 65_535);
    assert_eq!(rpc.call::<u32>("hang", (7,)).await.unwrap(), 7);
}

/// Calls that a hung member never answers, of one caller; those to a healthy one go on, at the
/// client and at the Router.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_member_takes_no_numbers_from_a_healthy_one() {
    let (_router, at) = router();
    let mut hung = Peer::connect(&at).await;
    hung.hello_with("hung", "client", r#"["hang"]"#).await;
    let reading = tokio::spawn(async move { while hung.receive().await.is_some() {} });
    let good = worker(&at, "good", vec![plain("echo", |(n,): (u64,)| Ok(n))]).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["hung", "good"], None).await.unwrap();
    let (mut open, mut refused) = (FuturesUnordered::new(), 0);
    for n in 0..100_000u64 {
        let rpc = caller.rpc().wait_for_connection();
        match n % 2 {
            // Given up at once, so that its number rests.
            0 => {
                let call = rpc.call::<()>("hang", ());
                futures::pin_mut!(call);
                if let std::task::Poll::Ready(ended) = futures::poll!(&mut call) {
                    assert!(matches!(ended, Err(CallError::Overloaded(_))), "{ended:?}");
                    refused += 1;
                }
            }
            // Open for as long as the caller is.
            _ => open.push(async move { rpc.call::<()>("hang", ()).await }),
        }
        while let Some(Some(ended)) = futures::FutureExt::now_or_never(open.next()) {
            assert!(matches!(ended, Err(CallError::Overloaded(_))), "{ended:?}");
            refused += 1;
        }
        if n % 500 == 0 {
            assert_eq!(caller.rpc().call::<u64>("echo", (n,)).await.unwrap(), n);
        }
    }
    assert!(refused > 10_000, "{refused}");
    // A caller that counts numbers itself, as 3.0.1 does, is bounded by the Router.
    let mut old = Peer::connect(&at).await;
    old.hello("old").await;
    for id in 2..40_000 {
        old.send_to(Kind::Request, id, ["old", "hung", "hang"], "{}", true).await;
    }
    old.send_to(Kind::Request, 40_000, ["old", "good", "echo"], r#"{"args":[5],"kwargs":{}}"#, true).await;
    let mut refused = 0;
    let answer = loop {
        let frame = old.receive().await.unwrap();
        match frame.kind() {
            Kind::Response => break frame,
            Kind::Error => {
                assert!(String::from_utf8_lossy(frame.payload()).contains("Overloaded"));
                refused += 1;
            }
            _ => {}
        }
    };
    assert_eq!(answer.header().id().0, 40_000);
    assert!(refused > 5_000, "{refused}");
    reading.abort();
    drop(good);
}

/// Answers what goes to "w2", each request later than the next one came if that waits already, and
/// leaves all others. Tells of each of those.
async fn answer_some(mut server: Peer, left: mpsc::UnboundedSender<Frame>) {
    while let Some(request) = server.receive().await {
        if request.receiver() != "w2" {
            let _nobody_listens = left.send(request);
            continue;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        let header = Header::new(Kind::Response, request.header().id(), FormatId::JSON, true, false);
        let reply = Frame::new(header, "w2", "me", "f", br#"{"args": [5], "kwargs": {}}"#, &Limits::default()).unwrap();
        server.send_bytes(reply.as_bytes()).await;
    }
}

/// Of two that always call one is always open, so nobody finds a moment without a call by waiting
/// for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worn_connection_is_replaced_under_a_steady_load_and_no_call_is_lost() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let (left, mut unanswered) = mpsc::unbounded_channel();
    let answering = tokio::spawn(answer_some(first, left.clone()));
    let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let (client, stop, answered) = (client.clone(), stop.clone(), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    assert_eq!(client.rpc().receiver("w2").call::<i64>("f", ()).await.unwrap(), 5);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    // A quarter of all numbers rests.
    for n in 1..=65_535 / 4 {
        let mut call = Box::pin(client.rpc().receiver("w1").call::<i64>("f", ()));
        assert!(futures::poll!(&mut call).is_pending());
        drop(call);
        // They have left, a few hundred at a time.
        for _ in 0..if n % 381 == 0 { 381 } else { 0 } {
            unanswered.recv().await.unwrap();
        }
    }
    let second = tokio::time::timeout(Duration::from_secs(60), server.accept(ROUTER)).await;
    let (second, hello) = second.expect("the connection is replaced");
    assert_eq!(hello.members[0].name.as_str(), "me");
    answering.await.unwrap();
    let answering = tokio::spawn(answer_some(second, left));
    let before = answered.load(Ordering::SeqCst);
    while answered.load(Ordering::SeqCst) < before + 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let calling = tokio::spawn(async move { client.rpc().receiver("w1").call::<i64>("f", ()).await });
    assert_eq!(unanswered.recv().await.unwrap().receiver(), "w1", "who never answered is called there, too");
    calling.abort();
    stop.cancel();
    for caller in callers {
        caller.await.expect("each of its calls was answered");
    }
    answering.abort();
}

/// Calls are not held back for what cannot be.
#[tokio::test]
async fn a_worn_connection_that_a_stream_stays_on_holds_no_call_back() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut first, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let (chunks, mut source) = mpsc::unbounded_channel::<i64>();
    let streaming = {
        let call = client.stream().receiver("w2").serde(FormatId::JSON);
        tokio::spawn(async move { call.send("f", futures::stream::poll_fn(move |cx| source.poll_recv(cx))).await })
    };
    chunks.send(1).unwrap();
    let chunk = first.receive().await.unwrap();
    let answer = |request: &Frame| {
        let header = Header::new(Kind::Response, request.header().id(), FormatId::JSON, true, false);
        Frame::new(header, "w2", "me", "f", br#"{"args": [5], "kwargs": {}}"#, &Limits::default()).unwrap()
    };
    first.send_bytes(answer(&chunk).as_bytes()).await;
    // A quarter of all numbers rests.
    for _ in 0..=65_535 / 4 {
        let mut call = Box::pin(client.rpc().receiver("w1").call::<i64>("f", ()));
        assert!(futures::poll!(&mut call).is_pending());
        drop(call);
        first.receive().await.unwrap();
    }
    let mut state = client.state();
    state.mark_unchanged();
    let replaced = tokio::time::timeout(Duration::from_millis(300), server.accept(ROUTER)).await;
    assert!(replaced.is_err() && !state.has_changed().unwrap(), "a stream is to send more");
    drop(chunks);
    assert_eq!(streaming.await.unwrap().unwrap(), 1);
    server.accept(ROUTER).await;
}

/// It may be refused when there is one: too many calls to its receiver rest by then.
#[tokio::test]
async fn who_waits_for_a_number_and_takes_none_leaves_it_to_the_next() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut server, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let call = |receiver: &str| Box::pin(client.rpc().receiver(receiver).call::<i64>("f", ()));
    let (mut to_one, mut to_two) = (call("w1"), Vec::new());
    assert!(futures::poll!(&mut to_one).is_pending());
    for _ in 1..65_535 {
        let mut call = call("w2");
        assert!(futures::poll!(&mut call).is_pending());
        to_two.push(call);
    }
    let (mut first, mut next) = (call("w1"), call("w2"));
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut next).is_pending(), "all are in use");
    // Its number rests, and is all that may rest as long as the others are in use.
    drop(to_one);
    let answered = loop {
        let request = server.receive().await.unwrap();
        if request.receiver() == "w2" {
            break request.header().id();
        }
    };
    let answering = tokio::spawn(async move {
        let header = Header::new(Kind::Response, answered, FormatId::JSON, true, false);
        let reply = Frame::new(header, "w2", "me", "f", br#"{"args": [5], "kwargs": {}}"#, &Limits::default()).unwrap();
        server.send_bytes(reply.as_bytes()).await;
        // Two were read, and the others wait.
        for _ in 2..65_535 {
            server.receive().await.unwrap();
        }
        let last = server.receive().await.unwrap();
        (server, last)
    });
    let (one, refused) = tokio::join!(to_two.remove(0), &mut first);
    assert_eq!(one.unwrap(), 5);
    assert!(matches!(refused, Err(CallError::Overloaded(_))), "{refused:?}");
    let sent = tokio::select! {
        answered = &mut next => panic!("nobody answers it: {answered:?}"),
        sent = answering => sent,
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("the number that is free is not taken"),
    };
    assert_eq!(sent.unwrap().1.receiver(), "w2");
}
