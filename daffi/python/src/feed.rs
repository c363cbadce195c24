//! What Python sends one by one: chunks of a stream, arguments of a call.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeError, prelude::*, types::PyIterator};
use tokio::sync::mpsc;

use crate::{calls::Outcome, desk::Desk, engine::engine, failures::Failure, formats::Written, payload, waiting};

/// What is sent, written as it is asked for.
pub(crate) struct Items(Pin<Box<dyn Stream<Item = Result<Written, Failure>> + Send>>);

impl Stream for Items {
    type Item = Result<Written, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl Items {
    /// What comes before the first failure, and where that is kept then.
    pub(crate) fn until_failure(self) -> (impl Stream<Item = Written> + Send, Arc<Mutex<Option<PyErr>>>) {
        let failed = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&failed);
        let written = self.0.scan((), move |(), item| {
            let item = item.map_err(|failure| {
                if let Failure::Raised(error) = failure {
                    kept.lock().replace(error);
                }
            });
            std::future::ready(item.ok())
        });
        (written, failed)
    }
}

/// The next of what an iterable of Python gives.
enum Next {
    /// It is not asked for.
    Unwanted,
    /// Who is to be told once it is there.
    Asked(Waker),
    /// It is there; `None`: there are no more.
    There(Option<Result<Written, Failure>>),
}

/// Makes what an iterable of Python gives, on the thread of Python that waits for the call.
pub(crate) struct Giver {
    iterator: Py<PyIterator>,
    serde: u8,
    next: Arc<Mutex<Next>>,
}

impl Giver {
    pub(crate) fn is_asked(&self) -> bool {
        matches!(*self.next.lock(), Next::Asked(_))
    }

    /// Makes the next one.
    pub(crate) fn give(&self, py: Python<'_>) {
        let item = self
            .iterator
            .bind(py)
            .clone()
            .next()
            .map(|item| item.and_then(|item| payload::write_result(self.serde, &item)).map_err(Failure::Raised));
        let asked = std::mem::replace(&mut *self.next.lock(), Next::There(item));
        if let Next::Asked(waker) = asked {
            waker.wake();
        }
    }
}

/// What an iterable of Python gives, and what makes it.
pub(crate) fn of_python(iterable: &Bound<'_, PyAny>, serde: u8) -> PyResult<(Items, Giver)> {
    let next = Arc::new(Mutex::new(Next::Unwanted));
    let giver = Giver { iterator: iterable.try_iter()?.unbind(), serde, next: Arc::clone(&next) };
    let items = futures::stream::poll_fn(move |cx| {
        let mut next = next.lock();
        match std::mem::replace(&mut *next, Next::Unwanted) {
            Next::There(item) => Poll::Ready(item),
            Next::Unwanted | Next::Asked(_) => {
                *next = Next::Asked(cx.waker().clone());
                Poll::Pending
            }
        }
    });
    Ok((Items(Box::pin(items)), giver))
}

/// Where an event loop puts what is sent, one after another.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct Feed {
    serde: u8,
    sender: Mutex<Option<mpsc::Sender<Result<Written, Failure>>>>,
    receiver: Mutex<Option<mpsc::Receiver<Result<Written, Failure>>>>,
}

impl Feed {
    pub(crate) fn take(&self) -> PyResult<Items> {
        let taken = || PyRuntimeError::new_err("what this is fed to has begun already");
        let mut receiver = self.receiver.lock().take().ok_or_else(taken)?;
        Ok(Items(Box::pin(futures::stream::poll_fn(move |cx| receiver.poll_recv(cx)))))
    }
}

#[pymethods]
impl Feed {
    #[new]
    fn new(serde: u8) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { serde, sender: Mutex::new(Some(sender)), receiver: Mutex::new(Some(receiver)) }
    }

    /// Puts one in, at the desk: done when there is room for the next, and `False` when nobody
    /// takes them any more.
    fn put<'py>(&self, py: Python<'py>, desk: &Desk, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let put = self.putting(value)?;
        desk.begin(py, &*engine()?, async move { Ok(Outcome::Taken(put.await)) })
    }

    /// Puts one in, and waits here.
    fn put_here(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let put = self.putting(value)?;
        waiting::block(py, &*engine()?, put)
    }

    /// These were all, but for the error of what gave them.
    fn fail(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let error = Failure::Raised(PyErr::from_value(error.clone()));
        if let Some(sender) = self.sender.lock().take() {
            engine()?.handle.spawn(async move { sender.send(Err(error)).await.is_ok() });
        }
        Ok(())
    }

    /// These were all.
    fn finish(&self) {
        self.sender.lock().take();
    }
}

impl Feed {
    fn putting(&self, value: &Bound<'_, PyAny>) -> PyResult<impl Future<Output = bool> + Send + use<>> {
        let written = payload::write_result(self.serde, value)?;
        let sender = self.sender.lock().clone();
        Ok(async move {
            match sender {
                Some(sender) => sender.send(Ok(written)).await.is_ok(),
                None => false,
            }
        })
    }
}
