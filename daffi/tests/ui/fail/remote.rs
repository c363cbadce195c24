//! Traits that can't be remote.
#![allow(unused)]

use daffi::remote;

#[remote(name = "x")]
trait Options {
    async fn run(&self);
}

#[remote]
trait Generic<T> {
    async fn run(&self, value: T);
}

#[remote]
trait Empty {}

#[remote]
trait Methods {
    const LIMIT: usize;
    async fn change(&mut self);
    async fn associated();
    async fn with(&self);
    async fn callbacks_of(&self);
    async fn provided(&self) {}
    fn future(&self) -> impl Future<Output = i64>;
    fn alias(&self) -> std::fmt::Result;
    async fn generic<T>(&self, value: T);
    async fn pattern(&self, _: i64);
}

#[remote]
struct Thing;

fn main() {}
