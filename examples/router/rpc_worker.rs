//! A worker: a client that exposes functions, which others call through `router`.

use daffi::prelude::*;

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[callback]
fn divide(a: i64, b: i64) -> Result<i64, RemoteError> {
    a.checked_div(b).ok_or_else(|| RemoteError::new("ValueError", "division by zero"))
}

#[callback]
fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let worker = Client::builder("rpc-worker").callbacks(callbacks![add, divide, greet]).connect(&address).await?;
    println!("connected to {address}");
    worker.join().await?; // until SIGINT or SIGTERM; when the router restarts, it comes back by itself
    Ok(())
}
