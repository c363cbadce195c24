//! The caller chooses the format of each call. A router reads none of them: it passes the bytes on.

use std::{collections::BTreeMap, time::Duration};

use daffi::{Bytes, prelude::*};
use daffi_examples::hex;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let caller = Client::builder("formats-caller").connect(&address).await?;
    let rpc = |format| caller.rpc().timeout(Duration::from_secs(5)).serde(format);

    // Python's own types.
    let price: String = rpc(FormatId::PICKLE).call("echo", (Value::Decimal("9.95".into()),)).await?;
    println!("PICKLE: {price}");
    // What JSON has; no bytes.
    let user: serde_json::Value = rpc(FormatId::JSON).call("echo", (BTreeMap::from([("name", "Ada")]),)).await?;
    println!("JSON: {user}");
    // Compact; bytes may stand inside of other values.
    let files = BTreeMap::from([("a.bin", Bytes::from(vec![0, 255]))]);
    let files: BTreeMap<String, Bytes> = rpc(FormatId::MSGPACK).call("echo", (files,)).await?;
    println!("MSGPACK: a.bin is {}", hex(&files["a.bin"]));
    // One argument, as it is.
    let raw: Bytes = rpc(FormatId::OPAQUE).call("echo", (vec![1_u8, 2, 3],)).await?;
    println!("OPAQUE: {}", hex(&raw));

    caller.stop().await;
    Ok(())
}
