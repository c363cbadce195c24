//! Tower middleware around the calling side: retries, and a limit on the rate of calls.

use std::time::{Duration, Instant};

use daffi::{BoxError, Rpc, prelude::*, tower::Call};
use tokio::time::{Sleep, sleep};
use tower::{ServiceBuilder, retry::Policy};

/// Makes a call again, up to so many times, while the shop is busy.
#[derive(Clone)]
struct WhileBusy(u32);

impl<Answer> Policy<Call, Answer, BoxError> for WhileBusy {
    type Future = Sleep;

    fn retry(&mut self, _: &mut Call, result: &mut Result<Answer, BoxError>) -> Option<Sleep> {
        let error = result.as_ref().err()?.downcast_ref::<CallError>()?.remote()?;
        self.0 = self.0.checked_sub(1)?;
        (error.class == "Busy").then(|| sleep(Duration::from_millis(10)))
    }

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        Some(call.clone())
    }
}

struct Shop {
    visits: u32,
}

#[callback]
impl Shop {
    /// Busy at first.
    pub fn order(&mut self, item: &str) -> Result<String, RemoteError> {
        self.visits += 1;
        if self.visits < 3 { Err(RemoteError::new("Busy", "come back later")) } else { Ok(format!("one {item}")) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let service = Service::builder("shop").callbacks(Shop { visits: 0 }).bind("tcp://127.0.0.1:0").await?;
    let client = Client::builder("customer").connect(service.endpoints()[0].as_str()).await?;

    let stack = ServiceBuilder::new()
        .retry(WhileBusy(5))
        .buffer(16) // a rate limit is one for all: behind the buffer, which may be cloned
        .rate_limit(4, Duration::from_millis(200))
        .service(client.into_service());
    let rpc = Rpc::over(stack).timeout(Duration::from_secs(5));

    let started = Instant::now();
    let order: String = rpc.call("order", ("tea",)).await?;
    println!("after two refusals: {order}");
    for _ in 0..4 {
        let _order: String = rpc.call("order", ("tea",)).await?;
    }
    // Seven calls with those refused: the last three waited for the next 200 ms.
    println!("held back: {}", started.elapsed() > Duration::from_millis(200));
    Ok(())
}
