//! One trait for both ends: the compiler checks the calls and the service.

use daffi::prelude::*;

#[remote]
trait Calc {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn divide(&self, a: i64, b: i64) -> Result<i64, RemoteError>;
}

struct Machine;

impl Calc for Machine {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn divide(&self, a: i64, b: i64) -> Result<i64, RemoteError> {
        a.checked_div(b).ok_or_else(|| RemoteError::new("ZeroDivisionError", "division by zero"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let service =
        Service::builder("calc-service").callbacks(Machine.into_callbacks()).bind("tcp://127.0.0.1:0").await?;
    let client = Client::builder("calc-client").connect(service.endpoints()[0].as_str()).await?;

    let calc = CalcClient::new(client);
    println!("add(3, 4) = {}", calc.add(3, 4).await?);
    println!("divide(7, 2) = {}", calc.divide(7, 2).await?);
    if let Err(error) = calc.divide(1, 0).await {
        println!("{error}");
    }
    Ok(())
}
