//! Takes uploads; one of several workers that do.

use daffi::prelude::*;
use sha2::{Digest, Sha256};

#[derive(Default)]
struct Upload {
    bytes: usize,
    digest: Sha256,
}

#[callback]
impl Upload {
    pub fn receive_chunk(&mut self, data: &[u8]) {
        self.bytes += data.len();
        self.digest.update(data);
    }

    /// What arrived since the last finish.
    pub fn finish(&mut self) -> String {
        let Self { bytes, digest } = std::mem::take(self);
        format!("{bytes} bytes, sha256 {}", daffi_examples::hex(&digest.finalize()))
    }
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address, name] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000"), ("name", "east")]);
    let worker = Client::builder(name).callbacks(Upload::default()).connect(&address).await?;
    println!("connected to {address}");
    worker.join().await?;
    Ok(())
}
