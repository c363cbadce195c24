//! Sends Python's own types to `pickle_service` and receives them.

use std::{collections::BTreeSet, time::Duration};

use daffi::{prelude::*, value::DateTime};

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5003")]);
    let client = Client::builder("pickle-client").connect(&address).await?;
    let rpc = client.rpc().timeout(Duration::from_secs(5)).serde(FormatId::PICKLE);

    // Dates and decimals can be read as their text.
    let moment = Value::from("2024-02-28T12:30".parse::<DateTime>()?);
    println!("shift: {}", rpc.call::<String>("shift", (moment, 2)).await?);
    let prices = ["9.95", "2.80"].map(|price| Value::Decimal(price.into()));
    println!("total: {}", rpc.call::<String>("total", (prices,)).await?);

    let unique: BTreeSet<i64> = rpc.call("unique", ([3, 1, 3, 2, 1],)).await?;
    println!("unique: {:?}", Vec::from_iter(unique));
    let (number, word): (String, i64) = rpc.call("swap", ((1, "one"),)).await?;
    println!("swap: {number} {word}");

    client.stop().await;
    Ok(())
}
