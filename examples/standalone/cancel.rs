//! Calls that are given up: what was asked for stops, and others get its place.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use daffi::prelude::*;
use tokio::{sync::Semaphore, time::sleep};

/// Searches that have begun.
static BEGUN: Semaphore = Semaphore::const_new(0);
static GIVEN_UP: AtomicUsize = AtomicUsize::new(0);

/// Looks for as long as somebody waits for what it finds.
#[callback]
async fn search(ctx: Context, what: String) -> Option<String> {
    BEGUN.add_permits(1);
    tokio::select! {
        () = sleep(Duration::from_secs(600)) => Some(format!("{what} was under the sofa")),
        () = ctx.cancelled() => {
            GIVEN_UP.fetch_add(1, Relaxed);
            None
        }
    }
}

/// A callback that has nothing to tidy up: its future is dropped where it waits.
#[callback(cancel = "drop")]
async fn dig(what: String) -> String {
    struct Hole;
    impl Drop for Hole {
        fn drop(&mut self) {
            GIVEN_UP.fetch_add(1, Relaxed);
        }
    }
    let _hole = Hole;
    sleep(Duration::from_secs(600)).await;
    format!("{what} was below the tree")
}

#[callback]
fn given_up() -> usize {
    GIVEN_UP.load(Relaxed)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await?;
    let at = router.endpoints()[0].as_str();
    // One callback at a time, so that `given_up` runs when the one before it has ended.
    let _worker = Client::builder("worker").callbacks(callbacks![search, dig, given_up]).connect(at).await?;
    let caller = Client::builder("caller").connect(at).await?;
    let rpc = caller.rpc();
    let count = || rpc.call::<usize>("given_up", ());

    // Whichever comes first: the other is dropped, which gives it up.
    tokio::select! {
        found = rpc.call::<Option<String>>("search", ("the key",)) => println!("{:?}", found?),
        begun = BEGUN.acquire() => {
            begun?.forget();
            println!("the key is looked for, and not needed any more");
        }
    }
    println!("given up: {}", count().await?);

    let late = caller.rpc().timeout(Duration::from_millis(500)).call::<String>("dig", ("the treasure",)).await;
    println!("no treasure in time: {}", late.is_err());
    println!("given up: {}", count().await?);

    // Who calls may vanish as well, with its whole process.
    let visitor = Client::builder("visitor").connect(at).await?;
    let asking = tokio::spawn(async move { visitor.rpc().call::<Option<String>>("search", ("the cat",)).await });
    BEGUN.acquire().await?.forget();
    asking.abort();
    println!("given up: {}", count().await?);
    Ok(())
}
