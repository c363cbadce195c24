//! The thread on which all connections of this process run.

use std::{io, sync::Arc, thread, time::Duration};

use parking_lot::{Mutex, RwLock};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::ending;

/// Pipes, of two files each, that a runtime takes.
const PIPES: usize = 2;

/// What waits to be written when the interpreter ends has so long to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A poll is over at once: who ends the engine waits so long for those that others are in.
const POLLS: Duration = Duration::from_secs(1);

/// A runtime on a thread of its own.
pub(crate) struct Engine {
    pub(crate) handle: Handle,
    /// The process that it belongs to.
    pid: u32,
    /// Whether it was not ended. Who polls reads it meanwhile: a timer without its runtime panics.
    runs: RwLock<bool>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

static ENGINE: Mutex<Option<Arc<Engine>>> = Mutex::new(None);

impl Engine {
    fn start() -> io::Result<Arc<Self>> {
        // A runtime that gets no files panics, so they are looked for before.
        (0..PIPES).map(|_| io::pipe()).collect::<Result<Vec<_>, _>>()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("daffi-engine".into()).spawn(move || {
            let _either_way = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        let (stop, thread) = (Mutex::new(Some(stop)), Mutex::new(Some(thread)));
        Ok(Arc::new(Self { handle, pid: std::process::id(), runs: RwLock::new(true), stop, thread }))
    }

    /// Whether this process is not the one that started it, but a child.
    pub(crate) fn is_inherited(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Polls something that needs the engine, which does not end meanwhile. `None`: it has ended.
    pub(crate) fn poll<T>(&self, poll: impl FnOnce() -> T) -> Option<T> {
        // What is dropped in a poll may be Python's, and wait for the engine in its turn.
        let runs = self.runs.read_recursive();
        runs.then(poll)
    }

    /// Drops all that runs.
    fn end(&self) {
        if let Some(mut runs) = self.runs.try_write_for(POLLS) {
            *runs = false;
        }
        drop(self.stop.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _panicked = thread.join();
        }
    }

    /// Fails in a child, where nothing of it runs.
    pub(crate) fn check(&self, what: &str) -> PyResult<()> {
        if !self.is_inherited() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(format!(
            "this {what} was made in process {} and does not run in process {}, which was forked from it: make a new one \
             after the fork",
            self.pid,
            std::process::id()
        )))
    }
}

/// The engine of this process, started when it is first asked for.
///
/// # Errors
/// When it cannot be started, or the interpreter ends.
pub(crate) fn engine() -> PyResult<Arc<Engine>> {
    ending::check()?;
    let mut engine = ENGINE.lock();
    match &*engine {
        Some(running) if !running.is_inherited() => Ok(Arc::clone(running)),
        _ => {
            ending::check_start()?;
            let started = Engine::start().map_err(|error| {
                PyRuntimeError::new_err(format!(
                    "cannot start the thread of the engine: {error}; raise the limit of this process's open files or threads"
                ))
            })?;
            // The threads of one that was inherited are in another process: it is left as it is.
            std::mem::forget(engine.replace(Arc::clone(&started)));
            Ok(started)
        }
    }
}

/// Ends the engine: `stop` is given so long, and then everything that still runs is dropped. Open
/// calls end with an error, and no other thread begins a call from here on.
#[pyfunction]
pub(crate) fn shut_down(py: Python<'_>) {
    // Before it is looked for: none is started afterwards.
    ending::begin();
    let running = ENGINE.lock().clone();
    let Some(engine) = running.filter(|engine| !engine.is_inherited()) else { return };
    // Not back by `ending`: this is the thread that ends the interpreter.
    py.detach(|| {
        let stopping = crate::serving::stop_all();
        let entered = engine.handle.enter();
        let _late = crate::waiting::block_detached(async { tokio::time::timeout(LAST_WORDS, stopping).await });
        drop(entered);
        ending::close(|| {
            drop(ENGINE.lock().take());
            engine.end();
        });
    });
}
