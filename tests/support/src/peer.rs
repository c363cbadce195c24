use std::{collections::BTreeMap, fmt, process::ExitStatus, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{Call, Launch, PyError, SocketPath, process::Process};

/// A node of daffi 3.0.1 in a process of its own, which ends with this value.
///
/// `daffi/tests/python/README.md` describes its callbacks, and the JSON forms of Python's values.
pub struct Peer {
    process: Process,
    scheme: &'static str,
    ready: Ready,
    _socket: Option<SocketPath>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    name: String,
    host: String,
    port: u16,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("name", &self.ready.name).field("endpoint", &self.endpoint()).finish()
    }
}

pub(crate) fn decoded<T: DeserializeOwned>(process: &Process, answer: Value) -> T {
    let text = answer.to_string();
    serde_json::from_value(answer).unwrap_or_else(|error| process.fail(&format!("answered {text}: {error}")))
}

impl Peer {
    /// Launches a Service, which exposes all callbacks.
    pub fn service() -> Launch {
        Launch::new("service")
    }

    /// Launches a Router.
    pub fn router() -> Launch {
        Launch::new("router")
    }

    /// Launches a Client of the server at `endpoint`.
    pub fn client(endpoint: &str) -> Launch {
        Launch::new("client").at(endpoint)
    }

    pub(crate) fn new(process: Process, scheme: &'static str, ready: Ready, socket: Option<SocketPath>) -> Self {
        Self { process, scheme, ready, _socket: socket }
    }

    /// The name of the node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.ready.name
    }

    /// Where it listens, or is connected to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match self.scheme {
            "unix" => format!("unix://{}", self.ready.host),
            scheme => format!("{scheme}://{}:{}", self.ready.host, self.ready.port),
        }
    }

    /// A call of `method` with positional arguments, a JSON array, through this client.
    pub fn call(&self, method: &str, args: Value) -> Call<'_> {
        Call::new(self, method).set("args", args)
    }

    /// A stream of chunks to `method`: a JSON array, or `{"$chunks": ..}`.
    pub fn stream(&self, method: &str, chunks: Value) -> Call<'_> {
        Call::new(self, method).style("stream").set("chunks", chunks)
    }

    /// Does one operation of the control protocol.
    ///
    /// # Errors
    /// The exception it raised.
    ///
    /// # Panics
    /// When the process ends or hangs instead of answering.
    pub async fn ask(&self, operation: &str, request: Map<String, Value>) -> Result<Value, PyError> {
        let mut request = request;
        request.insert("op".into(), operation.into());
        let mut answer = self.process.ask(request).await;
        match answer.get_mut("error") {
            Some(error) => Err(decoded(&self.process, error.take())),
            None => Ok(answer.get_mut("ok").map(Value::take).unwrap_or_default()),
        }
    }

    async fn must(&self, operation: &str, request: Value) -> Value {
        let Value::Object(fields) = request else { panic!("{request} is no object") };
        let text = format!("{operation} {fields:?}");
        self.ask(operation, fields).await.unwrap_or_else(|error| self.fail(&format!("{text}: {error}")))
    }

    pub(crate) const fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn fail(&self, what: &str) -> ! {
        self.process.fail(what)
    }

    /// Runs one of its callbacks without the network.
    ///
    /// # Panics
    /// When it raises.
    pub async fn invoke(&self, method: &str, args: Value) -> Value {
        self.must("invoke", json!({"method": method, "args": args})).await
    }

    /// The nodes this client knows, and their callbacks in order.
    ///
    /// # Panics
    /// When it can't tell.
    pub async fn members(&self) -> BTreeMap<String, Vec<String>> {
        decoded(&self.process, self.must("members", json!({})).await)
    }

    /// Waits until this client knows all these nodes.
    ///
    /// # Panics
    /// When it does not within 10 s.
    pub async fn wait_for_members(&self, names: &[&str]) {
        self.must("wait_for_members", json!({"members": names})).await;
    }

    /// Waits for the `count`-th event `added` or `removed` of this member since the start.
    ///
    /// # Panics
    /// When it does not come within 10 s.
    pub async fn wait_event(&self, kind: &str, member: &str, count: usize) {
        self.must("wait_event", json!({"type": kind, "member": member, "count": count})).await;
    }

    /// How `join()` of the node ends.
    ///
    /// # Errors
    /// The exception it raised.
    ///
    /// # Panics
    /// As [`ask`](Self::ask).
    pub async fn join(&self) -> Result<Value, PyError> {
        self.ask("join", Map::new()).await
    }

    /// Stops the node in the way 3.0.1 can, and the process.
    ///
    /// # Panics
    /// When it can't be stopped.
    pub async fn stop(&self) {
        self.must("stop", json!({})).await;
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends the process at once, with SIGKILL.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// How the process ended, if it did.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.exited_within(Duration::ZERO)
    }
}
