//! Calls `tls_service` after verifying its certificate.

use std::time::Duration;

use daffi::{ClientTls, prelude::*};

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address, ca] = daffi_examples::options([("connect", "tls://127.0.0.1:5007"), ("ca", "cert.pem")]);
    let client = Client::builder("tls-client")
        .tls(ClientTls::ca_file(ca)?)
        .default_timeout(Duration::from_secs(5))
        .connect(&address)
        .await?;

    println!("add: {}", client.rpc().call::<i64>("add", (1, 2)).await?);
    println!("secret: {}", client.rpc().call::<String>("secret", ("tls-client",)).await?);

    client.stop().await;
    Ok(())
}
