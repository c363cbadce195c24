//! Where what the engine has for Python waits: calls to run, answers, events.

use std::{
    collections::{HashMap, VecDeque},
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::{Condvar, Mutex};
use pyo3::{exceptions::PyOSError, prelude::*, types::PyList};
use tokio::task::AbortHandle;

use crate::{
    calls::{Ended, Outcome},
    ending,
    engine::Engine,
    job::Job,
    open::Open,
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
    /// What a loop waits for is to be looked at.
    Woken(Arc<Open>),
    /// A member has come (`true`) or gone.
    Member(bool, String),
    /// A line of the log, with its level of Python's `logging`.
    Line(u8, String),
}

impl Work {
    /// The number under which somebody waits for how it ended.
    const fn number(&self) -> Option<u64> {
        match self {
            Self::Done(number, _) => Some(*number),
            _ => None,
        }
    }

    /// Whether it is told to whoever watches, and nobody waits for it.
    const fn is_news(&self) -> bool {
        matches!(self, Self::Member(..) | Self::Line(..))
    }
}

/// The inside of a [`Desk`], which the engine fills.
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// A worker is free for who had lent it.
    back: Condvar,
    /// Wakes an event loop.
    bell: Option<UnixStream>,
    numbers: AtomicU64,
    /// What the engine works on for Python, to be given up.
    open: Mutex<HashMap<u64, OpenWork>>,
    watched: AtomicBool,
    /// Bytes of results that were made and not taken yet, of all calls.
    pub(crate) ahead: AtomicUsize,
}

/// What was begun for Python.
enum OpenWork {
    /// It goes on by itself.
    Task(AbortHandle),
    /// The loop polls it.
    Here(Arc<Open>),
}

impl OpenWork {
    fn give_up(self) {
        match self {
            Self::Task(task) => task.abort(),
            Self::Here(open) => open.give_up(),
        }
    }
}

struct Queue {
    works: VecDeque<Work>,
    closed: bool,
    events: usize,
    /// So many threads may take work beside those that do.
    free: usize,
    /// Threads that want back what they lent, before others take work.
    returning: usize,
}

impl Queue {
    fn gives(&self) -> bool {
        !self.works.is_empty() && self.free > 0 && self.returning == 0
    }
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
        open.insert(number, OpenWork::Task(task.abort_handle()));
        number
    }

    /// Nothing is taken any more.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let left = std::mem::take(&mut queue.works);
        drop(queue);
        self.filled.notify_all();
        self.back.notify_all();
        drop(left);
        let open = std::mem::take(&mut *self.open.lock());
        open.into_values().for_each(OpenWork::give_up);
    }

    /// Wakes who is next, once a worker is free or somebody went on: a thread that wants back what
    /// it lent, before one that takes further work.
    fn pass_on(&self, queue: &Queue) {
        if queue.returning > 0 {
            if queue.free > 0 {
                self.back.notify_one();
            }
        } else if queue.gives() {
            self.filled.notify_one();
        }
    }

    /// Takes work, if there is some. `held`: the worker that did the last one is free again.
    fn take_now(&self, held: bool) -> Option<Work> {
        let mut queue = self.queue.lock();
        if held {
            queue.free += 1;
        }
        let work = if queue.gives() { queue.works.pop_front() } else { None };
        if let Some(work) = &work {
            queue.free -= 1;
            if work.is_news() {
                queue.events -= 1;
            }
        }
        self.pass_on(&queue);
        work
    }
}

/// Where Python takes what the engine has for it: threads wait here, or an event loop hears a bell.
#[pyclass(frozen, module = "daffi_rs._daffi_rs")]
pub(crate) struct Desk {
    pub(crate) inbox: Arc<Inbox>,
    /// The other end of the bell.
    ear: Option<UnixStream>,
    process: u32,
}

impl Drop for Desk {
    fn drop(&mut self) {
        // What is open holds on to itself. In a child nothing of it may be touched.
        if self.process == std::process::id() {
            self.inbox.close();
        }
    }
}

impl Desk {
    /// Begins what an event loop waits for: gives a tuple of what came of it, if that is there at
    /// once, or else the number under which its end is told here.
    pub(crate) fn begin<'py>(
        &self,
        py: Python<'py>,
        engine: &Engine,
        future: impl Future<Output = Ended<Outcome>> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>> {
        let number = self.inbox.number();
        let open = Open::new(number, &self.inbox, engine.handle.clone(), future);
        match open.poll() {
            Some(ended) => {
                let value = ended.and_then(|outcome| outcome.into_python(py)).map_err(|failure| failure.raise(py))?;
                Ok((value,).into_pyobject(py)?.into_any())
            }
            None => {
                self.inbox.open.lock().insert(number, OpenWork::Here(open));
                Ok(number.into_pyobject(py)?.into_any())
            }
        }
    }
}

#[pymethods]
impl Desk {
    /// A desk at which threads wait, of which `workers` may do work at once, or all; or with a bell
    /// for an event loop.
    #[new]
    #[pyo3(signature = (*, bell=false, workers=None))]
    fn new(bell: bool, workers: Option<usize>) -> PyResult<Self> {
        let failed = |error: std::io::Error| PyOSError::new_err(format!("no bell for the event loop: {error}"));
        let (bell, ear) = if bell {
            let (bell, ear) = UnixStream::pair().map_err(failed)?;
            bell.set_nonblocking(true).and_then(|()| ear.set_nonblocking(true)).map_err(failed)?;
            (Some(bell), Some(ear))
        } else {
            (None, None)
        };
        let inbox = Inbox {
            queue: Mutex::new(Queue {
                works: VecDeque::new(),
                closed: false,
                events: 0,
                free: workers.unwrap_or(usize::MAX / 2),
                returning: 0,
            }),
            filled: Condvar::new(),
            back: Condvar::new(),
            bell,
            numbers: AtomicU64::new(1),
            open: Mutex::default(),
            watched: AtomicBool::new(false),
            ahead: AtomicUsize::new(0),
        };
        Ok(Self { inbox: Arc::new(inbox), ear, process: std::process::id() })
    }

    /// The file that an event loop watches.
    fn fileno(&self) -> Option<i32> {
        self.ear.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Waits for something to do; `None`: the desk is closed. `held`: this thread has done what it
    /// took before.
    #[pyo3(signature = (held=false))]
    fn take<'py>(&self, py: Python<'py>, mut held: bool) -> PyResult<Option<Bound<'py, PyAny>>> {
        let look = waiting::look(py);
        loop {
            if let Some(work) = self.inbox.take_now(std::mem::take(&mut held)) {
                return to_python(py, work).map(Some);
            }
            let closed = ending::detach(py, || {
                let mut queue = self.inbox.queue.lock();
                if !queue.gives() && !queue.closed {
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

    /// All that is there, for an event loop that heard the bell. What cannot be made into an object
    /// of Python fails alone: nothing else that was taken is lost with it. In a child there is
    /// nothing: its parent is to hear the bell.
    fn take_all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        if self.process != std::process::id() {
            return Ok(PyList::empty(py));
        }
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
            let work = match work {
                Work::Woken(open) => match open.poll() {
                    Some(ended) => {
                        self.inbox.open.lock().remove(&open.number);
                        Work::Done(open.number, ended)
                    }
                    None => continue,
                },
                work => work,
            };
            let number = work.number();
            match (to_python(py, work), number) {
                (Ok(work), _) => list.append(work)?,
                (Err(error), Some(number)) => list.append(("failed", number, error.into_value(py)))?,
                (Err(error), None) => error.write_unraisable(py, None),
            }
        }
        Ok(list)
    }

    /// Lets another thread take work in the place of this one, which waits for something.
    fn lend(&self) {
        let mut queue = self.inbox.queue.lock();
        queue.free += 1;
        self.inbox.pass_on(&queue);
    }

    /// Waits until this thread may go on, before others take further work.
    fn reclaim(&self, py: Python<'_>) {
        ending::detach(py, || {
            let mut queue = self.inbox.queue.lock();
            queue.returning += 1;
            while queue.free == 0 && !queue.closed {
                self.inbox.back.wait(&mut queue);
            }
            queue.free = queue.free.saturating_sub(1);
            queue.returning -= 1;
            self.inbox.pass_on(&queue);
        });
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
        let open = self.inbox.open.lock().remove(&number);
        if let Some(open) = open {
            open.give_up();
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
                Err(error) => ("failed", error.into_python(py)),
            };
            (kind, number, value).into_pyobject(py)?.into_any()
        }
        Work::Member(true, name) => ("added", 0, name).into_pyobject(py)?.into_any(),
        Work::Line(level, text) => ("line", level, text).into_pyobject(py)?.into_any(),
        Work::Member(false, name) => ("removed", 0, name).into_pyobject(py)?.into_any(),
        // A loop looks at it, and threads begin nothing of that kind.
        Work::Woken(open) => ("woken", open.number, py.None()).into_pyobject(py)?.into_any(),
    })
}
