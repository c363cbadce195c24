//! A service that takes chunks slower than they come: `slow_sink PAUSE_AT PAUSE_SECONDS
//! BYTES_PER_SECOND`.
//!
//! `receive_chunk(data)` checks that the chunks come in order: each begins with its number as 32
//! bits, little-endian. Before chunk `PAUSE_AT` it pauses once. `BYTES_PER_SECOND` 0 means as fast
//! as it can. `received()` tells chunks, bytes and the number of chunks out of order. Ends with its
//! standard input.

use std::{
    env,
    io::{copy, sink, stdin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use daffi::{BoxError, Service};

#[derive(Default)]
struct Received {
    chunks: AtomicU64,
    bytes: AtomicU64,
    out_of_order: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let numbers = env::args().skip(1).map(|arg| arg.parse()).collect::<Result<Vec<u64>, _>>()?;
    let [pause_at, pause, rate] = numbers[..] else { return Err("three numbers are needed".into()) };
    let taken = Arc::new(Received::default());
    let told = Arc::clone(&taken);
    let service = Service::builder("sink")
        .callback_fn("receive_chunk", move |data: Bytes| {
            let taken = Arc::clone(&taken);
            async move {
                let number = taken.chunks.load(Relaxed);
                if number == pause_at {
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
                if let Some(wait) = (data.len() as u64 * 1_000_000).checked_div(rate) {
                    tokio::time::sleep(Duration::from_micros(wait)).await;
                }
                let begins_with = data.first_chunk().map(|n| u64::from(u32::from_le_bytes(*n)));
                if begins_with != Some(number) {
                    taken.out_of_order.fetch_add(1, Relaxed);
                }
                taken.bytes.fetch_add(data.len() as u64, Relaxed);
                taken.chunks.fetch_add(1, Relaxed);
            }
        })
        .callback_fn("received", move || {
            let numbers = [&told.chunks, &told.bytes, &told.out_of_order].map(|n| n.load(Relaxed));
            async move { numbers }
        })
        .bind("tcp://127.0.0.1:0")
        .await?;
    println!("{}", service.endpoints()[0]);
    let (ended, end) = tokio::sync::oneshot::channel();
    thread::spawn(move || ended.send(copy(&mut stdin(), &mut sink()).map(drop)));
    end.await??;
    service.stop().await;
    Ok(())
}
