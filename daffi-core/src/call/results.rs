//! Results that come one by one.

use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use daffi_serde::{FormatSet, Returned};
use daffi_transport::BoxFuture;
use daffi_wire::{Frame, Kind};
use futures::Stream;

use super::{
    again::{Again, AgainPauses, is_refused_by_stopping},
    engine::{Received, read, to_received},
    opening::{StreamingCall, open_until},
    progress::receiver_text,
    result_clock::ResultClock,
    span::CallSpan,
};
use crate::{
    client::{CallOptions, Client, CountedCall},
    error::{CallError, WaitedFor},
};

/// The results of a call, one by one: what [`Rpc::results`](super::Rpc::results) gives.
///
/// It ends after the last result. An error is the last thing that it gives: the callback failed or
/// gave an error, the receiver left, or no result came within the call's timeout: the first counts
/// from the call, and each further one from when it is waited for. Each result is taken from the
/// receiver as it is read here, so one that is read slowly holds the callback up and nobody else.
///
/// Dropping it gives the call up, which the callback can see. Cancel safe: a result that was not
/// given is still there.
pub struct Results<R, F> {
    client: Client<F>,
    method: String,
    call: Option<StreamingCall>,
    /// How the call ended, to be told after what came before.
    end: Option<Result<Option<Frame>, CallError>>,
    /// Something came in DATA.
    came: bool,
    clock: ResultClock,
    given_up: Option<BoxFuture<'static, ()>>,
    span: Option<Box<CallSpan>>,
    result: PhantomData<fn() -> R>,
}

/// What came of a call first. What it says is of this one attempt: the next may end otherwise.
enum CameFirst {
    /// Results, or an end that is told after them.
    Yes,
    /// It did not run, because the member that it was given to is stopping.
    Refused(CallError),
    /// Another error was the answer.
    Answered(CallError),
    Failed(CallError),
}

impl<R, F: FormatSet> Results<R, F> {
    pub(super) fn new(
        client: Client<F>,
        method: &str,
        call: StreamingCall,
        clock: ResultClock,
        span: Option<Box<CallSpan>>,
    ) -> Self {
        let given_up = client.parent_given_up();
        Self {
            client,
            method: method.to_owned(),
            call: Some(call),
            end: None,
            came: false,
            clock,
            given_up,
            span,
            result: PhantomData,
        }
    }

    /// Whether the callback gives a stream, as is known once its first result was given, or that
    /// there is none. `false`: it gives a plain value, the only result, or has not answered yet.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        let inflow = self.call.as_ref().and_then(|call| call.data.inflow.as_ref());
        self.came || inflow.is_some_and(|inflow| inflow.has_begun())
    }

    /// Sets the time of the next result, from now on, and of each further one after the one before
    /// it. `None`: as long as it takes.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.clock.set(timeout);
    }

    /// Waits until the callback has returned its stream, or the call has ended. `again`: what it
    /// may be made again with.
    pub(super) async fn await_begin(mut self, again: Option<(Again, CallOptions)>) -> Result<Self, CallError>
    where
        R: Returned,
    {
        let deadline = self.call.as_ref().and_then(|call| call.deadline);
        // It is one call, however often it is made.
        let mut counted =
            self.call.as_mut().filter(|_| again.is_some()).and_then(|call| call.pending.counted_mut().take());
        let mut pauses = AgainPauses::new();
        let begun = loop {
            let refused = match self.await_first().await {
                CameFirst::Yes => {
                    self.go_on_counting(counted.take());
                    break Ok(());
                }
                CameFirst::Answered(error) => {
                    if let Some(counted) = counted {
                        counted.end();
                    }
                    break Err(error);
                }
                CameFirst::Failed(error) => break Err(error),
                CameFirst::Refused(error) => error,
            };
            let Some((again, options)) = &again else { break Err(refused) };
            let up = tokio::select! {
                // A call whose time is up is not sent once more.
                biased;
                up = poll_fn(|cx| self.poll_clocks(cx)) => Err(up),
                () = pauses.rest() => Ok(()),
            };
            let made = (again.payloads(), options);
            match up {
                Ok(()) => match open_until(&self.client, &self.method, made, deadline).await {
                    Ok(call) => self.call = Some(call),
                    Err(error) => break Err(error),
                },
                Err(error) => break Err(error),
            }
        };
        if begun.is_err() {
            self.client.end_call(self.span.take(), &self.method, &begun);
        } else if let Some(call) = &self.call {
            note_peer(self.span.as_deref(), call);
        }
        begun.map(|()| self)
    }

    /// It is not made again: its end is that of what is counted.
    fn go_on_counting(&mut self, counted: Option<CountedCall>) {
        match (counted, &mut self.call, &self.end) {
            (Some(counted), Some(call), None) => *call.pending.counted_mut() = Some(counted),
            (Some(counted), _, Some(Ok(_))) => counted.end(),
            _ => {}
        }
    }

    async fn await_first(&mut self) -> CameFirst
    where
        R: Returned,
    {
        poll_fn(|cx| {
            let Some(call) = &mut self.call else { return Poll::Ready(CameFirst::Yes) };
            if let Some(inflow) = &call.data.inflow
                && inflow.poll_begun(cx).is_ready()
            {
                return Poll::Ready(CameFirst::Yes);
            }
            if let Poll::Ready(end) = call.pending.poll_end(cx) {
                let failed = matches!(&end, Ok(Some(frame)) if frame.kind() == Kind::Error) || end.is_err();
                self.end = Some(end);
                let is_over = failed && !call.data.inflow.as_ref().is_some_and(|inflow| inflow.is_ready());
                return Poll::Ready(if is_over { self.take_failure() } else { CameFirst::Yes });
            }
            self.poll_clocks(cx).map(CameFirst::Failed)
        })
        .await
    }

    /// How a call failed of which nothing came before its end.
    fn take_failure(&mut self) -> CameFirst
    where
        R: Returned,
    {
        let received = match self.take_received() {
            Ok(Some(received)) => received,
            Ok(None) => return CameFirst::Yes,
            Err(error) => return CameFirst::Failed(error),
        };
        let is_refused = is_refused_by_stopping(self.client.formats(), &received);
        match read::<R>(self.client.formats(), received, &self.method) {
            Ok(_) => CameFirst::Yes,
            Err(error) if is_refused => CameFirst::Refused(error),
            Err(error) => CameFirst::Answered(error),
        }
    }

    /// Ends with an error when nobody waits any more, or nothing came for too long.
    fn poll_clocks(&mut self, cx: &mut Context<'_>) -> Poll<CallError> {
        if let Some(given_up) = &mut self.given_up
            && given_up.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(CallError::Cancelled { method: self.method.clone() });
        }
        self.clock.poll(cx, self.client.runtime()).map(|after| CallError::Timeout {
            receiver: self.call.as_ref().map_or_else(|| receiver_text(None), |call| call.pending.receiver_text()),
            method: self.method.clone(),
            after,
            waited_for: WaitedFor::Answer,
            last_failure: None,
        })
    }

    /// What the end of the call gives: the one result of a callback that gives no stream, or why
    /// there are no further ones.
    fn take_end(&mut self) -> Result<Option<R>, CallError>
    where
        R: Returned,
    {
        let received = self.take_received()?;
        received.map(|received| read(self.client.formats(), received, &self.method)).transpose()
    }

    /// The end of the call, unread.
    fn take_received(&mut self) -> Result<Option<Received>, CallError> {
        let Some(call) = self.call.take() else { return Ok(None) };
        let end = match self.end.take() {
            None | Some(Ok(None)) => return Ok(None),
            Some(Ok(Some(frame))) if frame.kind() == Kind::Response && self.came => return Ok(None),
            Some(Ok(Some(frame))) => Ok(frame),
            Some(Err(error)) => Err(error),
        };
        if let (Some(span), Ok(frame)) = (&self.span, &end) {
            span.note_peer(frame.transmitter());
        }
        to_received(end, call.pending.level(), &self.method, self.clock.time()).map(Some)
    }

    /// There are no further results. The call is given up now, not when this is dropped.
    fn end<T>(&mut self, ended: &Result<T, CallError>) {
        self.call = None;
        self.client.end_call(self.span.take(), &self.method, ended);
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<R, CallError>>>
    where
        R: Returned,
    {
        loop {
            let Some(call) = &mut self.call else { return Poll::Ready(None) };
            let StreamingCall { data, hand, pending, .. } = call;
            let polled = data.inflow.as_ref().map_or(Poll::Ready(None), |inflow| inflow.poll_next(hand, cx));
            match polled {
                Poll::Ready(Some(Ok(came))) => {
                    if !std::mem::replace(&mut self.came, true)
                        && let (Some(span), Some(receiver)) = (&self.span, data.receiver())
                    {
                        span.note_peer(receiver);
                    }
                    self.clock.restart();
                    // As of a plain answer, `()` takes any result.
                    let read = castaway::cast!((), R).or_else(|()| data.read_item(self.client.formats(), came));
                    let result = read.map_err(|source| CallError::Decode { method: self.method.clone(), source });
                    return Poll::Ready(Some(result));
                }
                Poll::Ready(Some(Err(error))) => {
                    let (method, reason) = (self.method.clone(), error.to_string());
                    return Poll::Ready(Some(Err(CallError::Items { method, reason })));
                }
                Poll::Ready(None) | Poll::Pending if self.end.is_some() => {
                    return Poll::Ready(self.take_end().transpose());
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            match pending.poll_end(cx) {
                // What came before the end is still to be read.
                Poll::Ready(end) => self.end = Some(end),
                Poll::Pending => return self.poll_clocks(cx).map(|error| Some(Err(error))),
            }
        }
    }
}

/// Notes who gives the results, where a Router chose that.
fn note_peer(span: Option<&CallSpan>, call: &StreamingCall) {
    if let (Some(span), Some(receiver)) = (span, call.data.receiver()) {
        span.note_peer(receiver);
    }
}

impl<R, F> Unpin for Results<R, F> {}

impl<R: Returned, F: FormatSet> Stream for Results<R, F> {
    type Item = Result<R, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = ready!(this.poll_result(cx));
        match &polled {
            Some(Ok(_)) => {}
            Some(failed) => this.end(failed),
            None => this.end(&Ok(())),
        }
        Poll::Ready(polled)
    }
}

impl<R, F> fmt::Debug for Results<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("method", &self.method).finish_non_exhaustive()
    }
}
