//! Call numbers: never shared, never lost.

use std::{sync::Arc, time::Duration};

use daffi_core::CallError;
use daffi_wire::Kind;
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use crate::{
    peer::Peer,
    support::{client, hang, plain, router, service, worker},
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
