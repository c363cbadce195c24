//! The Rust half of a pool: `pool_worker.py` beside this file exposes the same callback, and
//! callers see no difference.

use daffi::prelude::*;

#[callback]
fn language() -> &'static str {
    "Rust"
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let worker = Client::builder("rust-worker").callbacks(callbacks![language]).connect(&address).await?;
    println!("connected to {address}");
    worker.join().await?;
    Ok(())
}
