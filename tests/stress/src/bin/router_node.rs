//! A router: `router_node SLOW_PEER_SECONDS`. Answers each line of its standard input with its
//! counts: members, open calls, held requests, dropped replies, refused calls, dropped requests.
//! Ends with its standard input.

use std::{
    env,
    io::{BufRead, stdin},
    time::Duration,
};

use daffi::{BoxError, Router};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let seconds = env::args().nth(1).ok_or("slow_peer_timeout in seconds is needed")?.parse()?;
    let router = Router::builder("router")
        .configure(|config| config.slow_peer_timeout = Duration::from_secs_f64(seconds))
        .bind("tcp://127.0.0.1:0")
        .await?;
    println!("{}", router.endpoints()[0]);
    let told = router.clone();
    tokio::task::spawn_blocking(move || {
        for line in stdin().lock().lines() {
            line?;
            let s = told.stats();
            let counts = [s.dropped_replies, s.refused_calls, s.dropped_requests].map(|count| count.to_string());
            println!("{} {} {} {}", s.members, s.open_calls, s.held_requests, counts.join(" "));
        }
        Ok::<_, std::io::Error>(())
    })
    .await??;
    router.stop().await;
    Ok(())
}
