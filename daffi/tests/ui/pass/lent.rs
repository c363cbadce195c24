//! Parameters that are lent to the function, and lifetimes.
#![deny(unused, warnings)]

use std::{borrow::Cow, collections::BTreeMap};

use daffi::{Context, callback, callbacks, remote};

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Point {
    x: i64,
}

#[callback]
fn named<'a, 'b: 'a>(text: &'a str, data: &'b [u8], ctx: &Context) -> usize {
    text.len() + data.len() + ctx.caller().len()
}

#[callback]
async fn optional(text: Option<&str>, data: Option<&[u8]>, #[default(Some("x".into()))] more: Option<&str>) -> usize {
    text.map_or(0, str::len) + data.map_or(0, <[u8]>::len) + more.map_or(0, str::len)
}

#[callback]
async fn whole(point: &Point, numbers: &[i64], texts: &[String], map: &BTreeMap<String, i64>, s: &String) -> i64 {
    point.x + numbers.iter().sum::<i64>() + (texts.len() + map.len() + s.len()) as i64
}

#[callback]
fn defaulted(#[default(Point { x: 1 })] point: &Point, #[default(&[1, 2])] numbers: &[i64]) -> i64 {
    point.x + numbers.iter().sum::<i64>()
}

#[callback]
fn cow(text: Cow<'_, str>, other: Cow<'static, [i64]>) -> usize {
    text.len() + other.len()
}

pub struct Api;

#[callback]
impl Api {
    pub fn find<'a>(&self, needle: &'a str, points: &[Point]) -> usize {
        needle.len() + points.len()
    }

    pub async fn later(&self, point: &Point, ctx: &Context) -> usize {
        ctx.caller().len() + point.x as usize
    }
}

#[remote]
trait Search {
    async fn find<'a>(&self, needle: &'a str, points: &[Point], limit: Option<&str>) -> usize;
    async fn store(&self, data: &[u8], more: Option<&[u8]>, ctx: &Context) -> usize;
}

impl Search for Api {
    async fn find<'a>(&self, needle: &'a str, points: &[Point], limit: Option<&str>) -> usize {
        needle.len() + points.len() + limit.map_or(0, str::len)
    }

    async fn store(&self, data: &[u8], more: Option<&[u8]>, ctx: &Context) -> usize {
        data.len() + more.map_or(0, <[u8]>::len) + ctx.caller().len()
    }
}

fn main() {
    assert_eq!(callbacks![named, optional, whole, defaulted, cow].and(Api).len(), 7);
    assert_eq!(Search::into_callbacks(Api).len(), 2);
    let _ = SearchClient::new;
}
