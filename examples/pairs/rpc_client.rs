//! Calls the functions of `rpc_service` by name.

use std::{collections::BTreeMap, time::Duration};

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5001")]);
    let client = Client::builder("rpc-client").default_timeout(Duration::from_secs(5)).connect(&address).await?;

    let rpc = client.rpc();
    println!("add: {}", rpc.call::<i64>("add", (1, 2)).await?);
    println!("greet: {}", rpc.call::<String>("greet", ("world",)).await?);
    println!("greet: {}", rpc.call::<String>("greet", args!["world", greeting = "Good morning"]).await?);
    println!("divide: {}", rpc.call::<i64>("divide", (7, 2)).await?);
    match rpc.call::<i64>("divide", (1, 0)).await {
        Err(CallError::Remote { error, .. }) => println!("divide failed: {}", error.message),
        other => println!("divide: {}", other?),
    }
    client.rpc_nowait().call("greet", ("nobody waits",)).await?;

    // A cast goes to all that expose the callback, here to one.
    let sums: BTreeMap<String, Result<i64, CallError>> = client.cast().call("add", (20, 22)).await?;
    println!("cast: {}", sums["rpc-service"].clone()?);

    client.stop().await;
    Ok(())
}
