//! Results that a callback of Python gives one by one.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use daffi_serde::RemoteError;
use daffi_wire::FormatId;
use futures::Stream;
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::{
    desk::{Inbox, Work},
    formats::{Written, number_of},
    payload,
};

/// So many results, and bytes of them, are made before the caller takes one.
const MAX_ITEMS: usize = 64;
const MAX_BYTES: usize = 64 * 1024;

/// So many bytes of results all calls of a node together make ahead. Beyond that, and after a
/// result that is large by itself, the next one is made when the engine has room for it, as it is
/// in Rust.
const MAX_AHEAD: usize = 16 * 1024 * 1024;

#[derive(Default)]
struct Shelf {
    items: VecDeque<Written>,
    bytes: usize,
    /// How it ends, once what is there was taken.
    end: Option<Result<(), RemoteError>>,
    /// The last result was as large as all that is made ahead.
    is_large: bool,
    /// Python was asked for more, and has not said that it gave what it could.
    asked: bool,
    waker: Option<Waker>,
    unwanted: bool,
}

impl Shelf {
    /// Whether a result may be made that nobody waits for yet.
    fn has_room(&self, inbox: &Inbox) -> bool {
        let has_room = !self.unwanted && self.items.len() < MAX_ITEMS && self.bytes < MAX_BYTES;
        has_room && !self.is_large && inbox.ahead.load(Relaxed) < MAX_AHEAD
    }
}

/// Where Python puts the results of a call, as long as there is room.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct Outlet {
    number: u64,
    format: FormatId,
    shelf: Arc<Mutex<Shelf>>,
    inbox: Arc<Inbox>,
}

/// The results of a call as the caller takes them.
pub(crate) struct Flow {
    number: u64,
    shelf: Arc<Mutex<Shelf>>,
    inbox: Arc<Inbox>,
}

impl Outlet {
    pub(crate) fn new(number: u64, format: FormatId, inbox: &Arc<Inbox>) -> (Self, Flow) {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let flow = Flow { number, shelf: Arc::clone(&shelf), inbox: Arc::clone(inbox) };
        (Self { number, format, shelf, inbox: Arc::clone(inbox) }, flow)
    }

    fn end(&self, how: Result<(), RemoteError>) {
        let mut shelf = self.shelf.lock();
        shelf.end.get_or_insert(how);
        let waker = shelf.waker.take();
        drop(shelf);
        waker.into_iter().for_each(Waker::wake);
    }
}

#[pymethods]
impl Outlet {
    /// Puts a result there. `false`: there is no room for another, or nobody wants it.
    fn push(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let written = payload::write_result(number_of(self.format), value)?;
        let mut shelf = self.shelf.lock();
        if shelf.unwanted {
            return Ok(false);
        }
        let bytes = written.bytes.len();
        shelf.bytes += bytes;
        self.inbox.ahead.fetch_add(bytes, Relaxed);
        shelf.is_large = bytes >= MAX_BYTES;
        shelf.items.push_back(written);
        let (waker, room) = (shelf.waker.take(), shelf.has_room(&self.inbox));
        drop(shelf);
        waker.into_iter().for_each(Waker::wake);
        Ok(room)
    }

    /// Says that what there was room for is there: more is asked for when there is room again.
    fn pause(&self) {
        let mut shelf = self.shelf.lock();
        let is_waited_for = shelf.items.is_empty() && shelf.waker.is_some() && !shelf.unwanted;
        let again = is_waited_for || shelf.has_room(&self.inbox);
        shelf.asked = again;
        drop(shelf);
        if again {
            self.inbox.push(Work::More(self.number));
        }
    }

    #[getter]
    fn unwanted(&self) -> bool {
        self.shelf.lock().unwanted
    }

    /// Says that these were all.
    fn finish(&self) {
        self.end(Ok(()));
    }

    /// Ends with an error.
    fn fail(&self, class: String, module: String, text: String) {
        self.end(Err(RemoteError::new(class, text).in_module(module)));
    }
}

impl Stream for Flow {
    type Item = Result<Written, RemoteError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut shelf = self.shelf.lock();
        let next = shelf.items.pop_front();
        if let Some(written) = &next {
            shelf.bytes -= written.bytes.len();
            self.inbox.ahead.fetch_sub(written.bytes.len(), Relaxed);
        }
        let ahead = shelf.items.len() < MAX_ITEMS / 2 && shelf.has_room(&self.inbox);
        let ask = shelf.end.is_none() && !shelf.asked && (next.is_none() || ahead);
        shelf.asked |= ask;
        let polled = match next {
            Some(written) => Poll::Ready(Some(Ok(written))),
            None => match shelf.end.as_mut() {
                Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
                None => {
                    shelf.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
        };
        drop(shelf);
        if ask && !self.inbox.push(Work::More(self.number)) {
            let error = RemoteError::new("RuntimeError", "the node that gives the results has ended");
            return Poll::Ready(Some(Err(error)));
        }
        polled
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let mut shelf = self.shelf.lock();
        shelf.unwanted = true;
        shelf.items.clear();
        self.inbox.ahead.fetch_sub(std::mem::take(&mut shelf.bytes), Relaxed);
        drop(shelf);
        self.inbox.push(Work::Unwanted(self.number));
    }
}
