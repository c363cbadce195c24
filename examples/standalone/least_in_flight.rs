//! A picker: calls go to the worker that has the fewest of them open, not to the next in turn.

use std::time::Duration;

use daffi::{LeastInFlight, prelude::*};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let router = Router::builder("kitchen").bind("tcp://127.0.0.1:0").await?;
    let at = router.endpoints()[0].as_str();
    let mut cooks = vec![];
    for name in ["anna", "bert"] {
        let cook = move |ms| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            name
        };
        cooks.push(Client::builder(name).callback_fn("cook", cook).connect(at).await?);
    }

    let waiter = Client::builder("waiter").picker(LeastInFlight::default()).connect(at).await?;
    let rpc = waiter.rpc();
    let roast = rpc.call::<String>("cook", (1000,));
    let salads = async {
        // In turns, the second of these would queue behind the roast.
        let mut cooks = vec![];
        for _ in 0..3 {
            cooks.push(rpc.call::<String>("cook", (1,)).await?);
        }
        Ok::<_, CallError>(cooks)
    };
    let (roast, salads) = tokio::try_join!(roast, salads)?;
    println!("{} salads by another cook than the roast", salads.iter().filter(|cook| **cook != roast).count());
    Ok(())
}
