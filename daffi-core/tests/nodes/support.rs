//! Nodes over links in memory, with one small JSON format.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::BufMut;
use daffi_core::{Callback, CallbackOptions, Client, NodeConfig, Router, Service};
use daffi_serde::{
    Args, ArgsSink, Body, Codec, Keywords, Output, Params, Positional, RemoteError, ResultSink, SerdeError, Single,
};
use daffi_transport::{Endpoint, mem};
use daffi_wire::{FormatId, Limits, MethodName, NodeName};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct TestJson;

pub(crate) type Formats = Single<TestJson>;

fn failed(error: serde_json::Error) -> SerdeError {
    SerdeError::decode(FormatId::JSON, error)
}

impl Codec for TestJson {
    fn id(&self) -> FormatId {
        FormatId::JSON
    }

    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        #[derive(Serialize)]
        #[serde(bound = "")]
        struct Envelope<'a, A: Args> {
            args: Positional<'a, A>,
            kwargs: Keywords<'a, A>,
        }
        out.mark_text();
        serde_json::to_writer(out.buffer().writer(), &Envelope { args: Positional(args), kwargs: Keywords(args) })
            .map_err(failed)
    }

    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        out.mark_text();
        let value = serde_json::to_value(value).map_err(failed)?;
        serde_json::to_writer(out.buffer().writer(), &serde_json::json!({"args": [value], "kwargs": {}}))
            .map_err(failed)
    }

    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let body: Value = serde_json::from_slice(&body.bytes).map_err(failed)?;
        for (index, value) in body["args"].as_array().into_iter().flatten().enumerate() {
            sink.positional(index, value.clone()).map_err(failed)?;
        }
        for (name, value) in body["kwargs"].as_object().into_iter().flatten() {
            sink.keyword(name, value.clone()).map_err(failed)?;
        }
        Ok(())
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let body: Value = serde_json::from_slice(&body.bytes).map_err(failed)?;
        sink.result(body["args"][0].clone()).map_err(failed)
    }
}

pub(crate) fn formats() -> Formats {
    Single::new(TestJson)
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name, &Limits::default()).expect("a test's name is good")
}

pub(crate) fn method(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).expect("a test's name is good")
}

pub(crate) fn plain<P: Params, R: Serialize + 'static>(
    name: &str,
    function: impl Fn(P) -> Result<R, RemoteError> + Send + Sync + 'static,
) -> Callback {
    plain_with(name, CallbackOptions::default(), function)
}

pub(crate) fn plain_with<P: Params, R: Serialize + 'static>(
    name: &str,
    options: CallbackOptions,
    function: impl Fn(P) -> Result<R, RemoteError> + Send + Sync + 'static,
) -> Callback {
    Callback::plain(method(name), options, formats(), move |params, _| function(params))
}

pub(crate) fn asynchronous<P, R, Fut>(name: &str, function: impl Fn(P) -> Fut + Send + Sync + 'static) -> Callback
where
    P: Params,
    R: Serialize + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    asynchronous_with(name, CallbackOptions::default(), function)
}

pub(crate) fn asynchronous_with<P, R, Fut>(
    name: &str,
    options: CallbackOptions,
    function: impl Fn(P) -> Fut + Send + Sync + 'static,
) -> Callback
where
    P: Params,
    R: Serialize + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    Callback::asynchronous(method(name), options, formats(), move |params, _| {
        let running = function(params);
        async move { Ok(running.await) }
    })
}

/// `hang`: answers with its argument once `gate` lets it.
pub(crate) fn hang(gate: &Arc<Semaphore>) -> Callback {
    let gate = Arc::clone(gate);
    asynchronous("hang", move |(n,): (u32,)| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("a test's gate is never closed").forget();
            n
        }
    })
}

/// A name in memory that no other test has.
pub(crate) fn endpoint() -> Endpoint {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Endpoint::new("mem", &format!("core-{}", NEXT.fetch_add(1, Ordering::Relaxed))).expect("a test's endpoint is good")
}

pub(crate) fn service_at(at: &Endpoint, config: NodeConfig, callbacks: Vec<Callback>) -> Service {
    let listener = Box::new(mem::MemListener::bind(at).expect("the name is free"));
    let builder = Service::builder(node("svc"), formats()).config(config).callbacks(callbacks);
    builder.listen(vec![listener]).expect("the service starts")
}

pub(crate) fn service(callbacks: Vec<Callback>) -> (Service, Endpoint) {
    let at = endpoint();
    (service_at(&at, NodeConfig::server(), callbacks), at)
}

pub(crate) async fn client(at: &Endpoint, name: &str) -> Client<Formats> {
    client_with(at, name, NodeConfig::client()).await
}

pub(crate) async fn client_with(at: &Endpoint, name: &str, config: NodeConfig) -> Client<Formats> {
    client_exposing(at, name, config, Vec::new()).await
}

pub(crate) async fn client_exposing(
    at: &Endpoint,
    name: &str,
    config: NodeConfig,
    callbacks: Vec<Callback>,
) -> Client<Formats> {
    let connector = Box::new(mem::MemConnector::new(at.clone()));
    Client::builder(node(name), connector, formats())
        .config(config)
        .callbacks(callbacks)
        .connect()
        .await
        .expect("the client connects")
}

pub(crate) async fn worker(at: &Endpoint, name: &str, callbacks: Vec<Callback>) -> Client<Formats> {
    client_exposing(at, name, NodeConfig::client(), callbacks).await
}

pub(crate) fn router_with(config: NodeConfig) -> (Router, Endpoint) {
    let at = endpoint();
    let listener = Box::new(mem::MemListener::bind(&at).expect("the name is free"));
    (Router::builder(node("router")).config(config).listen(vec![listener]).expect("the router starts"), at)
}

pub(crate) fn router() -> (Router, Endpoint) {
    router_with(NodeConfig::server())
}
