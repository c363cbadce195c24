//! One OpenTelemetry trace over a caller, a router and two workers, of which the first calls the
//! second.

use daffi::prelude::*;
use daffi_otel::OtelPropagator;
use opentelemetry::trace::{SpanId, SpanKind, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::{Instrument, Level};
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

#[callback]
async fn order(ctx: Context, cakes: u32) -> Result<String, CallError> {
    // A call of the context belongs to the trace of this callback.
    let node = ctx.node().expect("a worker behind a router is a client");
    let price: u32 = node.rpc().call("price", ("cake",)).await?;
    Ok(format!("{cakes} cakes for {}", cakes * price))
}

#[callback]
async fn price(_of: String) -> u32 {
    4
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    // Here spans stay in memory, to be printed; `opentelemetry-otlp` has an exporter that sends
    // them to a collector, in place of this one.
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("bakery"));
    let wanted = Targets::new().with_target("daffi::rpc", Level::DEBUG).with_default(Level::INFO);
    tracing_subscriber::registry().with(spans.with_filter(wanted)).init();

    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await?;
    let at = router.endpoints()[0].as_str();
    let node = |name: &str| Client::builder(name).propagator(OtelPropagator);
    let _desk = node("desk").callbacks(callbacks![order]).connect(at).await?;
    let _kitchen = node("kitchen").callbacks(callbacks![price]).connect(at).await?;
    let caller = node("caller").connect(at).await?;

    let day = tracing::info_span!("breakfast");
    // What is current where a call is made is what it belongs to.
    let said: String = async { caller.rpc().call("order", (3,)).await }.instrument(day.clone()).await?;
    println!("{said}");
    drop(day);

    // A callback's span ends beside its answer, which may be here first.
    while exporter.get_finished_spans()?.len() < 5 {
        tokio::task::yield_now().await;
    }
    let all = exporter.get_finished_spans()?;
    println!("one trace: {}", all.iter().all(|span| span.span_context.trace_id() == all[0].span_context.trace_id()));
    let root = all.iter().find(|span| span.parent_span_id == SpanId::INVALID).expect("a span has no parent");
    show(root, &all, 0);
    Ok(())
}

/// Prints a span and those within it.
fn show(span: &SpanData, all: &[SpanData], depth: usize) {
    let with =
        span.attributes.iter().find(|pair| pair.key.as_str() == "peer.service").map(|pair| pair.value.to_string());
    let what = match (&span.span_kind, with) {
        (SpanKind::Client, Some(peer)) => format!("call of {} to {peer}", span.name),
        (SpanKind::Server, Some(peer)) => format!("callback {} for {peer}", span.name),
        _ => span.name.to_string(),
    };
    println!("{}{what}", "> ".repeat(depth));
    for inner in all.iter().filter(|inner| inner.parent_span_id == span.span_context.span_id()) {
        show(inner, all, depth + 1);
    }
}
