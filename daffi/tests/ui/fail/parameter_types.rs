//! Types that can't travel, pointed at.
#![allow(unused)]

use std::rc::Rc;

use daffi::{Context, callback};

struct NotRead;
struct NotWritten;
struct NotShown;

#[callback]
fn takes(a: i64, b: NotRead) {
    let _ = (a, b);
}

#[callback]
fn gives() -> NotWritten {
    NotWritten
}

#[callback]
async fn fails() -> Result<i64, NotShown> {
    Err(NotShown)
}

#[callback]
async fn not_send() {
    let here = Rc::new(1);
    tokio::task::yield_now().await;
    drop(here);
}

#[derive(serde::Deserialize)]
struct Number(i64);

#[callback]
fn wrong_default(#[default("ten")] number: Number) {
    let _ = number;
}

mod other {
    pub struct Context;
}

#[callback]
fn wrong_context(ctx: other::Context) {
    let _: Option<Context> = None;
    drop(ctx);
}

fn main() {}
