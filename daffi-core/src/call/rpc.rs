use std::time::Duration;

use daffi_serde::{Args, FormatSet, Returned};
use daffi_wire::FormatId;

use super::{
    CallOptions, RpcOver,
    calling::{Calling, Queueing},
    setters,
};
use crate::client::Client;

/// One call, one receiver, one answer: [`Client::rpc`].
#[derive(Clone, Debug)]
pub struct Rpc<F> {
    client: Client<F>,
    options: CallOptions,
}

impl<F: FormatSet> Rpc<F> {
    pub(crate) const fn new(client: Client<F>, options: CallOptions) -> Self {
        Self { client, options }
    }

    setters!(receiver key serde header timeout wait_for_connection wait_for_receiver);

    /// Calls `method` and reads its result as a `R`; `()` takes any result.
    ///
    #[doc = words!(call)]
    pub fn call<'m, R: Returned>(&self, method: &'m str, args: impl Args) -> Calling<'m, R, F> {
        Calling::new(&self.client, method, &args, &self.options)
    }

    /// Calls `method`, waits until it has run, and drops its result: [`call`](Self::call) of `()`.
    ///
    #[doc = words!(call)]
    pub fn run<'m>(&self, method: &'m str, args: impl Args) -> Calling<'m, (), F> {
        self.call(method, args)
    }
}

impl<F> Rpc<F> {
    /// The same sugar over any tower stack around a client: retry, rate limit, load balancing.
    pub fn over<S>(service: S) -> RpcOver<S> {
        RpcOver::new(service)
    }
}

/// One call, one receiver, no answer: [`Client::rpc_nowait`].
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
