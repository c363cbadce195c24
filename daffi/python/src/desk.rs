//! Where what the engine has for Python waits: calls to run, answers, events.

use std::{
    collections::{HashMap, VecDeque},
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::{Condvar, Mutex};
use pyo3::{exceptions::PyOSError, prelude::*, types::PyList};
use tokio::task::AbortHandle;

use crate::{
    calls::{Ended, Outcome},
    engine::Engine,
    job::Job,
    waiting,
};

/// Events of members, and lines of the log, that are kept for who takes its time; later ones are
/// dropped.
const MAX_EVENTS: usize = 4096;

/// What waits for Python.
pub(crate) enum Work {
    /// A call to be run.
    Call(Job),
    /// Nobody waits for the answer to this call any more.
    Cancelled(u64),
    /// The caller takes more results of this call.
    More(u64),
    /// Nobody takes results of this call any more.
    Unwanted(u64),
    /// What was waited for has ended.
    Done(u64, Ended<Outcome>),
    /// A member has come (`true`) or gone.
    Member(bool, String),
    /// A line of the log, with its level of Python's `logging`.
    Line(u8, String),
}

impl Work {
    /// Whether it is told to whoever watches, and nobody waits for it.
    const fn is_news(&self) -> bool {
        matches!(self, Self::Member(..) | Self::Line(..))
    }
}

/// The inside of a [`Desk`], which the engine fills.
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// Wakes an event loop.
    bell: Option<UnixStream>,
    numbers: AtomicU64,
    /// What the engine works on for Python, to be given up.
    open: Mutex<HashMap<u64, AbortHandle>>,
    watched: AtomicBool,
}

#[derive(Default)]
struct Queue {
    works: VecDeque<Work>,
    closed: bool,
    events: usize,
}

impl Inbox {
    /// A number for what is open.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// Whether an event loop takes what is here, rather than threads.
    pub(crate) const fn is_looped(&self) -> bool {
        self.bell.is_some()
    }

    /// Puts something in. `false`: nobody takes it any more.
    pub(crate) fn push(&self, work: Work) -> bool {
        let mut queue = self.queue.lock();
        if queue.closed {
            return false;
        }
        if work.is_news() {
            if queue.events == MAX_EVENTS || !self.watched.load(Relaxed) {
                return true;
            }
            queue.events += 1;
        }
        let was_empty = queue.works.is_empty();
        queue.works.push_back(work);
        drop(queue);
        match &self.bell {
            None => _ = self.filled.notify_one(),
            // A bell that was rung and not heard yet is full or rings: either does.
            Some(bell) if was_empty => _ = (&*bell).write(&[1]),
            Some(_) => {}
        }
        true
    }

    /// Works on `future` in the engine and puts in how it ended, under the number that this gives.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        engine: &Engine,
        future: impl Future<Output = Ended<Outcome>> + Send + 'static,
    ) -> u64 {
        let (number, inbox) = (self.number(), Arc::clone(self));
        let mut open = self.open.lock();
        let task = engine.handle.spawn(async move {
            let ended = future.await;
            inbox.open.lock().remove(&number);
            inbox.push(Work::Done(number, ended));
        });
        open.insert(number, task.abort_handle());
        number
    }

    /// Nothing is taken any more.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let left = std::mem::take(&mut queue.works);
        drop(queue);
        self.filled.notify_all();
        drop(left);
        for (_, task) in self.open.lock().drain() {
            task.abort();
        }
    }

    fn take_now(&self) -> Option<Work> {
        let mut queue = self.queue.lock();
        let work = queue.works.pop_front()?;
        if work.is_news() {
            queue.events -= 1;
        }
        Some(work)
    }
}

/// Where Python takes what the engine has for it: threads wait here, or an event loop hears a bell.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct Desk {
    pub(crate) inbox: Arc<Inbox>,
    /// The other end of the bell.
    ear: Option<UnixStream>,
}

#[pymethods]
impl Desk {
    /// A desk at which threads wait, or with a bell for an event loop.
    #[new]
    #[pyo3(signature = (*, bell=false))]
    fn new(bell: bool) -> PyResult<Self> {
        let failed = |error: std::io::Error| PyOSError::new_err(format!("no bell for the event loop: {error}"));
        let (bell, ear) = if bell {
            let (bell, ear) = UnixStream::pair().map_err(failed)?;
            bell.set_nonblocking(true).and_then(|()| ear.set_nonblocking(true)).map_err(failed)?;
            (Some(bell), Some(ear))
        } else {
            (None, None)
        };
        let inbox = Inbox {
            queue: Mutex::default(),
            filled: Condvar::new(),
            bell,
            numbers: AtomicU64::new(1),
            open: Mutex::default(),
            watched: AtomicBool::new(false),
        };
        Ok(Self { inbox: Arc::new(inbox), ear })
    }

    /// The file that an event loop watches.
    fn fileno(&self) -> Option<i32> {
        self.ear.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Waits for something to do; `None`: the desk is closed.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let look = waiting::look(py);
        loop {
            if let Some(work) = self.inbox.take_now() {
                return to_python(py, work).map(Some);
            }
            let closed = py.detach(|| {
                let mut queue = self.inbox.queue.lock();
                if queue.works.is_empty() && !queue.closed {
                    match look {
                        Some(look) => _ = self.inbox.filled.wait_for(&mut queue, look),
                        None => self.inbox.filled.wait(&mut queue),
                    }
                }
                queue.closed
            });
            if closed {
                return Ok(None);
            }
            py.check_signals()?;
        }
    }

    /// All that is there, for an event loop that heard the bell.
    fn take_all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        if let Some(ear) = &self.ear {
            // One ring is enough, and a second one too many is heard again.
            let _nothing_rang = (&*ear).read(&mut [0; 64]);
        }
        let works = {
            let mut queue = self.inbox.queue.lock();
            queue.events = 0;
            std::mem::take(&mut queue.works)
        };
        let list = PyList::empty(py);
        for work in works {
            list.append(to_python(py, work)?)?;
        }
        Ok(list)
    }

    /// Whether nothing waits here.
    fn is_idle(&self) -> bool {
        self.inbox.queue.lock().works.is_empty()
    }

    /// Members that come and go, or lines of the log, are put in from now on.
    fn watch(&self) {
        self.inbox.watched.store(true, Relaxed);
    }

    /// Gives up what is open under this number.
    fn give_up(&self, number: u64) {
        if let Some(task) = self.inbox.open.lock().remove(&number) {
            task.abort();
        }
    }

    /// Ends the waiting of all threads; nothing is put in any more.
    fn close(&self) {
        self.inbox.close();
    }
}

/// The kind of the work, its number, and what belongs to it.
fn to_python(py: Python<'_>, work: Work) -> PyResult<Bound<'_, PyAny>> {
    Ok(match work {
        Work::Call(job) => Bound::new(py, job)?.into_any(),
        Work::Cancelled(number) => ("cancelled", number, py.None()).into_pyobject(py)?.into_any(),
        Work::More(number) => ("more", number, py.None()).into_pyobject(py)?.into_any(),
        Work::Unwanted(number) => ("unwanted", number, py.None()).into_pyobject(py)?.into_any(),
        Work::Done(number, ended) => {
            let (kind, value) = match ended.and_then(|outcome| outcome.into_python(py)) {
                Ok(value) => ("done", value),
                Err(error) => ("failed", error.into_python(py)?),
            };
            (kind, number, value).into_pyobject(py)?.into_any()
        }
        Work::Member(true, name) => ("added", 0, name).into_pyobject(py)?.into_any(),
        Work::Line(level, text) => ("line", level, text).into_pyobject(py)?.into_any(),
        Work::Member(false, name) => ("removed", 0, name).into_pyobject(py)?.into_any(),
    })
}
