//! Calls the functions of `rpc_worker` through `router`, as if the router had them.

use std::time::Duration;

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let caller = Client::builder("rpc-caller").default_timeout(Duration::from_secs(5)).connect(&address).await?;

    // Whoever exposes `add`; when several do, they take turns.
    println!("add: {}", caller.rpc().call::<i64>("add", (1, 2)).await?);
    // This one and nobody else.
    let pinned = caller.rpc().receiver("rpc-worker");
    println!("greet: {}", pinned.call::<String>("greet", ("router",)).await?);
    caller.rpc_nowait().call("greet", ("nobody waits",)).await?;

    match caller.rpc().call::<i64>("divide", (1, 0)).await {
        Err(CallError::Remote { receiver, error, .. }) => println!("divide failed on {receiver}: {}", error.message),
        other => println!("divide: {}", other?),
    }
    match caller.rpc().call::<i64>("subtract", (3, 4)).await {
        Err(CallError::ReceiverNotFound { .. }) => println!("nobody exposes subtract"),
        other => println!("subtract: {}", other?),
    }

    caller.stop().await;
    Ok(())
}
