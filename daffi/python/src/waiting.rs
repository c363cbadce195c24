//! Waiting for the engine on a thread of Python.

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use pyo3::{marker::Ungil, prelude::*};

use crate::{
    ending::{self, Visit},
    engine::Engine,
    feed::Giver,
};

/// The main thread looks so often whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(25);

struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Release);
        self.thread.unpark();
    }
}

impl Parker {
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), woken: AtomicBool::new(false) })
    }

    /// Waits until it was woken. `false`: the time is up first.
    fn wait(&self, within: Option<Duration>) -> bool {
        if !self.woken.load(Acquire) {
            match within {
                Some(within) => thread::park_timeout(within),
                None => thread::park(),
            }
        }
        self.woken.swap(false, Acquire)
    }
}

/// Waits for `future` with Python's lock released. On the main thread signals are handled
/// meanwhile, and what their handlers raise ends the waiting; the future is dropped then.
///
/// # Errors
/// When the interpreter ends.
pub(crate) fn block<F>(py: Python<'_>, engine: &Engine, future: F) -> PyResult<F::Output>
where
    F: Future + Send,
    F::Output: Ungil + Send,
{
    block_giving(py, engine, future, None)
}

/// Waits as [`block`] does, for a future that `giver` gives what it sends. The code of the user
/// that makes it runs between polls rather than within one: it takes its time, in which the engine
/// may end.
///
/// # Errors
/// When the interpreter ends.
pub(crate) fn block_giving<F>(py: Python<'_>, engine: &Engine, future: F, giver: Option<&Giver>) -> PyResult<F::Output>
where
    F: Future + Send,
    F::Output: Ungil + Send,
{
    let _waits = ending::waits()?;
    let _entered = engine.handle.enter();
    let mut future = pin!(future);
    let parker = Parker::new();
    let waker = Waker::from(Arc::clone(&parker));
    let look = is_main_thread(py).then_some(LOOK);
    // What is there at once, or only has to be queued, keeps the lock. What is sent may come of
    // Python.
    let visit = Visit::here(py)?;
    let mut poll = || match engine.poll(|| future.as_mut().poll(&mut Context::from_waker(&waker))) {
        Some(polled) => polled.map(Ok),
        None => Poll::Ready(Err(ending::over())),
    };
    if let Poll::Ready(output) = poll() {
        return output;
    }
    drop(visit);
    let is_asked = || giver.is_some_and(Giver::is_asked);
    loop {
        if let Some(giver) = giver.filter(|giver| giver.is_asked()) {
            let _visit = Visit::here(py)?;
            giver.give(py);
        }
        if let Poll::Ready(output) = ending::detach(py, || wait(&mut poll, &parker, look, is_asked)) {
            return output;
        }
        py.check_signals()?;
    }
}

/// Waits until what is polled is done; `Pending` when Python has something to do: it is time to
/// look for signals, or something is asked of it.
fn wait<T>(
    mut poll: impl FnMut() -> Poll<T>,
    parker: &Parker,
    look: Option<Duration>,
    is_asked: impl Fn() -> bool,
) -> Poll<T> {
    loop {
        if parker.wait(look) {
            let polled = poll();
            if polled.is_ready() || is_asked() {
                return polled;
            }
        } else if look.is_some() {
            return Poll::Pending;
        }
    }
}

/// Waits on a thread that does not hold Python's lock.
pub(crate) fn block_detached<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let parker = Parker::new();
    let waker = Waker::from(Arc::clone(&parker));
    let mut poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
    match poll() {
        Poll::Ready(output) => output,
        Poll::Pending => match wait(poll, &parker, None, || false) {
            Poll::Ready(output) => output,
            Poll::Pending => unreachable!("it only stops to look for signals when it is told to"),
        },
    }
}

/// How often this thread has to look for signals, which only the main thread handles.
pub(crate) fn look(py: Python<'_>) -> Option<Duration> {
    is_main_thread(py).then_some(LOOK)
}

fn is_main_thread(py: Python<'_>) -> bool {
    // A child that was forked from another thread has that as its main one.
    thread_local!(static IS_MAIN: Cell<Option<(u32, bool)>> = const { Cell::new(None) });
    let process = std::process::id();
    if let Some((_, known)) = IS_MAIN.get().filter(|(of, _)| *of == process) {
        return known;
    }
    let is_main = || -> PyResult<bool> {
        let threading = py.import("threading")?;
        threading.call_method0("main_thread")?.getattr("ident")?.eq(threading.call_method0("get_ident")?)
    };
    let is_main = is_main().unwrap_or(true);
    IS_MAIN.set(Some((process, is_main)));
    is_main
}
