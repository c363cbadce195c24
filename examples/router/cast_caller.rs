//! Asks all workers at once: whoever has the answer gives it, the others say why not.

use std::{collections::BTreeMap, time::Duration};

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000")]);
    let caller = Client::builder("cast-caller").default_timeout(Duration::from_secs(5)).connect(&address).await?;

    println!("all are asked for ada");
    show(caller.cast().call("born", ("ada",)).await?);
    println!("west is asked for alan");
    show(caller.cast().receivers(["west"]).call("born", ("alan",)).await?);
    // To all, and nobody waits.
    caller.cast_nowait().call("born", ("grace",)).await?;

    caller.stop().await;
    Ok(())
}

/// One worker's failure is no failure of the others.
fn show(answers: BTreeMap<String, Result<u32, CallError>>) {
    for (worker, answer) in answers {
        match answer {
            Ok(year) => println!("{worker}: {year}"),
            Err(CallError::Remote { error, .. }) => println!("{worker}: {}", error.message),
            Err(error) => println!("{worker} did not answer: {error}"),
        }
    }
}
