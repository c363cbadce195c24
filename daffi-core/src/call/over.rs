//! The calling side as a tower service, so that tower's middleware can stand between.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use daffi_serde::{
    Args, FormatSet, Returned,
    erased::{ArgsRef, ErasedArgs},
};
use daffi_transport::BoxFuture;
use daffi_wire::FormatId;
use tower_service::Service;

use super::{
    CallOptions,
    calling::RawCall,
    engine::{Received, read},
    setters,
};
use crate::{
    client::Client,
    error::{BoxError, CallError},
};

/// A call that owns its arguments: cloned, it can be made again.
#[derive(Clone)]
pub struct Call {
    method: Arc<str>,
    args: Arc<dyn ErasedArgs + Send + Sync>,
    options: CallOptions,
}

impl Call {
    /// A call of `method`.
    pub fn new(method: &str, args: impl Args + Send + Sync + 'static) -> Self {
        Self { method: method.into(), args: Arc::new(args), options: CallOptions::default() }
    }

    /// The same call with other options.
    #[must_use]
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// The callback.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// How the call is made.
    #[must_use]
    pub const fn options(&self) -> &CallOptions {
        &self.options
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("options", &self.options).finish_non_exhaustive()
    }
}

/// What came back, not read yet.
#[derive(Clone, Debug)]
pub struct Answer<F> {
    received: Received,
    method: Arc<str>,
    formats: F,
}

impl<F: FormatSet> Answer<F> {
    /// Who answered.
    #[must_use]
    pub fn receiver(&self) -> &str {
        self.received.frame.transmitter()
    }
}

/// What a call through a tower stack gives: a layer may wrap an [`Answer`] as long as it can still be read.
pub trait ReadAnswer {
    /// The result as a `R`.
    ///
    /// # Errors
    /// [`CallError::Remote`] when the callback failed, [`CallError::Decode`] when its result is no `R`.
    fn read<R: Returned>(&self) -> Result<R, CallError>;
}

impl<F: FormatSet> ReadAnswer for Answer<F> {
    fn read<R: Returned>(&self) -> Result<R, CallError> {
        read(&self.formats, self.received.clone(), &self.method)
    }
}

/// Always ready: a call waits inside its future.
impl<F: FormatSet> Service<Call> for Client<F> {
    type Response = Answer<F>;
    type Error = CallError;
    type Future = BoxFuture<'static, Result<Answer<F>, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let client = self.clone();
        Box::pin(async move {
            let args = SharedArgs(call.args);
            let received = RawCall::new(&client, &call.method, &args, &call.options).await?;
            // A failure of the callback is an error here, so that retry and the like can see it.
            let answer = Answer { received, method: call.method, formats: client.formats().clone() };
            if answer.received.frame.kind() == daffi_wire::Kind::Error {
                answer.read::<()>()?;
            }
            Ok(answer)
        })
    }
}

/// Arguments that several calls own together.
struct SharedArgs(Arc<dyn ErasedArgs + Send + Sync>);

impl Args for SharedArgs {
    fn positional_len(&self) -> usize {
        self.0.positional_len()
    }

    fn keyword_len(&self) -> usize {
        self.0.keyword_len()
    }

    fn visit<V: daffi_serde::ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        Args::visit(&ArgsRef(&*self.0), visitor)
    }

    fn sole_bytes(&self) -> Option<&bytes::Bytes> {
        self.0.sole_bytes()
    }
}

/// Calls with the sugar of [`Rpc`](super::Rpc) over any tower stack around a client.
#[derive(Clone, Debug)]
pub struct RpcOver<S> {
    service: S,
    options: CallOptions,
}

impl<S> RpcOver<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, options: CallOptions::default() }
    }

    setters!(receiver key serde timeout wait_for_connection wait_for_receiver);

    /// Calls `method` through the stack and reads its result as a `R`.
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
        let call = Call::new(method, args).with_options(self.options.clone());
        let mut service = self.service.clone();
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(layer_error)?;
        service.call(call).await.map_err(layer_error)?.read()
    }
}

fn layer_error(error: impl Into<BoxError>) -> CallError {
    match error.into().downcast::<CallError>() {
        Ok(error) => *error,
        Err(error) => CallError::Layer(error.into()),
    }
}
