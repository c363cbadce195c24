//! A picker: calls with the same key go to the same worker, which may so remember something about
//! it.

use std::collections::HashMap;

use daffi::{StickyByKey, prelude::*};

/// How often each user came to this worker.
#[derive(Default)]
struct Visits(HashMap<String, u32>);

#[callback]
impl Visits {
    pub fn visit(&mut self, user: String) -> u32 {
        let count = self.0.entry(user).or_default();
        *count += 1;
        *count
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let router = Router::builder("front-door").bind("tcp://127.0.0.1:0").await?;
    let at = router.endpoints()[0].as_str();
    let mut workers = vec![];
    for name in ["worker-1", "worker-2", "worker-3"] {
        workers.push(Client::builder(name).callbacks(Visits::default()).connect(at).await?);
    }

    let caller = Client::builder("caller").picker(StickyByKey::default()).connect(at).await?;
    for user in ["user-17", "user-18"] {
        // In turns, each worker would take each of these for the first visit.
        for _ in 0..3 {
            let visits: u32 = caller.rpc().key(user).call("visit", (user,)).await?;
            println!("{user}: visit {visits}");
        }
    }
    Ok(())
}
