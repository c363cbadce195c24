//! Calls `json_service` in JSON.

use std::time::Duration;

use daffi::prelude::*;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5004")]);
    let client = Client::builder("json-client").connect(&address).await?;
    let rpc = client.rpc().timeout(Duration::from_secs(5)).serde(FormatId::JSON);

    let user = json!({"name": "ada lovelace", "age": 36, "tags": ["poet", "math"]});
    println!("describe: {}", rpc.call::<serde_json::Value>("describe", (user,)).await?);
    println!("average: {}", rpc.call::<f64>("average", ([1.0, 2.0, 4.5],)).await?);

    client.stop().await;
    Ok(())
}
