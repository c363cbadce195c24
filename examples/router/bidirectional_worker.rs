//! A worker that, while it works for somebody, calls a callback of theirs.

use daffi::prelude::*;

/// `customer` is the name of the node that wants to hear of the progress.
#[callback]
async fn bake(context: Context, cakes: u32, customer: &str) -> Result<String, Box<dyn std::error::Error>> {
    // The connection that the call came on carries calls the other way, too.
    let worker = context.node()?;
    for cake in 1..=cakes {
        worker.rpc().receiver(customer).call::<()>("progress", (format!("{cake} of {cakes}"),)).await?;
    }
    Ok(format!("{cakes} cakes"))
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let worker = Client::builder("baker").callbacks(callbacks![bake]).connect(&address).await?;
    println!("connected to {address}");
    worker.join().await?;
    Ok(())
}
