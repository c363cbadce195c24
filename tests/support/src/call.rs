use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Peer, PyError, peer::decoded};

/// A call that a Python node makes, in 3.0.1's default way until told otherwise.
#[derive(Debug)]
#[must_use = "nothing is sent until ok(), error() or outcome() is awaited"]
pub struct Call<'a> {
    peer: &'a Peer,
    request: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok(Value),
    Error(PyError),
}

impl<'a> Call<'a> {
    pub(crate) fn new(peer: &'a Peer, method: &str) -> Self {
        Self { peer, request: Map::new() }.set("method", method)
    }

    /// Sets any field of the request.
    pub fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.request.insert(field.to_owned(), value.into());
        self
    }

    /// Sets the style: `rpc`, `rpc_nowait`, `cast`, `cast_nowait`, `stream` or `stream_nowait`.
    pub fn style(self, style: &str) -> Self {
        self.set("style", style)
    }

    /// Sets the format: `PICKLE`, `JSON`, `MSGPACK` or `OPAQUE`.
    pub fn serde(self, format: &str) -> Self {
        self.set("serde", format)
    }

    /// Sets the keyword arguments, a JSON object.
    pub fn kwargs(self, kwargs: Value) -> Self {
        self.set("kwargs", kwargs)
    }

    /// Sets the timeout in seconds. 3.0.1 cuts fractions off, and counts from the start of the
    /// current second.
    pub fn timeout(self, seconds: u32) -> Self {
        self.set("timeout", seconds)
    }

    /// Sets the one member to call, or for casts a list of them.
    pub fn receiver(self, name: impl Into<Value>) -> Self {
        self.set("receiver", name)
    }

    /// Makes the call.
    ///
    /// # Errors
    /// The exception that it raised.
    ///
    /// # Panics
    /// When the process ends or hangs.
    pub async fn outcome(self) -> Result<Value, PyError> {
        self.peer.ask("call", self.request).await
    }

    /// Makes the call and gives its result.
    ///
    /// # Panics
    /// When it raises.
    pub async fn ok(self) -> Value {
        let (peer, text) = (self.peer, format!("{:?}", self.request));
        self.outcome().await.unwrap_or_else(|error| peer.fail(&format!("{text}\nraised {error}")))
    }

    /// Makes the call and gives the exception it raises.
    ///
    /// # Panics
    /// When it raises none.
    pub async fn error(self) -> PyError {
        let (peer, text) = (self.peer, format!("{:?}", self.request));
        match self.outcome().await {
            Err(error) => error,
            Ok(result) => peer.fail(&format!("{text}\nraised nothing and gave {result}")),
        }
    }

    /// Makes the call `n` times, in `threads` threads; the outcomes come in the order of the calls.
    ///
    /// # Panics
    /// When the process ends or hangs.
    pub async fn many(self, n: usize, threads: usize) -> Vec<Result<Value, PyError>> {
        let peer = self.peer;
        let request = self.set("n", n).set("threads", threads).request;
        let outcomes = peer.ask("many", request).await.unwrap_or_else(|error| peer.fail(&format!("many: {error}")));
        let outcomes: Vec<Outcome> = decoded(peer.process(), outcomes);
        let outcomes = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Ok(result) => Ok(result),
            Outcome::Error(error) => Err(error),
        });
        outcomes.collect()
    }
}
