//! Which trace a call belongs to, and what ties calls to a system of traces.

use std::fmt;

use daffi_wire::TraceParent;
use tracing::{Level, Span};

/// The target of the spans of calls and callbacks, and of the event of a call that failed.
pub(crate) const TARGET: &str = "daffi::rpc";

/// Whether somebody listens to the spans of calls and callbacks.
#[inline]
pub(crate) fn is_on() -> bool {
    tracing::span_enabled!(target: TARGET, Level::DEBUG)
}

/// Which trace a call belongs to, as it travels with the call: what
/// [W3C Trace Context](https://www.w3.org/TR/trace-context/) has in `traceparent` and `tracestate`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceContext {
    /// The trace, and the span of who calls.
    pub parent: TraceParent,
    /// What the systems on the way noted of the trace. More than 512 bytes are not sent.
    pub state: String,
}

impl TraceContext {
    /// A span of a trace, and what was noted of that.
    pub fn new(parent: TraceParent, state: impl Into<String>) -> Self {
        Self { parent, state: state.into() }
    }
}

/// Ties calls to a system of traces, such as OpenTelemetry (the crate `daffi-otel`):
/// [`NodeConfig::propagator`](crate::NodeConfig::propagator).
///
/// Each call and each callback has a [`tracing`] span of target `daffi::rpc` and level DEBUG while
/// a subscriber listens to it. This says which trace a span belongs to. Both methods are called
/// where the call is made, or its callback runs: they must not block.
///
/// Without one a callback's calls, those of [`Context::client`](crate::Context::client), belong to
/// the trace that its own call does.
pub trait Propagator: fmt::Debug + Send + Sync {
    /// What travels with a call. `span`: that of the call, or while nobody listens to those the
    /// current one. `None`: the call belongs to no trace.
    fn inject(&self, span: &Span) -> Option<TraceContext>;

    /// Makes `span`, which is new and has no parent, a part of this trace: the span of a callback,
    /// whose call the trace came with, or of a call of that callback.
    fn extract(&self, trace: &TraceContext, span: &Span);
}
