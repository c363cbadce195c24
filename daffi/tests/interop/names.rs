//! Names that need care on the wire.

use daffi::{CallError, Client, InitializationError, Service};
use serde_json::json;

use crate::{
    exposed::Exposed,
    support::{Transport, endpoint, python_client, rust_client},
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
