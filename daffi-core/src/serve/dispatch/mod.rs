//! The innermost service around all callbacks of a node: as many run at once as there are workers,
//! in order of arrival.
//!
//! A callback that promises to be quick (an async one, and a plain one with `inline`) runs where
//! its request was read, if a worker is free and nothing has to be waited for. All other plain
//! functions run on threads that may block. What has to wait does so in this order: for the
//! caller's earlier requests if the callback is ordered, for a worker, and for the caller to take
//! what was answered before and for memory to read large arguments. The line for a worker is fair:
//! who has few requests in it does not wait for those that have many.
//!
//! What waits is held by whoever counts it: by the future of its request, which a caller that gives
//! up and a layer drop, or in line by a [`Direct`].

mod blocking;
mod gate;
mod inline;
mod line;
mod order;
mod worker;

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Instant,
};

use daffi_serde::RemoteError;
use daffi_transport::BoxFuture;
use tokio::sync::oneshot;
use tower_service::Service;

pub(crate) use self::blocking::{Delivery, Direct, Job};
use self::{
    blocking::Runner,
    gate::Gate,
    inline::Ran,
    order::{InOrder, Order},
    worker::{PlaceInLine, Worker, Workers},
};
use super::{
    callback::{Callback, Run},
    caller::CallerId,
    invocation::Invocation,
    reply::Reply,
    request::Request,
    span::run_async,
};
use crate::conn::Clock;

/// Runs callbacks: the service that layers are put around.
///
/// Always ready: who finds no free worker waits inside the response future, in order of arrival. A
/// request takes its place in that order when the future is first polled.
#[derive(Clone, Debug)]
pub struct Dispatch {
    workers: Arc<Workers>,
    order: Arc<Order>,
}

/// A request with the places that it holds in the ways it went.
pub(crate) struct Arrival {
    request: Request,
    order: Option<InOrder>,
    gate: Option<Box<Gate>>,
}

impl Arrival {
    /// Who waits if this does.
    fn caller(&self) -> CallerId {
        self.request.context().caller_id()
    }

    /// Whether something of that caller has run before.
    fn is_known(&self) -> bool {
        self.request.context().is_known()
    }
}

/// What became of a request where it was read.
pub(crate) enum Begun {
    Done(Reply),
    /// Its callback began, and goes on elsewhere.
    Runs(Box<Dispatched>),
    /// It has to wait, and has its place in the order once it was polled.
    Waits(Box<Dispatched>),
    /// It runs on a thread that may block.
    Plain(Box<Arrival>),
}

impl Dispatch {
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers: Workers::new(workers), order: Arc::default() }
    }

    /// Whether `callback` would run on a thread that may block rather than here.
    pub(crate) fn is_for_threads(callback: &Callback) -> bool {
        callback.is_plain() && !callback.pace.is_quick()
    }

    /// Begins to serve a request: the one way in, for requests with layers around them and without.
    /// `read`: it was read just now, and nobody else knows of it.
    pub(crate) fn begin(&self, mut request: Request, read: bool, clock: &mut Clock) -> Begun {
        let callback = &request.callback;
        // One worker alone runs all requests in order.
        let order = if callback.is_ordered() && !self.workers.is_one() {
            let lock = self.order.lock_for(&request);
            match Arc::clone(&lock).try_lock_owned() {
                Ok(order) => Some(order),
                Err(_) => return Begun::Waits(Box::new(self.in_order(Box::pin(lock.lock_owned()), request))),
            }
        } else {
            None
        };
        let quick = callback.pace.is_quick();
        if callback.is_plain() && !quick {
            return Begun::Plain(Box::new(Arrival { request, order, gate: None }));
        }
        if quick
            && let Some(worker) = self.workers.try_borrow()
            && !Gate::stops(&mut request, None)
        {
            let (callback, arguments) = (Arc::clone(&request.callback), arguments(&request));
            let begun = if read { request.begin_unknown() } else { request.begin() };
            if let Err(instead) = begun {
                return Begun::Done(instead);
            }
            return match inline::run(&callback, request, clock) {
                Ran::Done(reply) => Begun::Done(reply),
                Ran::Waits(future) => {
                    let (worker, since) = (worker.keep(), Instant::now());
                    let running = Running { future, callback, worker, order, arguments, since };
                    Begun::Runs(Box::new(Dispatched { polled: true, ..self.at(State::Running(running)) }))
                }
            };
        }
        Begun::Waits(Box::new(self.at(State::Queue(Arrival { request, order, gate: None }))))
    }

    /// Lets plain functions run on threads that may block, in this order.
    pub(crate) fn submit(&self, jobs: &mut Vec<Job>) {
        self.workers.submit(jobs);
    }

    fn in_order(&self, lock: BoxFuture<'static, InOrder>, mut request: Request) -> Dispatched {
        request.compact();
        self.at(State::Order(lock, request))
    }

    fn at(&self, state: State) -> Dispatched {
        Dispatched { dispatch: self.clone(), state, polled: false }
    }
}

impl Service<Request> for Dispatch {
    type Response = Reply;
    type Error = Infallible;
    type Future = Dispatched;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Dispatched {
        self.at(State::Arrived(request))
    }
}

/// A callback that waits for a worker, or runs.
pub struct Dispatched {
    dispatch: Dispatch,
    state: State,
    /// The first poll happens where the request was read.
    polled: bool,
}

enum State {
    Arrived(Request),
    /// Waits for the caller's earlier requests.
    Order(BoxFuture<'static, InOrder>, Request),
    /// Goes to the end of the line.
    Queue(Arrival),
    /// Stands in line for a worker.
    Line(PlaceInLine, Arrival),
    /// Has a worker.
    Granted(Worker, Arrival),
    /// Waits until the caller takes what was answered before.
    Room(BoxFuture<'static, Box<Gate>>, Arrival),
    Running(Running),
    /// Waits for an argument, and needs no worker for that.
    Idle(Idle),
    /// Stands in line for a worker again.
    Back(PlaceInLine, Idle),
    /// A plain function that has its worker, and runs elsewhere.
    Plain(oneshot::Receiver<Reply>),
    Done,
}

struct Running {
    future: BoxFuture<'static, Reply>,
    callback: Arc<Callback>,
    worker: Worker,
    order: Option<InOrder>,
    /// Where its arguments come from, if they come one by one.
    arguments: Option<Arc<Invocation>>,
    /// When it began, about.
    since: Instant,
}

impl Running {
    /// Polls it. Gives as well whether it has read all arguments that came, and waits for more.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> (Poll<Reply>, bool) {
        let data = self.arguments.as_ref().and_then(|call| call.data());
        let arguments = data.and_then(|data| data.inflow.as_ref());
        if let Some(arguments) = arguments {
            arguments.begin_poll();
        }
        let polled = self.future.as_mut().poll(cx);
        let waits = polled.is_pending() && arguments.is_some_and(|arguments| arguments.is_awaited(cx.waker()));
        (polled, waits)
    }
}

/// A callback without a worker.
struct Idle {
    future: BoxFuture<'static, Reply>,
    callback: Arc<Callback>,
    order: Option<InOrder>,
    arguments: Arc<Invocation>,
    since: Instant,
}

/// Where a state leads to.
enum Step {
    On(State),
    /// Nothing to do until woken.
    Stay(State),
    Done(Reply),
}

impl Dispatched {
    fn step(&mut self, state: State, on_reader: bool, cx: &mut TaskContext<'_>) -> Step {
        match state {
            State::Arrived(request) => self.arrive(request),
            State::Order(lock, request) => self.wait_for_order(lock, request, cx),
            State::Queue(arrival) => self.queue(arrival),
            State::Line(place, arrival) => wait_for_worker(place, arrival, cx),
            State::Granted(worker, arrival) => grant(worker, arrival, on_reader, cx),
            State::Room(gate, arrival) => wait_for_room(gate, arrival, cx),
            State::Running(running) => run(running, on_reader, cx),
            // Whatever woke it: it goes on as soon as there is a worker.
            State::Idle(idle) => Step::On(State::Back(self.line_up(&idle), idle)),
            State::Back(place, idle) => come_back(place, idle, cx),
            State::Plain(reply) => wait_for_thread(reply, cx),
            State::Done => Step::Done(Reply::error(stopped_error())),
        }
    }

    fn arrive(&self, request: Request) -> Step {
        match self.dispatch.begin(request, false, &mut Clock::new(0)) {
            Begun::Done(reply) => Step::Done(reply),
            // A callback that began is polled once more, so that it knows whom to wake.
            Begun::Runs(dispatched) | Begun::Waits(dispatched) => Step::On(dispatched.state),
            Begun::Plain(arrival) => Step::On(State::Queue(*arrival)),
        }
    }

    fn wait_for_order(
        &self,
        mut lock: BoxFuture<'static, InOrder>,
        request: Request,
        cx: &mut TaskContext<'_>,
    ) -> Step {
        match lock.as_mut().poll(cx) {
            Poll::Pending => Step::Stay(State::Order(lock, request)),
            Poll::Ready(order) => Step::On(State::Queue(Arrival { request, order: Some(order), gate: None })),
        }
    }

    fn queue(&self, mut arrival: Arrival) -> Step {
        if let Some(worker) = self.dispatch.workers.try_acquire() {
            return Step::On(State::Granted(worker, arrival));
        }
        arrival.request.compact();
        let waits = self.dispatch.workers.wait(arrival.caller(), arrival.is_known());
        Step::On(State::Line(waits, arrival))
    }

    fn line_up(&self, idle: &Idle) -> PlaceInLine {
        self.dispatch.workers.wait(idle.arguments.caller.id, true)
    }
}

fn wait_for_worker(mut place: PlaceInLine, arrival: Arrival, cx: &mut TaskContext<'_>) -> Step {
    match Pin::new(&mut place).poll(cx) {
        Poll::Pending => Step::Stay(State::Line(place, arrival)),
        Poll::Ready(Some(worker)) => Step::On(State::Granted(worker, arrival)),
        Poll::Ready(None) => Step::Done(Reply::error(stopped_error())),
    }
}

fn grant(worker: Worker, mut arrival: Arrival, on_reader: bool, cx: &TaskContext<'_>) -> Step {
    if !arrival.request.is_wanted() {
        return Step::Done(Reply::not_run());
    }
    if Gate::stops(&mut arrival.request, arrival.gate.as_deref()) {
        // A caller that takes no answers must not hold a worker; its requests keep their order.
        drop(worker);
        let gate = arrival.gate.take().unwrap_or_else(|| Gate::new(&arrival.request));
        arrival.request.compact();
        return Step::On(State::Room(Box::pin(gate.pass()), arrival));
    }
    let callback = Arc::clone(&arrival.request.callback);
    let quick = callback.pace.is_quick();
    if !quick && callback.is_plain() {
        let (answer, reply) = oneshot::channel();
        Runner::start(worker, Box::new(Some(Job::new(Box::new(arrival), Delivery::Future(answer)))));
        return Step::On(State::Plain(reply));
    }
    if on_reader && !quick {
        // The place in the order is taken; the run itself happens on a task of its own.
        arrival.request.compact();
        cx.waker().wake_by_ref();
        return Step::Stay(State::Granted(worker, arrival));
    }
    match &callback.run {
        Run::Plain(_) => {
            if let Err(instead) = arrival.request.begin() {
                return Step::Done(instead);
            }
            let arguments = arguments(&arrival.request);
            match inline::run(&callback, arrival.request, &mut Clock::new(0)) {
                Ran::Done(reply) => Step::Done(reply),
                Ran::Waits(future) => {
                    let (order, since) = (arrival.order, Instant::now());
                    Step::On(State::Running(Running { future, callback, worker, order, arguments, since }))
                }
            }
        }
        Run::Async(run) => {
            let Arrival { request, order, .. } = arrival;
            if let Err(instead) = request.begin() {
                return Step::Done(instead);
            }
            let (arguments, since) = (arguments(&request), Instant::now());
            let future = run_async(run, request);
            Step::On(State::Running(Running { future, callback, worker, order, arguments, since }))
        }
    }
}

fn wait_for_room(mut gate: BoxFuture<'static, Box<Gate>>, arrival: Arrival, cx: &mut TaskContext<'_>) -> Step {
    match gate.as_mut().poll(cx) {
        Poll::Pending => Step::Stay(State::Room(gate, arrival)),
        Poll::Ready(gate) => Step::On(State::Queue(Arrival { gate: Some(gate), ..arrival })),
    }
}

fn run(mut running: Running, on_reader: bool, cx: &mut TaskContext<'_>) -> Step {
    // Elsewhere only one that has to prove itself is timed.
    let begun = (on_reader || !running.callback.pace.is_quick()).then(Instant::now);
    let (polled, waits_for_argument) = running.poll(cx);
    let callback = &running.callback;
    if let Some(time) = begun.map(|begun| begun.elapsed()) {
        if on_reader {
            callback.note_on_reader(time, false);
        } else {
            callback.pace.note(time);
        }
    }
    match polled {
        Poll::Pending if waits_for_argument => Step::Stay(idle(running)),
        Poll::Pending => Step::Stay(State::Running(running)),
        // The next in line may be quick: it begins when this answer is queued.
        Poll::Ready(reply) => {
            let Running { future, callback, worker, order, since, .. } = running;
            callback.counts.note_time(since.elapsed());
            // Before the worker is the reply's: it is free again if this panics.
            drop(future);
            Step::Done(reply.keep((worker, order)))
        }
    }
}

/// Lets others have the worker of a callback that waits for an argument.
fn idle(running: Running) -> State {
    let Running { future, callback, worker, order, arguments, since } = running;
    match arguments {
        Some(arguments) => State::Idle(Idle { future, callback, order, arguments, since }),
        None => State::Running(Running { future, callback, worker, order, arguments, since }),
    }
}

fn come_back(mut place: PlaceInLine, idle: Idle, cx: &mut TaskContext<'_>) -> Step {
    match Pin::new(&mut place).poll(cx) {
        Poll::Pending => Step::Stay(State::Back(place, idle)),
        Poll::Ready(Some(worker)) => {
            let Idle { future, callback, order, arguments, since } = idle;
            Step::On(State::Running(Running { future, callback, worker, order, arguments: Some(arguments), since }))
        }
        Poll::Ready(None) => Step::Done(Reply::error(stopped_error())),
    }
}

/// What tells of the arguments of a call that come one by one.
fn arguments(request: &Request) -> Option<Arc<Invocation>> {
    let call = request.context().call();
    call.data().filter(|data| data.inflow.is_some()).map(|_| Arc::clone(call))
}

fn wait_for_thread(mut reply: oneshot::Receiver<Reply>, cx: &mut TaskContext<'_>) -> Step {
    match Pin::new(&mut reply).poll(cx) {
        Poll::Pending => Step::Stay(State::Plain(reply)),
        Poll::Ready(reply) => Step::Done(reply.unwrap_or_else(|_| Reply::error(stopped_error()))),
    }
}

impl fmt::Debug for Dispatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatched").field("polled", &self.polled).finish_non_exhaustive()
    }
}

impl Future for Dispatched {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let on_reader = !std::mem::replace(&mut self.polled, true);
        loop {
            let state = std::mem::replace(&mut self.state, State::Done);
            match self.step(state, on_reader, cx) {
                Step::On(next) => self.state = next,
                Step::Stay(same) => {
                    self.state = same;
                    return Poll::Pending;
                }
                Step::Done(reply) => return Poll::Ready(Ok(reply)),
            }
        }
    }
}

pub(crate) fn stopped_error() -> RemoteError {
    RemoteError::new("RuntimeError", "the node stopped before the callback ran")
}
