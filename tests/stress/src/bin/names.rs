//! Names without end: `names COUNT`. So many nodes join a router one after another, each under a
//! name of its own and with a callback of its own that is called once, and leave. Fails when the
//! memory of all that grows after the first tenth.

use std::{
    env, process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use daffi::{BoxError, Client, Router, metrics};
use daffi_stress::resident_of;
use tokio::task::JoinSet;

/// Nodes that are there at once.
const AT_ONCE: usize = 8;
/// What the allocator may keep: more than a few nodes, and less than a name of each.
const SLACK: usize = 24 << 20;
/// Callbacks that are told apart, and the rest as one.
const COUNTED: usize = 1001;

/// One node after another, until all have been there.
async fn come_and_go(at: String, task: usize, begun: Arc<AtomicUsize>, count: usize) -> Result<(), BoxError> {
    let caller = Client::builder(format!("caller-{task}")).connect(&at).await?;
    while begun.fetch_add(1, Relaxed) < count {
        let (name, callback) = (format!("n{:032x}", fastrand::u128(..)), format!("c{:032x}", fastrand::u128(..)));
        let node = Client::builder(&name).callback_fn(&callback, || async { 7 }).connect(&at).await?;
        let seven: i64 = caller.rpc().receiver(&name).wait_for_receiver().call(&callback, ()).await?;
        assert_eq!(seven, 7);
        node.stop().await;
    }
    caller.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let count: usize = env::args().nth(1).ok_or("names COUNT: how many nodes is needed")?.parse()?;
    let router = Router::builder("router").bind("mem://names").await?;
    let begun = Arc::new(AtomicUsize::new(0));
    let since = Instant::now();
    let mut first = 0;
    for part in 1..=10 {
        let mut tasks = JoinSet::new();
        for task in 0..AT_ONCE {
            tasks.spawn(come_and_go("mem://names".into(), task, Arc::clone(&begun), count * part / 10));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        begun.store(count * part / 10, Relaxed);
        let (resident, stats) = (resident_of(process::id()), router.stats());
        let text = metrics::of_router(&stats).len();
        println!("{} names after {:.0?}: {} KiB resident", count * part / 10, since.elapsed(), resident >> 10);
        assert!(stats.callbacks.len() <= COUNTED, "{} callbacks are told apart", stats.callbacks.len());
        assert!(text < 16 << 20, "metrics of {text} bytes");
        if part == 1 {
            first = resident;
        }
        assert!(resident < first + SLACK, "{resident} bytes are resident, and {first} were after a tenth");
    }
    router.stop().await;
    Ok(())
}
