//! MSGPACK, the default between Rust programs: compact, and bytes may stand inside of other values.

use std::collections::BTreeMap;

use daffi::{Bytes, prelude::*};
use serde::Serialize;

#[derive(Serialize)]
struct Stats {
    min: i64,
    max: i64,
    sum: i64,
}

#[callback]
fn stats(numbers: Vec<i64>) -> Result<Stats, RemoteError> {
    let (Some(&min), Some(&max)) = (numbers.iter().min(), numbers.iter().max()) else {
        return Err(RemoteError::new("ValueError", "no numbers"));
    };
    Ok(Stats { min, max, sum: numbers.iter().sum() })
}

#[callback]
fn byte_sums(files: BTreeMap<String, Bytes>) -> BTreeMap<String, u64> {
    files.into_iter().map(|(name, data)| (name, data.iter().map(|byte| u64::from(*byte)).sum())).collect()
}

#[callback]
fn halves(mut data: Bytes) -> [Bytes; 2] {
    let second = data.split_off(data.len() / 2);
    [data, second]
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5006")]);
    let service =
        Service::builder("msgpack-service").callbacks(callbacks![stats, byte_sums, halves]).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
