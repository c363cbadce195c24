use std::{convert::Infallible, sync::Arc, time::Duration};

use daffi_serde::{Args, FormatSet, Returned};
use daffi_wire::{FormatId, StreamFlags};
use futures::{Stream, StreamExt};
use serde::Serialize;

use super::{
    CallOptions, ItemSender, Results, RpcOver, SendError,
    calling::{Calling, Queueing},
    opening::{StreamingCall, open},
    result_clock::ResultClock,
    sending::send_all,
    setters,
    span::{CallSpan, note_end},
};
use crate::{client::Client, error::CallError};

/// A call to one receiver, which answers it: [`Client::rpc`].
#[derive(Clone, Debug)]
pub struct Rpc<F> {
    client: Client<F>,
    options: CallOptions,
}

impl<F: FormatSet> Rpc<F> {
    pub(crate) const fn new(client: Client<F>, options: CallOptions) -> Self {
        Self { client, options }
    }

    setters!(receiver key serde header in_pieces timeout wait_for_connection wait_for_receiver);

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
    pub async fn results<R: Returned>(&self, method: &str, args: impl Args) -> Result<Results<R, F>, CallError> {
        let (call, timeout, span) =
            self.open(method, &args, StreamFlags { items_follow: false, takes_results: true }).await?;
        let clock = ResultClock::new(timeout, call.deadline);
        Results::new(self.client.clone(), method, call, clock, span).begun().await
    }

    /// Calls `method`, sends `items` behind the arguments, one by one, and reads its result as a
    /// `R`. They are taken from their source as the callback takes them.
    ///
    #[doc = words!(send_items)]
    pub async fn send<R: Returned>(
        &self,
        method: &str,
        args: impl Args,
        items: impl Stream<Item: Serialize + 'static>,
    ) -> Result<R, CallError> {
        match self.try_send(method, args, items.map(Ok::<_, Infallible>)).await {
            Ok(result) => Ok(result),
            Err(SendError::Call(error)) => Err(error),
            Err(SendError::Source(never)) => match never {},
        }
    }

    /// The same of a source that can fail: its error gives the call up.
    ///
    /// # Errors
    /// [`SendError::Source`] with what the source gave; [`SendError::Call`] as
    /// [`send`](Self::send).
    pub async fn try_send<R: Returned, E>(
        &self,
        method: &str,
        args: impl Args,
        items: impl Stream<Item = Result<impl Serialize + 'static, E>>,
    ) -> Result<R, SendError<E>> {
        let (call, timeout, span) =
            self.open(method, &args, StreamFlags { items_follow: true, takes_results: false }).await?;
        let sent = send_all(&self.client, method, call, items, timeout).await;
        match &sent {
            Ok(_) => note_end(span, method, &Ok(())),
            Err(SendError::Call(error)) => note_end::<()>(span, method, &Err(error.clone())),
            // It was given up.
            Err(SendError::Source(_)) => drop(span),
        }
        sent
    }

    /// Calls `method` with arguments and results that both go one by one: gives where items are
    /// sent, and the results.
    ///
    #[doc = words!(duplex)]
    pub async fn duplex<T: Serialize + 'static, R: Returned>(
        &self,
        method: &str,
        args: impl Args,
    ) -> Result<(ItemSender<T, F>, Results<R, F>), CallError> {
        let (call, timeout, span) =
            self.open(method, &args, StreamFlags { items_follow: true, takes_results: true }).await?;
        let items = ItemSender::new(self.client.formats().clone(), method, Arc::clone(&call.data));
        // What the program has to say before the first result takes its own time.
        let clock = ResultClock::new(timeout, None);
        Ok((items, Results::new(self.client.clone(), method, call, clock, span)))
    }

    async fn open(
        &self,
        method: &str,
        args: &impl Args,
        stream: StreamFlags,
    ) -> Result<(StreamingCall, Option<Duration>, Option<Box<CallSpan>>), CallError> {
        let (span, options) = self.client.begin(method, &self.options);
        let options = CallOptions { stream, ..options.into_owned() };
        match open(&self.client, method, args, &options).await {
            Ok(call) => {
                if let Some(span) = &span {
                    span.note_peer(call.pending.receiver());
                }
                Ok((call, options.timeout, span))
            }
            Err(error) => {
                let failed = Err(error);
                note_end(span, method, &failed);
                failed
            }
        }
    }

    /// Calls `method`, waits until it has run, and drops its result: [`call`](Self::call) of `()`.
    ///
    #[doc = words!(call)]
    pub fn run<'m>(&self, method: &'m str, args: impl Args) -> Calling<'m, (), F> {
        self.call(method, args)
    }
}

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
    options: CallOptions,
}

impl<F: FormatSet> RpcNowait<F> {
    pub(crate) const fn new(client: Client<F>, options: CallOptions) -> Self {
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
