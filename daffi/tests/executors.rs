//! Calls that are awaited on an executor without tokio.
#![cfg(all(feature = "macros", feature = "msgpack"))]

use std::time::Duration;

use daffi::{CallError, Callbacks, Client, Incoming, InitializationError, Router, Service, callback, callbacks};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use pollster::block_on;
use tokio::runtime::Builder;

#[callback]
fn count(n: u64) -> impl Stream<Item = u64> {
    stream::iter(1..=n)
}

#[callback]
async fn sum(numbers: Incoming<i64>) -> Result<i64, CallError> {
    numbers.try_fold(0, |sum, n| async move { Ok(sum + n) }).await
}

fn streaming() -> Callbacks {
    callbacks![count, sum]
}

const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_secs(60);

/// Each way to call, where timers are needed and nothing of tokio's is at hand.
#[test]
fn a_call_needs_no_executor_of_tokio() {
    let at = "mem://executors";
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_service, client) = runtime.block_on(async {
        let service = Service::builder("service")
            .workers(64)
            .callback_fn("len", |text: String| async move { text.len() })
            .callback_fn("hang", std::future::pending::<()>)
            .callbacks(streaming())
            .bind(at)
            .await
            .unwrap();
        (service, Client::builder("client").connect(at).await.unwrap())
    });
    block_on(async {
        client.wait_for_members(&["service"], Some(LATE)).await.unwrap();
        client.wait_for_connection().await.unwrap();
        let rpc = || client.rpc().timeout(LATE);
        assert_eq!(rpc().call::<usize>("len", ("four",)).await.unwrap(), 4);
        // What goes in parts.
        assert_eq!(rpc().call::<usize>("len", ("x".repeat(5 << 20),)).await.unwrap(), 5 << 20);
        let soon = |called: Result<(), CallError>| assert!(called.unwrap_err().is_timeout());
        soon(client.rpc().timeout(SOON).call("hang", ()).await);
        soon(client.rpc().timeout(SOON).wait_for_receiver().call("nobody", ()).await);
        soon(client.rpc_nowait().timeout(SOON).wait_for_receiver().call("nobody", ()).await);
        soon(client.cast().timeout(SOON).wait_for_receiver().call::<()>("nobody", ()).await.map(drop));
        soon(client.wait_for_members(&["nobody"], Some(SOON)).await);
        client.rpc_nowait().timeout(LATE).call("len", ("four",)).await.unwrap();
        let answers = client.cast().timeout(LATE).call::<usize>("len", ("four",)).await.unwrap();
        assert_eq!(*answers["service"].as_ref().unwrap(), 4);
        client.cast_nowait().timeout(LATE).call("len", ("four",)).await.unwrap();
        let counted = rpc().results::<u64>("count", (3,)).await.unwrap();
        assert_eq!(counted.try_collect::<Vec<_>>().await.unwrap(), [1, 2, 3]);
        let counted = client.cast().timeout(LATE).results::<u64>("count", (3,)).await.unwrap();
        assert_eq!(counted.count().await, 4);
        assert_eq!(rpc().send::<i64>("sum", (), stream::iter([1, 2, 3])).await.unwrap(), 6);
        let (mut items, results) = rpc().duplex::<i64, i64>("sum", ()).await.unwrap();
        items.send(7).await.unwrap();
        items.finish();
        assert_eq!(results.try_collect::<Vec<_>>().await.unwrap(), [7]);
        let sent = client.stream().timeout(LATE).send("len", stream::iter(["a", "b"])).await;
        assert_eq!(sent.unwrap(), 2);
        let sent = client.stream_nowait().timeout(LATE).send("len", stream::iter(["a", "b"])).await;
        assert_eq!(sent.unwrap(), 2);
        client.stop().await;
    });
}

#[test]
fn a_node_says_that_it_needs_a_runtime() {
    let at = "mem://executors-without";
    let failed = [
        block_on(Client::builder("client").connect(at)).map(drop),
        block_on(Client::builder("client").connect_any([at])).map(drop),
        block_on(Client::builder("client").connect_all([at])).map(drop),
        Client::builder("client").connect_lazy(at).map(drop),
        block_on(Service::builder("service").bind(at)).map(drop),
        block_on(Router::builder("router").bind("tcp://127.0.0.1:0")).map(drop),
    ];
    for failed in failed {
        let error = failed.unwrap_err();
        assert!(matches!(error, InitializationError::NoRuntime), "{error:?}");
        assert!(error.to_string().contains("#[tokio::main]"), "{error}");
    }
}
