//! The innermost service around all callbacks of a node: as many run at once as there are workers, in order of arrival.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context as TaskContext, Poll, Waker, ready},
};

use daffi_serde::RemoteError;
use daffi_transport::BoxFuture;
use tokio::{
    sync::{OwnedMutexGuard, Semaphore, SemaphorePermit},
    time::Instant,
};
use tower_service::Service;

use super::{
    callback::{Callback, Run},
    request::{Reply, Request},
};
use crate::conn::{Begun, Class, Clock, Conn};

/// Arguments of so many bytes take time to read that is not the callback's.
const LARGE: usize = 16 * 1024;

/// Runs callbacks: the service that layers are put around.
///
/// Always ready: who finds no free worker waits inside the response future, in order of arrival. A request takes its
/// place in that order when the future is first polled.
#[derive(Clone, Debug)]
pub struct Dispatch {
    workers: Arc<Semaphore>,
}

impl Dispatch {
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers: Arc::new(Semaphore::new(workers.min(Semaphore::MAX_PERMITS))) }
    }

    /// The usual way, without a stop at each state: a worker is free, nothing has to be waited for, and the callback is quick.
    pub(crate) fn at_once(&self, callback: &Arc<Callback>, request: Request, clock: &mut Clock) -> AtOnce {
        let conn = request.context.conn();
        let waits = callback.is_ordered()
            || !callback.is_quick()
            || conn.is_gated()
            || request.wants_reply && conn.outbox.is_full();
        if waits {
            return AtOnce::Waits(self.wait(request));
        }
        let Ok(permit) = self.workers.try_acquire() else { return AtOnce::Waits(self.wait(request)) };
        match &callback.run {
            Run::Plain(run) => AtOnce::Done(run_plain(callback, run, request, clock)),
            Run::Async(run) => {
                let large = request.body.bytes.len() >= LARGE;
                let mut future = run(request);
                if large {
                    // Reading the arguments took its time.
                    clock.interrupt();
                }
                let begun = clock.begin();
                let polled = future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
                callback.took_on_reader(clock.end(begun));
                match polled {
                    Poll::Ready(reply) => AtOnce::Done(reply),
                    Poll::Pending => {
                        let worker = Worker::keep(permit, &self.workers);
                        let state = State::Running(future, Some(worker), Arc::clone(callback));
                        AtOnce::Runs(Dispatched { polled: true, ..self.in_state(state) })
                    }
                }
            }
        }
    }

    /// Everything that may come between a request and its callback.
    pub(crate) fn wait(&self, request: Request) -> Dispatched {
        self.in_state(State::Arrived(request))
    }

    fn in_state(&self, state: State) -> Dispatched {
        Dispatched { workers: Arc::clone(&self.workers), turn: None, gate: None, state, polled: false }
    }
}

/// What became of a request where it was read.
pub(crate) enum AtOnce {
    Done(Reply),
    /// Its callback began, and goes on elsewhere.
    Runs(Dispatched),
    /// Nothing of it happened yet.
    Waits(Dispatched),
}

/// One of the node's workers, busy until this is dropped.
struct Worker(Arc<Semaphore>);

impl Worker {
    fn keep(permit: SemaphorePermit<'_>, workers: &Arc<Semaphore>) -> Self {
        permit.forget();
        Self(Arc::clone(workers))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.add_permits(1);
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
        self.wait(request)
    }
}

/// A callback that waits for a worker, or runs.
pub struct Dispatched {
    workers: Arc<Semaphore>,
    turn: Option<OwnedMutexGuard<()>>,
    gate: Option<Gate>,
    state: State,
    /// The first poll happens where the request was read.
    polled: bool,
}

enum State {
    Arrived(Request),
    /// Waits for the caller's earlier requests.
    Turn(BoxFuture<'static, OwnedMutexGuard<()>>, Request),
    Queue(Request),
    /// Waits for a worker.
    Worker(BoxFuture<'static, Option<Worker>>, Request),
    /// Waits until the caller takes what was answered before.
    Room(BoxFuture<'static, Gate>, Request),
    /// Has a worker.
    Granted(Worker, Request),
    Running(BoxFuture<'static, Reply>, Option<Worker>, Arc<Callback>),
    Done,
}

impl std::fmt::Debug for Dispatched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatched").field("polled", &self.polled).finish_non_exhaustive()
    }
}

impl Future for Dispatched {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let on_reader = !std::mem::replace(&mut self.polled, true);
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Arrived(mut request) => match request.callback.turn_of(request.context.caller_name()) {
                    None => self.state = State::Queue(request),
                    Some(lock) => match Arc::clone(&lock).try_lock_owned() {
                        Ok(turn) => {
                            self.turn = Some(turn);
                            self.state = State::Queue(request);
                        }
                        Err(_) => {
                            request.compact();
                            self.state = State::Turn(Box::pin(lock.lock_owned()), request);
                        }
                    },
                },
                State::Turn(mut turn, request) => match turn.as_mut().poll(cx) {
                    Poll::Ready(turn) => {
                        self.turn = Some(turn);
                        self.state = State::Queue(request);
                    }
                    Poll::Pending => {
                        self.state = State::Turn(turn, request);
                        return Poll::Pending;
                    }
                },
                State::Queue(mut request) => {
                    let worker = self.workers.try_acquire().ok().map(|permit| Worker::keep(permit, &self.workers));
                    if let Some(worker) = worker {
                        self.state = State::Granted(worker, request);
                        continue;
                    }
                    request.compact();
                    let workers = Arc::clone(&self.workers);
                    let worker = async move { workers.acquire().await.ok().map(|p| Worker::keep(p, &workers)) };
                    self.state = State::Worker(Box::pin(worker), request);
                }
                State::Worker(mut permit, request) => match permit.as_mut().poll(cx) {
                    Poll::Ready(Some(permit)) => self.state = State::Granted(permit, request),
                    Poll::Ready(None) => return Poll::Ready(Ok(Reply::error(stopped()))),
                    Poll::Pending => {
                        self.state = State::Worker(permit, request);
                        return Poll::Pending;
                    }
                },
                State::Room(mut room, request) => match room.as_mut().poll(cx) {
                    Poll::Ready(gate) => {
                        self.gate = Some(gate);
                        self.state = State::Queue(request);
                    }
                    Poll::Pending => {
                        self.state = State::Room(room, request);
                        return Poll::Pending;
                    }
                },
                State::Granted(permit, mut request) => {
                    let conn = request.context.conn();
                    let full = request.wants_reply && conn.outbox.is_full();
                    if full || (self.gate.is_none() && conn.is_gated()) {
                        // A caller that takes no answers must not hold a worker; its requests keep their order.
                        drop(permit);
                        let gate = self.gate.take().unwrap_or_else(|| Gate::new(conn));
                        request.compact();
                        self.state = State::Room(Box::pin(gate.pass()), request);
                        continue;
                    }
                    self.gate = None;
                    let callback = Arc::clone(&request.callback);
                    let quick = callback.is_quick();
                    match &callback.run {
                        Run::Async(_) if on_reader && !quick => {
                            // The place in the order is taken; the run itself happens on a task of its own.
                            request.compact();
                            self.state = State::Granted(permit, request);
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        Run::Async(run) => {
                            let future = run(request);
                            self.state = State::Running(future, Some(permit), callback);
                        }
                        Run::Plain(run) if quick => {
                            return Poll::Ready(Ok(run_plain(&callback, run, request, &mut Clock::new(0))));
                        }
                        Run::Plain(_) => {
                            // The worker and the turn are the function's until it returns, whoever gives up waiting for it.
                            let future = Box::pin(run_blocking(request, permit, self.turn.take()));
                            self.state = State::Running(future, None, callback);
                        }
                    }
                }
                State::Running(mut future, permit, callback) => {
                    // Elsewhere only one that has to prove itself is timed.
                    let timed = matches!(callback.run, Run::Async(_)) && (on_reader || !callback.is_quick());
                    let begun = timed.then(Instant::now);
                    let polled = future.as_mut().poll(cx);
                    match begun.map(|begun| begun.elapsed()) {
                        Some(time) if on_reader => callback.took_on_reader(Some(time)),
                        Some(time) => callback.took(time),
                        None => {}
                    }
                    if polled.is_pending() {
                        self.state = State::Running(future, permit, callback);
                    }
                    return Poll::Ready(Ok(ready!(polled)));
                }
                State::Done => return Poll::Ready(Ok(Reply::error(stopped()))),
            }
        }
    }
}

/// Runs a quick function on a reader.
fn run_plain(callback: &Callback, run: impl FnOnce(Request) -> Reply, request: Request, clock: &mut Clock) -> Reply {
    // A panic counts as well: what blocks in tokio's own terms panics on a reader.
    let begun = clock.begin();
    let mut timed = Timed { callback, clock, begun, returned: false };
    let reply = run(request);
    timed.returned = true;
    reply
}

/// Notes how long a run on a reader took, or that it panicked.
struct Timed<'a> {
    callback: &'a Callback,
    clock: &'a mut Clock,
    begun: Begun,
    returned: bool,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if self.returned {
            self.callback.took_on_reader(self.clock.end(self.begun));
        } else {
            self.callback.panicked_on_reader();
        }
    }
}

/// A request's place among those of its connection that wait until answers are taken.
struct Gate {
    conn: Arc<Conn>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Gate {
    fn new(conn: &Arc<Conn>) -> Self {
        conn.gated.fetch_add(1, Ordering::Relaxed);
        Self { conn: Arc::clone(conn), turn: None }
    }

    /// Waits for the requests before, then for room.
    async fn pass(mut self) -> Self {
        if self.turn.is_none() {
            self.turn = Some(Arc::clone(&self.conn.gate).lock_owned().await);
        }
        while self.conn.outbox.is_full() {
            self.conn.outbox.room(Class::Own, 0).await;
        }
        self
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.conn.gated.fetch_sub(1, Ordering::Relaxed);
    }
}

fn stopped() -> RemoteError {
    RemoteError::new("RuntimeError", "the node stopped before the callback ran")
}

/// Runs a plain function where it may block.
async fn run_blocking(mut request: Request, permit: Worker, turn: Option<OwnedMutexGuard<()>>) -> Reply {
    request.compact();
    let callback = Arc::clone(&request.callback);
    let running = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let callback = Arc::clone(&request.callback);
        let Run::Plain(run) = &callback.run else { return Reply::error(stopped()) };
        let reply = run(request);
        callback.took(begun.elapsed());
        drop((permit, turn));
        reply
    });
    match running.await {
        Ok(reply) => reply,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Reply::error(panicked(callback.name(), &*panic)),
            Err(_) => Reply::error(stopped()),
        },
    }
}

/// What the caller of a callback that panicked hears.
pub(crate) fn panicked(method: &str, panic: &(dyn std::any::Any + Send)) -> RemoteError {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
    tracing::error!(callback = method, panic = %text, "a callback panicked");
    RemoteError::new("RuntimeError", format!("{method}() panicked: {text}"))
}
