//! What `#[callback]` takes on an `impl` block, without a word from strict lints.
#![deny(missing_debug_implementations, missing_docs, unnameable_types, unreachable_pub, unused, warnings)]

use std::sync::Arc;

use daffi::{Callbacks, Context, IntoCallbacks, callback};

/// Of one concrete type.
#[derive(Debug)]
pub struct Stack<T> {
    items: Vec<T>,
}

#[callback]
impl Stack<i64> {
    /// An associated function is not exported.
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Exclusive.
    pub fn push(&mut self, item: i64) {
        self.items.push(item);
    }

    /// Exclusive and async.
    pub async fn pop(self: &mut Self, _ctx: Context) -> Option<i64> {
        self.items.pop()
    }

    /// Shared.
    pub fn peek(&self) -> Option<i64> {
        self.items.last().copied()
    }
}

mod inner {
    pub(crate) struct Clock;

    #[daffi::callback]
    impl Clock {
        #[deprecated]
        #[callback(name = "clock now")]
        pub fn now(self: std::sync::Arc<Self>) -> Self_ {
            0
        }
    }

    type Self_ = u64;
}

fn main() {
    let stack: Callbacks = Stack::new().into_callbacks();
    assert_eq!(stack.and(inner::Clock).len(), 4);
    let _: Arc<inner::Clock> = Arc::new(inner::Clock);
}
