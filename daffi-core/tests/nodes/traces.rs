//! Spans of calls and callbacks, and the trace that travels with a call.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use daffi_core::{Call, CallError, Callback, CallbackOptions, Client, NodeConfig, Propagator, Rpc, TraceContext};
use daffi_serde::RemoteError;
use daffi_wire::{CallId, Extensions, FormatId, Frame, Header, Kind, Limits, MethodName, TraceParent};
use futures::{StreamExt, TryStreamExt, stream};
use tracing::{Dispatch, Span, field::Visit, span, subscriber::NoSubscriber};
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::{
    peer::{Peer, request},
    support::{Formats, asynchronous, client, client_exposing, client_with, formats, router},
};

fn name(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).unwrap()
}

fn parent(trace: u8, span: u8) -> TraceParent {
    TraceParent::new([trace; 16], [span; 8], 1).unwrap()
}

type Fields = BTreeMap<String, String>;

/// What a subscriber was told: spans by their number, and events.
#[derive(Clone, Default)]
struct Told {
    spans: Arc<Mutex<BTreeMap<u64, Fields>>>,
    events: Arc<Mutex<Vec<Fields>>>,
}

struct Fill<'a>(&'a mut Fields);

impl Visit for Fill<'_> {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Told {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        if attributes.metadata().target() == "daffi::rpc" {
            let mut fields = Fields::from([("name".to_owned(), attributes.metadata().name().to_owned())]);
            attributes.record(&mut Fill(&mut fields));
            self.spans.lock().unwrap().insert(id.into_u64(), fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if let Some(fields) = self.spans.lock().unwrap().get_mut(&id.into_u64()) {
            values.record(&mut Fill(fields));
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target() == "daffi::rpc" {
            let mut fields = Fields::new();
            event.record(&mut Fill(&mut fields));
            self.events.lock().unwrap().push(fields);
        }
    }
}

impl Told {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        // While a process has one subscriber only, the first thread to come by a span decides for
        // all threads whether anybody listens to it. Other tests run on other threads, so there
        // have to be more.
        static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
        OTHERS.get_or_init(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::new())));
        tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone()))
    }

    /// Of all spans of this name and callback: peer, outcome and kind of error.
    fn of(&self, name: &str, method: &str) -> Vec<[String; 3]> {
        let spans = self.spans.lock().unwrap();
        let found = spans.values().filter(|span| span["name"] == name && span["rpc.method"] == method);
        let field = |span: &Fields, name| span.get(name).cloned().unwrap_or_default();
        found
            .inspect(|span| assert_eq!((&span["rpc.system"][..], &span["otel.name"][..]), ("daffi", method)))
            .map(|span| ["peer.service", "outcome", "error.type"].map(|name| field(span, name)))
            .collect()
    }

    fn events(&self) -> Vec<(String, String)> {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| (event["rpc.method"].clone(), event["outcome"].clone())).collect()
    }
}

/// `add`, `fails`, `hangs`, and `count`, which gives its results one by one.
fn callbacks() -> Vec<Callback> {
    let fails = Callback::asynchronous(name("fails"), CallbackOptions::new(), formats(), |(): (), _| async {
        Err::<(), _>(RemoteError::new("KeyError", "k"))
    });
    let count = Callback::streaming_async(name("count"), CallbackOptions::new(), formats(), |(n,): (u64,), _| {
        let results = (0..n).map(|k| if k < 3 { Ok(k) } else { Err(RemoteError::new("Full", "three")) });
        async move { Ok(stream::iter(results)) }
    });
    let hangs = asynchronous("hangs", |(): ()| std::future::pending::<()>());
    vec![asynchronous("add", |(a, b): (i64, i64)| async move { a + b }), fails, hangs, count]
}

#[tokio::test]
async fn calls_and_callbacks_have_spans_and_a_failed_call_an_event() {
    let told = Told::default();
    let _listening = told.listen();
    let (_router, at) = router();
    let _worker = client_exposing(&at, "svc", NodeConfig::client().workers(4), callbacks()).await;
    let caller = client(&at, "caller").await;
    caller.rpc().call::<i64>("add", (1, 2)).await.unwrap();
    caller.cast().call::<i64>("add", (1, 2)).await.unwrap();
    caller.rpc().call::<()>("fails", ()).await.unwrap_err();
    caller.rpc().timeout(Duration::from_millis(20)).call::<()>("hangs", ()).await.unwrap_err();
    let three: Vec<u64> = caller.rpc().results::<u64>("count", (3,)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(three, [0, 1, 2]);
    caller.rpc().results::<u64>("count", (4,)).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    drop(caller.rpc().results::<u64>("count", (3,)).await.unwrap());
    caller.rpc_nowait().call("add", (1, 2)).await.unwrap();
    // Behind it, in order.
    caller.rpc().call::<i64>("add", (1, 2)).await.unwrap();

    let ended = |peer: &str, outcome: &str, error: &str| [peer, outcome, error].map(str::to_owned);
    let ok = |peer| ended(peer, "ok", "");
    assert_eq!(
        told.of("call", "add"),
        [ok("svc"), ok(""), ok(""), ok("svc")],
        "of a cast, and of nowait, nobody alone"
    );
    assert_eq!(told.of("callback", "add"), [ok("caller"), ok("caller"), ok("caller"), ok("caller")]);
    assert_eq!(told.of("call", "fails"), [ended("svc", "error", "KeyError")]);
    assert_eq!(told.of("callback", "fails"), [ended("caller", "error", "KeyError")]);
    assert_eq!(told.of("call", "hangs"), [ended("svc", "timeout", "Timeout")]);
    let counted = [ok("svc"), ended("svc", "error", "Full"), ended("svc", "dropped", "")];
    assert_eq!(told.of("call", "count"), counted);
    assert_eq!(told.of("callback", "count")[..2], [ok("caller"), ended("caller", "error", "Full")]);
    let failed = [("fails", "error"), ("hangs", "timeout"), ("count", "error")];
    assert_eq!(told.events(), failed.map(|(method, outcome)| (method.to_owned(), outcome.to_owned())));
}

/// Also those of a stream, those that send items and those of which a Router chooses the receiver;
/// and errors are counted of all that are answered.
#[tokio::test]
async fn calls_of_every_style_have_a_span_and_a_failure_an_event_and_a_count() {
    let told = Told::default();
    let _listening = told.listen();
    let (_router, at) = router();
    let refuses = Callback::asynchronous(name("refuses"), CallbackOptions::new(), formats(), |(_,): (u64,), _| async {
        Err::<(), _>(RemoteError::new("KeyError", "k"))
    });
    let takes = Callback::asynchronous(name("takes"), CallbackOptions::new(), formats(), |(n,): (u64,), ctx| {
        let items = ctx.items::<u64, Formats>("takes");
        async move { Ok(n + stream::iter(items).flatten().count().await as u64) }
    });
    let callbacks = callbacks().into_iter().chain([refuses, takes]).collect();
    let _worker = client_exposing(&at, "svc", NodeConfig::client().workers(4), callbacks).await;
    let caller = client(&at, "caller").await;
    let any = || caller.rpc().by_router();
    let ended = |peer: &str, outcome: &str, error: &str| [peer, outcome, error].map(str::to_owned);
    let ok = || ended("svc", "ok", "");

    let counted = any().results::<u64>("count", (3,)).await.unwrap();
    assert_eq!(counted.try_collect::<Vec<_>>().await.unwrap(), [0, 1, 2]);
    drop(any().results::<u64>("count", (3,)).await.unwrap());
    any().results::<u64>("count", (4,)).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(told.of("call", "count"), [ok(), ended("svc", "dropped", ""), ended("svc", "error", "Full")]);

    let items = || stream::iter([1, 2]);
    assert_eq!(any().send::<u64>("takes", (0,), items()).await.unwrap(), 2);
    let (say, heard) = any().duplex::<u64, u64>("takes", (5,)).await.unwrap();
    say.finish();
    assert_eq!(heard.try_collect::<Vec<_>>().await.unwrap(), [5]);
    assert_eq!(caller.stream().serde(FormatId::JSON).send("takes", items()).await.unwrap(), 2);
    assert_eq!(caller.stream_nowait().serde(FormatId::JSON).send("takes", items()).await.unwrap(), 2);
    assert_eq!(told.of("call", "takes"), [ok(), ok(), ok(), ok()]);

    any().results::<u64>("refuses", (0,)).await.unwrap_err();
    any().send::<u64>("refuses", (0,), items()).await.unwrap_err();
    caller.stream().serde(FormatId::JSON).send("refuses", items()).await.unwrap_err();
    caller.cast().call::<u64>("refuses", (0,)).await.unwrap();
    let failed = ended("svc", "error", "KeyError");
    assert_eq!(told.of("call", "refuses"), [failed.clone(), failed.clone(), failed, ended("", "ok", "")]);
    caller.cast().results::<u64>("nobody", ()).await.map(drop).unwrap_err();
    caller.stream().serde(FormatId::JSON).send("nobody", items()).await.unwrap_err();
    let events: Vec<_> = told.events().into_iter().map(|(method, outcome)| format!("{method} {outcome}")).collect();
    let refused = ["refuses error"; 4];
    assert_eq!(events, [&["count error"], &refused[..], &["nobody failed"; 2]].concat());

    let called = caller.stats().called;
    let count = |of: &str, class: &str| -> u64 {
        let classes = called.iter().filter(|one| one.callback.name == of).flat_map(|one| &one.callback.errors_by_class);
        classes.filter(|(known, _)| known == class).map(|(_, count)| count).sum()
    };
    assert_eq!((count("count", "Full"), count("refuses", "KeyError")), (1, 4));
}

/// Of each call that failed something is told, and of none twice.
#[tokio::test]
async fn what_fails_behind_the_answer_or_of_several_is_told() {
    let told = Told::default();
    let _listening = told.listen();
    let (_router, at) = router();
    let _worker = client_exposing(&at, "svc", NodeConfig::client().workers(4), callbacks()).await;
    let caller = client(&at, "caller").await;
    let events = || -> Vec<_> {
        let events = std::mem::take(&mut *told.events.lock().unwrap());
        events.into_iter().map(|event| format!("{} {}", event["rpc.method"], event["outcome"])).collect()
    };
    let ended = |peer: &str, outcome: &str, error: &str| [peer, outcome, error].map(str::to_owned);

    let over = Rpc::<Formats>::over(caller.clone().into_service());
    assert_eq!(over.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    over.call::<String>("add", (1, 2)).await.unwrap_err();
    over.call::<()>("fails", ()).await.unwrap_err();
    let unread = tower::Service::call(&mut caller.clone().into_service(), Call::new("add", (1, 2))).await;
    drop(unread.unwrap());
    let ok = || ended("svc", "ok", "");
    assert_eq!(told.of("call", "add"), [ok(), ended("svc", "failed", "Decode"), ok()]);
    assert_eq!(told.of("call", "fails"), [ended("svc", "error", "KeyError")]);
    assert_eq!(events(), ["add failed", "fails error"]);

    let of_two = caller.cast_nowait().receivers(["one", "two", "svc"]).call("add", (1, 2)).await;
    assert!(matches!(of_two, Err(CallError::ReceiverNotFound { receiver: Some(first), .. }) if first == "one"));
    assert_eq!(events().len(), 2, "one for each who is not there");

    let failing = || stream::iter([Ok((1, 2)), Err("broken")]);
    caller.stream().serde(FormatId::JSON).try_send("chunk", failing()).await.unwrap_err();
    caller.stream_nowait().serde(FormatId::JSON).try_send("hangs", failing()).await.unwrap_err();
    assert_eq!(told.of("call", "hangs"), [ended("svc", "dropped", "")]);
    assert_eq!(told.of("call", "chunk"), [ended("", "failed", "ReceiverNotFound")]);
}

/// The trace of its call, as a callback of a node with this name sees it, here or at the next node.
fn relays(to: Option<&'static str>) -> Callback {
    Callback::asynchronous(name("trace"), CallbackOptions::new(), formats(), move |(): (), ctx| {
        let (client, trace) = (ctx.client::<Formats>().expect("it is a client"), ctx.trace());
        async move {
            match to {
                Some(next) => relay(client, next).await,
                None => Ok(trace.map(|trace| (trace.parent.trace_id(), trace.parent.span_id(), trace.state))),
            }
        }
    })
}

type Seen = Option<([u8; 16], [u8; 8], String)>;

async fn relay(client: Client<Formats>, to: &str) -> Result<Seen, RemoteError> {
    // Untied from its callback, a call still belongs to the trace.
    let rpc = client.detached().rpc().receiver(to).timeout(Duration::from_secs(60));
    rpc.call("trace", ()).await.map_err(daffi_core::remote_error)
}

async fn answer_to(peer: &mut Peer, id: u16) -> String {
    loop {
        let frame = peer.receive().await.expect("an answer");
        if frame.header().id() == CallId(id) && matches!(frame.kind(), Kind::Response | Kind::Error) {
            return String::from_utf8_lossy(frame.payload()).into_owned();
        }
    }
}

/// `first` calls `last`, both behind a Router.
#[tokio::test]
async fn calls_of_a_callback_belong_to_its_trace() {
    let (_router, at) = router();
    let _last = client_exposing(&at, "last", NodeConfig::client(), vec![relays(None)]).await;
    let _first = client_exposing(&at, "first", NodeConfig::client(), vec![relays(Some("last"))]).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello_with("caller", "client/4", "null").await;
    let said = Extensions::builder().trace(parent(7, 9)).trace_state("a=b").unwrap().build().unwrap();
    let empty = r#"{"args":[],"kwargs":{}}"#;
    caller.send_bytes(request(2, ["caller", "first", "trace"], &said, empty).as_bytes()).await;
    let (trace, span) = (["7"; 16].join(","), ["9"; 8].join(","));
    assert!(answer_to(&mut caller, 2).await.contains(&format!("[[[{trace}],[{span}],\"a=b\"]]")));
    caller.send_bytes(request(3, ["caller", "first", "trace"], &Extensions::default(), empty).as_bytes()).await;
    assert!(answer_to(&mut caller, 3).await.contains("[null]"), "a call of no trace begins none");
}

/// One that numbers its spans, and knows what it was told.
#[derive(Debug, Default)]
struct Numbers {
    given: Mutex<u8>,
    heard: Mutex<Vec<(TraceContext, bool)>>,
}

impl Propagator for Numbers {
    fn inject(&self, span: &Span) -> Option<TraceContext> {
        let mut given = self.given.lock().unwrap();
        *given += 1;
        let state = if span.is_none() { String::new() } else { "x".repeat(if *given == 1 { 600 } else { 1 }) };
        Some(TraceContext::new(parent(5, *given), state))
    }

    fn extract(&self, trace: &TraceContext, span: &Span) {
        self.heard.lock().unwrap().push((trace.clone(), span.is_none()));
    }
}

#[tokio::test]
async fn a_propagator_says_what_travels_and_hears_what_came() {
    let (_router, at) = router();
    let [heard, says] = [(); 2].map(|()| Arc::new(Numbers::default()));
    let config = |propagator: &Arc<Numbers>| NodeConfig::client().propagator(Some(Arc::clone(propagator) as _));
    let _last = client_exposing(&at, "last", config(&heard), vec![relays(None)]).await;
    let caller = client_with(&at, "caller", config(&says)).await;
    let call = || caller.rpc().call::<Seen>("trace", ());
    // Nobody listens to spans: the caller says its trace all the same.
    assert_eq!(call().await.unwrap(), Some(([5; 16], [1; 8], String::new())));
    assert!(heard.heard.lock().unwrap().is_empty(), "there is no span to be part of it");
    let told = Told::default();
    let _listening = told.listen();
    assert_eq!(call().await.unwrap(), Some(([5; 16], [2; 8], "x".into())));
    assert_eq!(*heard.heard.lock().unwrap(), [(TraceContext::new(parent(5, 2), "x"), false)]);
    // What does not fit beside the trace is left out.
    *says.given.lock().unwrap() = 0;
    assert_eq!(call().await.unwrap(), Some(([5; 16], [1; 8], String::new())));
}

#[tokio::test]
async fn a_trace_that_is_none_is_refused() {
    let (_router, at) = router();
    let _last = client_exposing(&at, "last", NodeConfig::client(), vec![relays(None)]).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello_with("caller", "client/4", "null").await;
    let (none, cut) = ([&[2, 25], &[0; 25][..]].concat(), [&[2, 24], &[1; 24][..]].concat());
    for (id, block) in [(2, none), (3, cut)] {
        let length = u16::try_from(block.len()).unwrap().to_le_bytes();
        let body = [&length, &block[..], br#"{"args":[],"kwargs":{}}"#].concat();
        let header = Header::new(Kind::Request, CallId(id), FormatId::JSON, true, true).with_extensions(true);
        let frame = Frame::new(header, "caller", "last", "trace", &body, &Limits::default()).unwrap();
        caller.send_bytes(frame.as_bytes()).await;
        let answer = answer_to(&mut caller, id).await;
        assert!(answer.contains("ExtensionUnsupported"), "{answer}");
    }
}
