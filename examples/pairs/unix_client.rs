//! Calls `unix_service` over its socket file.

use std::time::Duration;

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "unix:///tmp/daffi-unix.sock")]);
    let client = Client::builder("unix-client").default_timeout(Duration::from_secs(5)).connect(&address).await?;

    println!("add: {}", client.rpc().call::<i64>("add", (40, 2)).await?);
    println!("greet: {}", client.rpc().call::<String>("greet", ("unix",)).await?);

    client.stop().await;
    Ok(())
}
