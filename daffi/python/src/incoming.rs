//! Arguments that come one by one to a callback of Python.

use std::{future::poll_fn, sync::Arc};

use daffi_core::Incoming;
use futures::{FutureExt, StreamExt, task::AtomicWaker};
use pyo3::{prelude::*, types::PyBool};
use tokio::sync::Mutex;

use crate::{
    calls::Outcome,
    desk::{Desk, Inbox},
    engine::Engine,
    failures::Failure,
    formats::Received,
    payload, waiting,
};

type SharedIncoming = Arc<Mutex<Option<Incoming<Received>>>>;

/// Arguments that come one by one.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct ItemsIn {
    /// Taken only as it is dropped.
    source: Option<SharedIncoming>,
    engine: Arc<Engine>,
    inbox: Arc<Inbox>,
    nudge: Arc<AtomicWaker>,
}

impl Drop for ItemsIn {
    fn drop(&mut self) {
        // In a child the call is its parent's, and what it locks may be locked for ever.
        if self.engine.is_inherited() {
            std::mem::forget(self.source.take());
        }
    }
}

impl ItemsIn {
    /// `nudge` wakes the callback as the engine sees it.
    pub(crate) fn new(
        items: Incoming<Received>,
        engine: Arc<Engine>,
        inbox: &Arc<Inbox>,
        nudge: &Arc<AtomicWaker>,
    ) -> Self {
        let source = Some(Arc::new(Mutex::new(Some(items))));
        Self { source, engine, inbox: Arc::clone(inbox), nudge: Arc::clone(nudge) }
    }

    fn source(&self) -> PyResult<&SharedIncoming> {
        self.engine.check("iterator of arguments")?;
        Ok(self.source.as_ref().expect("only a drop takes it"))
    }

    /// The next one. When it has to be waited for the engine hears of that, and lets others have
    /// the place of this call among those that run.
    fn next(&self) -> PyResult<impl Future<Output = Result<Option<Received>, Failure>> + Send + use<>> {
        let (source, nudge) = (Arc::clone(self.source()?), Arc::clone(&self.nudge));
        Ok(async move {
            let mut items = source.lock().await;
            let Some(reader) = &mut *items else { return Ok(None) };
            let next = poll_fn(|cx| {
                let next = reader.poll_next_unpin(cx);
                if next.is_pending() {
                    nudge.wake();
                }
                next
            });
            Ok(next.await.transpose()?)
        })
    }
}

#[pymethods]
impl ItemsIn {
    /// The next one if it is there: a tuple of it, or `None` when there are no more. `False`: it
    /// has to be waited for.
    fn take_now<'py>(&self, py: Python<'py>, policy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let next = self.next()?;
        let _entered = self.engine.handle.enter();
        match next.now_or_never() {
            Some(next) => read(py, next, policy),
            None => Ok(PyBool::new(py, false).to_owned().into_any()),
        }
    }

    /// Waits for the next one: a tuple of it, or `None` when there are no more.
    fn take<'py>(&self, py: Python<'py>, policy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let next = waiting::block(py, &self.engine, self.next()?)?;
        read(py, next, policy)
    }

    /// The next one at the desk, as `Desk::begin` gives it.
    fn take_later<'py>(&self, py: Python<'py>, desk: &Desk) -> PyResult<Bound<'py, PyAny>> {
        let next = self.next()?;
        desk.begin(py, &self.engine, async move { next.await.map(Outcome::Item) })
    }

    /// No more are wanted. In a child that was forked it does nothing: the call is its parent's.
    fn close(&self) {
        if let Ok(source) = self.source()
            && let Ok(mut items) = source.try_lock()
        {
            items.take();
        }
    }

    /// Whether an event loop takes the calls of this node.
    fn is_looped(&self) -> bool {
        self.inbox.is_looped()
    }
}

fn read<'py>(
    py: Python<'py>,
    next: Result<Option<Received>, Failure>,
    policy: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    match next.map_err(|failure| failure.raise(py))? {
        Some(item) => Ok((payload::read_result(py, &item, policy)?,).into_pyobject(py)?.into_any()),
        None => Ok(py.None().into_bound(py)),
    }
}
