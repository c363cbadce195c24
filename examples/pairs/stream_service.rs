//! Takes an upload chunk by chunk.

use daffi::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

#[derive(Default)]
struct Upload {
    chunks: u64,
    bytes: usize,
    digest: Sha256,
}

#[derive(Serialize)]
struct Summary {
    chunks: u64,
    bytes: usize,
    sha256: String,
}

#[callback]
impl Upload {
    pub fn receive_chunk(&mut self, data: &[u8]) {
        self.chunks += 1;
        self.bytes += data.len();
        self.digest.update(data);
    }

    /// What arrived since the last finish.
    pub fn finish(&mut self) -> Summary {
        let Self { chunks, bytes, digest } = std::mem::take(self);
        Summary { chunks, bytes, sha256: daffi_examples::hex(&digest.finalize()) }
    }
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5009")]);
    let service = Service::builder("stream-service").callbacks(Upload::default()).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
