//! What Rust services and workers expose: the callbacks of `peer.py` under the same names, as far
//! as tests need them.

use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use daffi::{CallError, Context, RemoteError, Value, callback};
use sha2::{Digest, Sha256};

#[derive(Default)]
pub(crate) struct Exposed {
    records: Mutex<Vec<Value>>,
    received: Mutex<Received>,
}

#[derive(Default)]
struct Received {
    chunks: u64,
    bytes: usize,
    digest: Sha256,
}

/// A class the caller cannot know.
#[derive(Debug, thiserror::Error)]
#[error("custom failure")]
pub(crate) struct CustomError;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[callback]
impl Exposed {
    pub fn echo(&self, payload: Value) -> Value {
        payload
    }

    pub fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    pub fn greet(&self, name: String) -> String {
        format!("Hello, {name}!")
    }

    pub fn whoami(&self, ctx: Context) -> String {
        ctx.node_name().to_owned()
    }

    pub fn none(&self) {}

    /// As a Python function with a default has it; its peer takes `b` by keyword only.
    pub fn kwargs_only(&self, a: i64, #[default(2)] b: i64) -> (i64, i64) {
        (a, b)
    }

    pub fn total(&self, data: Bytes) -> usize {
        data.len()
    }

    pub fn big(&self, n: usize) -> Bytes {
        Bytes::from(vec![b'x'; n])
    }

    pub async fn sleep(&self, seconds: f64) -> f64 {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        seconds
    }

    pub fn fail(&self, message: String) -> Result<(), RemoteError> {
        Err(RemoteError::new("ValueError", message))
    }

    pub fn fail_custom(&self) -> Result<(), CustomError> {
        Err(CustomError)
    }

    pub fn panic(&self, message: String) {
        panic!("{message}")
    }

    pub fn record(&self, value: Value) -> usize {
        let mut records = lock(&self.records);
        records.push(value);
        records.len()
    }

    pub fn recorded(&self) -> Vec<Value> {
        lock(&self.records).clone()
    }

    pub fn receive_chunk(&self, data: Bytes) {
        let mut received = lock(&self.received);
        received.chunks += 1;
        received.bytes += data.len();
        received.digest.update(&data);
    }

    pub fn received(&self) -> (u64, usize, String) {
        let received = lock(&self.received);
        (received.chunks, received.bytes, hex(&received.digest.clone().finalize()))
    }

    pub fn reset(&self) {
        lock(&self.records).clear();
        *lock(&self.received) = Received::default();
    }

    /// Calls on through the connection that the call came on.
    pub async fn relay(&self, ctx: Context, method: String, argument: Value) -> Result<Value, RemoteError> {
        let client = ctx.node().map_err(daffi::remote_error)?;
        client.rpc().timeout(Duration::from_secs(5)).call(&method, (argument,)).await.map_err(|error| match error {
            CallError::Remote { error, .. } => error,
            error => daffi::remote_error(error),
        })
    }
}
