//! Watches a visitor come and go. At `events_service` only the service sees it; at `router` this
//! program does.

use std::time::Duration;

use daffi::{Events, MemberEvent, prelude::*};
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("connect", "tcp://127.0.0.1:5008")]);
    let watcher = Client::builder("watcher").connect(&address).await?;
    let mut events = watcher.events();

    let visitor = Client::builder("visitor").connect(&address).await?;
    show_next(&mut events).await;
    visitor.stop().await;
    show_next(&mut events).await;

    watcher.stop().await;
    Ok(())
}

async fn show_next(events: &mut Events) {
    match tokio::time::timeout(Duration::from_secs(1), events.next()).await {
        Ok(Some(MemberEvent::Added(member))) => println!("added: {member}"),
        Ok(Some(MemberEvent::Removed(member))) => println!("removed: {member}"),
        Ok(other) => println!("{other:?}"),
        Err(_) => println!("nothing heard"),
    }
}
