//! Calls through a tower stack.

use std::{future::poll_fn, sync::Arc, time::Duration};

use daffi_serde::{Args, Returned};
use daffi_wire::FormatId;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    calling::within,
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
    pub async fn call<R>(&self, method: &str, args: impl Args + Send + Sync + 'static) -> Result<R, CallError>
    where
        R: Returned,
        S: Service<Call> + Clone,
        S::Response: ReadAnswer,
        S::Error: Into<BoxError>,
    {
        let mut service = self.service.clone();
        let mut options = CallOptions::clone(&self.options);
        let mut asked = None;
        let ready = poll_fn(|cx| {
            let polled = service.poll_ready(cx);
            if polled.is_pending() {
                asked.get_or_insert_with(Instant::now);
            }
            polled
        });
        within(options.timeout, ready)
            .await
            .map_or_else(|after| Err(not_ready(method, after)), |ready| ready.map_err(layer_error))?;
        if let Some(asked) = asked {
            options.timeout = options.timeout.map(|timeout| timeout.saturating_sub(asked.elapsed()));
        }
        let call = Call::new(method, args).with_options(options);
        service.call(call).await.map_err(layer_error)?.read()
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
