//! Blocks and methods that can't be exported.
#![allow(unused)]

use std::{rc::Rc, sync::Arc};

use daffi::{Callbacks, callback};

struct Generic<T>(T);

#[callback]
impl<T> Generic<T> {
    pub fn get<U>(&self, value: U) {}
    #[cfg_attr(all(), local)]
    pub fn kept(&self) {}
}

struct Receivers;

#[callback(blocking)]
impl Receivers {
    pub fn consume(self) {}
    pub fn boxed(self: Box<Self>) {}
    pub fn fixed(&'static mut self) {}
    pub async fn fixed_too(&'static self) {}
    pub fn name(&self) -> &str {
        ""
    }
    #[callback(name = "x")]
    fn private(&self) {}
    #[callback]
    #[local]
    pub fn kept(&self) {}
    #[callback]
    pub fn associated() {}
    #[callback(name = "a,b")]
    pub fn take(&self, texts: Vec<&str>, text: &mut String, any: &dyn std::any::Any) {}
}

struct Locked;

#[callback]
impl Locked {
    pub fn change(&mut self) {}
    pub fn handle(self: Arc<Self>) {}
}

struct Nothing;

#[callback]
impl Nothing {
    fn private(&self) {}
    pub fn associated() {}
}

#[callback]
impl Clone for Nothing {
    fn clone(&self) -> Self {
        Self
    }
}

struct NotShared(Rc<i64>);

#[callback]
impl NotShared {
    pub fn get(&self) -> i64 {
        *self.0
    }
}

struct Forgotten;

struct Counter(u64);

#[callback]
impl Counter {
    pub fn increment(&mut self) {
        self.0 += 1;
    }
}

fn main() {
    let _ = Callbacks::new().and(Receivers).and(Locked).and(Nothing);
    let _ = Callbacks::new().and(Forgotten);
    let _ = Callbacks::new().and(Arc::new(Counter(0)));
}
