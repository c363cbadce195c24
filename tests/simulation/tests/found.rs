//! What simulations found, as small as it gets.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::{sync::Arc, time::Duration};

use daffi_core::{Callback, CallbackOptions, Client, Context, RoundRobin, Router};
use daffi_serde::Single;
use daffi_serde_msgpack::Msgpack;
use daffi_transport::{
    Endpoint,
    mem::{MemConnector, MemListener},
};
use daffi_wire::{Limits, MethodName, NodeName};
use tokio::{sync::Notify, time::timeout};

type Node = Client<Single<Msgpack>>;

fn name(text: &str) -> NodeName {
    NodeName::new(text, &Limits::default()).unwrap()
}

fn router(at: &Endpoint) -> Router {
    let listener = Box::new(MemListener::bind(at).unwrap());
    Router::builder(name("router")).listen(vec![listener]).unwrap()
}

async fn client(at: &Endpoint, node: &str, callbacks: Vec<Callback>) -> Node {
    let (connector, picker) = (Box::new(MemConnector::new(at.clone())), Box::new(RoundRobin::default()));
    let formats = Single::new(Msgpack::default());
    Client::builder(name(node), connector, formats).callbacks(callbacks).picker(picker).connect().await.unwrap()
}

/// `--topology router --weather twin --seed 43`, `--weather worker-crash --seed 166`.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_started_again_gets_no_answer_of_its_predecessor() {
    let at: Endpoint = "mem://started-again".parse().unwrap();
    let router = router(&at);
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let echo = {
        let (arrived, go_on) = (Arc::clone(&arrived), Arc::clone(&go_on));
        move |(number,): (u64,), _: &Context| {
            let (arrived, go_on) = (Arc::clone(&arrived), Arc::clone(&go_on));
            async move {
                arrived.notify_one();
                go_on.notified().await;
                Ok(number)
            }
        }
    };
    let method = MethodName::new("echo", &Limits::default()).unwrap();
    let formats = Single::new(Msgpack::default());
    let worker =
        client(&at, "worker", vec![Callback::asynchronous(method, CallbackOptions::default(), formats, echo)]).await;

    let first = client(&at, "caller", Vec::new()).await;
    let lost = tokio::spawn(async move { first.rpc().call::<u64>("echo", (1u64,)).await });
    arrived.notified().await;
    lost.abort();
    assert!(lost.await.unwrap_err().is_cancelled());

    // The process is gone; the next one of that name counts its calls from 1 again.
    let second = client(&at, "caller", Vec::new()).await;
    let answer = tokio::spawn(async move { second.rpc().call::<u64>("echo", (2u64,)).await });
    tokio::task::yield_now().await;
    go_on.notify_one();
    arrived.notified().await;
    go_on.notify_one();
    let answer = timeout(Duration::from_secs(5), answer).await.unwrap().unwrap().unwrap();
    assert_eq!(answer, 2, "the answer to another call");
    worker.stop().await;
    router.stop().await;
}
