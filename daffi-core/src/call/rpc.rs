use std::{convert::Infallible, sync::Arc, time::Duration};

use daffi_serde::{Args, FormatSet, Returned};
use daffi_transport::BoxFuture;
use daffi_wire::{FormatId, StreamFlags};
use futures::{Stream, StreamExt};
use serde::Serialize;

use super::{
    Cast, ItemSender, Results, RpcOver, SendError,
    again::Again,
    calling::{Calling, Queueing},
    opening::{StreamingCall, open},
    request::Payloads,
    result_clock::ResultClock,
    sending::send_all,
    setters,
    span::CallSpan,
};
use crate::{
    client::{CallOptions, Client},
    deadline::OnRuntime,
    error::CallError,
};

/// A call to one receiver, which answers it: [`Client::rpc`].
#[derive(Clone, Debug)]
pub struct Rpc<F> {
    client: Client<F>,
    options: Arc<CallOptions>,
}

impl<F: FormatSet> Rpc<F> {
    pub(crate) const fn new(client: Client<F>, options: Arc<CallOptions>) -> Self {
        Self { client, options }
    }

    setters!(receiver key by_router serde header in_pieces timeout wait_for_connection wait_for_receiver);

    /// Calls `method` and reads its result as a `R`; `()` takes any result.
    ///
    #[doc = words!(call)]
    pub fn call<'m, R: Returned>(&self, method: &'m str, args: impl Args) -> Calling<'m, R, F> {
        Calling::new(&self.client, method, &args, &self.options)
    }

    /// Calls `method` and gives its results one by one, once the callback has returned its stream.
    /// One that returns a plain value gives that alone.
    ///
    #[doc = words!(results)]
    pub fn results<'m, R: Returned>(
        &self,
        method: &'m str,
        args: impl Args,
    ) -> BoxFuture<'m, Result<Results<R, F>, CallError>> {
        let (rpc, payloads) = (self.clone(), self.payloads(&args));
        Box::pin(async move {
            let (results, options) = rpc.results_with(method, &payloads).await?;
            let again = Again::of(&payloads, &options).map(|again| (again, options));
            OnRuntime::new(rpc.client.runtime(), results.await_begin(again)).await
        })
    }

    /// The results of a call that was sent with these arguments.
    pub(super) async fn results_of<R: Returned>(
        &self,
        method: &str,
        payloads: &Payloads,
    ) -> Result<Results<R, F>, CallError> {
        self.results_with(method, payloads).await.map(|(results, _)| results)
    }

    async fn results_with<R: Returned>(
        &self,
        method: &str,
        payloads: &Payloads,
    ) -> Result<(Results<R, F>, CallOptions), CallError> {
        let flags = StreamFlags { items_follow: false, takes_results: true };
        let (call, options, span) = self.open(method, payloads, flags).await?;
        // Who waits for the callback that makes the call waits for its stream; the results have the
        // time that the call itself was given.
        let clock = ResultClock::new(self.options.timeout, call.deadline.zip(options.timeout), options.timeout);
        Ok((Results::new(self.client.clone(), method, call, clock, span), options))
    }

    /// Calls `method`, sends `items` behind the arguments, one by one, and reads its result as a
    /// `R`. They are taken from their source as the callback takes them; for one that stays on its
    /// thread there is [`send_local`](Self::send_local).
    ///
    #[doc = words!(send_items)]
    pub fn send<'m, R: Returned>(
        &self,
        method: &'m str,
        args: impl Args,
        items: impl Stream<Item: Serialize + 'static> + Send + 'm,
    ) -> BoxFuture<'m, Result<R, CallError>> {
        let (rpc, payloads) = (self.clone(), self.payloads(&args));
        Box::pin(async move { rpc.send_written(method, &payloads, items).await })
    }

    /// Does what [`send`](Self::send) does with a source that stays on its thread: the future does
    /// as well.
    ///
    #[doc = words!(send_items)]
    pub async fn send_local<R: Returned>(
        self,
        method: &str,
        args: impl Args,
        items: impl Stream<Item: Serialize + 'static>,
    ) -> Result<R, CallError> {
        self.send_written(method, &self.payloads(&args), items).await
    }

    async fn send_written<R: Returned>(
        &self,
        method: &str,
        payloads: &Payloads,
        items: impl Stream<Item: Serialize + 'static>,
    ) -> Result<R, CallError> {
        match self.try_send_written(method, payloads, items.map(Ok::<_, Infallible>)).await {
            Ok(result) => Ok(result),
            Err(SendError::Call(error)) => Err(error),
            Err(SendError::Source(never)) => match never {},
        }
    }

    /// Does what [`send`](Self::send) does with a source that can fail: its error gives the call
    /// up.
    ///
    /// # Errors
    /// [`SendError::Source`] with what the source gave; [`SendError::Call`] as
    /// [`send`](Self::send).
    pub fn try_send<'m, R: Returned, E: Send + 'm>(
        &self,
        method: &'m str,
        args: impl Args,
        items: impl Stream<Item = Result<impl Serialize + 'static, E>> + Send + 'm,
    ) -> BoxFuture<'m, Result<R, SendError<E>>> {
        let (rpc, payloads) = (self.clone(), self.payloads(&args));
        Box::pin(async move { rpc.try_send_written(method, &payloads, items).await })
    }

    /// Does what [`try_send`](Self::try_send) does with a source that stays on its thread: the
    /// future does as well.
    ///
    /// # Errors
    /// The errors of [`try_send`](Self::try_send).
    pub async fn try_send_local<R: Returned, E>(
        self,
        method: &str,
        args: impl Args,
        items: impl Stream<Item = Result<impl Serialize + 'static, E>>,
    ) -> Result<R, SendError<E>> {
        self.try_send_written(method, &self.payloads(&args), items).await
    }

    async fn try_send_written<R: Returned, T: Serialize + 'static, E>(
        &self,
        method: &str,
        payloads: &Payloads,
        items: impl Stream<Item = Result<T, E>>,
    ) -> Result<R, SendError<E>> {
        let flags = StreamFlags { items_follow: true, takes_results: false };
        let (call, options, span) = self.open(method, payloads, flags).await?;
        let sending = send_all(&self.client, method, call, items, (options.timeout, span.as_deref()));
        let sent = OnRuntime::new(self.client.runtime(), sending).await;
        match &sent {
            Ok(_) => self.client.end_call(span, method, &Ok(())),
            Err(SendError::Call(error)) => self.client.end_call::<()>(span, method, &Err(error.clone())),
            // It was given up.
            Err(SendError::Source(_)) => drop(span),
        }
        sent
    }

    /// Calls `method` with arguments and results that both go one by one: gives where items are
    /// sent, and the results.
    ///
    #[doc = words!(duplex)]
    pub fn duplex<'m, T: Serialize + 'static, R: Returned>(
        &self,
        method: &'m str,
        args: impl Args,
    ) -> BoxFuture<'m, Result<BothWays<T, R, F>, CallError>> {
        let (rpc, payloads) = (self.clone(), self.payloads(&args));
        Box::pin(async move {
            let flags = StreamFlags { items_follow: true, takes_results: true };
            let (call, options, span) = rpc.open(method, &payloads, flags).await?;
            let items = ItemSender::new(rpc.client.clone(), method, Arc::clone(&call.data));
            // What the program has to say before the first result takes its own time.
            let clock = ResultClock::new(rpc.options.timeout, None, options.timeout);
            Ok((items, Results::new(rpc.client.clone(), method, call, clock, span)))
        })
    }

    /// The arguments, which are written now, so that the future holds none of them.
    fn payloads(&self, args: &impl Args) -> Payloads {
        self.client.payloads(args, &self.options, None)
    }

    async fn open(&self, method: &str, payloads: &Payloads, stream: StreamFlags) -> Result<Opened, CallError> {
        let (span, options) = self.client.begin(method, &self.options);
        let options = CallOptions { stream, ..CallOptions::clone(&options) };
        match OnRuntime::new(self.client.runtime(), open(&self.client, method, payloads, &options)).await {
            Ok(call) => {
                if let Some(span) = &span
                    && !call.pending.receiver().is_empty()
                {
                    span.note_peer(call.pending.receiver());
                }
                Ok((call, options, span))
            }
            Err(error) => {
                let failed = Err(error);
                self.client.end_call(span, method, &failed);
                failed
            }
        }
    }

    /// The same calls, which nobody answers: with all that was set of these, except what is of the
    /// answer. The client's picker chooses who gets them, also where [`by_router`](Self::by_router)
    /// leaves calls that are answered to the Router.
    #[must_use]
    pub fn to_nowait(&self) -> RpcNowait<F> {
        RpcNowait::new(self.client.clone(), Arc::clone(&self.options))
    }

    /// The same call to every member that exposes the callback, or to the receiver that was set:
    /// with all else that was set of these, except who chooses one of several, as
    /// [`key`](Self::key) and [`by_router`](Self::by_router) do.
    #[must_use]
    pub fn to_cast(&self) -> Cast<F> {
        let options = CallOptions { receiver: None, ..CallOptions::clone(&self.options) };
        let cast = Cast::new(self.client.clone(), Arc::new(options));
        self.options.receiver.iter().fold(cast, |cast, receiver| cast.receivers([receiver.as_str()]))
    }

    /// Calls `method`, waits until it has run, and drops its result: [`call`](Self::call) of `()`.
    ///
    #[doc = words!(call)]
    pub fn run<'m>(&self, method: &'m str, args: impl Args) -> Calling<'m, (), F> {
        self.call(method, args)
    }
}

/// Where arguments are sent, and the results.
type BothWays<T, R, F> = (ItemSender<T, F>, Results<R, F>);

/// A call that was sent, its timeout and its span.
type Opened = (StreamingCall, CallOptions, Option<Box<CallSpan>>);

impl<F> Rpc<F> {
    /// Makes the same calls over any tower stack around a client: with retries, a rate limit, load
    /// balancing.
    pub fn over<S>(service: S) -> RpcOver<S> {
        RpcOver::new(service)
    }
}

/// A call to one receiver, which does not answer: [`Client::rpc_nowait`].
#[derive(Clone, Debug)]
pub struct RpcNowait<F> {
    client: Client<F>,
    options: Arc<CallOptions>,
}

impl<F: FormatSet> RpcNowait<F> {
    pub(crate) const fn new(client: Client<F>, options: Arc<CallOptions>) -> Self {
        Self { client, options }
    }

    setters!(receiver key serde header timeout wait_for_connection wait_for_receiver);

    /// Calls `method`; returns once the request is queued. Nothing tells whether it arrived, or
    /// ran.
    ///
    #[doc = words!(call_nowait)]
    pub fn call<'m>(&self, method: &'m str, args: impl Args) -> Queueing<'m, F> {
        Queueing::new(&self.client, method, &args, &self.options)
    }
}
