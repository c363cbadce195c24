//! Clients and callbacks under the middleware of tower.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use daffi_core::{
    Call, CallError, CallService, Callback, CallbackOptions, CallbackService, Client, NodeConfig, Request, Rpc,
    Service, WaitedFor,
};
use daffi_transport::mem::{MemConnector, MemListener};
use daffi_wire::{Limits, MethodName};
use futures::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::sync::Semaphore;
use tower::{Service as _, ServiceBuilder, load_shed::error::Overloaded, service_fn};

use crate::{
    level_three::{ROUTER, Server, connect},
    support::{Formats, asynchronous, client, client_with, endpoint, formats, hang, node, plain, service, service_at},
};

fn is_ready(service: &mut CallService<Formats>) -> bool {
    match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => {
            ready.unwrap();
            true
        }
        Poll::Pending => false,
    }
}

async fn ready(service: &mut CallService<Formats>) -> Result<(), CallError> {
    poll_fn(|cx| service.poll_ready(cx)).await
}

/// The error of a call that `load_shed` refused.
fn is_shed(error: &CallError) -> bool {
    matches!(error, CallError::Layer(layer) if layer.is::<Overloaded>())
}

#[tokio::test]
async fn a_client_without_a_connection_is_not_ready_and_its_calls_are_shed() {
    let at = endpoint();
    let connector = Box::new(MemConnector::new(at.clone()));
    let client = Client::builder(node("c"), connector, formats()).connect_lazy().unwrap();
    let mut service = client.clone().into_service();
    assert!(!is_ready(&mut service));
    let shedding = Rpc::<Formats>::over(ServiceBuilder::new().load_shed().service(service.clone()));
    let error = shedding.call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(is_shed(&error), "{error}");
    let patient = Rpc::<Formats>::over(service.clone()).timeout(Duration::from_millis(20));
    let error = patient.call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { waited_for: WaitedFor::Readiness, .. }), "{error}");

    let waiting = Rpc::<Formats>::over(service.clone());
    let waiting = tokio::spawn(async move { waiting.call::<i64>("add", (3, 4)).await });
    let add = plain("add", |(a, b): (i64, i64)| Ok(a + b));
    let _service = service_at(&at, NodeConfig::server(), vec![add]);
    assert_eq!(waiting.await.unwrap().unwrap(), 7);
    ready(&mut service).await.unwrap();
    assert_eq!(shedding.call::<i64>("add", (1, 2)).await.unwrap(), 3);

    client.stop().await;
    let error = ready(&mut service.clone()).await.unwrap_err();
    assert!(matches!(error, CallError::Stopped), "{error}");
}

#[tokio::test(start_paused = true)]
async fn calls_through_a_stack_have_the_timeout_of_their_client() {
    let gate = Arc::new(Semaphore::new(0));
    let (_service, at) = service(vec![hang(&gate)]);
    let client = client_with(&at, "c", NodeConfig::client().default_timeout(Some(Duration::from_secs(5)))).await;
    let mut stack = client.into_service();
    let over = Rpc::<Formats>::over(stack.clone());
    for (call, within) in [(over.clone(), 5), (over.timeout(Duration::from_secs(2)), 2)] {
        let ended = tokio::time::timeout(Duration::from_secs(60), call.call::<u32>("hang", (1,))).await;
        let error = ended.expect("it ends").unwrap_err();
        assert!(matches!(&error, CallError::Timeout { after, .. } if after.as_secs() == within), "{error}");
    }
    ready(&mut stack).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), stack.call(Call::new("hang", (1_u32,)))).await;
    assert!(matches!(ended.expect("it ends"), Err(CallError::Timeout { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_free_number_is_not_ready_and_a_permit_that_is_dropped_is_free_again() {
    let gate = Arc::new(Semaphore::new(0));
    let (_service, at) = service(vec![hang(&gate)]);
    let client = client(&at, "c").await;
    let rpc = client.rpc();
    let mut open: FuturesUnordered<_> = (0..65_534u32).map(|n| rpc.call::<u32>("hang", (n,))).collect();
    // Each is polled once, so each has its number.
    assert!(futures::poll!(open.next()).is_pending());

    let (mut first, mut second) = (client.clone().into_service(), client.clone().into_service());
    assert!(is_ready(&mut first) && is_ready(&mut first), "one number is left, and is kept");
    assert!(!is_ready(&mut second) && !is_ready(&mut first.clone()));
    let shedding = Rpc::<Formats>::over(ServiceBuilder::new().load_shed().service(second.clone()));
    assert!(is_shed(&shedding.call::<u32>("hang", (0,)).await.unwrap_err()));
    let error = rpc.clone().timeout(Duration::from_millis(20)).call::<u32>("hang", (0,)).await.unwrap_err();
    assert!(matches!(error, CallError::Overloaded(_)), "a kept number is not given to another: {error}");

    let woken = tokio::spawn(async move { ready(&mut second).await.map(|()| second) });
    drop(first);
    let mut second = woken.await.unwrap().unwrap();
    let call = second.call(Call::new("hang", (65_534u32,)));
    assert!(!is_ready(&mut second), "the call has the last number");
    drop(call);
    assert!(is_ready(&mut second), "a call that was never polled gave it back");
    // One that never waits to the end takes no wake-up from a call that does.
    let mut idle = client.clone().into_service();
    assert!(!is_ready(&mut idle));
    let last = tokio::spawn(rpc.clone().call::<u32>("hang", (65_535u32,)));
    let kept = second.call(Call::new("hang", (65_536u32,)));
    drop(kept);
    gate.add_permits(100_000);
    assert_eq!(last.await.unwrap().unwrap(), 65_535);
    while let Some(answer) = open.next().await {
        answer.unwrap();
    }
    assert!(is_ready(&mut idle));
}

#[tokio::test]
async fn a_client_whose_server_takes_nothing_is_not_ready() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let (client, (mut peer, _)) = tokio::join!(connect(&at), server.accept(ROUTER));
    let mut service = client.clone().into_service();
    let mut calls = Vec::new();
    let text = "x".repeat(1 << 20);
    for _ in 0..1000 {
        if !is_ready(&mut service) {
            break;
        }
        let mut call = service.call(Call::new("f", (text.clone(),)));
        assert!((&mut call).now_or_never().is_none());
        calls.push(call);
        tokio::task::yield_now().await;
    }
    assert!(!is_ready(&mut service), "after {} calls", calls.len());
    let taking = tokio::spawn(async move { while peer.receive().await.is_some() {} });
    ready(&mut service).await.unwrap();
    taking.abort();
}

#[tokio::test]
async fn load_is_shed_around_callbacks_by_a_limit_inside() {
    let (at, gate) = (endpoint(), Arc::new(Semaphore::new(0)));
    let hang = asynchronous("hang", {
        let gate = Arc::clone(&gate);
        move |(): ()| {
            let gate = Arc::clone(&gate);
            async move { gate.acquire().await.unwrap().forget() }
        }
    });
    let layer = |callbacks: CallbackService| {
        CallbackService::from_service(ServiceBuilder::new().load_shed().concurrency_limit(3).service(callbacks))
    };
    let _service = Service::builder(node("svc"), formats())
        .callbacks(vec![hang])
        .layer(layer)
        .listen(vec![Box::new(MemListener::bind(&at).unwrap())])
        .unwrap();
    let client = client(&at, "c").await;
    let calls = join_all((0..8).map(|_| client.rpc().call::<()>("hang", ())));
    let (answers, ()) = tokio::join!(calls, async {
        // Answered after the calls that were refused.
        let refused = client.rpc().call::<()>("hang", ()).await.unwrap_err();
        assert_eq!(refused.remote().unwrap().class, "Overloaded");
        gate.add_permits(3);
    });
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(refused, 5, "one runs, two wait for the worker: {answers:?}");
}

#[tokio::test]
async fn a_layer_answers_in_the_place_of_a_client() {
    let (_service, at) = service(vec![plain("add", |(a, b): (i64, i64)| Ok(a + b))]);
    let inner = client(&at, "c").await.into_service();
    let counted = service_fn(move |call: Call| {
        let mut inner = inner.clone();
        async move {
            ready(&mut inner).await?;
            if call.method() == "forbidden" {
                return Err(CallError::Stopping("not today".into()));
            }
            inner.call(call).await
        }
    });
    let rpc = Rpc::<Formats>::over(counted);
    assert_eq!(rpc.call::<i64>("add", (3, 4)).await.unwrap(), 7);
    assert!(matches!(rpc.call::<i64>("forbidden", ()).await.unwrap_err(), CallError::Stopping(_)));
}

#[tokio::test]
async fn what_a_layer_hands_on_reaches_the_callback_of_that_call_only() {
    struct User(&'static str);

    let at = endpoint();
    let name = MethodName::new("who", &Limits::default()).unwrap();
    let who = |(): (), context: &daffi_core::Context| {
        Ok(context.extensions().get::<User>().map_or("nobody", |user| user.0).to_owned())
    };
    let asynchronous = Callback::asynchronous(name, CallbackOptions::new(), formats(), move |(): (), context| {
        let who: Result<String, _> = who((), context);
        async move { who }
    });
    let name = MethodName::new("who_plain", &Limits::default()).unwrap();
    let plain = Callback::plain(name, CallbackOptions::new(), formats(), who);
    let layer = |callbacks: CallbackService| {
        CallbackService::from_service(
            ServiceBuilder::new()
                .map_request(move |mut request: Request| {
                    assert!(request.extensions().is_empty(), "nothing of another call");
                    if request.context().caller() == "till" {
                        assert!(request.extensions_mut().insert(User("somebody")).is_none());
                        request.extensions_mut().insert(User("ada"));
                    }
                    request
                })
                .service(callbacks),
        )
    };
    let _service = Service::builder(node("svc"), formats())
        .callbacks(vec![asynchronous, plain])
        .layer(layer)
        .listen(vec![Box::new(MemListener::bind(&at).unwrap())])
        .unwrap();
    let (till, other) = (client(&at, "till").await, client(&at, "other").await);
    for _ in 0..3 {
        for method in ["who", "who_plain"] {
            assert_eq!(till.rpc().call::<String>(method, ()).await.unwrap(), "ada");
            assert_eq!(other.rpc().call::<String>(method, ()).await.unwrap(), "nobody");
        }
    }
}
