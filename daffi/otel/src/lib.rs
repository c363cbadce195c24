//! Calls and callbacks of daffi as parts of OpenTelemetry traces.
//!
//! Nodes of daffi make a [`tracing`] span for each call and each callback, and a call takes the
//! trace along that it belongs to, through Routers too. This crate says which trace that is, in
//! terms of OpenTelemetry: [`OtelPropagator`] for each node, and
//! [`tracing_opentelemetry`](https://docs.rs/tracing-opentelemetry), which makes OpenTelemetry's
//! spans of those of `tracing`.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! use daffi::{Client, Service};
//! use daffi_otel::OtelPropagator;
//! use opentelemetry::trace::TracerProvider;
//! use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
//! use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};
//!
//! // Where spans go: in a program of yours, to a collector, by the crate `opentelemetry-otlp`.
//! let exporter = InMemorySpanExporter::default();
//! let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
//! let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("calc"));
//! // The spans of calls and callbacks are those of target `daffi::rpc` at level DEBUG.
//! let wanted = Targets::new().with_target("daffi::rpc", tracing::Level::DEBUG).with_default(tracing::Level::INFO);
//! tracing_subscriber::registry().with(spans.with_filter(wanted)).init();
//!
//! let service = Service::builder("calc")
//!     .propagator(OtelPropagator)
//!     .callback_fn("add", |a: i64, b: i64| async move { a + b })
//!     .bind("mem://calc")
//!     .await?;
//! let client = Client::builder("caller").propagator(OtelPropagator).connect("mem://calc").await?;
//! let sum: i64 = client.rpc().call("add", (3, 4)).await?;
//! assert_eq!(sum, 7);
//!
//! // The call, and within it the callback.
//! let spans = exporter.get_finished_spans()?;
//! let [callback, call] = &spans[..] else { panic!("{spans:?}") };
//! assert_eq!(callback.parent_span_id, call.span_context.span_id());
//! assert_eq!(callback.span_context.trace_id(), call.span_context.trace_id());
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! A node that has no propagator, such as one of daffi 3.0.1, breaks the trace there: what it calls
//! in turn begins another, unless it is a node of this project, which passes on what came.

use std::str::FromStr;

use daffi_core::{Propagator, TraceContext};
use daffi_wire::TraceParent;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Ties the calls and callbacks of a node to OpenTelemetry: hand it to the builder's `propagator`.
///
/// A call belongs to the trace of its `tracing` span, else to that of OpenTelemetry's current
/// context. Of the trace's flags only `sampled` is read. A trace state that OpenTelemetry cannot
/// read is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct OtelPropagator;

impl Propagator for OtelPropagator {
    fn inject(&self, span: &Span) -> Option<TraceContext> {
        let own = span.context();
        let current = Context::current();
        let contexts = [&own, &current].map(|context| context.span().span_context().clone());
        let said = contexts.into_iter().find(SpanContext::is_valid)?;
        let (trace, span) = (said.trace_id().to_bytes(), said.span_id().to_bytes());
        let parent = TraceParent::new(trace, span, said.trace_flags().to_u8()).ok()?;
        Some(TraceContext::new(parent, said.trace_state().header()))
    }

    fn extract(&self, trace: &TraceContext, span: &Span) {
        let TraceContext { parent, state, .. } = trace;
        let remote = SpanContext::new(
            TraceId::from_bytes(parent.trace_id()),
            SpanId::from_bytes(parent.span_id()),
            TraceFlags::new(parent.flags()) & TraceFlags::SAMPLED,
            true,
            TraceState::from_str(state).unwrap_or_default(),
        );
        // Without tracing-opentelemetry in the subscriber there is no span of OpenTelemetry.
        let _is_none = span.set_parent(Context::new().with_remote_span_context(remote));
    }
}
