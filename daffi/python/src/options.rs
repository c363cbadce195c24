//! What Python says about nodes and calls.

use std::time::Duration;

use daffi_core::NodeConfig;
use daffi_wire::FormatId;
use pyo3::{exceptions::PyValueError, intern, prelude::*, types::PyFloat};

use crate::{failures, formats::format_of, serving::begin_limit};

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
    /// Whatever the authority in the file has issued is trusted, whatever name it bears.
    pub(crate) any_host: bool,
    /// Without a file nothing is verified.
    pub(crate) unverified: bool,
}

impl NodeOptions {
    /// The options as the engine takes them.
    pub(crate) fn config(&self, mut config: NodeConfig) -> PyResult<NodeConfig> {
        config = config.workers(begin_limit(self.workers));
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

/// How a call is made.
#[pyclass(frozen, name = "Settings", module = "daffi_rs._daffi_rs")]
pub(crate) struct CallSettings {
    /// Its number in Python's `SerdeFormat`.
    #[pyo3(get)]
    pub(crate) serde: u8,
    pub(crate) format: FormatId,
    /// 0 and less mean none, as in 3.0.1.
    pub(crate) timeout: Option<Duration>,
    #[pyo3(get)]
    receivers: Option<Vec<String>>,
    /// The timeout in seconds, as it was given.
    #[pyo3(get)]
    seconds: Option<f64>,
    headers: Vec<(String, String)>,
    pub(crate) key: Option<String>,
    pub(crate) window: usize,
    pub(crate) wait: bool,
    pub(crate) by_router: bool,
}

#[pymethods]
impl CallSettings {
    #[new]
    #[pyo3(signature = (serde, timeout=None, receivers=None, headers=None, key=None, window=1, wait=false, by_router=false))]
    #[allow(clippy::too_many_arguments, reason = "each is an option of a call, which Python names")]
    fn new(
        serde: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
        receivers: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        key: Option<String>,
        window: usize,
        wait: bool,
        by_router: bool,
    ) -> PyResult<Self> {
        let py = serde.py();
        let (serde, format) = known_format(serde)?;
        let timeout = timeout.map(number_of_seconds).transpose()?.filter(|timeout| *timeout > 0.0);
        let receivers = receivers.map(names).transpose()?.flatten();
        one_chooses(key.as_deref(), receivers.is_some(), by_router, wait)?;
        Ok(Self {
            serde,
            format,
            timeout: timeout.map(|given| timeout_of(py, given)).transpose()?,
            receivers,
            seconds: timeout,
            headers: headers.map(pairs).transpose()?.unwrap_or_default(),
            key,
            window,
            wait,
            by_router,
        })
    }
}

impl CallSettings {
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&String, &String)> {
        self.headers.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn receivers(&self) -> Option<&[String]> {
        self.receivers.as_deref()
    }

    pub(crate) fn receiver(&self) -> Option<&String> {
        self.receivers.as_ref().and_then(|names| names.first())
    }
}

/// Refuses options of which one would choose who gets the call, and another be forgotten.
fn one_chooses(key: Option<&str>, receiver: bool, by_router: bool, wait: bool) -> PyResult<()> {
    let both = match (key, receiver, by_router) {
        (Some(_), true, _) => "key and receiver",
        (Some(_), _, true) => "key and by_router",
        (_, true, true) => "receiver and by_router",
        (Some(_), ..) if wait => "key and wait, which has the Router choose",
        _ => return Ok(()),
    };
    Err(PyValueError::new_err(format!("{both} are given: one of them says who gets the call")))
}

fn known_format(serde: &Bound<'_, PyAny>) -> PyResult<(u8, FormatId)> {
    let known = serde.extract::<u8>().ok().and_then(|number| Some((number, format_of(number)?)));
    known.ok_or_else(|| {
        PyValueError::new_err(format!(
            "Unknown serde format: {serde:?} (serde must be SerdeFormat.OPAQUE, JSON, PICKLE or MSGPACK)"
        ))
    })
}

/// A number of seconds: what `float` takes. No number is none of them, and would mean no timeout.
pub(crate) fn number_of_seconds(timeout: &Bound<'_, PyAny>) -> PyResult<f64> {
    let given: f64 = timeout.extract().or_else(|_| timeout.py().get_type::<PyFloat>().call1((timeout,))?.extract())?;
    if given.is_nan() { Err(no_timeout(timeout.py(), given)) } else { Ok(given) }
}

/// The error for a timeout that cannot be one: a `ValueError`, and of an endless one an
/// `OverflowError`, too.
fn no_timeout(py: Python<'_>, given: f64) -> PyErr {
    let text = format!("timeout is {given}: a number of seconds is expected, at most 1e18; leave it out for none");
    if given == f64::INFINITY { failures::endless(py, text) } else { PyValueError::new_err(text) }
}

/// One name or several. An empty one is none.
fn names(receivers: &Bound<'_, PyAny>) -> PyResult<Option<Vec<String>>> {
    if let Ok(name) = receivers.extract::<String>() {
        return Ok((!name.is_empty()).then(|| vec![name]));
    }
    receivers.try_iter()?.map(|name| name?.extract()).collect::<PyResult<_>>().map(Some)
}

/// The pairs of a mapping, or those given.
fn pairs(headers: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let items = match headers.getattr_opt(intern!(headers.py(), "items"))? {
        Some(items) => items.call0()?,
        None => headers.clone(),
    };
    items.try_iter()?.map(|pair| pair?.extract()).collect()
}

/// A timeout as a duration.
fn timeout_of(py: Python<'_>, given: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(given).map_err(|_| no_timeout(py, given))
}

/// Seconds of Python as a duration.
pub(crate) fn seconds(what: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!("{what} is {seconds}: a number of seconds is expected, at most 1e18"))
    })
}
