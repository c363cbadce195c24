//! A worker that comes when it comes; `members_caller` waits for it.

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address, name] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000"), ("name", "east")]);
    let answer = format!("ready in the {name}");
    let status = move || std::future::ready(answer.clone());
    let worker = Client::builder(name).callback_fn("status", status).connect(&address).await?;
    println!("connected to {address}");
    worker.join().await?;
    Ok(())
}
