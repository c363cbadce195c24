//! What `callbacks![..]` does not take.
#![allow(unused)]

use daffi::{callback, callbacks};

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn plain() {}

struct NotACallback;

fn main() {
    callbacks![add, |a: i64| a, add(1, 2), "add", 3];
    callbacks![plain];
    callbacks![NotACallback];
}
