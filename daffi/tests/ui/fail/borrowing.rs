//! Results that borrow from what is lent for the time of a call.
#![allow(unused)]

use std::borrow::Cow;

use daffi::{Context, callback};
use futures::{Stream, stream, stream::BoxStream};

#[callback]
fn rows(query: &str) -> impl Stream<Item = u64> {
    stream::empty()
}

#[callback]
async fn fallible(word: Option<&str>) -> Result<impl Stream<Item = u64>, String> {
    Ok(stream::empty())
}

#[callback]
fn with_context(ctx: &Context) -> Option<impl serde::Serialize> {
    Some(1)
}

#[callback]
fn named<'a>(text: &'a str) -> Cow<'a, str> {
    text.into()
}

struct Api;

#[callback]
impl Api {
    pub fn rows(&self, n: u64) -> impl Stream<Item = u64> {
        stream::iter(0..n)
    }

    pub async fn boxed(&self) -> BoxStream<'_, u64> {
        Box::pin(stream::empty())
    }
}

fn main() {}
