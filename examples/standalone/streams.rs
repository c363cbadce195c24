//! Results one by one, arguments one by one, and both at once, through a router.

use daffi::prelude::*;
use futures::{Stream, StreamExt, TryStreamExt, stream};

#[callback]
fn count(from: u64) -> impl Stream<Item = u64> {
    stream::iter(from..)
}

#[callback]
async fn mean(mut numbers: Incoming<f64>) -> Result<f64, CallError> {
    let (mut sum, mut count) = (0.0, 0.0);
    while let Some(number) = numbers.try_next().await? {
        sum += number;
        count += 1.0;
    }
    Ok(sum / count)
}

#[callback]
fn shout(lines: Incoming<String>) -> impl Stream<Item = Result<String, CallError>> {
    lines.map_ok(|line| line.to_uppercase())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await?;
    let at = router.endpoints()[0].as_str();
    let _worker = Client::builder("worker").callbacks(callbacks![count, mean, shout]).connect(at).await?;
    let caller = Client::builder("caller").connect(at).await?;

    // The callback would never end. Dropping its results ends it.
    let numbers = caller.rpc().results::<u64>("count", (40,)).await?;
    println!("three of many: {:?}", numbers.take(3).try_collect::<Vec<_>>().await?);

    let mean: f64 = caller.rpc().send("mean", (), stream::iter([1.0, 2.0, 6.0])).await?;
    println!("mean: {mean}");

    let (mut say, mut heard) = caller.rpc().duplex::<&str, String>("shout", ()).await?;
    for line in ["hello", "and good bye"] {
        say.send(line).await?;
        println!("heard: {}", heard.try_next().await?.unwrap_or_default());
    }
    say.finish();
    println!("nothing more: {}", heard.try_next().await?.is_none());
    Ok(())
}
