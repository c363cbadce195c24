//! Python clients that upload more than a service may hold.
//!
//! A client of 3.0.1 breaks its own stream when one write moves nothing for a second, and that
//! includes a second in which the service has no processor. So this runs beside no other test.

use bytes::Bytes;
use daffi::{Client, Service, callback, callbacks};
use daffi_testing::Peer;
use serde_json::json;

#[callback]
fn total(data: Bytes) -> usize {
    data.len()
}

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// Together they are more than the service may hold, and none of them can wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_uploads_beyond_all_memory_lose_nobody() {
    let service = Service::builder("service")
        .callbacks(callbacks![total, add])
        .configure(|config| config.budget_bytes = 96 * 1024 * 1024)
        .bind("tcp://127.0.0.1:0")
        .await
        .unwrap();
    let endpoint = service.endpoints()[0].as_str();
    let size = 30_000_000;
    let mut clients = Vec::new();
    for n in 0..6 {
        clients.push(Peer::client(endpoint).name(&format!("python{n}")).start().await);
    }
    let uploads = clients.iter().map(|client| {
        let call = client.call("total", json!([{"$repeat": ["78", size]}])).serde("MSGPACK").timeout(120);
        call.ok()
    });
    let small = Client::builder("small").connect(endpoint).await.unwrap();
    let uploads = futures::future::join_all(uploads);
    tokio::pin!(uploads);
    let totals = loop {
        tokio::select! {
            totals = &mut uploads => break totals,
            answer = async { small.rpc().call::<i64>("add", (3, 4)).await } => assert_eq!(answer.unwrap(), 7),
        }
    };
    assert_eq!(totals, vec![json!(size); 6]);
    assert_eq!(service.clients().len(), 7);
}
