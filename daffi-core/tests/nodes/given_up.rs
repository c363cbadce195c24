//! What a callback waits for through its client ends when nobody waits for the callback any more.

use std::{future::Future, sync::Arc, time::Duration};

use daffi_core::{CallError, Callback, CallbackOptions, Client, Context, NodeConfig, Rpc};
use daffi_serde::RemoteError;
use daffi_wire::{Limits, MethodName};
use futures::{FutureExt, stream};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

use crate::support::{Formats, client, client_exposing, formats, router, worker};

const LONG: Duration = Duration::from_secs(60);

fn name(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).unwrap()
}

/// `asks`: does `what` through its client, tells when it has begun, and tells what came of it.
fn asks<Fut>(
    what: impl Fn(Client<Formats>) -> Fut + Send + Sync + 'static,
    begun: &Arc<Notify>,
    ended: mpsc::UnboundedSender<CallError>,
) -> Callback
where
    Fut: Future<Output = Result<(), CallError>> + Send + 'static,
{
    let begun = Arc::clone(begun);
    Callback::asynchronous(name("asks"), CallbackOptions::new(), formats(), move |(): (), ctx: &Context| {
        let asking = what(ctx.client::<Formats>().expect("it is a client"));
        let (begun, ended) = (Arc::clone(&begun), ended.clone());
        async move {
            begun.notify_one();
            let error = asking.await.expect_err("nobody answers");
            ended.send(error).expect("the test listens");
            Ok::<(), RemoteError>(())
        }
    })
}

/// Its caller gives up: whatever the callback waits for ends, and says so.
async fn ends_with_its_caller<Fut>(what: impl Fn(Client<Formats>) -> Fut + Send + Sync + 'static)
where
    Fut: Future<Output = Result<(), CallError>> + Send + 'static,
{
    let (begun, (told, mut tells)) = (Arc::new(Notify::new()), mpsc::unbounded_channel());
    let (_router, at) = router();
    let _deaf = worker(&at, "deaf", vec![deaf()]).await;
    let node = client_exposing(&at, "asking", NodeConfig::client(), vec![asks(what, &begun, told)]).await;
    node.wait_for_members(&["deaf"], Some(LONG)).await.unwrap();
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["asking"], Some(LONG)).await.unwrap();
    let mut call = Box::pin(caller.rpc().call::<()>("asks", ()));
    assert!((&mut call).now_or_never().is_none());
    timeout(LONG, begun.notified()).await.expect("it begins");
    assert!(timeout(Duration::from_secs(1), &mut call).await.is_err(), "it waits");
    drop(call);
    let error = timeout(LONG, tells.recv()).await.expect("it ends").unwrap();
    assert!(matches!(error, CallError::Cancelled { .. }), "{error}");
}

/// `deaf`: takes no item, and never ends.
fn deaf() -> Callback {
    Callback::asynchronous(name("deaf"), CallbackOptions::new(), formats(), |(): (), ctx: &Context| {
        let (items, ctx) = (ctx.items::<String, Formats>("deaf"), ctx.clone());
        async move {
            ctx.cancelled().await;
            drop(items);
            Ok::<(), RemoteError>(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_for_its_receiver() {
    ends_with_its_caller(|client| async move {
        let call = client.stream().serde(daffi_wire::FormatId::JSON).wait_for_receiver();
        call.send("missing", stream::iter([1])).await.map(drop).map_err(|error| *error.source)
    })
    .await;
    ends_with_its_caller(|client| async move {
        let call = client.stream_nowait().serde(daffi_wire::FormatId::JSON).wait_for_receiver();
        call.send("missing", stream::iter([1])).await.map(drop).map_err(|error| *error.source)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_for_its_source() {
    ends_with_its_caller(|client| async move {
        let call = client.stream().serde(daffi_wire::FormatId::JSON);
        call.send("deaf", stream::pending::<i64>()).await.map(drop).map_err(|error| *error.source)
    })
    .await;
    ends_with_its_caller(|client| async move {
        let call = client.stream_nowait().serde(daffi_wire::FormatId::JSON);
        call.send("deaf", stream::pending::<i64>()).await.map(drop).map_err(|error| *error.source)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_of_items_that_nobody_takes() {
    ends_with_its_caller(|client| async move {
        let (mut say, _heard) = client.rpc().duplex::<String, u64>("deaf", ()).await?;
        loop {
            say.send("x".repeat(10_000)).await?;
        }
    })
    .await;
}

/// Its own node leaves the network while the callback asks.
async fn without_a_connection<Fut>(what: impl Fn(Client<Formats>) -> Fut + Send + Sync + 'static)
where
    Fut: Future<Output = Result<(), CallError>> + Send + 'static,
{
    let (begun, (told, mut tells)) = (Arc::new(Notify::new()), mpsc::unbounded_channel());
    let lost = Arc::new(Notify::new());
    let (router, at) = router();
    let waits = Arc::clone(&lost);
    let asking = asks(
        move |client| {
            let (lost, asking) = (Arc::clone(&waits), what(client));
            async move {
                lost.notified().await;
                asking.await
            }
        },
        &begun,
        told,
    );
    let node = client_exposing(&at, "asking", NodeConfig::client(), vec![asking]).await;
    let caller = client(&at, "caller").await;
    caller.wait_for_members(&["asking"], Some(LONG)).await.unwrap();
    let mut call = Box::pin(caller.rpc().call::<()>("asks", ()));
    assert!((&mut call).now_or_never().is_none());
    timeout(LONG, begun.notified()).await.expect("it begins");
    drop(router);
    while node.is_connected() {
        tokio::task::yield_now().await;
    }
    lost.notify_one();
    let error = timeout(LONG, tells.recv()).await.expect("it ends").unwrap();
    assert!(matches!(error, CallError::Cancelled { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_connection() {
    without_a_connection(
        |client| async move { client.cast().wait_for_connection().call::<()>("f", ()).await.map(drop) },
    )
    .await;
    without_a_connection(|client| async move {
        client.cast().wait_for_connection().results::<u64>("f", ()).await.map(drop)
    })
    .await;
    without_a_connection(|client| async move { Rpc::<Formats>::over(client.into_service()).call::<()>("f", ()).await })
        .await;
}
