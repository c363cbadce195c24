//! What `#[remote]` takes, without a word from strict lints.
#![deny(missing_debug_implementations, missing_docs, unnameable_types, unreachable_pub, unused, warnings)]

use daffi::prelude::*;

/// A store.
#[remote]
pub trait Store: std::fmt::Debug {
    /// Looks it up.
    fn get(&self, key: String) -> Option<i64>;

    /// Sets it.
    #[callback(name = "store set", ordered)]
    async fn set(self: &Self, ctx: Context, r#type: &str, value: i64) -> std::io::Result<()>;
}

/// Only called, never served, and of another name.
#[remote(client = "Caller")]
pub(crate) trait Served {
    async fn run(&self);
}

#[derive(Debug)]
struct Memory;

impl Store for Memory {
    async fn get(&self, _key: String) -> Option<i64> {
        None
    }

    async fn set(&self, _ctx: Context, _type: &str, _value: i64) -> std::io::Result<()> {
        Ok(())
    }
}

/// The client as any client.
pub async fn use_it(client: Client) -> Result<Option<i64>, CallError> {
    let store = StoreClient::new(client.clone()).with(client.rpc().receiver("store"));
    store.clone().set("number", 3).await?;
    store.get("key".into()).await
}

fn main() {
    assert_eq!(Memory.into_callbacks().len(), 2);
}
