//! Names that need care on the wire.

use std::time::{Duration, Instant};

use daffi::{CallError, Client, InitializationError, NamePolicy, Router, Service};
use daffi_testing::Peer;
use serde_json::json;

use crate::{
    exposed::Exposed,
    support::{PATIENCE, Transport, endpoint, python_client, rust_client},
};

const NODES: [&str; 3] = ["two words, and a comma", "\"double\" 'single' \\ {\"json\": 1}", "naïve ☃ 💩\nline"];

/// Callback names that travel in lists of 3.0.1.
const CALLBACKS: [&str; 3] = ["two words", "\"double\" 'single' \\ {}", "naïve ☃ 💩"];

#[tokio::test]
async fn a_rust_service_and_a_python_client_may_be_named_anything() {
    for name in NODES {
        let mut service = Service::builder(name).callbacks(Exposed::default());
        for callback in CALLBACKS {
            service = service.callback_fn(callback, |text: String| async move { text });
        }
        let service = service.bind("tcp://127.0.0.1:0").await.unwrap();
        let client_name = format!("client of {name}");
        let client = python_client(&service).name(&client_name).start().await;
        assert_eq!(service.clients(), [client_name]);
        assert_eq!(client.call("whoami", json!([])).receiver(name).ok().await, name);
        for callback in CALLBACKS {
            assert_eq!(client.call(callback, json!(["x"])).ok().await, "x", "{callback} of {name}");
        }
    }
}

#[tokio::test]
async fn a_python_service_and_a_rust_client_may_be_named_anything() {
    for name in NODES {
        let service = Transport::Tcp.python_service().name(name).start().await;
        let client = rust_client(&format!("client of {name}"), &service.endpoint()).await;
        assert_eq!(client.rpc().receiver(name).call::<String>("whoami", ()).await.unwrap(), name);
        let answers = client.cast().call::<String>("whoami", ()).await.unwrap();
        assert_eq!(answers[name].as_deref().unwrap(), name);
    }
}

/// 3.0.1 would abort on it (docs/protocol.md#2.1): nothing of it may leave this node.
#[tokio::test]
async fn a_separator_is_refused_where_it_enters() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let error = Client::builder("a|b").connect(endpoint(&service)).await.unwrap_err();
    assert!(matches!(error, InitializationError::Name(_)), "{error}");
    assert!(error.to_string().contains("a|b"), "{error}");
    assert!(matches!(Service::builder("a|b").bind("tcp://127.0.0.1:0").await, Err(InitializationError::Name(_))));

    let python = Transport::Tcp.python_service().name("python").start().await;
    let client = rust_client("caller", &python.endpoint()).await;
    let error = client.rpc().call::<i64>("a|b", (1,)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
    let error = client.rpc().receiver("a|b").call::<i64>("add", (3, 4)).await.unwrap_err();
    assert!(matches!(error, CallError::ReceiverNotFound { .. }), "{error}");
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
}

/// A client of 3.0.1 gives a handshake half a minute; a refusal it hears at once.
#[tokio::test]
async fn where_the_first_keeps_its_name_a_second_python_node_is_told() {
    let first_keeps = |config: &mut daffi::NodeConfig| config.name_policy = NamePolicy::First;
    let service = Service::builder("service").callbacks(Exposed::default()).configure(first_keeps);
    let service = service.bind("tcp://127.0.0.1:0").await.unwrap();
    let router = Router::builder("router").configure(first_keeps).bind("tcp://127.0.0.1:0").await.unwrap();
    let rust = Client::builder("rust").callbacks(Exposed::default());
    let _worker = rust.connect(router.endpoints()[0].as_str()).await.unwrap();
    for at in [endpoint(&service), router.endpoints()[0].as_str()] {
        let first = Peer::client(at).name("same").start().await;
        for asyncio in [false, true] {
            let second = Peer::client(at).name("same");
            let (begun, second) = (Instant::now(), if asyncio { second.aio() } else { second });
            let error = second.try_start().await.unwrap_err();
            assert!(begun.elapsed() < Duration::from_secs(20), "it waited: {error}");
            assert_eq!(error.class, "InitializationError", "{error}");
            assert!(error.message.contains("another connection bears the name \"same\""), "{error}");
        }
        assert_eq!(first.call("add", json!([3, 4])).timeout(20).ok().await, 7, "the first keeps its name");
        first.kill();
        let begun = Instant::now();
        let next = loop {
            match Peer::client(at).name("same").try_start().await {
                Ok(next) => break next,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
        };
        assert_eq!(next.call("add", json!([3, 4])).timeout(20).ok().await, 7);
    }
}
