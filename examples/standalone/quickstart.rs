//! A service and a client in one program.

use daffi::prelude::*;

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Service::builder("calc-service").callbacks(callbacks![add]).bind("tcp://127.0.0.1:0").await?;
    let address = service.endpoints()[0].as_str();
    println!("listening on {address}");

    let client = Client::builder("calc-client").connect(address).await?;
    let sum: i64 = client.rpc().call("add", (3, 4)).await?;
    println!("add(3, 4) = {sum}");
    Ok(())
}
