//! One trace over caller, Router and callee, as OpenTelemetry gets it.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::collections::BTreeMap;

use daffi::{CallError, Client, Context, Router, callback, callbacks};
use daffi_otel::OtelPropagator;
use futures::{Stream, TryStreamExt, stream};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

#[callback]
async fn front(ctx: Context, n: i64) -> Result<i64, CallError> {
    ctx.node().unwrap().rpc().call("back", (n,)).await
}

/// A plain function, which runs on another thread, and works on in a task of its own.
#[callback]
fn back(n: i64) -> Result<i64, String> {
    if n < 0 { Err("negative".into()) } else { Ok(2 * n) }
}

#[callback]
fn count(ctx: Context, n: i64) -> impl Stream<Item = Result<i64, CallError>> {
    let client = ctx.node().unwrap();
    stream::iter((0..n).map(Ok)).and_then(move |k| {
        let client = client.clone();
        async move { client.rpc().call("back", (k,)).await }
    })
}

fn attribute(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key.as_str() == key);
    found.map(|pair| pair.value.to_string()).unwrap_or_default()
}

/// Each span as `kind name outcome`, from the root on, children in the order in which they began.
fn tree(spans: &[SpanData]) -> Vec<String> {
    let mut children: BTreeMap<[u8; 8], Vec<&SpanData>> = BTreeMap::new();
    let known: Vec<SpanId> = spans.iter().map(|span| span.span_context.span_id()).collect();
    for span in spans {
        let parent = if known.contains(&span.parent_span_id) { span.parent_span_id } else { SpanId::INVALID };
        children.entry(parent.to_bytes()).or_default().push(span);
    }
    let mut lines = Vec::new();
    walk(SpanId::INVALID, 0, &mut children, &mut lines);
    lines
}

fn walk(of: SpanId, depth: usize, children: &mut BTreeMap<[u8; 8], Vec<&SpanData>>, lines: &mut Vec<String>) {
    let mut own = children.remove(&of.to_bytes()).unwrap_or_default();
    own.sort_by_key(|span| span.start_time);
    for span in own {
        let kind = match span.span_kind {
            SpanKind::Client => "call",
            SpanKind::Server => "callback",
            _ => "span",
        };
        let line = format!("{}{kind} {} {}", "  ".repeat(depth), span.name, attribute(span, "outcome"));
        lines.push(line.trim_end().to_owned());
        walk(span.span_context.span_id(), depth + 1, children, lines);
    }
}

#[tokio::test]
async fn one_trace_over_caller_router_and_callees() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    // Only this test is in this process.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    let at = "mem://traces";
    let _router = Router::builder("router").bind(at).await.unwrap();
    let node = |name: &str| Client::builder(name).propagator(OtelPropagator);
    let _back = node("b").callbacks(callbacks![back]).connect(at).await.unwrap();
    let _front = node("f").callbacks(callbacks![front, count]).connect(at).await.unwrap();
    let caller = node("caller").connect(at).await.unwrap();

    let finished = async |program: &'static str, n: i64| {
        exporter.reset();
        let span = tracing::info_span!("program");
        let root = span.clone();
        async {
            match program {
                "results" => {
                    let all = caller.rpc().results::<i64>("count", (n,)).await.unwrap().try_collect::<Vec<_>>().await;
                    assert_eq!(all.unwrap(), (0..n).map(|k| 2 * k).collect::<Vec<_>>());
                }
                _ => drop(caller.rpc().call::<i64>("front", (n,)).await),
            }
        }
        .instrument(root)
        .await;
        drop(span);
        // A callback's span ends beside the answer to its call.
        loop {
            let spans = exporter.get_finished_spans().unwrap();
            let expected = if program == "results" { 3 + 2 * usize::try_from(n).unwrap() } else { 5 };
            if spans.len() == expected {
                return spans;
            }
            tokio::task::yield_now().await;
        }
    };

    let spans = finished("call", 4).await;
    let lines =
        ["span program", "  call front ok", "    callback front ok", "      call back ok", "        callback back ok"];
    assert_eq!(tree(&spans), lines);
    let traces: Vec<_> = spans.iter().map(|span| span.span_context.trace_id()).collect();
    assert!(traces.iter().all(|trace| *trace == traces[0]));
    let peers: Vec<_> = spans.iter().map(|span| attribute(span, "peer.service")).collect();
    assert_eq!(peers.iter().filter(|peer| *peer == "caller").count(), 1, "{peers:?}");
    assert!(spans.iter().all(|span| span.name == "program" || attribute(span, "rpc.system") == "daffi"));

    let spans = finished("call", -1).await;
    let failed = |span: &&SpanData| matches!(span.status, Status::Error { .. });
    assert_eq!(spans.iter().filter(failed).count(), 4, "{:?}", tree(&spans));

    let spans = finished("results", 2).await;
    let twice = ["      call back ok", "        callback back ok"];
    let lines = [&["span program", "  call count ok", "    callback count ok"][..], &twice, &twice].concat();
    assert_eq!(tree(&spans), lines);
    assert!(spans.iter().all(|span| SpanContext::is_valid(&span.span_context)));
}
