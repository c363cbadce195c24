//! Plain functions on threads where they may block.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    super::{
        callback::{Callback, Run},
        reply::Reply,
    },
    Arrival, Gate,
    line::Caller,
    panic_error, stopped_error,
    worker::{Worker, Workers},
};

/// A plain function that is to run, and where its reply goes.
pub(crate) struct Job {
    arrival: Arrival,
    answer: Box<dyn ReplySink>,
}

/// Where the reply of a plain function goes. Dropped without one when the function did not run.
pub(crate) trait ReplySink: Send {
    /// Whether the function should still run.
    fn is_wanted(&self) -> bool;

    fn answer(self: Box<Self>, callback: &Callback, reply: Reply);
}

impl ReplySink for oneshot::Sender<Reply> {
    fn is_wanted(&self) -> bool {
        !self.is_closed()
    }

    fn answer(self: Box<Self>, _: &Callback, reply: Reply) {
        // Whoever waited has just given up.
        drop(self.send(reply));
    }
}

impl Job {
    pub(crate) fn new(mut arrival: Arrival, answer: Box<dyn ReplySink>) -> Self {
        // It waits in line, or is slow itself.
        arrival.request.compact();
        Self { arrival, answer }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.answer.is_wanted() && self.arrival.request.is_wanted()
    }

    pub(crate) fn caller(&self) -> Caller {
        self.arrival.caller()
    }

    fn run(self) {
        let Self { arrival: Arrival { request, order, gate }, answer } = self;
        drop(gate);
        let callback = Arc::clone(&request.callback);
        if let Err(instead) = request.begin() {
            return answer.answer(&callback, instead);
        }
        let Run::Plain(run) = &callback.run else { return answer.answer(&callback, Reply::error(stopped_error())) };
        let begun = callback.is_inline().then(Instant::now);
        let reply = catch_unwind(AssertUnwindSafe(|| run(request)))
            .unwrap_or_else(|panic| Reply::error(panic_error(callback.name(), &*panic)));
        if let Some(begun) = begun {
            callback.pace.note(begun.elapsed());
        }
        answer.answer(&callback, reply);
        drop(order);
    }

    /// Waits until the caller takes answers, behind its earlier requests, then stands in line
    /// again.
    fn wait_for_room(mut self, workers: &Arc<Workers>) {
        let gate = self.arrival.gate.take().unwrap_or_else(|| Gate::new(self.arrival.request.context.conn()));
        let mut passing = Box::pin(gate.pass());
        let workers = Arc::clone(workers);
        // The place behind the earlier requests is taken now, not when the task first runs.
        if let Poll::Ready(gate) = passing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.arrival.gate = Some(gate);
            return workers.submit(&mut vec![self]);
        }
        tokio::spawn(async move {
            self.arrival.gate = Some(passing.await);
            workers.submit(&mut vec![self]);
        });
    }
}

/// Runs plain functions one after another, on a thread that may block.
///
/// It takes the next out of the line as long as there is one, so under load a function costs no
/// task, no channel and no wake-up of a thread.
pub(crate) struct Runner {
    next: Option<(Worker, Job)>,
}

impl Runner {
    /// Begins on a thread of the runtime's pool for blocking functions, where `block_on` and
    /// `Handle::current` work.
    pub(crate) fn start(worker: Worker, job: Job) {
        let mut runner = Self { next: Some((worker, job)) };
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn_blocking(move || runner.run()));
        }
    }

    fn run(&mut self) {
        while let Some((worker, job)) = self.next.take() {
            if !job.is_wanted() {
                drop(job);
            } else if Gate::stops(&job.arrival.request, job.arrival.gate.as_ref()) {
                // A caller that takes no answers must not hold a worker; its requests keep their
                // order.
                job.wait_for_room(worker.workers());
            } else {
                job.run();
            }
            self.next = worker.pass_on();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // It never ran: the runtime is gone, and with it the threads for all others. Only then is
        // the worker passed on.
        if let Some((worker, job)) = self.next.take() {
            worker.workers().close();
            drop((job, worker));
        }
    }
}
