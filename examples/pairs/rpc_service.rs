//! A service with three functions. Run it first, then `rpc_client`.

use daffi::prelude::*;

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[callback]
fn greet(name: &str, #[default("Hello")] greeting: &str) -> String {
    format!("{greeting}, {name}!")
}

#[callback]
fn divide(a: i64, b: i64) -> Result<i64, RemoteError> {
    a.checked_div(b).ok_or_else(|| RemoteError::new("ValueError", "division by zero"))
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5001")]);
    let service = Service::builder("rpc-service").callbacks(callbacks![add, greet, divide]).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?; // until SIGINT or SIGTERM
    Ok(())
}
