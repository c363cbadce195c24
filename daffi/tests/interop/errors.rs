//! Failures of callbacks, as the caller sees them.

use std::time::{Duration, Instant};

use daffi::{CallError, DynArgs, FormatId, RemoteError, Value};
use serde_json::json;

use crate::{
    pair::{How, Pair, Style, positional},
    support::{FORMATS, Transport, python_client, rust_client},
};

fn without_arguments() -> DynArgs {
    DynArgs::default()
}

pub(crate) async fn check(pair: &Pair) {
    for format in FORMATS {
        for style in Style::ANSWERED {
            let how = How { style, format: Some(format) };
            let text = "bad \"thing\" ☃ | {}";
            let error = pair.call(how, "fail", positional([text])).await.unwrap_err();
            assert_eq!(error, RemoteError::new("ValueError", text), "{pair}: {how}");
        }
    }
    for format in FORMATS.into_iter().filter(|format| *format != FormatId::OPAQUE) {
        let how = How::rpc(format);
        let error = pair.call(how, "fail_custom", without_arguments()).await.unwrap_err();
        let module = if pair.calls_python() { "callbacks" } else { "interop.exposed" };
        assert_eq!(error, RemoteError::new("CustomError", "custom failure").in_module(module), "{pair}: {how}");
        wrong_arguments(pair, how).await;
        if !pair.calls_python() {
            let error = pair.call(how, "panic", positional(["on purpose"])).await.unwrap_err();
            assert_eq!(error, RemoteError::new("RuntimeError", "panic() panicked: on purpose"), "{pair}: {how}");
        }
    }
    let sum = pair.ok(How::PLAIN, "add", positional([3, 4])).await;
    assert_eq!(sum, Value::Int(7), "{pair} after all errors");
}

/// Both libraries say the same of arguments that do not fit.
async fn wrong_arguments(pair: &Pair, how: How) {
    let keyword = |name: &str| DynArgs { keywords: vec![(name.to_owned(), Value::from(2))], ..positional([1]) };
    for (method, args, expected) in [
        ("add", without_arguments(), "add() missing 2 required positional arguments: 'a' and 'b'"),
        ("add", positional([1]), "add() missing 1 required positional argument: 'b'"),
        ("add", positional([1, 2, 3]), "add() takes 2 positional arguments but 3 were given"),
        ("add", keyword("c"), "add() got an unexpected keyword argument 'c'"),
        ("add", keyword("a"), "add() got multiple values for argument 'a'"),
        ("none", positional([1]), "none() takes 0 positional arguments but 1 was given"),
    ] {
        let error = pair.call(how, method, args).await.unwrap_err();
        assert_eq!(error, RemoteError::new("TypeError", expected), "{pair}: {how} of {method}");
    }
}

#[tokio::test]
async fn a_python_timeout_ends_the_call_and_nothing_else() {
    let service = Transport::Tcp.rust_service("service", 4).await;
    let client = python_client(&service).start().await;
    let call = client.call("sleep", json!([4])).timeout(2);
    let begun = Instant::now();
    let (error, took) = (call.error().await, begun.elapsed());
    assert_eq!(error.class, "CallTimeout", "{error}");
    // 3.0.1 counts from the start of the current second.
    assert!(took > Duration::from_millis(900) && took < Duration::from_millis(3500), "{took:?}");
    assert_eq!(client.call("add", json!([3, 4])).timeout(5).ok().await, 7);
}

#[tokio::test]
async fn a_rust_timeout_is_exact() {
    let service = Transport::Tcp.python_service().workers(4).start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    for millis in [50, 250, 1100] {
        let begun = Instant::now();
        let error = client.rpc().timeout(Duration::from_millis(millis)).call::<f64>("sleep", (2,)).await.unwrap_err();
        let took = begun.elapsed();
        assert!(matches!(error, CallError::Timeout { .. }), "{error}");
        assert!(took >= Duration::from_millis(millis) && took < Duration::from_secs(2), "{millis} ms: {took:?}");
    }
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
}
