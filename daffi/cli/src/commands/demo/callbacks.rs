use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use daffi::{RemoteError, Value, callback};

/// The callbacks of a demo node, but for `echo`.
#[derive(Debug, Default)]
pub(super) struct Demonstration {
    received: AtomicU64,
}

#[callback]
impl Demonstration {
    #[callback(inline)]
    pub fn add(&self, a: Value, b: Value) -> Result<Value, RemoteError> {
        match (a.as_i128(), b.as_i128()) {
            (Some(one), Some(other)) => one
                .checked_add(other)
                .map(Value::from)
                .ok_or_else(|| RemoteError::new("OverflowError", "the sum does not fit into 128 bits")),
            _ => match (number(&a), number(&b)) {
                (Some(one), Some(other)) => Ok(Value::Float(one + other)),
                _ => Err(RemoteError::new("TypeError", format!("add() takes two numbers, not {a} and {b}"))),
            },
        }
    }

    #[callback(inline)]
    pub fn greet(&self, name: String) -> String {
        format!("Hello, {name}!")
    }

    pub async fn sleep(&self, seconds: Value) -> Result<Value, RemoteError> {
        let number = number(&seconds)
            .ok_or_else(|| RemoteError::new("TypeError", format!("sleep() takes a number, not {seconds}")))?;
        let time = Duration::try_from_secs_f64(number)
            .map_err(|error| RemoteError::new("ValueError", format!("sleep({seconds}): {error}")))?;
        tokio::time::sleep(time).await;
        Ok(seconds)
    }

    pub fn fail(&self, message: String) -> Result<(), RemoteError> {
        Err(RemoteError::new("ValueError", message))
    }

    pub fn receive_chunk(&self, data: Value) -> Result<(), RemoteError> {
        let bytes = match &data {
            Value::Bytes(bytes) => bytes.len(),
            Value::Str(text) => text.len(),
            other => {
                return Err(RemoteError::new("TypeError", format!("receive_chunk() takes bytes or text, not {other}")));
            }
        };
        self.received.fetch_add(bytes as u64, Relaxed);
        Ok(())
    }

    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}
