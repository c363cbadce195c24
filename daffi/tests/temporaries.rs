//! Calls that are made of a temporary, as many in a closure: their futures hold neither the call
//! style nor the arguments.
#![cfg(all(feature = "macros", feature = "msgpack", feature = "pickle"))]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{convert::Infallible, future::Future, rc::Rc, time::Duration};

use daffi::{CallError, CastItem, Client, FormatId, Incoming, Rpc, Service, remote};
use futures::{
    StreamExt, TryStreamExt,
    future::{join_all, try_join_all},
    stream::{self, BoxStream},
};

#[remote]
trait Calc {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn length(&self, text: &str) -> usize;
    async fn count(&self, to: i64) -> BoxStream<'static, i64>;
    async fn sum(&self, from: i64, numbers: Incoming<i64>) -> i64;
    async fn doubles(&self, numbers: Incoming<i64>) -> BoxStream<'static, i64>;
}

struct Calculator;

impl Calc for Calculator {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn length(&self, text: &str) -> usize {
        text.len()
    }

    async fn count(&self, to: i64) -> BoxStream<'static, i64> {
        stream::iter(0..to).boxed()
    }

    async fn sum(&self, from: i64, numbers: Incoming<i64>) -> i64 {
        numbers.try_fold(from, |sum, n| async move { Ok(sum + n) }).await.unwrap()
    }

    async fn doubles(&self, numbers: Incoming<i64>) -> BoxStream<'static, i64> {
        numbers.map(|n| 2 * n.unwrap()).boxed()
    }
}

async fn pair(at: &str) -> (Service, Client) {
    let service = Service::builder("service").callbacks(Calculator.into_callbacks()).bind(at).await.unwrap();
    (service, Client::builder("client").connect(at).await.unwrap())
}

async fn all<T>(calls: impl Iterator<Item = impl Future<Output = Result<T, CallError>> + Send>) -> Vec<T> {
    try_join_all(calls).await.unwrap()
}

fn sent(n: u64) -> Result<u64, CallError> {
    Ok(n)
}

#[tokio::test]
async fn every_call_may_be_made_of_a_temporary() {
    let (_service, client) = pair("mem://temporaries").await;
    let numbers = || stream::iter([1, 2]);
    let failing = || numbers().map(Ok::<i64, Infallible>);
    assert_eq!(all((0..2).map(|i| client.rpc().call::<i64>("add", (i, 1)))).await, [1, 2]);
    all((0..2).map(|i| client.rpc().run("add", (i, 1)))).await;
    all((0..2).map(|i| client.rpc_nowait().call("add", (i, 1)))).await;
    for results in all((0..2).map(|i| client.rpc().results::<i64>("count", (i,)))).await {
        results.try_collect::<Vec<_>>().await.unwrap();
    }
    assert_eq!(all((0..2).map(|i| client.rpc().send::<i64>("sum", (i,), numbers()))).await, [3, 4]);
    let sums = (0..2).map(|i| client.rpc().try_send::<i64, _>("sum", (i,), failing()));
    assert_eq!(try_join_all(sums).await.unwrap(), [3, 4]);
    for (mut say, mut heard) in all((0..2).map(|_| client.rpc().duplex::<i64, i64>("doubles", ()))).await {
        say.send(4).await.unwrap();
        assert_eq!(heard.try_next().await.unwrap(), Some(8));
    }
    for answers in all((0..2).map(|i| client.cast().call::<i64>("add", (i, 1)))).await {
        answers["service"].as_ref().unwrap();
    }
    for items in all((1..3).map(|i| client.cast().results::<i64>("count", (i,)))).await {
        let items: Vec<_> = items.collect().await;
        assert!(matches!(items[0], (_, CastItem::Item(0))), "{items:?}");
    }
    all((0..2).map(|i| client.cast_nowait().call("add", (i, 1)))).await;
    let over = client.clone().into_service();
    assert_eq!(all((0..2).map(|i| Rpc::over(over.clone()).call::<i64>("add", (i, 1)))).await, [1, 2]);

    let texts = || stream::iter(["a", "b"]);
    let flow = || client.stream().serde(FormatId::MSGPACK);
    let nowait = || client.stream_nowait().serde(FormatId::MSGPACK);
    let sending = (0..2).map(|_| flow().send("length", texts()));
    assert_eq!(try_join_all(sending).await.unwrap(), [2, 2]);
    let sending = (0..2).map(|_| flow().try_send("length", texts().map(Ok::<_, Infallible>)));
    assert_eq!(try_join_all(sending).await.unwrap(), [2, 2]);
    let sending = (0..2).map(|_| nowait().send("length", texts()));
    assert_eq!(try_join_all(sending).await.unwrap().into_iter().map(sent).count(), 2);
    let sending = (0..2).map(|_| nowait().try_send("length", texts().map(Ok::<_, Infallible>)));
    assert_eq!(try_join_all(sending).await.unwrap(), [2, 2]);
}

#[tokio::test]
async fn so_may_those_of_typed_clients() {
    let (_service, client) = pair("mem://typed-temporaries").await;
    let calc = || CalcClient::new(client.clone());
    let numbers = || stream::iter([1, 2]);
    assert_eq!(all((0..2).map(|i| calc().add(i, 1))).await, [1, 2]);
    assert_eq!(all((0..2).map(|i| calc().timeout(Duration::from_secs(9)).add(i, 1))).await, [1, 2]);
    assert_eq!(all((0..2).map(|i| calc().length(&"x".repeat(i)))).await, [0, 1], "arguments may be borrowed");
    all((0..2).map(|i| calc().nowait().add(i, 1))).await;
    for answers in all((0..2).map(|i| calc().cast().add(i, 1))).await {
        answers["service"].as_ref().unwrap();
    }
    assert_eq!(all((0..2).map(|i| calc().cast().count(i))).await.len(), 2);
    for results in all((0..2).map(|i| calc().count(i))).await {
        results.try_collect::<Vec<_>>().await.unwrap();
    }
    assert_eq!(all((0..2).map(|i| calc().sum(i, numbers()))).await, [3, 4]);
    for (mut say, mut heard) in all((0..2).map(|_| calc().doubles())).await {
        say.send(4).await.unwrap();
        assert_eq!(heard.try_next().await.unwrap(), Some(8));
    }
    let over = client.clone().into_service();
    assert_eq!(all((0..2).map(|i| CalcClient::over(over.clone()).add(i, 1))).await, [1, 2]);
}

/// What is of one thread alone, where the source is.
#[tokio::test]
async fn a_source_may_stay_on_its_thread() {
    let (_service, client) = pair("mem://local-sources").await;
    let numbers = || {
        let from = Rc::new(1);
        stream::iter(0..2).map(move |n| n + *from)
    };
    let sums = (0..2).map(|i| client.rpc().send_local::<i64>("sum", (i,), numbers()));
    assert_eq!(try_join_all(sums).await.unwrap(), [3, 4]);
    let sums = (0..2).map(|i| client.rpc().try_send_local::<i64, Infallible>("sum", (i,), numbers().map(Ok)));
    assert_eq!(join_all(sums).await.len(), 2);
}

/// The caller's own state machine stays small, however much there is to a call.
#[tokio::test]
async fn futures_of_calls_are_small() {
    let (_service, client) = pair("mem://small-futures").await;
    let rpc = client.rpc();
    let numbers = || stream::iter([1]);
    for size in [
        size_of_val(&rpc.results::<i64>("count", (1,))),
        size_of_val(&rpc.send::<i64>("sum", (1,), numbers())),
        size_of_val(&rpc.duplex::<i64, i64>("doubles", ())),
        size_of_val(&client.cast().results::<i64>("count", (1,))),
    ] {
        assert!(size <= 16, "{size}");
    }
}
