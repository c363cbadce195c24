//! Uploads through a router: to one worker with an answer per chunk, to another without.

use std::time::Duration;

use daffi::prelude::*;
use futures::{Stream, stream};

/// Chunks are made as they are sent, so an upload may be larger than memory.
fn source(chunks: usize, size: usize) -> impl Stream<Item = Vec<u8>> {
    stream::iter((0..=255).cycle().take(chunks).map(move |byte| vec![byte; size]))
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let caller = Client::builder("stream-caller").default_timeout(Duration::from_secs(30)).connect(&address).await?;

    // A stream has one receiver for all its chunks. Whoever has to ask about it later names that
    // receiver.
    caller.stream().receiver("east").send("receive_chunk", source(100, 64 * 1024)).await?;
    caller.stream_nowait().receiver("west").send("receive_chunk", source(1000, 1024)).await?;
    for name in ["east", "west"] {
        println!("{name}: {}", caller.rpc().receiver(name).call::<String>("finish", ()).await?);
    }

    caller.stop().await;
    Ok(())
}
