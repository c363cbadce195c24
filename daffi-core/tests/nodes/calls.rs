use std::{
    cell::Cell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_core::{CallError, Ended, SendError};
use daffi_serde::{RemoteError, args};
use daffi_wire::FormatId;
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::support::{asynchronous, client, plain, service};

fn add() -> daffi_core::Callback {
    plain("add", |(a, b): (i64, i64)| Ok(a + b))
}

#[tokio::test]
async fn a_call_is_answered() {
    let (service, at) = service(vec![add()]);
    let client = client(&at, "c1").await;
    for i in 0..100 {
        let sum: i64 = client.rpc().call("add", (i, 4)).await.unwrap();
        assert_eq!(sum, i + 4);
    }
    assert_eq!(service.clients(), ["c1"]);
    client.stop().await;
    assert_eq!(client.join().await, Ended::Stopped);
    assert!(matches!(client.rpc().call::<i64>("add", (1, 2)).await, Err(CallError::Stopped)));
    service.stop().await;
    assert_eq!(service.join().await, Ended::Stopped);
}

#[tokio::test]
async fn the_error_of_a_source_ends_a_stream_behind_the_chunks_before_it() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let take = plain("take", move |(n,): (usize,)| {
        counted.fetch_add(n, Ordering::SeqCst);
        Ok(())
    });
    let (_service, at) = service(vec![take]);
    let client = client(&at, "c1").await;
    let chunks = || futures::stream::iter([Ok(1_usize), Ok(2), Err("torn"), Ok(4)]);
    let sent = client.stream().serde(FormatId::JSON).try_send("take", chunks()).await;
    assert!(matches!(sent, Err(SendError::Source("torn"))), "{sent:?}");
    assert_eq!(taken.load(Ordering::SeqCst), 3);
    let sent = client.stream_nowait().serde(FormatId::JSON).try_send("take", chunks()).await;
    assert!(matches!(sent, Err(SendError::Source("torn"))), "{sent:?}");
    let sent = client.stream().serde(FormatId::JSON).try_send("other", chunks()).await;
    assert!(matches!(&sent, Err(SendError::Call(error)) if error.chunk == 0), "{sent:?}");
    let whole = futures::stream::iter([Ok::<_, ()>(1_usize), Ok(2)]);
    assert_eq!(client.stream().serde(FormatId::JSON).try_send("take", whole).await.unwrap(), 2);
}

#[tokio::test]
async fn failures_arrive_as_errors() {
    let (_service, at) = service(vec![
        add(),
        plain("fail", |(text,): (String,)| Err::<(), _>(RemoteError::new("ValueError", text))),
        plain("panic", |(): ()| -> Result<(), _> { panic!("on purpose") }),
        asynchronous("panic_later", |(): ()| async {
            tokio::task::yield_now().await;
            if true {
                panic!("later")
            }
        }),
    ]);
    let client = client(&at, "c1").await;
    let error = client.rpc().call::<()>("fail", ("bad",)).await.unwrap_err();
    assert_eq!(error.remote(), Some(&RemoteError::new("ValueError", "bad")));
    let error = client.rpc().call::<()>("panic", ()).await.unwrap_err();
    assert_eq!(error.remote(), Some(&RemoteError::new("RuntimeError", "panic() panicked: on purpose")));
    let error = client.rpc().call::<()>("panic_later", ()).await.unwrap_err();
    assert_eq!(error.remote(), Some(&RemoteError::new("RuntimeError", "panic_later() panicked: later")));
    let error = client.rpc().call::<i64>("add", (1,)).await.unwrap_err();
    assert_eq!(error.remote().unwrap().class, "TypeError");
    let error = client.rpc().call::<i64>("nope", (1,)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }));
    let error = client.rpc().receiver("other").call::<i64>("add", (1, 2)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { receiver: Some(_), .. }));
    assert_eq!(client.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    assert!(client.rpc().call::<i64>("add", args![1, c = 2]).await.unwrap_err().to_string().contains("'c'"));
}

/// What is logged of panics.
#[derive(Clone, Default)]
struct Panics(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Panics {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            if field.name() == "panic" {
                self.0.lock().unwrap().push(format!("{value:?}"));
            }
        });
    }
}

/// A panic often tells what a caller sent.
#[tokio::test]
async fn the_text_of_a_panic_is_one_line_of_the_log() {
    let panics = Panics::default();
    let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(panics.clone()));
    let cut = asynchronous("cut", |(text,): (String,)| async move {
        if !text.is_empty() {
            // As `panic!`, without what that writes to stderr.
            std::panic::resume_unwind(Box::new(text));
        }
    });
    let (_service, at) = service(vec![cut]);
    let client = client(&at, "c1").await;
    for text in ["a\n2026-12-01T00:00:00Z  WARN forged \u{1b}[31m\u{202e}".to_owned(), "x\n".repeat(100_000)] {
        client.rpc().call::<()>("cut", (text,)).await.unwrap_err();
    }
    let logged = panics.0.lock().unwrap();
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert_eq!(logged[0], r"a\n2026-12-01T00:00:00Z  WARN forged \u{1b}[31m\u{202e}");
    assert!(logged[1].ends_with("... (200000 bytes)") && logged[1].len() < 3000, "{} bytes", logged[1].len());
}

#[tokio::test]
async fn a_cast_calls_each_receiver_once_and_none_is_told_as_such() {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = {
        let ran = Arc::clone(&ran);
        plain("count", move |(): ()| Ok(ran.fetch_add(1, Ordering::Relaxed) + 1))
    };
    let (_service, at) = service(vec![count]);
    let client = client(&at, "c").await;
    let nobody: [&str; 0] = [];
    let answered = client.cast().receivers(nobody).call::<usize>("count", ()).await.map(drop);
    let sent = client.cast_nowait().receivers(nobody).call("count", ()).await;
    for error in [answered.unwrap_err(), sent.unwrap_err()] {
        assert!(matches!(&error, CallError::NoReceivers { method } if method == "count"), "{error}");
        assert!(!error.is_retryable());
    }
    let answers = client.cast().receivers(["svc", "svc"]).call::<usize>("count", ()).await.unwrap();
    assert_eq!((answers.len(), answers["svc"].as_ref().ok(), ran.load(Ordering::Relaxed)), (1, Some(&1), 1));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_exact() {
    let (_service, at) = service(vec![asynchronous("hang", |(): ()| std::future::pending::<()>())]);
    let client = client(&at, "c1").await;
    let begun = tokio::time::Instant::now();
    let error = client.rpc().timeout(Duration::from_millis(250)).call::<()>("hang", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    assert_eq!(begun.elapsed().as_millis() / 10, 25);
}

#[tokio::test]
async fn calls_can_be_spawned_whatever_their_arguments_share() {
    let (_service, at) = service(vec![add()]);
    let client = client(&at, "c").await;
    // `Cell` is `Send` and not `Sync`.
    let sum = tokio::spawn(async move { client.rpc().call::<i64>("add", (Cell::new(3), Cell::new(4))).await });
    assert_eq!(sum.await.unwrap().unwrap(), 7);
}
