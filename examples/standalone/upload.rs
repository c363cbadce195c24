//! An upload of any size, in pieces: `upload [FILE]`. Neither end holds more than a few of them.

use std::io;

use bytes::Bytes;
use daffi::prelude::*;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncReadExt};

/// Bytes of one piece.
const PIECE: usize = 256 * 1024;

#[callback]
async fn store(name: String, mut pieces: Incoming<Bytes>) -> Result<String, CallError> {
    let (mut bytes, mut hash) = (0, Sha256::new());
    while let Some(piece) = pieces.try_next().await? {
        bytes += piece.len();
        hash.update(&piece);
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{name}: {bytes} bytes, sha256 {digest}"))
}

/// What is in a file, piece by piece. An error of the file gives the call up.
async fn pieces(path: &str) -> io::Result<impl Stream<Item = io::Result<Bytes>> + use<>> {
    let file = File::open(path).await?;
    Ok(stream::try_unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok((read > 0).then(|| (piece.into(), file)))
    }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = " [FILE]";
    let files = daffi_examples::arguments(usage);
    if files.len() > 1 {
        daffi_examples::refuse("one file is sent at a time", usage);
    }
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await?;
    let at = router.endpoints()[0].as_str();
    let _worker = Client::builder("store").callbacks(callbacks![store]).connect(at).await?;
    let caller = Client::builder("caller").connect(at).await?;

    let rpc = caller.rpc().serde(FormatId::MSGPACK);
    let answer: String = match files.first() {
        Some(path) => rpc.try_send("store", (path.clone(),), pieces(path).await?).await?,
        None => {
            let zeros = stream::repeat(Bytes::from(vec![0; PIECE])).take(256);
            rpc.send("store", ("64 MiB of zeros",), zeros).await?
        }
    };
    println!("{answer}");
    Ok(())
}
