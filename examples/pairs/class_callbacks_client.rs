//! Calls the methods of `class_callbacks_service`; the object at the other end keeps its state.

use std::time::Duration;

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5002")]);
    let client = Client::builder("text-client").default_timeout(Duration::from_secs(5)).connect(&address).await?;

    let rpc = client.rpc();
    println!("upper: {}", rpc.call::<String>("upper", ("daffi",)).await?);
    rpc.call::<()>("set_separator", ("-",)).await?;
    println!("join_words: {}", rpc.call::<String>("join_words", (vec!["a", "b", "c"],)).await?);
    for name in ["reset", "_private"] {
        match rpc.call::<Value>(name, ()).await {
            Err(CallError::ReceiverNotFound { .. }) => println!("{name} is not exported"),
            other => println!("{name}: {}", other?),
        }
    }

    client.stop().await;
    Ok(())
}
