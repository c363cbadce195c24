//! Arguments that come one by one to a callback of Python.

use std::sync::Arc;

use daffi_core::Incoming;
use futures::StreamExt;
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::{
    calls::Outcome,
    desk::{Desk, Inbox},
    engine::engine,
    failures::Failure,
    formats::Received,
    payload, waiting,
};

type Source = Arc<Mutex<Option<Incoming<Received>>>>;

/// Arguments that come one by one.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct ItemsIn {
    source: Source,
    inbox: Arc<Inbox>,
}

impl ItemsIn {
    pub(crate) fn new(items: Incoming<Received>, inbox: &Arc<Inbox>) -> Self {
        Self { source: Arc::new(Mutex::new(Some(items))), inbox: Arc::clone(inbox) }
    }
}

async fn next(source: Source) -> Result<Option<Received>, Failure> {
    let mut items = source.lock().await;
    match &mut *items {
        Some(reader) => Ok(reader.next().await.transpose()?),
        None => Ok(None),
    }
}

#[pymethods]
impl ItemsIn {
    /// Waits for the next one: a tuple of it, or `None` when there are no more.
    fn take<'py>(&self, py: Python<'py>, policy: &Bound<'py, PyAny>) -> PyResult<Option<(Bound<'py, PyAny>,)>> {
        let next = waiting::block(py, &*engine()?, next(Arc::clone(&self.source)))?;
        match next.map_err(|failure| failure.raise(py))? {
            Some(item) => Ok(Some((payload::read_result(py, &item, policy)?,))),
            None => Ok(None),
        }
    }

    /// Waits for the next one at the desk.
    fn take_later(&self, desk: &Desk) -> PyResult<u64> {
        let source = Arc::clone(&self.source);
        let next = async move { next(source).await.map(Outcome::Item) };
        Ok(desk.inbox.spawn(&*engine()?, next))
    }

    /// No more are wanted.
    fn close(&self) {
        if let Ok(mut items) = self.source.try_lock() {
            items.take();
        }
    }

    /// Whether an event loop takes the calls of this node.
    fn is_looped(&self) -> bool {
        self.inbox.is_looped()
    }
}
