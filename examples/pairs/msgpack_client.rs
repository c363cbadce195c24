//! Calls `msgpack_service` in MSGPACK.

use std::{collections::BTreeMap, time::Duration};

use daffi::{Bytes, prelude::*};
use daffi_examples::hex;
use serde::Deserialize;

#[derive(Deserialize)]
struct Stats {
    min: i64,
    max: i64,
    sum: i64,
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5006")]);
    let client = Client::builder("msgpack-client").connect(&address).await?;
    let rpc = client.rpc().timeout(Duration::from_secs(5)).serde(FormatId::MSGPACK);

    let Stats { min, max, sum } = rpc.call("stats", ([3, -1, 10],)).await?;
    println!("stats: {min} {max} {sum}");

    let files = BTreeMap::from([("a.txt", Bytes::from("hello")), ("b.bin", Bytes::from(vec![0, 255]))]);
    let sums: BTreeMap<String, u64> = rpc.call("byte_sums", (files,)).await?;
    for (name, sum) in sums {
        println!("byte sum of {name}: {sum}");
    }

    let [first, second]: [Bytes; 2] = rpc.call("halves", (vec![1_u8, 2, 3],)).await?;
    println!("halves: {} {}", hex(&first), hex(&second));

    client.stop().await;
    Ok(())
}
