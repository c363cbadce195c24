//! Plain functions on threads where they may block.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use daffi_transport::blocking::try_spawn;
use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    super::{
        callback::{Callback, Run},
        caller::CallerId,
        context::Context as CallContext,
        reply::{Reply, ReplyTo, panic_error},
        span::run_plain,
    },
    Arrival, Gate, stopped_error,
    worker::{Worker, Workers},
};
use crate::{conn::SLOW, refusal::Refusal};

/// Of so many quick runs one is timed.
const SAMPLE: u32 = 8;

/// A plain function that is to run, and where its reply goes.
pub(crate) struct Job {
    arrival: Box<Arrival>,
    delivery: Delivery,
}

/// A plain function in line. Its box serves the next one when it is empty: what one thread
/// allocates and another frees costs the allocator its quick ways.
pub(crate) type BoxedJob = Box<Option<Job>>;

/// Where the reply of a plain function goes. Dropped without one when the function did not run.
pub(crate) enum Delivery {
    /// Straight to the caller.
    Direct(Direct),
    /// To the layers around the function, which wait for it.
    Future(oneshot::Sender<Reply>),
}

/// A caller that waits for a plain function, and what its request holds.
pub(crate) struct Direct {
    to: ReplyTo,
    context: CallContext,
    /// What the request counts for, until it is worked off.
    bytes: usize,
    _until_done: Box<dyn Send>,
    _running: TaskTrackerToken,
}

impl Direct {
    /// `bytes`: what the request counts for; `until_done`: dropped when it is worked off.
    pub(crate) fn new(to: ReplyTo, context: CallContext, bytes: usize, until_done: impl Send + 'static) -> Self {
        context.conn().begin_request(bytes);
        let running = context.node().running.token();
        Self { to, context, bytes, _until_done: Box::new(until_done), _running: running }
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.context.conn().end_request(self.bytes);
    }
}

impl Delivery {
    /// Whether the function should still run.
    fn is_wanted(&self) -> bool {
        match self {
            Self::Direct(_) => true,
            Self::Future(sender) => !sender.is_closed(),
        }
    }

    fn send(self, callback: &Callback, reply: Reply) {
        match self {
            Self::Direct(direct) => {
                callback.count_end(&reply);
                direct.to.send(&direct.context, callback.name(), reply, None);
            }
            // Whoever waited may have given up just now.
            Self::Future(sender) => drop(sender.send(reply)),
        }
    }
}

impl Job {
    pub(crate) fn new(mut arrival: Box<Arrival>, delivery: Delivery) -> Self {
        // It waits in line, or is slow itself.
        arrival.request.compact();
        Self { arrival, delivery }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.delivery.is_wanted() && self.arrival.request.is_wanted()
    }

    pub(crate) fn caller(&self) -> CallerId {
        self.arrival.caller()
    }

    pub(crate) fn is_of_known(&self) -> bool {
        self.arrival.is_known()
    }

    /// It does not run, because the system gives no thread for it.
    fn refuse(self) {
        let text = "the system gives this node no further thread, so the callback did not run: raise the limit of its \
                    process (`ulimit -u`, in systemd TasksMax=, in containers --pids-limit), or lower `workers`";
        let Self { arrival, delivery } = self;
        let request = arrival.request;
        let callback = Arc::clone(&request.callback);
        drop(request);
        delivery.send(&callback, Reply::refused(Refusal::Overloaded.error(text)));
    }

    /// It does not run, because nobody waits for it.
    pub(super) fn give_up(self) {
        let Self { arrival, delivery } = self;
        let request = arrival.request;
        let callback = Arc::clone(&request.callback);
        drop(request);
        match delivery {
            Delivery::Direct(_) => callback.counts.lose(),
            delivery @ Delivery::Future(_) => delivery.send(&callback, Reply::not_run()),
        }
    }

    fn run(self, samples: &mut Samples) {
        let Self { arrival, delivery } = self;
        let Arrival { request, order, gate } = *arrival;
        drop(gate);
        let callback = Arc::clone(&request.callback);
        if let Err(instead) = request.begin() {
            return delivery.send(&callback, instead);
        }
        let Run::Plain(run) = &callback.run else {
            return delivery.send(&callback, Reply::error(stopped_error()));
        };
        let begun = (samples.is_next() || callback.is_inline()).then(Instant::now);
        let reply = catch_unwind(AssertUnwindSafe(|| run_plain(run, request)))
            .unwrap_or_else(|panic| Reply::error(panic_error(callback.name(), &*panic)));
        if let Some(time) = begun.map(|begun| begun.elapsed()) {
            callback.pace.note(time);
            callback.counts.note_time(time);
            samples.note(time);
        }
        delivery.send(&callback, reply);
        drop(order);
    }

    /// Whether its caller has to take answers first. One that layers wait for has waited before it
    /// was given its worker.
    fn has_to_wait(&mut self) -> bool {
        let Arrival { request, gate, .. } = &mut *self.arrival;
        matches!(self.delivery, Delivery::Direct(_)) && Gate::stops(request, gate.as_deref())
    }

    /// Waits until the caller takes answers, behind its earlier requests, then stands in line
    /// again.
    fn wait_for_room(mut self, workers: &Arc<Workers>) {
        let arrival = &mut self.arrival;
        let gate = arrival.gate.take().unwrap_or_else(|| Gate::new(&arrival.request));
        let mut passing = Box::pin(gate.pass());
        let workers = Arc::clone(workers);
        // The place behind the earlier requests is taken now, not when the task first runs.
        if let Poll::Ready(gate) = passing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            arrival.gate = Some(gate);
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
    next: Option<(Worker, BoxedJob)>,
    samples: Samples,
}

/// Which runs are timed: the first, each after a slow one, and one of some others. Reading the
/// clock twice costs a hundredth of what a quick function does on its thread.
#[derive(Default)]
struct Samples {
    untimed: u32,
}

impl Samples {
    const fn is_next(&mut self) -> bool {
        self.untimed = self.untimed.saturating_sub(1);
        self.untimed == 0
    }

    fn note(&mut self, time: Duration) {
        self.untimed = if time > SLOW { 0 } else { SAMPLE };
    }
}

impl Runner {
    /// Begins on a thread of the runtime's pool for blocking functions, where `block_on` and
    /// `Handle::current` work.
    pub(crate) fn start(worker: Worker, job: BoxedJob) {
        let runtime = worker.workers().runtime();
        let mut runner = Self { next: Some((worker, job)), samples: Samples::default() };
        let Some(runtime) = runtime else { return };
        // Where there is no thread for one function there is none for the next, and a future that
        // stands in line behind them goes on with the worker.
        while let Err(mut without) = try_spawn(&runtime, runner, |mut runner: Self| runner.run()) {
            without.refuse_next();
            if without.next.is_none() {
                return;
            }
            runner = without;
        }
    }

    /// Answers the next function that there is no thread for it, and passes its worker on.
    fn refuse_next(&mut self) {
        let Some((worker, mut empty)) = self.next.take() else { return };
        if let Some(job) = empty.take() {
            job.refuse();
        }
        self.next = worker.pass_on(Some(empty));
    }

    fn run(&mut self) {
        while let Some((worker, mut empty)) = self.next.take() {
            let Some(mut job) = empty.take() else { return };
            if !job.is_wanted() {
                job.give_up();
            } else if job.has_to_wait() {
                // A caller that takes no answers must not hold a worker; its requests keep their
                // order.
                job.wait_for_room(worker.workers());
            } else {
                job.run(&mut self.samples);
            }
            self.next = worker.pass_on(Some(empty));
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
