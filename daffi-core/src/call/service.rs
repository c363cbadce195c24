//! The calling side as a tower service, so that tower's middleware can stand between.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use daffi_serde::{
    Args, FormatSet, Returned,
    erased::{ArgsRef, ErasedArgs},
};
use daffi_transport::BoxFuture;
use daffi_wire::Kind;
use tower_service::Service;

use super::{
    calling::RawCall,
    engine::{Received, read},
    span::Unread,
};
use crate::{
    client::{CallOptions, Client, Permit},
    error::CallError,
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
    unread: Option<Arc<Unread>>,
}

impl<F: FormatSet> Answer<F> {
    /// Who answered.
    #[must_use]
    pub fn receiver(&self) -> &str {
        self.received.frame.transmitter()
    }
}

/// What a call through a tower stack gives: a layer may wrap an [`Answer`] as long as it can still
/// be read.
pub trait ReadAnswer {
    /// The result as a `R`.
    ///
    /// # Errors
    /// [`CallError::Remote`] when the callback failed, [`CallError::Decode`] when its result is no
    /// `R`.
    fn read<R: Returned>(&self) -> Result<R, CallError>;
}

impl<F: FormatSet> ReadAnswer for Answer<F> {
    fn read<R: Returned>(&self) -> Result<R, CallError> {
        let read = read(&self.formats, self.received.clone(), &self.method);
        if let Some(unread) = &self.unread {
            unread.note_read(&self.method, &read);
        }
        read
    }
}

/// A client as a [`tower_service::Service`] of [`Call`]s, for tower's middleware to stand around:
/// what [`Client::into_service`] gives.
///
/// It is ready when a call could be made at once: there is a connection, one of its 65 535 call
/// numbers is free, and what waits to be written leaves room. So `load_shed` refuses calls that
/// would wait, and `balance` passes over a client that is reconnecting. Being ready keeps a call
/// number for the next call; dropping the service, or the call, gives it back. A clone is not
/// ready. Whether a member exposes the callback, and takes the call, the call itself finds out.
///
/// # Errors
/// When the node has ended, being asked whether it is ready fails with [`CallError::Stopped`],
/// [`CallError::Evicted`] or [`CallError::RuntimeGone`]; that of a callback's client with
/// [`CallError::Cancelled`] when nobody waits for the callback any more.
pub struct CallService<F> {
    client: Client<F>,
    readiness: Readiness,
}

enum Readiness {
    /// Nobody asked since the last call.
    Unknown,
    Waits(Pin<Box<dyn Future<Output = Result<Permit, CallError>> + Send + Sync>>),
    Ready(Permit),
}

impl<F: FormatSet> Client<F> {
    /// The calling side as a tower service, to put middleware around;
    /// [`Rpc::over`](super::Rpc::over) calls through it.
    #[must_use]
    pub fn into_service(self) -> CallService<F> {
        CallService { client: self, readiness: Readiness::Unknown }
    }
}

impl<F> Clone for CallService<F> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), readiness: Readiness::Unknown }
    }
}

impl<F> fmt::Debug for CallService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_ready = matches!(self.readiness, Readiness::Ready(_));
        f.debug_struct("CallService").field("client", &self.client).field("is_ready", &is_ready).finish()
    }
}

impl<F: FormatSet> Service<Call> for CallService<F> {
    type Response = Answer<F>;
    type Error = CallError;
    type Future = BoxFuture<'static, Result<Answer<F>, CallError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        loop {
            match &mut self.readiness {
                Readiness::Ready(_) => return Poll::Ready(Ok(())),
                Readiness::Unknown => {
                    let core = self.client.shared();
                    self.readiness = match core.permit_now() {
                        Some(permit) => Readiness::Ready(permit),
                        None => {
                            let client = self.client.clone();
                            Readiness::Waits(Box::pin(async move {
                                client.unless_given_up("a call", client.shared().permit()).await
                            }))
                        }
                    };
                }
                Readiness::Waits(permit) => {
                    let permit = ready!(permit.as_mut().poll(cx));
                    self.readiness = Readiness::Unknown;
                    self.readiness = Readiness::Ready(permit?);
                }
            }
        }
    }

    /// Makes a call; one that nothing was kept for may have to wait.
    fn call(&mut self, call: Call) -> Self::Future {
        let permit = match std::mem::replace(&mut self.readiness, Readiness::Unknown) {
            Readiness::Ready(permit) => Some(permit),
            Readiness::Unknown | Readiness::Waits(_) => None,
        };
        let client = self.client.clone();
        Box::pin(async move {
            let args = SharedArgs(call.args);
            let mut options = call.options;
            options.timeout = options.timeout.or(client.shared().node.config.default_timeout);
            let mut calling = RawCall::new(&client, &call.method, &args, &Arc::new(options));
            let span = calling.take_span();
            // The call takes the number in this same poll.
            drop(permit);
            let answered = calling.await.and_then(|received| {
                // A failure of the callback is an error here, so that retry and the like can see
                // it.
                if received.frame.kind() == Kind::Error {
                    read::<()>(client.formats(), received.clone(), &call.method)?;
                }
                Ok(received)
            });
            match answered {
                Ok(received) => {
                    if let Some(span) = &span {
                        span.note_peer(received.frame.transmitter());
                    }
                    let (method, formats, unread) = (call.method, client.formats().clone(), Unread::new(span));
                    Ok(Answer { received, method, formats, unread })
                }
                Err(error) => {
                    let failed = Err(error);
                    client.end_call(span, &call.method, &failed);
                    failed
                }
            }
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
