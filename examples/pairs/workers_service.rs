//! Runs up to four callbacks at the same time.

use std::time::Duration;

use daffi::prelude::*;

#[callback]
async fn slow_square(number: i64) -> i64 {
    tokio::time::sleep(Duration::from_secs(1)).await;
    number * number
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5010")]);
    let service =
        Service::builder("workers-service").workers(4).callbacks(callbacks![slow_square]).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
