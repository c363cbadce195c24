//! Sends raw bytes and text to `opaque_service`. A number arrives as its text.

use std::time::Duration;

use daffi::{Bytes, prelude::*};
use daffi_examples::hex;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5005")]);
    let client = Client::builder("opaque-client").connect(&address).await?;
    let rpc = client.rpc().timeout(Duration::from_secs(5)).serde(FormatId::OPAQUE);

    println!("reverse: {}", hex(&rpc.call::<Vec<u8>>("reverse", (vec![0_u8, 1, 2, 255],)).await?));
    println!("shout: {}", rpc.call::<String>("shout", ("hello",)).await?);
    println!("shout: {}", rpc.call::<String>("shout", (42,)).await?);
    // `Bytes` are sent from where they are, without a copy.
    println!("size: {}", rpc.call::<u64>("size", (Bytes::from(vec![0; 1_000_000]),)).await?);

    client.stop().await;
    Ok(())
}
