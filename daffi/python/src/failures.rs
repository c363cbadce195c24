//! Failures as exceptions of `daffi_rs.exceptions`, which Python makes of what is said here.

use daffi_core::{CallError, InitializationError};
use pyo3::{PyErr, exceptions::PyTypeError, prelude::*, sync::PyOnceLock, types::PyDict};

use crate::ending::Visit;

/// Why something that the engine did for Python failed.
pub(crate) enum Failure {
    Call(Box<CallError>),
    /// A chunk of a stream.
    Chunk(u64, Box<CallError>),
    /// A node could not begin.
    Start(Box<InitializationError>),
    /// Python itself raised.
    Raised(PyErr),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(Box::new(error))
    }
}

impl From<InitializationError> for Failure {
    fn from(error: InitializationError) -> Self {
        Self::Start(Box::new(error))
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl Failure {
    /// The exception; where it cannot be made, the one that said so.
    pub(crate) fn into_python(self, py: Python<'_>) -> Bound<'_, PyAny> {
        let made = match self {
            Self::Call(error) => exception(py, &error, None),
            Self::Chunk(chunk, error) => exception(py, &error, Some(chunk)),
            Self::Start(error) => Err(not_started(py, &error)),
            Self::Raised(error) => Err(error),
        };
        made.unwrap_or_else(|error| error.into_value(py).into_bound(py).into_any())
    }

    /// The exception, to be raised.
    pub(crate) fn raise(self, py: Python<'_>) -> PyErr {
        PyErr::from_value(self.into_python(py))
    }
}

fn maker(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(CELL.get_or_try_init(py, || py.import("daffi_rs._failures")?.getattr("exception").map(Bound::unbind))?.bind(py))
}

fn exception<'py>(py: Python<'py>, error: &CallError, chunk: Option<u64>) -> PyResult<Bound<'py, PyAny>> {
    let _visit = Visit::here(py)?;
    let details = PyDict::new(py);
    if let Some(chunk) = chunk {
        details.set_item("chunk", chunk)?;
    }
    let kind = match error {
        CallError::Remote { receiver, method, error } => {
            details.set_item("class", &error.class)?;
            details.set_item("module", &error.module)?;
            details.set_item("receiver", receiver)?;
            details.set_item("method", method)?;
            return maker(py)?.call1(("remote", &error.message, details));
        }
        CallError::Timeout { receiver, method, after, .. } => {
            details.set_item("receiver", receiver)?;
            details.set_item("method", method)?;
            details.set_item("after", after.as_secs_f64())?;
            "timeout"
        }
        CallError::ReceiverNotFound { .. } | CallError::NoReceivers { .. } => "no_receiver",
        CallError::ReceiverGone { .. } => "receiver_gone",
        CallError::Overloaded(_) => "overloaded",
        CallError::Stopping(_) => "stopping",
        CallError::AnswerLost(_) => "answer_lost",
        CallError::Disconnected(_) | CallError::RuntimeGone | CallError::CannotConnect(_) => "disconnected",
        CallError::Evicted => "evicted",
        CallError::Stopped => "stopped",
        CallError::Cancelled { .. } => "cancelled",
        CallError::BodyTooLarge(_) => "too_large",
        CallError::Item { .. } => {
            return Ok(PyTypeError::new_err(error.to_string()).into_value(py).into_bound(py).into_any());
        }
        _ => "failed",
    };
    maker(py)?.call1((kind, error.to_string(), details))
}

/// The error for a timeout that never ends.
pub(crate) fn endless(py: Python<'_>, text: String) -> PyErr {
    made(py, "endless", text)
}

/// The error for text that cannot travel.
pub(crate) fn unsendable(py: Python<'_>, text: String) -> PyErr {
    made(py, "unsendable", text)
}

/// Why a node could not be started.
pub(crate) fn not_started(py: Python<'_>, error: &InitializationError) -> PyErr {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    initialization(py, text)
}

/// The exception of a node that cannot start.
pub(crate) fn initialization(py: Python<'_>, text: String) -> PyErr {
    made(py, "initialization", text)
}

fn made(py: Python<'_>, kind: &str, text: String) -> PyErr {
    let made = Visit::here(py).and_then(|visit| {
        let made = maker(py)?.call1((kind, text, PyDict::new(py)));
        drop(visit);
        made
    });
    made.map_or_else(|failed| failed, PyErr::from_value)
}
