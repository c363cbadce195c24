//! Many calls at once.

use daffi::CallError;
use futures::future::join_all;
use serde_json::json;

use crate::support::{Transport, python_client, rust_client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_python_threads_call_a_rust_service() {
    let service = Transport::Tcp.rust_service("service", 4).await;
    let client = python_client(&service).start().await;
    let outcomes = client.call("add", json!([{"$index": 0}, 1])).timeout(60).many(2000, 64).await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.unwrap_or_else(|error| panic!("call {number}: {error}")), number + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rust_calls_are_open_at_a_python_service() {
    let service = Transport::Tcp.python_service().workers(4).start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let calls = (0..1000_i64).map(|n| {
        let client = client.clone();
        async move { Ok::<_, CallError>((n, client.rpc().call::<i64>("add", (n, 1)).await?)) }
    });
    for outcome in join_all(calls).await {
        let (n, sum) = outcome.unwrap();
        assert_eq!(sum, n + 1);
    }
    let sleepers = (0..40).map(|_| async { client.rpc().call::<f64>("sleep", (0.01,)).await.unwrap() });
    assert!(join_all(sleepers).await.iter().all(|slept| (slept - 0.01).abs() < f64::EPSILON));
    assert_eq!(service.invoke("peak", json!([])).await, 4);
}
