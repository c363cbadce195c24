//! Results that Python takes one by one.

use std::sync::Arc;

use daffi_core::Results;
use futures::StreamExt;
use parking_lot::Mutex as Lock;
use pyo3::{prelude::*, types::PyAny};
use tokio::sync::{Mutex, Notify};

use crate::{
    calls::{Ended, Outcome},
    desk::Desk,
    engine::Engine,
    failures::Failure,
    formats::{Received, Unread},
    payload, waiting,
};

/// Where results of a call come from, until there are no more.
pub(crate) struct Source {
    results: Mutex<Option<Results<Received, Unread>>>,
    /// Why the call was given up: what is sent one by one beside the results failed.
    failed: Lock<Option<Failure>>,
    broken: Notify,
}

impl Source {
    pub(crate) fn new(results: Results<Received, Unread>) -> Arc<Self> {
        Arc::new(Self { results: Mutex::new(Some(results)), failed: Lock::default(), broken: Notify::new() })
    }

    /// Gives the call up, and says so to its reader.
    pub(crate) fn fail(&self, why: Failure) {
        self.failed.lock().replace(why);
        self.broken.notify_one();
    }

    /// The next result. Cancel safe.
    async fn next(&self) -> Ended<Option<Received>> {
        let mut results = self.results.lock().await;
        let Some(open) = &mut *results else { return Ok(None) };
        let next = tokio::select! {
            biased;
            () = self.broken.notified() => None,
            next = open.next() => next,
        };
        if !matches!(next, Some(Ok(_))) {
            results.take();
        }
        match self.failed.lock().take() {
            Some(failure) => Err(failure),
            None => Ok(next.transpose()?),
        }
    }
}

/// Results of a call, one by one. Dropping it gives the call up.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct ResultsOut {
    /// Taken only as it is dropped.
    source: Option<Arc<Source>>,
    first: Lock<Option<Received>>,
    engine: Arc<Engine>,
    policy: Py<PyAny>,
}

impl Drop for ResultsOut {
    fn drop(&mut self) {
        // In a child the call is its parent's, and what it locks may be locked for ever.
        if self.engine.is_inherited() {
            std::mem::forget(self.source.take());
        }
    }
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
    pub(crate) const fn new(
        source: Arc<Source>,
        first: Option<Received>,
        engine: Arc<Engine>,
        policy: Py<PyAny>,
    ) -> Self {
        Self { source: Some(source), first: Lock::new(first), engine, policy }
    }

    fn source(&self) -> PyResult<&Arc<Source>> {
        self.engine.check("iterator of results")?;
        Ok(self.source.as_ref().expect("only a drop takes it"))
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
        let source = self.source()?;
        let first = self.first.lock().take();
        let next = match first {
            Some(first) => Some(first),
            None => waiting::block(py, &self.engine, source.next())?.map_err(|failure| failure.raise(py))?,
        };
        match next {
            Some(item) => Ok(Some((payload::read_result(py, &item, self.policy.bind(py))?,))),
            None => Ok(None),
        }
    }

    /// The next one at the desk, as `Desk::begin` gives it.
    fn take_later<'py>(&self, py: Python<'py>, desk: &Desk) -> PyResult<Bound<'py, PyAny>> {
        let source = Arc::clone(self.source()?);
        let first = self.first.lock().take();
        desk.begin(py, &self.engine, async move {
            match first {
                Some(first) => Ok(Outcome::Item(Some(first))),
                None => source.next().await.map(Outcome::Item),
            }
        })
    }

    /// Gives the call up. In a child that was forked it does nothing: the call is its parent's.
    fn close(&self) {
        let Ok(source) = self.source().map(Arc::clone) else { return };
        // Whoever waits for the next one meanwhile gets that first.
        self.engine.handle.spawn(async move { drop(source.results.lock().await.take()) });
    }
}
