//! The end of the interpreter, to which no thread that is away may come back.
//!
//! Before 3.14 Python ends a thread that asks for its lock from then on by unwinding it, and one
//! that has frames of Rust on its stack takes the process along.

use std::{
    cell::Cell,
    sync::atomic::{
        AtomicU8, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use pyo3::{exceptions::PyRuntimeError, marker::Ungil, prelude::*};

/// Nothing ends.
const RUNNING: u8 = 0;
/// No engine is started any more; the nodes of the one that runs stop in order.
const ENDING: u8 = 1;
/// Nobody begins to wait for the engine any more; those that do come back with how that ended.
const CLOSING: u8 = 2;
/// Who is away stays there.
const OVER: u8 = 3;

static STAGE: AtomicU8 = AtomicU8::new(RUNNING);

/// Threads that wait for the engine, and will come back from it.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Threads that have, or are about to take, Python's lock with frames of Rust beneath.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// They are waited for so long, each time.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

thread_local! {
    /// How many visits this thread makes, one within another.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Whether it is the one that ends the interpreter.
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

fn is(stage: u8) -> bool {
    STAGE.load(SeqCst) >= stage && !ENDS.get()
}

/// Where a thread stays that may not come back. It ends with the process.
fn stay() -> ! {
    loop {
        thread::park();
    }
}

/// A count that goes down again.
pub(crate) struct Counted(&'static AtomicUsize);

impl Counted {
    fn new(count: &'static AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // A child that was forked meanwhile counts from 0 on.
        let _none_left = self.0.fetch_update(SeqCst, Relaxed, |count| count.checked_sub(1));
    }
}

/// While a thread runs Python, or goes back to it, with frames of Rust beneath. The interpreter
/// waits a moment for it before it ends.
pub(crate) struct Visit {
    _counted: Option<Counted>,
}

impl Visit {
    /// Of a thread that does not have Python's lock. It does not come back once all is over.
    fn coming() -> Self {
        // What is around it is waited for.
        let counted = (DEPTH.get() == 0).then(|| Counted::new(&INSIDE));
        if counted.is_some() && is(OVER) {
            drop(counted);
            stay();
        }
        DEPTH.set(DEPTH.get() + 1);
        Self { _counted: counted }
    }

    /// Of a thread that has Python's lock.
    ///
    /// # Errors
    /// When all is over.
    pub(crate) fn here(_: Python<'_>) -> PyResult<Self> {
        let counted = (DEPTH.get() == 0).then(|| Counted::new(&INSIDE));
        if counted.is_some() && is(OVER) {
            return Err(over());
        }
        DEPTH.set(DEPTH.get() + 1);
        Ok(Self { _counted: counted })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Does `work` without Python's lock.
pub(crate) fn detach<T: Ungil + Send>(py: Python<'_>, work: impl FnOnce() -> T + Ungil + Send) -> T {
    let (done, back) = py.detach(|| {
        let done = work();
        (done, Visit::coming())
    });
    // Python's lock is taken.
    drop(back);
    done
}

/// A thread that is about to wait for the engine, until this is dropped.
///
/// # Errors
/// When the interpreter ends.
pub(crate) fn waits() -> PyResult<Counted> {
    let counted = Counted::new(&WAITING);
    check().map(|()| counted)
}

/// Fails when the interpreter ends.
pub(crate) fn check() -> PyResult<()> {
    if is(CLOSING) { Err(over()) } else { Ok(()) }
}

/// Fails from where on no engine may be started: it would not be ended.
pub(crate) fn check_start() -> PyResult<()> {
    if is(ENDING) { Err(over()) } else { Ok(()) }
}

/// What is raised where the engine is gone.
pub(crate) fn over() -> PyErr {
    PyRuntimeError::new_err("the interpreter ends, and with it all nodes of this process")
}

/// Has all threads but this one start no engine.
pub(crate) fn begin() {
    ENDS.set(true);
    STAGE.store(ENDING, SeqCst);
}

/// Ends the waiting of all threads but this one. `drop_engine` has what they wait for end; it is
/// called without Python's lock, which they take meanwhile. It comes after `begin`.
pub(crate) fn close(drop_engine: impl FnOnce()) {
    STAGE.store(CLOSING, SeqCst);
    drop_engine();
    wait_for(&WAITING);
}

/// Keeps all threads but this one where they are, once the engine has ended and what is told of
/// that is told: the interpreter may end then.
#[pyfunction]
pub(crate) fn leave(py: Python<'_>) {
    if STAGE.load(SeqCst) == RUNNING {
        return;
    }
    ENDS.set(true);
    STAGE.store(OVER, SeqCst);
    py.detach(|| wait_for(&INSIDE));
}

fn wait_for(threads: &AtomicUsize) {
    let begun = Instant::now();
    while threads.load(SeqCst) > 0 && begun.elapsed() < PATIENCE {
        thread::sleep(LOOK);
    }
}

/// In a child there is no thread but this one.
#[pyfunction]
pub(crate) fn forked() {
    WAITING.store(0, SeqCst);
    INSIDE.store(0, SeqCst);
}
