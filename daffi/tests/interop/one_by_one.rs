//! Calls whose arguments or results come one by one, beside nodes of daffi 3.0.1.

use daffi::{CallError, Client, Incoming, Router, Service, callback, callbacks};
use daffi_testing::Peer;
use futures::{Stream, TryStreamExt, stream};
use serde_json::json;

use crate::support::{Transport, python_client, rust_client};

#[callback]
fn count(n: i64) -> Result<impl Stream<Item = i64>, String> {
    if n < 0 { Err("from 0 on".into()) } else { Ok(stream::iter(1..=n)) }
}

#[callback]
async fn total(numbers: Incoming<i64>) -> Result<i64, CallError> {
    numbers.try_fold(0, |sum, n| async move { Ok(sum + n) }).await
}

#[tokio::test]
async fn python_callers_give_and_get_lists() {
    let callbacks = || callbacks![count, total];
    let service = Service::builder("service").callbacks(callbacks()).bind("tcp://127.0.0.1:0").await.unwrap();
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await.unwrap();
    let at = router.endpoints()[0].as_str();
    let _worker = Client::builder("worker").callbacks(callbacks()).connect(at).await.unwrap();
    let direct = python_client(&service).name("direct").start().await;
    let routed = Peer::client(at).name("routed").start().await;
    for caller in [direct, routed] {
        assert_eq!(caller.call("count", json!([3])).ok().await, json!([1, 2, 3]));
        assert_eq!(caller.call("count", json!([0])).ok().await, json!([]));
        assert_eq!(caller.call("total", json!([[1, 2, 3]])).ok().await, 6);
    }
}

#[tokio::test]
async fn a_python_worker_s_answer_is_one_result_and_it_takes_no_items() {
    let service = Transport::Tcp.python_service().name("python").start().await;
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await.unwrap();
    let at = router.endpoints()[0].as_str();
    let _worker = Peer::client(at).worker().name("python").start().await;
    for at in [service.endpoint().as_str(), at] {
        let caller = rust_client("caller", at).await;
        caller.wait_for_members(&["python"], None).await.unwrap();
        let results = caller.rpc().results::<i64>("add", (3, 4)).await.unwrap();
        assert_eq!(results.try_collect::<Vec<_>>().await.unwrap(), [7]);
        let refused = caller.rpc().send::<i64>("add", (), stream::iter([3, 4])).await.unwrap_err();
        assert!(matches!(&refused, CallError::LevelUnsupported { receiver, .. } if receiver == "python"), "{refused}");
        assert_eq!(caller.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
    }
}
