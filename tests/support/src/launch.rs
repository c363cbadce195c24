use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{
    Certificate, Peer, PyError, SocketPath,
    peer::{Ready, decoded},
    process::Process,
    python, repository,
};

/// More than any test takes, so that a hang shows its Python stacks. A peer never outlives its test
/// anyway.
const MAX_SECONDS: &str = "300";

/// Starts a [`Peer`].
#[derive(Debug)]
#[must_use = "nothing runs until start() is awaited"]
pub struct Launch {
    arguments: Vec<String>,
    scheme: &'static str,
    socket: Option<SocketPath>,
}

impl Launch {
    pub(crate) fn new(mode: &str) -> Self {
        let arguments = [mode, "--max-seconds", MAX_SECONDS].map(str::to_owned).into();
        Self { arguments, scheme: "tcp", socket: None }
    }

    fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.push(format!("{name}={}", value.to_string()));
        self
    }

    fn switch(mut self, name: &str) -> Self {
        self.arguments.push(name.to_owned());
        self
    }

    fn file(self, name: &str, path: &Path) -> Self {
        self.option(name, path.display())
    }

    /// Sets its `app_name`. Without one it makes one up.
    pub fn name(self, name: &str) -> Self {
        self.option("--name", name)
    }

    /// Sets how many callbacks run at once, which is 1 otherwise.
    pub fn workers(self, workers: usize) -> Self {
        self.option("--workers", workers)
    }

    /// Makes it a client that exposes all callbacks.
    pub fn worker(self) -> Self {
        self.switch("--worker")
    }

    /// Has it expose these callbacks only.
    pub fn expose(self, callbacks: &[&str]) -> Self {
        self.option("--expose", callbacks.join(","))
    }

    /// Has it use the asyncio classes.
    pub fn aio(self) -> Self {
        self.switch("--aio")
    }

    /// Sets where it connects to, or listens: `tcp://host:port`, `tls://host:port` or
    /// `unix:///path`.
    ///
    /// # Panics
    /// When it is none of these.
    pub fn at(mut self, endpoint: &str) -> Self {
        let Some((scheme, address)) = endpoint.split_once("://") else { panic!("{endpoint:?} has no scheme") };
        self.scheme = match scheme {
            "tcp" => "tcp",
            "tls" => "tls",
            "unix" => "unix",
            _ => panic!("3.0.1 has no {scheme}://"),
        };
        let launch = if scheme == "tls" { self.switch("--tls") } else { self };
        match address.rsplit_once(':') {
            Some((host, port)) if scheme != "unix" => {
                launch.option("--host", host.trim_matches(['[', ']'])).option("--port", port)
            }
            _ => launch.option("--host", address),
        }
    }

    /// Makes it a server that listens on a Unix socket.
    pub fn on_socket(self) -> Self {
        let socket = SocketPath::new();
        let launch = self.at(&socket.endpoint());
        Self { socket: Some(socket), ..launch }
    }

    /// Makes it a server that speaks TLS.
    pub fn with_certificate(mut self, certificate: &Certificate) -> Self {
        self.scheme = "tls";
        self.switch("--tls").file("--cert", &certificate.certificate).file("--key", &certificate.key)
    }

    /// Makes it a TLS client that verifies what it meets, which it does not otherwise.
    pub fn trusting(self, authority: &Path) -> Self {
        self.file("--ca", authority)
    }

    /// Starts it. When this returns, a server listens and a client is connected.
    ///
    /// # Panics
    /// When it can't.
    pub async fn start(self) -> Peer {
        let arguments = self.arguments.join(" ");
        self.try_start().await.unwrap_or_else(|error| panic!("peer.py {arguments} cannot start: {error}"))
    }

    /// Starts it.
    ///
    /// # Errors
    /// What kept it from listening or connecting.
    ///
    /// # Panics
    /// When the process says nothing at all.
    pub async fn try_start(self) -> Result<Peer, PyError> {
        let mut command = Command::new(python());
        command.arg(repository().join("daffi/tests/python/peer.py")).args(&self.arguments);
        let (process, first) = Process::start(command).await;
        if first.get("ready") == Some(&Value::Bool(true)) {
            let ready: Ready = decoded(&process, first);
            return Ok(Peer::new(process, self.scheme, ready, self.socket));
        }
        Err(decoded(&process, first.get("error").cloned().unwrap_or_default()))
    }
}
