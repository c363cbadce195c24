//! Functions that can't be callbacks, and options that there are not.
#![allow(unused)]

use daffi::callback;

#[callback]
fn generic<T>(value: T) where T: Clone {}

#[callback]
const unsafe extern "C" fn qualified() {}

#[callback]
fn borrowing(text: &str) -> Option<&str> {
    Some(text)
}

#[callback]
fn u8() {}

#[callback(name = "a|b", name = " c", colour = 3)]
fn named() {}

#[callback(name = "")]
fn empty() {}

#[callback(blocking = false)]
fn switched() {}

#[callback(cancel = "drop")]
fn unstoppable() {}

#[callback(cancel = "kill")]
async fn killed() {}

#[callback]
struct Thing;

#[callback]
trait Trait {}

struct Type;

impl Type {
    #[callback]
    pub fn method(&self) {}
}

#[callback(inline, blocking)]
fn both() {}

fn main() {
    generic(3);
    switched();
}
