//! OPAQUE hands bytes and text on as they are; a function takes exactly one argument then.

use daffi::prelude::*;

#[callback]
fn reverse(mut data: Vec<u8>) -> Vec<u8> {
    data.reverse();
    data
}

#[callback]
fn shout(text: &str) -> String {
    text.to_uppercase() + "!"
}

#[callback]
fn size(data: &[u8]) -> usize {
    data.len()
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5005")]);
    let service = Service::builder("opaque-service").callbacks(callbacks![reverse, shout, size]).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
