//! The spans of callbacks.

use std::thread;

use daffi_serde::RemoteError;
use daffi_transport::BoxFuture;
use tracing::{Instrument, Span, field::Empty};

use super::{reply::Reply, request::Request};
use crate::trace::{TARGET, is_on};

/// The span of one run of a callback, and of the results that it gives one by one.
#[derive(Debug)]
pub(super) struct CallbackSpan {
    span: Span,
    ended: bool,
}

impl CallbackSpan {
    /// The span of a request whose callback is to run now. `None`: nobody listens.
    #[inline]
    fn of(request: &Request) -> Option<Self> {
        if is_on() { Self::begin(request) } else { None }
    }

    #[cold]
    fn begin(request: &Request) -> Option<Self> {
        let (method, caller) = (request.method(), request.context().caller());
        // Within the span of a layer around it, if there is one.
        let span = tracing::debug_span!(
            target: TARGET,
            "callback",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system = "daffi",
            rpc.method = method,
            peer.service = caller,
            outcome = Empty,
            error.type = Empty,
        );
        if span.is_disabled() {
            return None;
        }
        let context = request.context();
        if Span::current().is_none()
            && let (Some(propagator), Some(trace)) = (&context.node().config.propagator, context.trace())
        {
            propagator.extract(&trace, &span);
        }
        Some(Self { span, ended: false })
    }

    /// The span, for what runs within it.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// A callback has ended so, and with it its span, if it has one.
    pub(super) fn end(span: Option<Self>, error: Option<&RemoteError>) {
        let Some(mut ended) = span else { return };
        ended.ended = true;
        let span = &ended.span;
        match error {
            None => span.record("outcome", "ok"),
            Some(error) => span
                .record("outcome", "error")
                .record("otel.status_code", "ERROR")
                .record("error.type", &error.class[..]),
        };
    }
}

impl Drop for CallbackSpan {
    fn drop(&mut self) {
        if !self.ended {
            self.span.record("outcome", if thread::panicking() { "panicked" } else { "dropped" });
        }
    }
}

/// Runs a plain function that has begun, within its span.
#[inline]
pub(super) fn run_plain(run: impl FnOnce(Request) -> Reply, request: Request) -> Reply {
    let Some(span) = CallbackSpan::of(&request) else { return run(request) };
    let reply = span.span.in_scope(|| run(request));
    reply.within(span)
}

/// Runs an async function that has begun, within its span.
#[inline]
pub(super) fn run_async(
    run: impl FnOnce(Request) -> BoxFuture<'static, Reply>,
    request: Request,
) -> BoxFuture<'static, Reply> {
    let Some(span) = CallbackSpan::of(&request) else { return run(request) };
    let running = span.span.in_scope(|| run(request)).instrument(span.span());
    Box::pin(async move { running.await.within(span) })
}
