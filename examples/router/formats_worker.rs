//! Gives back what it gets, in whatever format it came.

use daffi::prelude::*;

// A `Value` holds whatever a format can carry. The answer takes the format of the call.
#[callback]
fn echo(value: Value) -> Value {
    value
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let worker = Client::builder("formats-worker").callbacks(callbacks![echo]).connect(&address).await?;
    println!("connected to {address}");
    worker.join().await?;
    Ok(())
}
