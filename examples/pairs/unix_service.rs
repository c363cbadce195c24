//! A service on a Unix socket.

use daffi::prelude::*;

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[callback]
fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "unix:///tmp/daffi-unix.sock")]);
    let service = Service::builder("unix-service").callbacks(callbacks![add, greet]).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?; // and the socket file is removed
    Ok(())
}
