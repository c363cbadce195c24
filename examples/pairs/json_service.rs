//! Functions that take and return what JSON can hold: structs of your own.

use daffi::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct User {
    name: String,
    age: u32,
    tags: Vec<String>,
}

#[derive(Serialize)]
struct Description {
    name: String,
    adult: bool,
    tags: Vec<String>,
    boss: Option<String>,
}

#[callback]
fn describe(mut user: User) -> Description {
    user.tags.sort();
    Description { name: title(&user.name), adult: user.age >= 18, tags: user.tags, boss: None }
}

#[callback]
fn average(numbers: Vec<f64>) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn title(name: &str) -> String {
    let mut within_word = false;
    let letter = |c: char| {
        let starts = !std::mem::replace(&mut within_word, c.is_alphabetic());
        if starts { c.to_uppercase().to_string() } else { c.to_lowercase().to_string() }
    };
    name.chars().map(letter).collect()
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5004")]);
    let service = Service::builder("json-service").callbacks(callbacks![describe, average]).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
