//! The innermost service around all callbacks of a node: as many run at once as there are workers, in order of arrival.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Instant,
};

use daffi_serde::RemoteError;
use daffi_transport::BoxFuture;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tower_service::Service;

use crate::{Reply, Request, callback::Run};

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
}

impl Service<Request> for Dispatch {
    type Response = Reply;
    type Error = Infallible;
    type Future = Dispatched;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Dispatched {
        Dispatched { workers: Arc::clone(&self.workers), turn: None, state: State::Arrived(request), polled: false }
    }
}

/// A callback that waits for a worker, or runs.
pub struct Dispatched {
    workers: Arc<Semaphore>,
    turn: Option<OwnedMutexGuard<()>>,
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
    Worker(BoxFuture<'static, Option<OwnedSemaphorePermit>>, Request),
    /// Waits until the caller takes what was answered before.
    Room(BoxFuture<'static, ()>, Request),
    /// Has a worker.
    Granted(OwnedSemaphorePermit, Request),
    Running(BoxFuture<'static, Reply>, OwnedSemaphorePermit, Arc<crate::Callback>),
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
                State::Arrived(mut request) => match request.callback.turn_of(&request.context.caller) {
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
                State::Queue(mut request) => match Arc::clone(&self.workers).try_acquire_owned() {
                    Ok(permit) => self.state = State::Granted(permit, request),
                    Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                        request.compact();
                        let workers = Arc::clone(&self.workers);
                        self.state =
                            State::Worker(Box::pin(async move { workers.acquire_owned().await.ok() }), request);
                    }
                },
                State::Worker(mut permit, request) => match permit.as_mut().poll(cx) {
                    Poll::Ready(Some(permit)) => self.state = State::Granted(permit, request),
                    Poll::Ready(None) => return Poll::Ready(Ok(Reply::error(stopped()))),
                    Poll::Pending => {
                        self.state = State::Worker(permit, request);
                        return Poll::Pending;
                    }
                },
                State::Room(mut room, request) => match room.as_mut().poll(cx) {
                    Poll::Ready(()) => self.state = State::Queue(request),
                    Poll::Pending => {
                        self.state = State::Room(room, request);
                        return Poll::Pending;
                    }
                },
                State::Granted(permit, mut request) => {
                    if request.wants_reply && request.context.conn.outbox.is_full() {
                        // A caller that takes no answers must not hold a worker.
                        drop(permit);
                        request.compact();
                        let conn = Arc::clone(&request.context.conn);
                        self.state = State::Room(Box::pin(async move { conn.outbox.room().await }), request);
                        continue;
                    }
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
                            self.state = State::Running(future, permit, callback);
                        }
                        Run::Plain(run) if quick => {
                            let begun = Instant::now();
                            let reply = run(request);
                            callback.took(begun.elapsed(), true);
                            return Poll::Ready(Ok(reply));
                        }
                        Run::Plain(_) => {
                            let future = Box::pin(run_blocking(request));
                            self.state = State::Running(future, permit, callback);
                        }
                    }
                }
                State::Running(mut future, permit, callback) => {
                    let begun = on_reader.then(Instant::now);
                    let polled = future.as_mut().poll(cx);
                    if let (Some(begun), Run::Async(_)) = (begun, &callback.run) {
                        callback.took(begun.elapsed(), true);
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

fn stopped() -> RemoteError {
    RemoteError::new("RuntimeError", "the node stopped before the callback ran")
}

/// Runs a plain function where it may block.
async fn run_blocking(mut request: Request) -> Reply {
    request.compact();
    let callback = Arc::clone(&request.callback);
    let running = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let callback = Arc::clone(&request.callback);
        let Run::Plain(run) = &callback.run else { return Reply::error(stopped()) };
        let reply = run(request);
        callback.took(begun.elapsed(), false);
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
