//! An async function on its way to its answer.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use daffi_serde::RemoteError;
use daffi_transport::BoxFuture;
use pin_project_lite::pin_project;

use super::{reply::Reply, request::Request};
use crate::refusal::Refusal;

pin_project! {
    /// An async function that runs. A future by hand rather than an async block, which would hold
    /// the function's own future twice: this one is made for each call.
    pub(super) struct Answering<Fut, M, E> {
        // Until it has ended: what it holds is dropped before anything is made of its result.
        #[pin]
        future: Option<Fut>,
        // Ends when nobody waits for the answer any more, if the function is to be dropped then.
        given_up: Option<BoxFuture<'static, ()>>,
        request: Request,
        // What its arguments may hold, until it has ended.
        memory: Option<M>,
        // What makes the reply of its result.
        end: E,
    }
}

impl<Fut, T, M, E> Answering<Fut, M, E>
where
    Fut: Future<Output = Result<T, RemoteError>> + Send + 'static,
    M: Send + 'static,
    E: FnMut(T, &Request) -> Reply + Send + 'static,
{
    /// A function whose arguments were read into its own types: their read buffer is free then.
    /// `drops`: its future is dropped where it waits once nobody waits for its answer.
    pub(super) fn start(
        future: Fut,
        mut request: Request,
        memory: M,
        drops: bool,
        end: E,
    ) -> BoxFuture<'static, Reply> {
        request.free_body();
        let given_up: Option<BoxFuture<'static, ()>> = if drops && request.wants_reply {
            let context = request.context.clone();
            Some(Box::pin(async move { context.cancelled().await }))
        } else {
            None
        };
        Box::pin(Self { future: Some(future), given_up, request, memory: Some(memory), end })
    }
}

impl<Fut, T, M, E> Future for Answering<Fut, M, E>
where
    Fut: Future<Output = Result<T, RemoteError>>,
    E: FnMut(T, &Request) -> Reply,
{
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("a future that gave its output is not polled again");
        let result = match future.poll(cx) {
            Poll::Ready(result) => result.map_err(Refusal::none_of),
            Poll::Pending => {
                let Some(given_up) = this.given_up else { return Poll::Pending };
                ready!(given_up.as_mut().poll(cx));
                Err(this.request.expired_error("ended: it was dropped"))
            }
        };
        this.future.set(None);
        *this.memory = None;
        Poll::Ready(match result {
            Ok(value) => (this.end)(value, this.request),
            Err(error) => Reply::refused(error),
        })
    }
}
