//! Calls a pool of two workers, one in Rust and one in Python, which take turns.

use std::{collections::BTreeMap, time::Duration};

use daffi::prelude::*;
use futures::future::try_join_all;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let caller = Client::builder("pool-caller").default_timeout(Duration::from_secs(10)).connect(&address).await?;
    caller.wait_for_members(&["rust-worker", "python-worker"], Some(Duration::from_secs(10))).await?;

    // A hundred calls at once.
    let rpc = caller.rpc();
    let languages: Vec<String> = try_join_all((0..100).map(|_| rpc.call("language", ()))).await?;

    let mut counts = BTreeMap::<_, usize>::new();
    for language in languages {
        *counts.entry(language).or_default() += 1;
    }
    for (language, calls) in counts {
        println!("{language}: {calls} calls");
    }

    caller.stop().await;
    Ok(())
}
