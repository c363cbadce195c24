//! `inline` where it could not be kept, or says nothing.
#![allow(unused)]

use daffi::{callback, remote};

#[callback(inline)]
async fn quick() {}

struct Counter(u64);

#[callback]
impl Counter {
    pub fn increment(&mut self) {
        self.0 += 1;
    }

    #[callback(ordered, inline)]
    pub fn value(&self) -> u64 {
        self.0
    }
}

#[remote]
trait Calc {
    #[callback(inline)]
    fn add(&self, a: i64, b: i64) -> i64;
}

fn main() {}
