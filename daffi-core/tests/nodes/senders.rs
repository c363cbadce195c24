//! Items that are sent while nobody looks at the results: their sender hears of the end of the call
//! all the same.

use std::{future::Future, time::Duration};

use daffi_core::{CallError, Callback, CallbackOptions, Client, NodeConfig, remote_error};
use daffi_serde::RemoteError;
use daffi_transport::Endpoint;
use daffi_wire::{Limits, MethodName};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Formats, client, client_exposing, endpoint, formats, router, service_at};

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

fn name(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).unwrap()
}

/// `deaf`: takes no item and gives no result. `gives`: one result, and takes no item. `answers` and
/// `fails`: end without a look at their items.
fn callbacks() -> Vec<Callback> {
    let options = CallbackOptions::new;
    let deaf = Callback::streaming(name("deaf"), options(), formats(), |(): (), ctx| {
        let items = ctx.items::<String, Formats>("deaf");
        Ok(stream::pending::<Result<u64, _>>().map(move |item| (&items, item).1))
    });
    let gives = Callback::streaming(name("gives"), options(), formats(), |(): (), ctx| {
        let items = ctx.items::<String, Formats>("gives");
        Ok(stream::iter([Ok(7_u64)]).map(move |item| (&items, item).1))
    });
    let answers = Callback::plain(name("answers"), options(), formats(), |(): (), _| Ok(7_u64));
    let fails = Callback::plain(name("fails"), options(), formats(), |(): (), _| {
        Err::<u64, _>(RemoteError::new("ValueError", "no"))
    });
    vec![deaf, gives, answers, fails, sum()]
}

/// `sum`: of its items.
fn sum() -> Callback {
    Callback::asynchronous(name("sum"), CallbackOptions::new(), formats(), |(): (), ctx| {
        let items = ctx.items::<u64, Formats>("sum").expect("items follow");
        async move { items.map_err(remote_error).try_fold(0, |sum, item| async move { Ok(sum + item) }).await }
    })
}

#[tokio::test]
async fn an_item_of_another_type_is_named_as_any_argument_is() {
    for behind_router in [false, true] {
        let (_callee, _router, at) = callee(behind_router).await;
        let caller = client(&at, "caller").await;
        let items = stream::iter([json!(1), json!("two"), json!(3)]);
        let failed = soon(caller.rpc().send::<u64>("sum", (), items)).await.unwrap_err();
        let error = failed.remote().unwrap();
        assert_eq!((&*error.class, &*error.module), ("TypeError", "builtins"), "{error}");
        assert!(error.message.starts_with("item 2 of sum(): cannot read"), "{error}");
    }
}

type Nodes = Box<dyn std::any::Any + Send>;

/// Where a callee serves, and what ends it: a Service, or a worker behind a Router.
async fn callee(behind_router: bool) -> (Nodes, Nodes, Endpoint) {
    if behind_router {
        let (router, at) = router();
        let worker = client_exposing(&at, "svc", NodeConfig::client(), callbacks()).await;
        (Box::new(worker), Box::new(router), at)
    } else {
        let at = endpoint();
        (Box::new(service_at(&at, NodeConfig::server(), callbacks())), Box::new(()), at)
    }
}

/// Sends items until that fails, and looks at the results only then.
async fn say_first(caller: Client<Formats>, method: &str) -> Vec<Result<u64, CallError>> {
    let (mut say, heard) = caller.rpc().duplex::<String, u64>(method, ()).await.unwrap();
    let error = loop {
        if let Err(error) = say.send("x".repeat(10_000)).await {
            break error;
        }
    };
    assert!(matches!(error, CallError::Items { .. }), "{error}");
    heard.collect().await
}

/// The window is used up long before the call ends.
async fn until_it_waits() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_hears_that_the_callback_has_ended() {
    for behind_router in [false, true] {
        let (_callee, _router, at) = callee(behind_router).await;
        let caller = client(&at, "caller").await;
        for method in ["gives", "answers"] {
            let heard = soon(say_first(caller.clone(), method)).await;
            assert!(matches!(&heard[..], [Ok(7)]), "{method}: {heard:?}");
        }
        let heard = soon(say_first(caller.clone(), "fails")).await;
        assert!(matches!(&heard[..], [Err(CallError::Remote { .. })]), "{heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_hears_that_its_receiver_or_its_connection_is_gone() {
    for behind_router in [false, true] {
        let (callee, router, at) = callee(behind_router).await;
        let caller = client(&at, "caller").await;
        let saying = tokio::spawn(async move { say_first(caller, "deaf").await });
        until_it_waits().await;
        drop(callee);
        let heard = soon(saying).await.unwrap();
        let is_gone = match &heard[..] {
            [Err(CallError::ReceiverGone { .. })] => behind_router,
            [Err(CallError::Disconnected(_))] => !behind_router,
            _ => false,
        };
        assert!(is_gone, "{heard:?}");
        drop(router);
    }
    let (_callee, router, at) = callee(true).await;
    let caller = client(&at, "caller").await;
    let saying = tokio::spawn(async move { say_first(caller, "deaf").await });
    until_it_waits().await;
    drop(router);
    let heard = soon(saying).await.unwrap();
    assert!(matches!(&heard[..], [Err(CallError::Disconnected(_))]), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sender_hears_that_its_own_node_was_stopped() {
    for behind_router in [false, true] {
        let (_callee, _router, at) = callee(behind_router).await;
        let caller = client(&at, "caller").await;
        let saying = tokio::spawn(say_first(caller.clone(), "deaf"));
        until_it_waits().await;
        soon(caller.stop()).await;
        let heard = soon(saying).await.unwrap();
        assert!(matches!(&heard[..], [Err(CallError::Stopped)]), "{heard:?}");
    }
}
