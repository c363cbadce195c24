//! Arguments and results that are larger than a frame.

use std::time::Duration;

use daffi_core::{CallError, Callback, NodeConfig};

use crate::support::{client, client_exposing, client_with, endpoint, plain, router, service, service_at, worker};

const MIB: usize = 1 << 20;

/// A text of so many bytes in which a part that is missing, doubled or moved shows.
fn text(bytes: usize) -> String {
    let mut text: String = (0..bytes / 8 + 1).map(|n| format!("{n:08x}")).collect();
    text.truncate(bytes);
    text
}

fn callbacks() -> Vec<Callback> {
    vec![
        plain("blob", |(bytes,): (usize,)| Ok(text(bytes))),
        plain("size", |(text,): (String,)| Ok(text.len())),
        plain("echo", |(text,): (String,)| Ok(text)),
    ]
}

#[tokio::test]
async fn what_is_larger_than_a_frame_comes_whole_both_ways() {
    let (_service, at) = service(callbacks());
    let client = client(&at, "client").await;
    for bytes in [MIB - 100, MIB, 40 * MIB] {
        let result: String = client.rpc().call("blob", (bytes,)).await.unwrap();
        assert!(result == text(bytes), "{bytes} bytes");
        let size: usize = client.rpc().call("size", (text(bytes),)).await.unwrap();
        assert_eq!(size, bytes);
    }
    let sent = text(34 * MIB);
    let echoed: String = client.rpc().call("echo", (&sent,)).await.unwrap();
    assert!(echoed == sent);
}

#[tokio::test]
async fn a_router_passes_it_in_parts_with_other_calls_beside_it() {
    let (_router, at) = router();
    let _worker = worker(&at, "worker", callbacks()).await;
    let client = client(&at, "client").await;
    let sent = text(34 * MIB);
    let large = client.rpc().call::<String>("echo", (&sent,));
    let small = async {
        for n in 0..100 {
            let text = n.to_string();
            assert_eq!(client.rpc().call::<String>("echo", (&text,)).await.unwrap(), text);
        }
    };
    let (echoed, ()) = tokio::join!(large, small);
    assert!(echoed.unwrap() == sent);
}

/// More of them at once than are put together at once: all come.
#[tokio::test]
async fn many_at_once_wait_for_each_other() {
    let (_router, at) = router();
    let config = NodeConfig::client().budget_bytes(64 * MIB);
    let _worker = client_exposing(&at, "worker", config.clone(), callbacks()).await;
    let client = client_with(&at, "client", config).await;
    let calls = (0..12).map(|n| {
        let client = &client;
        async move {
            let sent = text(3 * MIB + n);
            assert_eq!(client.rpc().call::<usize>("size", (&sent,)).await.unwrap(), sent.len());
            assert!(client.rpc().call::<String>("blob", (sent.len(),)).await.unwrap() == sent);
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn what_is_too_large_to_put_together_is_refused_with_its_size_and_the_limit() {
    let at = endpoint();
    let _service = service_at(&at, NodeConfig::server().max_body(2 * MIB), callbacks());
    let client = client_with(&at, "client", NodeConfig::client().max_body(3 * MIB)).await;
    let refused = client.rpc().call::<usize>("size", (text(5 * MIB),)).await.unwrap_err();
    let text_of = refused.to_string();
    assert!(matches!(refused, CallError::BodyTooLarge(_)), "{refused:?}");
    assert!(text_of.contains(&(2 * MIB).to_string()) && text_of.contains("52429"), "{text_of}");
    let refused = client.rpc().call::<String>("blob", (4 * MIB,)).await.unwrap_err();
    assert!(matches!(refused, CallError::BodyTooLarge(_)), "{refused:?}");
    assert!(refused.to_string().contains(&(3 * MIB).to_string()), "{refused}");
    let small: String = client.rpc().call("blob", (2 * MIB,)).await.unwrap();
    assert_eq!(small.len(), 2 * MIB, "the connection goes on");
}

/// A call that is given up while its arguments, or its result, are on the way.
#[tokio::test]
async fn a_call_that_is_given_up_on_the_way_leaves_nothing() {
    let (router, at) = router();
    let worker = worker(&at, "worker", callbacks()).await;
    let client = client(&at, "client").await;
    for n in 0..30_u64 {
        let after = Duration::from_micros(400 * n);
        let gave_up = client.rpc().timeout(after).call::<String>("echo", (text(8 * MIB),)).await;
        assert!(gave_up.is_ok() || matches!(gave_up, Err(CallError::Timeout { .. })), "{gave_up:?}");
    }
    let echoed: String = client.rpc().call("echo", ("x",)).await.unwrap();
    assert_eq!(echoed, "x");
    drop((router, worker));
}
