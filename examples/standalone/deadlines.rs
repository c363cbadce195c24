//! A timeout that travels: what is set at the first of three nodes ends the work at the third.
//! Headers go the same way.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use daffi::prelude::*;

static ENDED: AtomicUsize = AtomicUsize::new(0);

#[callback]
async fn front(ctx: Context, job: String) -> Result<String, CallError> {
    let tenant = ctx.header("tenant").unwrap_or("nobody");
    let node = ctx.node().expect("a worker behind a router is a client");
    // This call has no more time than is left of the one that it is made for.
    node.rpc().header("tenant", tenant).call("back", (job,)).await
}

#[callback]
async fn back(ctx: Context, job: String) -> Result<String, String> {
    if job == "an endless job" {
        // Until its time is up, or its caller gives it up.
        ctx.cancelled().await;
        ENDED.fetch_add(1, Ordering::Relaxed);
        return Err("nobody waits any more".into());
    }
    Ok(format!("{job} for {}", ctx.header("tenant").unwrap_or("nobody")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await?;
    let at = router.endpoints()[0].as_str();
    let _front = Client::builder("front-node").callbacks(callbacks![front]).connect(at).await?;
    let _back = Client::builder("back-node").callbacks(callbacks![back]).connect(at).await?;
    let caller = Client::builder("caller").connect(at).await?;

    let rpc = caller.rpc().header("tenant", "blue");
    println!("{}", rpc.call::<String>("front", ("a quick job",)).await?);

    let late = rpc.timeout(Duration::from_millis(300)).call::<String>("front", ("an endless job",)).await;
    // Its own clock says so, or that of a node behind it, when both ring at once.
    println!("the caller waits no more: {}", late.is_err());
    // The node in the back runs one callback at a time, so that this one waited for the end of the
    // other.
    println!("{}", caller.rpc().call::<String>("back", ("the next job",)).await?);
    println!("endless jobs that ended: {}", ENDED.load(Ordering::Relaxed));
    Ok(())
}
