//! The workers of a node: so many callbacks run at once as there are, in order of arrival.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot};

use super::{
    super::caller::CallerId,
    blocking::{BoxedJob, Job, Runner},
    line::Line,
};

/// One free worker in [`Workers::state`].
const ONE: usize = 2;

/// The empty boxes that are kept for the next plain functions.
const BOXES: usize = 64;

/// The line is swept when so many came since it was, and half as many as stand in it.
const SWEEP: usize = 64;

/// Somebody stands in line, so a worker that becomes free belongs to the first of them.
const LINE: usize = 1;

/// The workers of a node, and the line of those that wait for one.
///
/// A semaphore of its own because of who waits: plain functions stand in line as what they are, not
/// as a task each, and a thread that has run one goes on with the next under the same permit,
/// without a wake-up in between.
pub(crate) struct Workers {
    /// Free workers times [`ONE`], and [`LINE`]. While somebody stands in line no worker is free.
    state: AtomicUsize,
    all: usize,
    /// Where the node was made, whose threads run plain functions. A worker may become free on a
    /// thread of something else, as that of an executor in a layer.
    home: Option<Handle>,
    waiting: Mutex<AllWaiting>,
}

#[derive(Default)]
struct AllWaiting {
    line: Line<InLine>,
    /// How many came into the line since it was swept.
    came: usize,
    boxes: Vec<BoxedJob>,
    /// The runtime is gone: nothing runs any more.
    closed: bool,
}

enum InLine {
    /// A plain function: whoever frees a worker runs it, or has it run.
    Job(BoxedJob),
    /// A future that waits for its worker.
    Future(oneshot::Sender<Worker>),
}

impl AllWaiting {
    /// Gives what nobody wants any more, which is to be dropped without the lock.
    ///
    /// A request is counted while somebody waits for it, and its place in line is not: so however
    /// many are given up while all workers are busy, not many more places may be kept than are
    /// wanted.
    #[must_use]
    fn push(&mut self, caller: CallerId, known: bool, item: InLine) -> Vec<InLine> {
        self.line.push(caller, known, item);
        self.came += 1;
        if self.came < SWEEP.max(self.line.len() / 2) {
            return Vec::new();
        }
        self.came = 0;
        self.line.sweep(InLine::is_wanted)
    }

    fn pop(&mut self) -> Option<InLine> {
        loop {
            match self.line.pop() {
                Some(InLine::Future(place)) if place.is_closed() => {}
                next => return next,
            }
        }
    }
}

impl InLine {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Job(job) => job.as_ref().as_ref().is_some_and(Job::is_wanted),
            Self::Future(place) => !place.is_closed(),
        }
    }

    /// It does not run, because nobody waits for it.
    fn give_up(self) {
        if let Self::Job(mut job) = self
            && let Some(job) = job.take()
        {
            job.give_up();
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.state.load(Ordering::Relaxed) / ONE;
        f.debug_struct("Workers").field("all", &self.all).field("free", &free).finish_non_exhaustive()
    }
}

impl Workers {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        let all = workers.min(usize::MAX / ONE);
        let (state, home) = (AtomicUsize::new(all * ONE), Handle::try_current().ok());
        Arc::new(Self { state, all, home, waiting: Mutex::default() })
    }

    /// The runtime whose threads run plain functions.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.home.clone().or_else(|| Handle::try_current().ok())
    }

    /// Whether callbacks run one after another.
    pub(crate) const fn is_one(&self) -> bool {
        self.all == 1
    }

    /// Takes a worker for the moment, if one is free and nobody waits.
    pub(crate) fn try_borrow(self: &Arc<Self>) -> Option<Borrowed<'_>> {
        self.try_take().then(|| Borrowed(self))
    }

    /// Takes a free worker, and keeps it.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<Worker> {
        self.try_borrow().map(Borrowed::keep)
    }

    /// Takes a place in line now; the future gives a worker when all before it had theirs, and
    /// nothing when the runtime is gone. Dropped, it gives its place up.
    pub(crate) fn wait(self: &Arc<Self>, caller: CallerId, known: bool) -> PlaceInLine {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if self.take_or_line_up() {
            drop(waiting);
            // The receiver is here.
            drop(sender.send(Worker(Some(Arc::clone(self)))));
        } else if !waiting.closed {
            let gone = waiting.push(caller, known, InLine::Future(sender));
            drop(waiting);
            gone.into_iter().for_each(InLine::give_up);
        }
        PlaceInLine(receiver)
    }

    /// Lets plain functions run on threads of their own, in this order.
    pub(crate) fn submit(self: &Arc<Self>, jobs: &mut Vec<Job>) {
        let (mut now, mut gone) = (Vec::new(), Vec::new());
        {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                drop(waiting);
                return jobs.clear();
            }
            for job in jobs.drain(..) {
                let (caller, known) = (job.caller(), job.is_of_known());
                let mut boxed = waiting.boxes.pop().unwrap_or_default();
                *boxed = Some(job);
                if self.take_or_line_up() {
                    now.push(boxed);
                } else {
                    gone.append(&mut waiting.push(caller, known, InLine::Job(boxed)));
                }
            }
        }
        gone.into_iter().for_each(InLine::give_up);
        for job in now {
            Runner::start(Worker(Some(Arc::clone(self))), job);
        }
    }

    /// Nothing runs any more, because there are no threads: whoever waits is told so.
    pub(crate) fn close(&self) {
        let line = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.line)
        };
        drop(line);
    }

    fn try_take(&self) -> bool {
        // Acquire, with the Release of `give_back`: what one callback did happens before what the
        // next one does.
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| {
                if state & LINE == 0 { state.checked_sub(ONE) } else { None }
            })
            .is_ok()
    }

    /// Takes a free worker, or notes that somebody stands in line. For those who hold the line's
    /// lock.
    fn take_or_line_up(&self) -> bool {
        if self.try_take() {
            return true;
        }
        // Relaxed: who stands in line gets its worker through the lock of the line.
        let line_up = |state: usize| if state < ONE { Some(state | LINE) } else { None };
        while self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, line_up).is_err() {
            // A worker became free just now.
            if self.try_take() {
                return true;
            }
        }
        false
    }

    /// A worker is free: if nobody stands in line it stays so.
    fn give_back(&self) -> bool {
        self.state
            .fetch_update(Ordering::Release, Ordering::Relaxed, |state| (state & LINE == 0).then_some(state + ONE))
            .is_ok()
    }
}

/// A worker that is taken while something runs in place.
pub(crate) struct Borrowed<'a>(&'a Arc<Workers>);

impl Borrowed<'_> {
    pub(crate) fn keep(self) -> Worker {
        let workers = Arc::clone(self.0);
        std::mem::forget(self);
        Worker(Some(workers))
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if !self.0.give_back() {
            drop(Worker(Some(Arc::clone(self.0))));
        }
    }
}

/// One of the node's workers, busy until this is dropped.
pub(crate) struct Worker(Option<Arc<Workers>>);

impl Worker {
    pub(crate) const fn workers(&self) -> &Arc<Workers> {
        self.0.as_ref().expect("a worker has its node's workers until it is passed on")
    }

    /// Passes this worker on to the first in line. Gives it back if that is a plain function, which
    /// has to be run with it. `empty`: the box of the one that ran.
    pub(crate) fn pass_on(mut self, mut empty: Option<BoxedJob>) -> Option<(Self, BoxedJob)> {
        let workers = self.0.take()?;
        loop {
            let next = {
                let mut waiting = workers.waiting.lock();
                if waiting.boxes.len() < BOXES {
                    waiting.boxes.extend(empty.take());
                }
                let next = waiting.pop();
                if waiting.line.is_empty() {
                    // Relaxed: only the holder of this lock sets or clears the mark.
                    workers.state.fetch_and(!LINE, Ordering::Relaxed);
                }
                if next.is_none() {
                    workers.state.fetch_add(ONE, Ordering::Release);
                }
                next
            };
            match next {
                None => return None,
                Some(InLine::Job(job)) => return Some((Self(Some(workers)), job)),
                Some(InLine::Future(place)) => match place.send(Self(Some(Arc::clone(&workers)))) {
                    Ok(()) => return None,
                    // The future gave its place up.
                    Err(mut worker) => worker.0 = None,
                },
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let Some(workers) = self.0.take() else { return };
        if workers.give_back() {
            return;
        }
        if let Some((worker, job)) = Self(Some(workers)).pass_on(None) {
            Runner::start(worker, job);
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

/// A place in line: [`Workers::wait`].
pub(crate) struct PlaceInLine(oneshot::Receiver<Worker>);

impl Future for PlaceInLine {
    type Output = Option<Worker>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn workers_go_to_those_in_line_in_order() {
        let workers = Workers::new(2);
        let (one, two) = (workers.try_acquire().unwrap(), workers.try_borrow().unwrap());
        assert!(workers.try_borrow().is_none());
        let wait = |n| workers.wait(CallerId(n), true);
        let (mut first, second, mut third) = (wait(1), wait(2), wait(1));
        assert!((&mut first).now_or_never().is_none());
        drop(second);
        drop(two);
        let first = first.now_or_never().unwrap().unwrap();
        assert!((&mut third).now_or_never().is_none());
        drop(one);
        assert!(workers.try_borrow().is_none(), "it belongs to the one in line, who did not look yet");
        drop(third);
        assert!(workers.try_borrow().is_some(), "who gave a place up, or a worker, is passed over");
        drop(first);
        let both = (workers.try_borrow(), workers.try_borrow());
        assert!(both.0.is_some() && both.1.is_some() && workers.try_borrow().is_none());
    }

    #[test]
    fn who_gave_up_keeps_no_place_however_long_all_are_busy() {
        let workers = Workers::new(1);
        let busy = workers.try_acquire().unwrap();
        let wait = |n| workers.wait(CallerId(n), true);
        let mut first = wait(1);
        for n in 0..10_000 {
            drop(wait(n % 7));
            assert!(workers.waiting.lock().line.len() <= SWEEP + 1);
        }
        let mut all: Vec<_> = (0..1000).map(|n| wait(n % 7)).collect();
        for n in 0..10_000 {
            drop(wait(n % 7));
            assert!(workers.waiting.lock().line.len() <= 2 * 1002);
        }
        all.push(wait(8));
        drop(busy);
        drop((&mut first).now_or_never().unwrap());
        // Each that got a worker passes it on.
        while let Some(at) = all.iter_mut().position(|place| place.now_or_never().is_some()) {
            drop(all.swap_remove(at));
        }
        assert!(all.is_empty());
        assert!(workers.waiting.lock().line.is_empty() && workers.try_borrow().is_some());
    }

    #[test]
    fn the_line_ends_with_the_runtime() {
        let workers = Workers::new(1);
        let busy = workers.try_acquire().unwrap();
        let waits = workers.wait(CallerId(1), true);
        workers.close();
        assert!(waits.now_or_never().unwrap().is_none());
        assert!(workers.wait(CallerId(1), true).now_or_never().unwrap().is_none());
        drop(busy);
        assert!(workers.try_borrow().is_some());
    }
}
