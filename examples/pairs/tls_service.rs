//! A service behind TLS. README.md shows how to make the certificate.

use daffi::{ServerTls, prelude::*};

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[callback]
fn secret(name: &str) -> String {
    format!("only {name} can read this")
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address, cert, key] =
        daffi_examples::options([("listen", "tls://127.0.0.1:5007"), ("cert", "cert.pem"), ("key", "key.pem")]);
    let service = Service::builder("tls-service")
        .callbacks(callbacks![add, secret])
        .tls(ServerTls::from_files(cert, key)?)
        .bind(&address)
        .await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
