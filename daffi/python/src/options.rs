//! What Python says about nodes and calls.

use std::time::Duration;

use daffi_core::NodeConfig;
use daffi_wire::FormatId;
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::{formats::format_of, serving::begun};

/// The settings of a node, as attributes of an object of Python.
#[derive(FromPyObject)]
pub(crate) struct NodeOptions {
    pub(crate) name: String,
    /// Where it listens, or connects.
    pub(crate) endpoints: Vec<String>,
    pub(crate) workers: usize,
    pub(crate) tls: Tls,
    pub(crate) grace: Option<f64>,
    pub(crate) max_body: Option<usize>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) budget: Option<usize>,
    /// What it shows a server, of which it says who the node is.
    pub(crate) token: Option<String>,
}

/// Files of certificates and keys.
#[derive(FromPyObject)]
pub(crate) struct Tls {
    pub(crate) cert_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) ca_file: Option<String>,
    /// Exactly the certificate in the file is trusted, whatever name it bears.
    pub(crate) pinned: bool,
    /// Without a file nothing is verified.
    pub(crate) unverified: bool,
}

impl NodeOptions {
    /// The same as the engine takes it.
    pub(crate) fn config(&self, mut config: NodeConfig) -> PyResult<NodeConfig> {
        config = config.workers(begun(self.workers));
        if let Some(grace) = self.grace {
            config = config.grace(seconds("grace", grace)?);
        }
        if let Some(bytes) = self.max_body {
            config = config.max_body(bytes);
        }
        if let Some(connections) = self.max_connections {
            config = config.max_connections(connections);
        }
        if let Some(bytes) = self.budget {
            config = config.budget_bytes(bytes);
        }
        Ok(config)
    }
}

/// How a call is made, as attributes of an object of Python.
#[derive(FromPyObject)]
pub(crate) struct CallSettings {
    pub(crate) serde: u8,
    pub(crate) timeout: Option<f64>,
    pub(crate) receivers: Option<Vec<String>>,
    pub(crate) headers: Option<Vec<(String, String)>>,
    pub(crate) key: Option<String>,
    pub(crate) window: usize,
    pub(crate) wait: bool,
}

impl CallSettings {
    pub(crate) fn format(&self) -> PyResult<FormatId> {
        format_of(self.serde).ok_or_else(|| PyValueError::new_err(format!("serde is {}: no such format", self.serde)))
    }

    /// The timeout; 0 and less mean none, as in 3.0.1.
    pub(crate) fn timeout(&self) -> PyResult<Option<Duration>> {
        self.timeout.filter(|timeout| *timeout > 0.0).map(|timeout| seconds("timeout", timeout)).transpose()
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&String, &String)> {
        self.headers.iter().flatten().map(|(key, value)| (key, value))
    }

    pub(crate) fn receiver(&self) -> Option<&String> {
        self.receivers.as_ref().and_then(|names| names.first())
    }
}

/// Seconds of Python as a duration.
pub(crate) fn seconds(what: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!("{what} is {seconds}: a number of seconds is expected, at most 1e18"))
    })
}
