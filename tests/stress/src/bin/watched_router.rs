//! A router that tells over HTTP what it does: `watched_router`. Its first line is where it listens
//! and where it tells, with a blank between. Ends with its standard input.

use std::io::stdin;

use daffi::{BoxError, Router};
use daffi_admin::Admin;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await?;
    let admin = Admin::of_router(&router).bind("127.0.0.1:0").await?;
    println!("{} {}", router.endpoints()[0], admin.local_addr());
    tokio::task::spawn_blocking(|| stdin().lines().try_for_each(|line| line.map(drop))).await??;
    router.stop().await;
    Ok(())
}
