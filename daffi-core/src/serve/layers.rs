//! Users' tower layers around all callbacks of a node.

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use daffi_serde::RemoteError;
use daffi_transport::BoxFuture;
use tower_service::Service;

use super::{
    callback::Callback,
    dispatch::{Arrival, Begun, Dispatch, Dispatched, Job},
    reply::Reply,
    request::Request,
};
use crate::{conn::Clock, error::BoxError};

/// All callbacks of a node, with or without layers around them. [`tower_layer::Layer`]s are given
/// this, and a layered service is turned back into it.
#[derive(Clone)]
pub struct CallbackService(Inner);

#[derive(Clone)]
enum Inner {
    Plain(Dispatch),
    Layered(Arc<dyn Serve>),
}

trait Serve: Send + Sync {
    fn serve(&self, request: Request) -> BoxFuture<'static, Reply>;
}

struct Layered<S>(S);

impl<S> Serve for Layered<S>
where
    S: Service<Request, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    fn serve(&self, request: Request) -> BoxFuture<'static, Reply> {
        let mut service = self.0.clone();
        Box::pin(async move {
            let served = async {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(request).await
            };
            served.await.unwrap_or_else(|error| Reply::error(layer_error(&*error.into())))
        })
    }
}

/// A layer's failure as an error reply. A layer chooses the class itself by failing with a
/// [`RemoteError`].
fn layer_error(error: &(dyn std::error::Error + Send + Sync + 'static)) -> RemoteError {
    if let Some(remote) = error.downcast_ref::<RemoteError>() {
        return remote.clone();
    }
    let class = if error.is::<tower::timeout::error::Elapsed>() {
        "TimeoutError"
    } else if error.is::<tower::load_shed::error::Overloaded>() {
        "Overloaded"
    } else {
        "RuntimeError"
    };
    RemoteError::new(class, error.to_string())
}

impl CallbackService {
    pub(crate) fn new(workers: usize) -> Self {
        Self(Inner::Plain(Dispatch::new(workers)))
    }

    /// Takes a service that layers were put around. Its errors become error replies.
    pub fn from_service<S>(service: S) -> Self
    where
        S: Service<Request, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self(Inner::Layered(Arc::new(Layered(service))))
    }

    /// Begins to serve a request for `callback` where it was read.
    #[inline]
    pub(crate) fn start(&self, request: Request, clock: &mut Clock) -> Started {
        match &self.0 {
            Inner::Plain(dispatch) => match dispatch.begin(request, true, clock) {
                Begun::Done(reply) => Started::Done(reply),
                Begun::Runs(dispatched) => Started::Goes(Serving(ServingInner::Plain(dispatched))),
                Begun::Waits(dispatched) => Started::begin(Serving(ServingInner::Plain(dispatched))),
                Begun::Plain(arrival) => Started::Plain(arrival),
            },
            Inner::Layered(layered) => Started::begin(Serving(ServingInner::Layered(layered.serve(request)))),
        }
    }

    /// Whether a request for `callback` that is read now is one for [`submit`](Self::submit).
    pub(crate) fn is_for_threads(&self, callback: &Callback) -> bool {
        matches!(self.0, Inner::Plain(_)) && Dispatch::is_for_threads(callback)
    }

    /// Lets plain functions run that were [`Started::Plain`], in this order.
    pub(crate) fn submit(&self, jobs: &mut Vec<Job>) {
        if let Inner::Plain(dispatch) = &self.0 {
            dispatch.submit(jobs);
        }
    }
}

/// A request that was begun to be served.
pub(crate) enum Started {
    Done(Reply),
    /// It needs a task of its own.
    Goes(Serving),
    /// It is a plain function, which runs on a thread that may block.
    Plain(Box<Arrival>),
}

impl Started {
    fn begin(mut serving: Serving) -> Self {
        match Pin::new(&mut serving).poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(Ok(reply)) => Self::Done(reply),
            Poll::Pending => Self::Goes(serving),
        }
    }
}

impl fmt::Debug for CallbackService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Inner::Plain(_) => "CallbackService",
            Inner::Layered(_) => "CallbackService (layered)",
        })
    }
}

impl Service<Request> for CallbackService {
    type Response = Reply;
    type Error = Infallible;
    type Future = Serving;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Serving {
        Serving(match &self.0 {
            Inner::Plain(dispatch) => ServingInner::Plain(Box::new(dispatch.clone().call(request))),
            Inner::Layered(layered) => ServingInner::Layered(layered.serve(request)),
        })
    }
}

/// A request on its way through the layers to its callback.
pub struct Serving(ServingInner);

enum ServingInner {
    Plain(Box<Dispatched>),
    Layered(BoxFuture<'static, Reply>),
}

impl Future for Serving {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            ServingInner::Plain(dispatched) => Pin::new(dispatched).poll(cx),
            ServingInner::Layered(layered) => layered.as_mut().poll(cx).map(Ok),
        }
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serving")
    }
}
