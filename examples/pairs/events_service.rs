//! A service that tells who comes and goes.

use daffi::prelude::*;

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5008")]);
    let service = Service::builder("events-service").bind(&address).await?;
    service.on_member_added(|member| println!("added: {member}"));
    service.on_member_removed(|member| println!("removed: {member}"));
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
