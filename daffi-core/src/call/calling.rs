//! The futures of calls, which hold neither the call style nor the arguments.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use daffi_serde::{Args, FormatSet, Returned};
use daffi_transport::BoxFuture;
use daffi_wire::NodeName;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until, timeout};

use super::{
    again::{Again, AgainPauses, is_refused_by_stopping},
    engine::{Received, read, receive, send, send_now, send_nowait, send_nowait_now, to_received},
    pending_reply::PendingReply,
    progress::Progress,
    request::{Addressed, Payloads, Prepared, WrittenRequest},
    span::CallSpan,
};
use crate::{
    client::{CallOptions, Client, ClientConn},
    deadline::{later, on_runtime},
    error::{CallError, WaitedFor},
};

pin_project! {
    /// A call on its way; gives its result. What [`Rpc::call`](super::Rpc::call) returns.
    ///
    /// Receiver and format were chosen and the arguments written when the call was made; it is
    /// sent, and its timeout starts, when this is polled first. Where there was no connection then,
    /// the receiver is chosen once there is one.
    ///
    /// Dropped, it gives the call up. A receiver of this project is told: a call that it has not
    /// begun never runs, and a callback that runs can see it by
    /// [`Context::cancelled`](crate::Context::cancelled). One of daffi 3.0.1 is not told, and its
    /// answer is dropped.
    #[must_use = "a call is sent when it is awaited"]
    pub struct Calling<'m, R, F> {
        #[pin]
        raw: RawCall<'m, F>,
        result: PhantomData<fn() -> R>,
    }
}

pin_project! {
    /// A call on its way; gives its answer unread.
    pub(super) struct RawCall<'m, F> {
        client: Client<F>,
        method: &'m str,
        span: Option<Box<CallSpan>>,
        #[pin]
        expires: Option<Sleep>,
        #[pin]
        step: CallStep<'m>,
    }
}

/// A call that was not sent yet.
struct Made {
    prepared: Prepared,
    options: Arc<CallOptions>,
}

pin_project! {
    #[project = CallStepProjection]
    enum CallStep<'m> {
        Made { made: Made },
        /// The call was sent at once, which is the usual way.
        Sent {
            pending: PendingReply,
            after: Duration,
            // Ends when nobody waits any more for the callback that makes this call.
            given_up: Option<BoxFuture<'static, ()>>,
        },
        /// The call could not be sent at once: it waits for a connection, a receiver, a number or
        /// room.
        Waits { call: BoxFuture<'m, Result<Received, CallError>> },
        Ended,
    }
}

impl<'m, R, F: FormatSet> Calling<'m, R, F> {
    pub(super) fn new(client: &Client<F>, method: &'m str, args: &impl Args, options: &Arc<CallOptions>) -> Self {
        Self { raw: RawCall::new(client, method, args, options), result: PhantomData }
    }
}

impl<R, F> fmt::Debug for Calling<'_, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").field("method", &self.raw.method).finish_non_exhaustive()
    }
}

impl<R: Returned, F: FormatSet> Future for Calling<'_, R, F> {
    type Output = Result<R, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let received = ready!(this.raw.as_mut().poll(cx));
        let raw = this.raw.project();
        let span = raw.span.take();
        if let (Some(span), Ok(received)) = (&span, &received) {
            span.note_peer(received.frame.transmitter());
        }
        let ended = received.and_then(|received| read(raw.client.formats(), received, raw.method));
        raw.client.end_call(span, raw.method, &ended);
        Poll::Ready(ended)
    }
}

impl<'m, F: FormatSet> RawCall<'m, F> {
    pub(super) fn new(client: &Client<F>, method: &'m str, args: &impl Args, options: &Arc<CallOptions>) -> Self {
        let (span, options) = client.begin(method, options);
        let prepared = client.prepare(method, args, &options, true);
        if let (Some(span), Prepared::Addressed(addressed)) = (&span, &prepared)
            && !addressed.receiver.is_empty()
        {
            span.note_peer(&addressed.receiver);
        }
        let made = Made { prepared, options };
        Self { client: client.clone(), method, span, expires: None, step: CallStep::Made { made } }
    }

    /// Its span, whose end is then told elsewhere.
    pub(super) const fn take_span(&mut self) -> Option<Box<CallSpan>> {
        self.span.take()
    }
}

impl<'m, F: FormatSet> Future for RawCall<'m, F> {
    type Output = Result<Received, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                CallStepProjection::Made { made } => match begin(this.client, this.method, made, cx) {
                    Err(error) => {
                        this.step.set(CallStep::Ended);
                        return Poll::Ready(Err(error));
                    }
                    Ok(Ok(pending)) => {
                        let after = made.options.timeout;
                        if let Some(after) = after {
                            let sleep = || sleep_until(later(after));
                            this.expires.set(Some(on_runtime(this.client.runtime(), sleep)));
                        }
                        let (after, given_up) = (after.unwrap_or_default(), this.client.parent_given_up());
                        this.step.set(CallStep::Sent { pending, after, given_up });
                    }
                    Ok(Err(unsent)) => {
                        let options = Arc::clone(&made.options);
                        let call = Box::pin(call(this.client.clone(), this.method, unsent, options));
                        this.step.set(CallStep::Waits { call });
                    }
                },
                CallStepProjection::Sent { pending, after, given_up } => {
                    let level = pending.level();
                    if let Poll::Ready(answer) = Pin::new(&mut *pending).poll(cx) {
                        let timeout = this.expires.is_some().then_some(*after);
                        return Poll::Ready(to_received(answer, level, this.method, timeout));
                    }
                    if let Some(given_up) = given_up
                        && given_up.as_mut().poll(cx).is_ready()
                    {
                        this.step.set(CallStep::Ended);
                        return Poll::Ready(Err(CallError::Cancelled { method: (*this.method).to_owned() }));
                    }
                    if let Some(expires) = this.expires.as_mut().as_pin_mut() {
                        ready!(expires.poll(cx));
                        let error = CallError::Timeout {
                            receiver: pending.receiver_text(),
                            method: (*this.method).to_owned(),
                            after: *after,
                            waited_for: WaitedFor::Answer,
                            last_failure: None,
                        };
                        // The call is given up now, not when this is dropped.
                        this.step.set(CallStep::Ended);
                        return Poll::Ready(Err(error));
                    }
                    return Poll::Pending;
                }
                CallStepProjection::Waits { call } => {
                    return on_runtime(this.client.runtime(), || call.as_mut().poll(cx));
                }
                CallStepProjection::Ended => panic!("{ENDED}"),
            }
        }
    }
}

/// Sends a call, if nothing has to be waited for; else gives what waits.
#[inline]
fn begin<F: FormatSet>(
    client: &Client<F>,
    method: &str,
    Made { prepared, options }: &mut Made,
    cx: &Context<'_>,
) -> Result<Result<PendingReply, Unsent>, CallError> {
    let current = client.shared().current();
    let conn = match (&mut *prepared, &*current) {
        // It may be made again.
        (Prepared::Addressed(addressed), _) if addressed.receiver.is_empty() && options.waits_at_router() => None,
        (Prepared::Addressed(addressed), Some(current)) if current.conn.conn.id == addressed.conn => {
            if let Some(mut pending) = send_now(&current.conn, &addressed.receiver, &mut addressed.written, cx.waker())?
            {
                pending.count(method);
                return Ok(Ok(pending));
            }
            Some(&current.conn)
        }
        _ => None,
    };
    Unsent::of(std::mem::replace(prepared, Prepared::Unaddressed(Payloads::default())), conn).map(Err)
}

/// Queues a request that nobody answers, if nothing has to be waited for; else gives what waits.
#[inline]
fn queue_now<F: FormatSet>(
    client: &Client<F>,
    method: &str,
    Made { prepared, .. }: &mut Made,
) -> Result<Option<Unsent>, CallError> {
    let current = client.shared().current();
    let conn = match (&mut *prepared, &*current) {
        (Prepared::Addressed(addressed), Some(current)) if current.conn.conn.id == addressed.conn => {
            if send_nowait_now(&current.conn, &addressed.receiver, &mut addressed.written, method)? {
                return Ok(None);
            }
            Some(&current.conn)
        }
        _ => None,
    };
    Unsent::of(std::mem::replace(prepared, Prepared::Unaddressed(Payloads::default())), conn).map(Some)
}

/// A request that could not be sent at once.
enum Unsent {
    /// It waits for a number, or for room on this connection.
    Addressed(Arc<ClientConn>, Addressed),
    /// It waits for a connection or a receiver.
    Payloads(Payloads),
}

impl Unsent {
    /// What could not be sent at once on this connection, or was not made for that of this moment.
    fn of(prepared: Prepared, conn: Option<&Arc<ClientConn>>) -> Result<Self, CallError> {
        Ok(match (prepared, conn) {
            (Prepared::Failed(error), _) => return Err(*error),
            (Prepared::Unaddressed(payloads), _) => Self::Payloads(payloads),
            (Prepared::Addressed(addressed), Some(conn)) => Self::Addressed(Arc::clone(conn), addressed),
            (Prepared::Addressed(addressed), None) => Self::Payloads(addressed.written.into_payloads()),
        })
    }

    /// What the call is made again with, if it may be.
    fn again(&self, options: &CallOptions) -> Option<Again> {
        match self {
            Self::Payloads(payloads) => Again::of(payloads, options),
            Self::Addressed(..) => None,
        }
    }

    /// Waits for a connection and a receiver, and gives them with the request. Cancel safe.
    async fn address<F: FormatSet>(
        self,
        client: &Client<F>,
        method: &str,
        options: &CallOptions,
        wants_reply: bool,
        progress: &mut Progress,
    ) -> Result<(Arc<ClientConn>, NodeName, WrittenRequest), CallError> {
        let (conn, receiver, written) = match self {
            Self::Addressed(conn, addressed) => (conn, addressed.receiver, addressed.written),
            Self::Payloads(payloads) => client.address(method, &payloads, options, wants_reply, progress).await?,
        };
        progress.set_target(&conn, &receiver);
        Ok((conn, receiver, written))
    }
}

async fn call<F: FormatSet>(
    client: Client<F>,
    method: &str,
    unsent: Unsent,
    options: Arc<CallOptions>,
) -> Result<Received, CallError> {
    let (mut progress, deadline) = (Progress::default(), options.timeout.map(later));
    let ended = within(options.timeout, async {
        let (mut unsent, mut counted, mut pauses) = (unsent, None, AgainPauses::new());
        loop {
            let again = unsent.again(&options);
            let (conn, receiver, written) = unsent.address(&client, method, &options, true, &mut progress).await?;
            let Some(pending) = PendingReply::open(conn, receiver).await? else {
                unsent = Unsent::Payloads(written.into_payloads());
                continue;
            };
            let mut pending = send(pending, written, deadline, &mut progress).await?;
            let call = counted.take().unwrap_or_else(|| pending.counted_call(method));
            let received = receive(&mut pending, method, options.timeout).await?;
            match again {
                Some(again) if is_refused_by_stopping(client.formats(), &received) => {
                    (unsent, counted) = (Unsent::Payloads(again.into_payloads()), Some(call));
                    pauses.rest().await;
                }
                _ => {
                    call.end();
                    return Ok(received);
                }
            }
        }
    });
    match client.unless_given_up(method, async { Ok(ended.await) }).await? {
        Ok(ended) => ended,
        Err(after) => Err(progress.timeout_error(method, after)),
    }
}

async fn queue<F: FormatSet>(
    client: Client<F>,
    method: &str,
    unsent: Unsent,
    options: Arc<CallOptions>,
) -> Result<(), CallError> {
    let mut progress = Progress::default();
    let ended = within(options.timeout, async {
        let (conn, receiver, written) = unsent.address(&client, method, &options, false, &mut progress).await?;
        progress.waits_for(WaitedFor::Room);
        send_nowait(&conn, &receiver, written, method).await
    });
    match client.unless_given_up(method, async { Ok(ended.await) }).await? {
        Ok(ended) => ended,
        Err(after) => Err(progress.timeout_error(method, after)),
    }
}

/// Awaits the future for as long as the limit allows. The error is the time within which it did not
/// finish.
pub(super) async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Result<T, Duration> {
    match limit {
        None => Ok(future.await),
        Some(after) => timeout(after, future).await.map_err(|_| after),
    }
}

/// A call that nobody answers, on its way. What [`RpcNowait::call`](super::RpcNowait::call)
/// returns.
///
/// Receiver and format were chosen and the arguments written when the call was made; it is queued
/// when this is polled first. Where there was no connection then, the receiver is chosen once there
/// is one.
///
/// Cancel safe: dropped, it has queued all of the request or nothing.
#[must_use = "a call is sent when it is awaited"]
pub struct Queueing<'m, F> {
    client: Client<F>,
    method: &'m str,
    /// It was not polled yet.
    made: Option<Made>,
    span: Option<Box<CallSpan>>,
    waits: Option<BoxFuture<'m, Result<(), CallError>>>,
}

impl<'m, F: FormatSet> Queueing<'m, F> {
    pub(super) fn new(client: &Client<F>, method: &'m str, args: &impl Args, options: &Arc<CallOptions>) -> Self {
        let (span, options) = client.begin(method, options);
        let prepared = client.prepare(method, args, &options, false);
        let made = Made { prepared, options };
        Self { client: client.clone(), method, made: Some(made), span, waits: None }
    }
}

impl<F> fmt::Debug for Queueing<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queueing").field("method", &self.method).finish_non_exhaustive()
    }
}

impl<F: FormatSet> Queueing<'_, F> {
    fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if let Some(mut made) = self.made.take() {
            match queue_now(&self.client, self.method, &mut made)? {
                None => return Poll::Ready(Ok(())),
                Some(unsent) => {
                    self.waits = Some(Box::pin(queue(self.client.clone(), self.method, unsent, made.options)));
                }
            }
        }
        let waits = self.waits.as_mut().expect(ENDED);
        on_runtime(self.client.runtime(), || waits.as_mut().poll(cx))
    }
}

impl<F: FormatSet> Future for Queueing<'_, F> {
    type Output = Result<(), CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let queued = ready!(this.poll_queued(cx));
        this.client.end_call(this.span.take(), this.method, &queued);
        Poll::Ready(queued)
    }
}

/// Why a step has what it takes.
const ENDED: &str = "a future that gave its output is not polled again";
