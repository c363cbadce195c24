//! Four slow calls at once take as long as one when `workers_service` has four workers.

use std::time::{Duration, Instant};

use daffi::prelude::*;
use futures::future::try_join_all;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5010")]);
    let client = Client::builder("workers-client").connect(&address).await?;
    let rpc = client.rpc().timeout(Duration::from_secs(10));

    let started = Instant::now();
    let squares = try_join_all((1..=4).map(|number| rpc.call::<i64>("slow_square", (number,)))).await?;
    let at_once = started.elapsed() < Duration::from_secs(3);
    println!("squares: {}", squares.iter().map(i64::to_string).collect::<Vec<_>>().join(" "));
    println!("at the same time: {}", if at_once { "yes" } else { "no" });

    client.stop().await;
    Ok(())
}
