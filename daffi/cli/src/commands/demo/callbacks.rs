use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use daffi::{Context, RemoteError, Value, callback};

use super::given_up::GivenUp;

/// The callbacks of a demo node, but for `echo` and those that stream.
#[derive(Debug, Default)]
pub(super) struct Demonstration {
    received: AtomicU64,
    given_up: GivenUp,
}

impl Demonstration {
    pub(super) fn new(given_up: GivenUp) -> Self {
        Self { given_up, ..Self::default() }
    }
}

#[callback]
impl Demonstration {
    #[callback(inline)]
    pub fn add(&self, a: Value, b: Value) -> Result<Value, RemoteError> {
        plus("add", &a, &b)
    }

    #[callback(inline)]
    pub fn greet(&self, name: String) -> String {
        format!("Hello, {name}!")
    }

    #[callback(cancel = "drop")]
    pub async fn sleep(&self, ctx: Context, seconds: Value) -> Result<Value, RemoteError> {
        let time = time_of("sleep", &seconds)?;
        let watched = self.given_up.watch(ctx);
        tokio::time::sleep(time).await;
        watched.finish();
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

/// The sum of two numbers that `method` was given.
pub(super) fn plus(method: &str, a: &Value, b: &Value) -> Result<Value, RemoteError> {
    if let (Some(one), Some(other)) = (a.as_i128(), b.as_i128()) {
        let sum = one.checked_add(other).map(Value::from);
        return sum.ok_or_else(|| RemoteError::new("OverflowError", "the sum does not fit into 128 bits"));
    }
    match (a.as_f64(), b.as_f64()) {
        (Some(one), Some(other)) => Ok(Value::Float(one + other)),
        _ => Err(RemoteError::new("TypeError", format!("{method}() takes two numbers, not {a} and {b}"))),
    }
}

/// A time that `method` was given in seconds.
pub(super) fn time_of(method: &str, seconds: &Value) -> Result<Duration, RemoteError> {
    let number = seconds
        .as_f64()
        .ok_or_else(|| RemoteError::new("TypeError", format!("{method}() takes a number, not {seconds}")))?;
    Duration::try_from_secs_f64(number)
        .map_err(|error| RemoteError::new("ValueError", format!("{method}({seconds}): {error}")))
}
