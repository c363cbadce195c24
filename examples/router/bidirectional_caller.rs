//! Calls, and is called back before it has its answer: any node behind a router may do both.

use std::time::Duration;

use daffi::prelude::*;

#[callback]
fn progress(text: &str) {
    println!("progress: {text}");
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let caller = Client::builder("customer").callbacks(callbacks![progress]).connect(&address).await?;

    // This call is open while `progress` runs. Two callbacks that wait for each other would wait
    // for a timeout.
    let rpc = caller.rpc().timeout(Duration::from_secs(10));
    println!("bake: {}", rpc.call::<String>("bake", (3, "customer")).await?);

    caller.stop().await;
    Ok(())
}
