//! Results that Python takes one by one.

use std::sync::Arc;

use daffi_core::Results;
use parking_lot::Mutex as Lock;
use pyo3::{prelude::*, types::PyAny};
use tokio::sync::Mutex;

use crate::{
    calls::{Outcome, next_of},
    desk::Desk,
    engine::Engine,
    formats::{Received, Unread},
    payload, waiting,
};

pub(crate) type Source = Arc<Mutex<Option<Results<Received, Unread>>>>;

/// Results of a call, one by one. Dropping it gives the call up.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct ResultsOut {
    source: Source,
    first: Lock<Option<Received>>,
    engine: Arc<Engine>,
    policy: Py<PyAny>,
}

/// A result that came and is not read yet.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
struct Unopened(Received);

#[pymethods]
impl Unopened {
    /// Reads it.
    fn read<'py>(&self, py: Python<'py>, policy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        payload::read_result(py, &self.0, policy)
    }
}

impl ResultsOut {
    pub(crate) const fn new(source: Source, first: Option<Received>, engine: Arc<Engine>, policy: Py<PyAny>) -> Self {
        Self { source, first: Lock::new(first), engine, policy }
    }

    /// An item, to be read by who waits for it.
    pub(crate) fn item(py: Python<'_>, item: Received) -> PyResult<Bound<'_, PyAny>> {
        Ok(Bound::new(py, Unopened(item))?.into_any())
    }
}

#[pymethods]
impl ResultsOut {
    /// Waits for the next one: a tuple of it, or `None` when there are no more.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>,)>> {
        let first = self.first.lock().take();
        let next = match first {
            Some(first) => Some(first),
            None => {
                let next = next_of(Arc::clone(&self.source));
                waiting::block(py, &self.engine, next)?.map_err(|failure| failure.raise(py))?
            }
        };
        match next {
            Some(item) => Ok(Some((payload::read_result(py, &item, self.policy.bind(py))?,))),
            None => Ok(None),
        }
    }

    /// Waits for the next one at the desk.
    fn take_later(&self, desk: &Desk) -> u64 {
        let (first, source) = (self.first.lock().take(), Arc::clone(&self.source));
        desk.inbox.spawn(&self.engine, async move {
            match first {
                Some(first) => Ok(Outcome::Item(Some(first))),
                None => next_of(source).await.map(Outcome::Item),
            }
        })
    }

    /// Gives the call up.
    fn close(&self) {
        let source = Arc::clone(&self.source);
        // Whoever waits for the next one meanwhile gets that first.
        self.engine.handle.spawn(async move { drop(source.lock().await.take()) });
    }
}
