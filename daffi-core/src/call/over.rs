//! Calls through a tower stack.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use daffi_serde::{Args, Returned};
use daffi_wire::FormatId;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use super::{
    service::{Call, ReadAnswer},
    setters,
};
use crate::client::CallOptions;
use crate::error::{ANY_MEMBER, BoxError, CallError, WaitedFor};

/// Calls with the sugar of [`Rpc`](super::Rpc) over any tower stack around a client.
#[derive(Clone, Debug)]
pub struct RpcOver<S> {
    service: S,
    options: Arc<CallOptions>,
}

impl<S> RpcOver<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, options: Arc::default() }
    }

    setters!(receiver key by_router serde header timeout wait_for_connection wait_for_receiver);

    /// Calls `method` through the stack and reads its result as a `R`.
    ///
    /// Waits until the stack is ready, within the timeout: without a layer that refuses calls, such
    /// as `load_shed`, that is until the client has a connection and takes a call. The client's
    /// `default_timeout` begins when the stack hands the call to the client: to bound the wait
    /// before that, set a timeout here. Cancelling: dropping the future gives the call up.
    ///
    /// # Errors
    /// [`CallError`]; what a layer fails with, unless it is a `CallError`, is [`CallError::Layer`].
    pub fn call<'m, R>(&self, method: &'m str, args: impl Args + Send + Sync + 'static) -> CallingOver<'m, R, S>
    where
        R: Returned,
        S: Service<Call> + Clone,
        S::Response: ReadAnswer,
        S::Error: Into<BoxError>,
    {
        let options = CallOptions::clone(&self.options);
        CallingOver {
            service: self.service.clone(),
            method,
            timeout: options.timeout,
            call: Some(Call::new(method, args).with_options(options)),
            asked: None,
            expires: None,
            answer: None,
            result: PhantomData,
        }
    }
}

pin_project! {
    /// A call on its way through a tower stack; gives its result. What [`RpcOver::call`] returns.
    ///
    /// Dropped, it gives the call up.
    #[must_use = "a call is sent when it is awaited"]
    pub struct CallingOver<'m, R, S>
    where
        S: Service<Call>,
    {
        service: S,
        method: &'m str,
        timeout: Option<Duration>,
        // What the stack has not taken yet.
        call: Option<Call>,
        // When the stack was not ready.
        asked: Option<Instant>,
        #[pin]
        expires: Option<Sleep>,
        #[pin]
        answer: Option<S::Future>,
        result: PhantomData<fn() -> R>,
    }
}

impl<R, S: Service<Call>> fmt::Debug for CallingOver<'_, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallingOver").field("method", &self.method).finish_non_exhaustive()
    }
}

impl<R, S> Future for CallingOver<'_, R, S>
where
    R: Returned,
    S: Service<Call>,
    S::Response: ReadAnswer,
    S::Error: Into<BoxError>,
{
    type Output = Result<R, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(call) = this.call.take_if(|_| this.answer.is_none()) {
            let Poll::Ready(ready) = this.service.poll_ready(cx) else {
                *this.call = Some(call);
                this.asked.get_or_insert_with(Instant::now);
                let Some(after) = *this.timeout else { return Poll::Pending };
                if this.expires.is_none() {
                    this.expires.set(Some(sleep(after)));
                }
                let expires = this.expires.as_mut().as_pin_mut().expect("it was set above");
                return expires.poll(cx).map(|()| Err(not_ready(this.method, after)));
            };
            ready.map_err(layer_error)?;
            let options = call.options().clone();
            let waited = this.asked.map(|asked| asked.elapsed()).unwrap_or_default();
            let timeout = options.timeout.map(|timeout| timeout.saturating_sub(waited));
            let call = call.with_options(CallOptions { timeout, ..options });
            this.expires.set(None);
            this.answer.set(Some(this.service.call(call)));
        }
        let answer = this.answer.as_mut().as_pin_mut().expect("a future is not polled after its end");
        let answered = ready!(answer.poll(cx));
        Poll::Ready(answered.map_err(layer_error).and_then(|answer| answer.read()))
    }
}

fn not_ready(method: &str, after: Duration) -> CallError {
    let waited_for = WaitedFor::Readiness;
    CallError::Timeout { receiver: ANY_MEMBER.into(), method: method.to_owned(), after, waited_for, last_failure: None }
}

fn layer_error(error: impl Into<BoxError>) -> CallError {
    match error.into().downcast::<CallError>() {
        Ok(error) => *error,
        Err(error) => CallError::Layer(error.into()),
    }
}
