//! Uploads to `stream_service` what a stream yields: with an answer per chunk, then without.

use std::time::Duration;

use daffi::prelude::*;
use futures::{Stream, stream};
use serde::Deserialize;

#[derive(Deserialize)]
struct Summary {
    chunks: u64,
    bytes: usize,
    sha256: String,
}

/// Chunks are made as they are sent, so an upload may be larger than memory.
fn source(chunks: usize, size: usize) -> impl Stream<Item = Vec<u8>> {
    stream::iter((0..=255).cycle().take(chunks).map(move |byte| vec![byte; size]))
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5009")]);
    let client = Client::builder("stream-client").default_timeout(Duration::from_secs(30)).connect(&address).await?;

    client.stream().send("receive_chunk", source(100, 64 * 1024)).await?;
    show("stream", &client).await?;
    client.stream_nowait().send("receive_chunk", source(1000, 1024)).await?;
    show("stream_nowait", &client).await?;

    client.stop().await;
    Ok(())
}

async fn show(name: &str, client: &Client) -> Result<(), CallError> {
    let Summary { chunks, bytes, sha256 } = client.rpc().call("finish", ()).await?;
    println!("{name}: {chunks} chunks, {bytes} bytes, sha256 {sha256}");
    Ok(())
}
