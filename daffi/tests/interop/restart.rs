//! Routers that come back.

use std::time::{Duration, Instant};

use daffi::CallError;
use serde_json::json;

use crate::{
    routers::{RouterKind, behind_either_router},
    support::eventually,
};

/// The longest pause between attempts, and what a busy machine adds.
const CEILING: Duration = Duration::from_millis(1000 + 2000);

behind_either_router! { a_router_that_comes_back_finds_its_nodes_again }

async fn a_router_that_comes_back_finds_its_nodes_again(kind: RouterKind) {
    let router = kind.start().await;
    let at = router.endpoint();
    let worker = router.rust_worker("worker").await;
    let client = router.rust_client("caller").await;
    let python = router.python_client("python").await;
    client.wait_for_members(&["worker"], None).await.unwrap();
    for _ in 0..2 {
        assert_eq!(python.call("add", json!([3, 4])).timeout(10).ok().await, 7);
    }
    router.kill();
    let error = eventually("the end is noticed", async || client.rpc().call::<i64>("add", (3, 4)).await.err()).await;
    assert!(matches!(error, CallError::Disconnected(_)), "{error}");
    eventually("by the worker too", async || (!worker.is_connected()).then_some(())).await;
    // Long enough for the pauses to have grown to their longest.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let back = kind.start_at(&at).await;
    let begun = Instant::now();
    client.wait_for_connection().await.unwrap();
    worker.wait_for_connection().await.unwrap();
    client.wait_for_members(&["worker"], None).await.unwrap();
    assert!(begun.elapsed() < CEILING, "{:?}", begun.elapsed());
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
    // A 3.0.1 client connects again when it calls again, and one failed attempt is final
    // (docs/protocol.md#10.15).
    let answer =
        eventually("3.0.1 has reconnected", async || python.call("add", json!([3, 4])).timeout(5).outcome().await.ok());
    assert_eq!(answer.await, 7);
    drop(back);
}
