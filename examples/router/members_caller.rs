//! Starts before the workers do, and waits until those it needs are there.

use std::time::Duration;

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let caller = Client::builder("members-caller").default_timeout(Duration::from_secs(5)).connect(&address).await?;

    println!("waiting for east and west");
    caller.wait_for_members(&["east", "west"], None).await?;
    for name in ["east", "west"] {
        println!("{}", caller.rpc().receiver(name).call::<String>("status", ()).await?);
    }

    match caller.wait_for_members(&["north"], Some(Duration::from_secs(1))).await {
        Err(CallError::Timeout { .. }) => println!("north did not come within a second"),
        other => other?,
    }

    caller.stop().await;
    Ok(())
}
