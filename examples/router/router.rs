//! Joins nodes that call each other, all at one address. Start it first; then workers, then
//! callers.

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:6000")]);
    // It exposes nothing itself, and need not know what passes through it.
    let router = Router::builder("router").bind(&address).await?;
    println!("listening on {}", router.endpoints()[0]);
    router.join().await?; // until SIGINT or SIGTERM
    Ok(())
}
