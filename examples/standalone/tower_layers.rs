//! Tower layers around all callbacks of a service: tower's timeout, and a log of our own.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use daffi::{
    prelude::*,
    tower::{CallbackService, Reply, Request},
};
use futures::{FutureExt, future::BoxFuture};
use tower::{layer::layer_fn, timeout::TimeoutLayer};

/// Prints how each call went.
#[derive(Clone)]
struct Log(CallbackService);

impl tower::Service<Request> for Log {
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let what = format!("{} for {}", request.method(), request.context().caller());
        let reply = self.0.call(request);
        async move {
            let reply = reply.await?;
            match reply.as_error() {
                None => println!("log: {what}: done"),
                Some(error) => println!("log: {what}: {error}"),
            }
            Ok(reply)
        }
        .boxed()
    }
}

#[callback]
async fn nap(milliseconds: u64) -> &'static str {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    "good morning"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let service = Service::builder("bedroom")
        .callbacks(callbacks![nap])
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .layer(layer_fn(Log)) // the last one is the outermost
        .bind("tcp://127.0.0.1:0")
        .await?;
    let client = Client::builder("sleeper").connect(service.endpoints()[0].as_str()).await?;

    println!("{}", client.rpc().call::<String>("nap", (1,)).await?);
    if let Err(error) = client.rpc().call::<String>("nap", (60_000,)).await {
        println!("{error}");
    }
    Ok(())
}
