use std::time::Duration;

use daffi_serde::{Args, FormatSet};
use daffi_wire::FormatId;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{
    CallOptions, RpcOver,
    engine::{Now, Progress, read, send_nowait},
    setters,
};
use crate::{client::Client, error::CallError};

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

    setters!(receiver key serde timeout wait_for_connection);

    /// Calls `method` and reads its result as a `R`.
    ///
    /// Arguments are owned, because a call outlives the borrow it was made under: `(name.to_owned(),)`, not `(name,)`, for
    /// a text that is not `'static`.
    ///
    /// Dropping the future gives the call up locally: the receiver does not hear of it, and its answer is dropped.
    ///
    /// # Errors
    /// [`CallError`]; every call ends, with its result or with an error that says what happened.
    pub async fn call<R: DeserializeOwned + 'static>(
        &self,
        method: &str,
        args: impl Args + Send,
    ) -> Result<R, CallError> {
        let received = self.client.call_raw(method, args, &self.options).await?;
        read(&self.client.formats, received, method)
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

    setters!(receiver key serde timeout wait_for_connection);

    /// Calls `method`; returns once the request is queued. Nothing tells whether it arrived, or ran.
    ///
    /// Waits while the connection's queue is full, and behind a Router of this project while the receiver has as much waiting
    /// as it takes. Cancel safe: dropped, it has queued all of the request or nothing.
    ///
    /// # Errors
    /// [`CallError`] when the request could not be queued.
    pub async fn call(&self, method: &str, args: impl Args + Send) -> Result<(), CallError> {
        let Some(after) = self.options.timeout else { return self.attempt(method, args, None).await };
        let mut progress = Progress::default();
        match timeout(after, self.attempt(method, args, Some(&mut progress))).await {
            Ok(ended) => ended,
            Err(_) => Err(progress.expired(method, after)),
        }
    }

    async fn attempt(
        &self,
        method: &str,
        args: impl Args + Send,
        progress: Option<&mut Progress>,
    ) -> Result<(), CallError> {
        let (conn, receiver, written) = match self.client.nowait_now(method, &args, &self.options)? {
            Now::Done(()) => return Ok(()),
            Now::Waits(conn, receiver, written) => (conn, receiver, written),
            Now::Unconnected => {
                let conn = self.client.shared().connection(self.options.wait_for_connection).await?;
                let members = conn.members();
                let (receiver, written) = self.client.prepare(&members, method, &args, &self.options, false)?;
                (conn, receiver.clone(), written)
            }
        };
        drop(args);
        if let Some(progress) = progress {
            progress.reached(&conn, &receiver);
        }
        send_nowait(&conn, &receiver, written, method).await
    }
}
