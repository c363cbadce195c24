//! A call that waits for Python to run it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use daffi_core::Context;
use daffi_serde::RemoteError;
use daffi_wire::FormatId;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};
use tokio::sync::oneshot;

use crate::{
    engine::engine,
    formats::{Unread, Written, number_of},
    incoming::ItemsIn,
    outlet::{Flow, Outlet},
    payload,
};

/// How a call was answered.
pub(crate) enum Answered {
    With(Written),
    ByResults(Flow),
    Failed(RemoteError),
}

/// A call that waits to be run, and its answer.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) format: FormatId,
    pub(crate) text: bool,
    pub(crate) body: Mutex<Bytes>,
    pub(crate) context: Context,
    pub(crate) inbox: Arc<crate::desk::Inbox>,
    pub(crate) answer: Mutex<Option<oneshot::Sender<Answered>>>,
    /// Has the engine look at the call: it waits for an argument.
    pub(crate) nudge: Arc<AtomicWaker>,
}

impl Job {
    fn send(&self, answered: Answered) {
        if let Some(answer) = self.answer.lock().take() {
            let _nobody_waits = answer.send(answered);
        }
    }
}

#[pymethods]
impl Job {
    #[getter]
    const fn number(&self) -> u64 {
        self.number
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    #[getter]
    fn serde(&self) -> u8 {
        number_of(self.format)
    }

    #[getter]
    fn caller(&self) -> &str {
        self.context.caller()
    }

    /// Whether nobody waits for the answer any more.
    #[getter]
    fn cancelled(&self) -> bool {
        self.context.is_cancelled()
    }

    /// Seconds until the caller stops waiting.
    #[getter]
    fn time_left(&self) -> Option<f64> {
        self.context.deadline().map(|at| at.saturating_duration_since(Instant::now()).as_secs_f64())
    }

    /// What the caller sent with the call, as pairs.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.context.headers())
    }

    /// The address of the other end of the connection.
    #[getter]
    fn peer(&self) -> String {
        format!("{:?}", self.context.peer())
    }

    /// Reads the arguments, once.
    fn arguments<'py>(
        &self,
        py: Python<'py>,
        policy: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let body = std::mem::take(&mut *self.body.lock());
        payload::read_arguments(py, self.format, &body, self.text, policy)
    }

    /// The arguments that come one by one.
    fn items(&self) -> PyResult<Option<ItemsIn>> {
        let Some(items) = self.context.items::<_, Unread>(&self.name) else { return Ok(None) };
        Ok(Some(ItemsIn::new(items, engine()?, &self.inbox, &self.nudge)))
    }

    /// Answers with a value.
    fn reply(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let written = payload::write_result(number_of(self.format), value)?;
        self.send(Answered::With(written));
        Ok(())
    }

    /// Answers with results that follow one by one.
    fn begin(&self) -> PyResult<Outlet> {
        let (outlet, flow) = Outlet::new(self.number, self.format, &self.inbox);
        let answer = self.answer.lock().take();
        let sent = answer.is_some_and(|answer| answer.send(Answered::ByResults(flow)).is_ok());
        if sent {
            Ok(outlet)
        } else {
            Err(PyRuntimeError::new_err("nobody waits for the results of this call any more"))
        }
    }

    /// Answers with an error.
    fn fail(&self, class: String, module: String, text: String) {
        self.send(Answered::Failed(RemoteError::new(class, text).in_module(module)));
    }
}
