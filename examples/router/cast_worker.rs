//! One of several workers that expose the same callback, each with a part of the data.

use std::collections::BTreeMap;

use daffi::prelude::*;

struct Register {
    born: BTreeMap<&'static str, u32>,
}

#[callback]
impl Register {
    pub fn born(&self, person: &str) -> Result<u32, RemoteError> {
        self.born.get(person).copied().ok_or_else(|| RemoteError::new("LookupError", format!("{person} is not here")))
    }
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address, name] = daffi_examples::options([("connect", "tcp://127.0.0.1:6000"), ("name", "east")]);
    let born = match name.as_str() {
        "east" => [("ada", 1815), ("grace", 1906)],
        _ => [("alan", 1912), ("edsger", 1930)],
    };
    let worker = Client::builder(name).callbacks(Register { born: born.into() }).connect(&address).await?;
    println!("connected to {address}");
    worker.join().await?;
    Ok(())
}
