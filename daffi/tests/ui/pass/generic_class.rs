//! `#[callback]` on the `impl` block of a generic type, and conditions on what it exports.
#![deny(missing_debug_implementations, missing_docs, unnameable_types, unreachable_pub, unused, warnings)]

use std::sync::Arc;

use daffi::{Context, IntoCallbacks, callback, callbacks};

/// What the type is generic over.
pub trait Db: Send + Sync + 'static {
    /// A row.
    fn get(&self, key: &str) -> Option<i64>;
}

/// Shared as it is.
#[derive(Debug)]
pub struct Api<D> {
    db: D,
}

#[callback]
impl<D: Db> Api<D> {
    /// Plain.
    pub fn get(&self, key: &str) -> Option<i64> {
        self.db.get(key)
    }

    /// Async.
    pub async fn later(self: Arc<Self>, ctx: Context, key: String) -> Option<i64> {
        let _ = ctx;
        self.db.get(&key)
    }

    /// A callback never, though its attribute comes in by another.
    #[cfg_attr(all(), cfg(any()))]
    pub fn left_out(&self, a: NoSuchType) {}

    /// Documented twice.
    #[cfg_attr(all(), doc = "Twice.", cfg(all()), inline)]
    pub fn left_in(&self) {}
}

/// Behind a lock, with a `where` clause and a constant.
#[derive(Debug)]
pub struct Counter<T, const N: usize> {
    items: [T; N],
    name: &'static str,
}

#[callback]
impl<T, const N: usize> Counter<T, N>
where
    T: Clone + serde::Serialize + Send + Sync + 'static,
{
    /// Exclusive.
    pub async fn rotate(&mut self) -> Vec<T> {
        self.items.rotate_left(1);
        self.items.to_vec()
    }

    /// Shared.
    pub fn name(&self) -> String {
        self.name.to_owned()
    }
}

#[callback]
#[cfg_attr(all(), cfg(any()))]
fn left_out(a: NoSuchType) {}

#[callback]
#[cfg_attr(all(), doc = "There.", cfg(all()))]
fn left_in() {}

#[derive(Debug)]
struct Memory;

impl Db for Memory {
    fn get(&self, _: &str) -> Option<i64> {
        None
    }
}

fn main() {
    assert_eq!(Api { db: Memory }.into_callbacks().len(), 3);
    assert_eq!(Counter { items: [1, 2], name: "numbers" }.into_callbacks().len(), 2);
    assert_eq!(callbacks![left_in].len(), 1);
}
