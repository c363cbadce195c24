//! PICKLE, the default towards Python, carries dates, decimals, sets and tuples as what they are.

use std::collections::BTreeSet;

use bigdecimal::BigDecimal;
use chrono::{Days, NaiveDateTime};
use daffi::{prelude::*, value::DateTime};

// Dates and decimals are read into any type that reads their text; to give them back as such takes
// a `Value`.
#[callback]
fn shift(moment: NaiveDateTime, days: u64) -> Result<Value, Box<dyn std::error::Error>> {
    let moment = moment.checked_add_days(Days::new(days)).ok_or("beyond the calendar")?;
    Ok(moment.format("%FT%T%.6f").to_string().parse::<DateTime>()?.into())
}

#[callback]
fn total(prices: Vec<BigDecimal>) -> Value {
    Value::Decimal(prices.iter().sum::<BigDecimal>().to_string().into())
}

#[callback]
fn unique(items: BTreeSet<i64>) -> Value {
    items.into()
}

#[callback]
fn swap(pair: (Value, Value)) -> (Value, Value) {
    (pair.1, pair.0)
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5003")]);
    let service =
        Service::builder("pickle-service").callbacks(callbacks![shift, total, unique, swap]).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
