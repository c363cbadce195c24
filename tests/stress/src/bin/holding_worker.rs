//! A worker of a router that keeps its callers waiting: `holding_worker ENDPOINT NAME`. `hold()`
//! never ends. Its first line is its name. Ends with its standard input.

use std::{
    env,
    io::{copy, sink, stdin},
};

use daffi::{BoxError, Client};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [endpoint, name] = &arguments[..] else { return Err("an endpoint and a name are needed".into()) };
    let worker = Client::builder(name).callback_fn("hold", std::future::pending::<()>).connect(endpoint).await?;
    println!("{name}");
    tokio::task::spawn_blocking(|| copy(&mut stdin(), &mut sink())).await??;
    worker.stop().await;
    Ok(())
}
