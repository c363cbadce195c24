//! Settings of builders that can't work, or would do nothing.
#![cfg(all(feature = "tcp", feature = "tls", feature = "uds", feature = "ws"))]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::time::Duration;

use daffi::{
    Client, ClientTls, FormatId, InitializationError, Keepalive, Router, ServerTls, Service,
    format::{Args, ArgsSink, Body, Codec, Output, ResultSink, SerdeError},
    transport::{
        Endpoint,
        mem::{MemConnector, MemListener},
    },
};
use daffi_testing::Certificate;

const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(5), patience: Duration::from_secs(5) };

fn certificate() -> ServerTls {
    let tls = Certificate::localhost();
    ServerTls::from_files(tls.certificate, tls.key).unwrap()
}

fn authority() -> ClientTls {
    ClientTls::ca_file(Certificate::localhost().authority).unwrap()
}

/// That a setting is refused, for it does nothing with these endpoints, and what to do is told.
#[track_caller]
fn is_refused<T: std::fmt::Debug>(outcome: Result<T, InitializationError>, setting: &str, with: &str, advice: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, InitializationError::Meaningless { .. }) && !error.is_retryable(), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{setting} has no meaning with {with}: ")) && text.contains(advice), "{text}");
}

#[tokio::test]
async fn a_node_that_was_to_be_encrypted_never_listens_in_plain_text() {
    let plain = "tcp://127.0.0.1:0";
    is_refused(Service::builder("s").tls(certificate()).bind(plain).await, "tls", plain, "listen on tls://host:port");
    is_refused(Router::builder("r").tls(certificate()).bind(plain).await, "tls", plain, "or leave tls out");
    let several = Service::builder("s").tls(certificate()).also_bind("mem://settings-plain").bind(plain).await;
    is_refused(several, "tls", "tcp://127.0.0.1:0, mem://settings-plain", "encrypted");
    // Who names a plain endpoint beside an encrypted one means both.
    let both = Service::builder("s").tls(certificate()).also_bind("tls://127.0.0.1:0").bind(plain).await.unwrap();
    both.stop().await;
    // A scheme that there is not is the first thing to be told.
    let unknown = Service::builder("s").tls(certificate()).bind("tpc://127.0.0.1:0").await.unwrap_err();
    assert!(unknown.to_string().contains("the scheme must be"), "{unknown}");
}

#[tokio::test]
async fn a_client_that_was_to_verify_never_talks_in_plain_text() {
    let client = || Client::builder("c").tls(authority());
    for plain in ["tcp://127.0.0.1:1", "ws://127.0.0.1:1/"] {
        is_refused(client().connect(plain).await, "tls", plain, "connect to tls://host:port or wss://host:port/path");
        is_refused(client().connect_any(["tls://127.0.0.1:1", plain]).await, "tls", plain, "leave tls out");
        is_refused(client().connect_all(["tls://127.0.0.1:1", plain]).await, "tls", plain, "leave tls out");
        is_refused(client().connect_lazy(plain), "tls", plain, "leave tls out");
        is_refused(client().connect_any_lazy([plain]), "tls", plain, "leave tls out");
    }
    is_refused(
        client().connect("unix:///run/settings.sock").await,
        "tls",
        "unix:///run/settings.sock",
        "leave tls out",
    );
    let tried = client().connect("tls://127.0.0.1:1").await.unwrap_err();
    assert!(matches!(tried, InitializationError::Connect(_)), "{tried:?}");
}

#[cfg(feature = "blocking")]
#[test]
fn a_blocking_client_neither() {
    let client = Client::builder("c").tls(authority()).connect_blocking("tcp://127.0.0.1:1");
    is_refused(client, "tls", "tcp://127.0.0.1:1", "leave tls out");
}

#[tokio::test]
async fn settings_that_would_do_nothing_are_refused() {
    let unix = format!("unix://{}/settings-{}.sock", std::env::temp_dir().display(), std::process::id());
    let service = || Service::builder("s");
    let tcp = "tcp://127.0.0.1:0";
    is_refused(service().socket_mode(0o660).bind(tcp).await, "socket_mode", tcp, "unix:///path");
    is_refused(service().socket_group(0).bind(tcp).await, "socket_group", tcp, "leave it out");
    is_refused(service().allow_origin("https://a.example").bind(&unix).await, "allow_origin", &unix, "WebSockets");
    is_refused(service().websocket_keepalive(KEEPALIVE).bind(&unix).await, "websocket_keepalive", &unix, "TCP and TLS");
    let client = Client::builder("c").websocket_keepalive(KEEPALIVE).connect("tcp://127.0.0.1:1").await;
    is_refused(client, "websocket_keepalive", "tcp://127.0.0.1:1", "ws:// and wss://");
    let lazy = Client::builder("c").connect_retry(Duration::from_secs(1)).connect_lazy("mem://settings-lazy");
    is_refused(lazy, "connect_retry", "connect_lazy", "leave connect_retry out");

    // Each does something at one of several endpoints.
    let service = service().socket_mode(0o600).websocket_keepalive(KEEPALIVE).allow_origin("https://a.example");
    service.also_bind(&unix).bind(tcp).await.unwrap().stop().await;
}

#[tokio::test]
async fn listeners_and_connectors_that_are_made_already_have_settings_of_their_own() {
    let at: Endpoint = "mem://settings-made".parse().unwrap();
    let listener = || vec![Box::new(MemListener::bind(&at).unwrap()) as _];
    is_refused(Service::builder("s").tls(certificate()).listen(listener()), "tls", "listen", "make them with this one");
    is_refused(
        Router::builder("s").socket_mode(0o660).listen(listener()),
        "socket_mode",
        "listen",
        "leave it out here",
    );
    let also = Service::builder("s").also_bind("tcp://127.0.0.1:0").listen(listener());
    is_refused(also, "also_bind", "listen", "make a listener of this one, too");
    let connector = Box::new(MemConnector::new(at.clone()));
    let client = Client::builder("c").tls(authority()).connect_with(connector).await;
    is_refused(client, "tls", "connect_with", "make it with this one");
}

/// Nothing is bound, not even for a moment, by a node that cannot start.
#[tokio::test]
async fn what_is_wrong_without_a_socket_is_told_before_there_is_one() {
    let path = std::env::temp_dir().join(format!("settings-before-{}.sock", std::process::id()));
    let _left_by_another = std::fs::remove_file(&path);
    // Something is there that is no socket, which binding would tell.
    std::fs::write(&path, "").unwrap();
    let at = format!("unix://{}", path.display());
    let names = Service::builder("a|b").bind(&at).await.unwrap_err();
    assert!(matches!(names, InitializationError::Name(_)), "{names:?}");
    let workers = Service::builder("s").workers(0).bind(&at).await.unwrap_err();
    assert!(matches!(workers, InitializationError::Setting(_)), "{workers:?}");
    let share = Router::builder("r").configure(|config| config.share = 0.0).bind(&at).await.unwrap_err();
    assert!(matches!(share, InitializationError::Setting(_)), "{share:?}");
    for other in ["tpc://127.0.0.1:0", "tls://127.0.0.1:0", "tcp://127.0.0.1", "ws://127.0.0.1:0", "no endpoint"] {
        let error = Router::builder("r").also_bind(other).bind(&at).await.unwrap_err();
        assert!(error.to_string().contains(other), "{other}: {error}");
    }
    std::fs::remove_file(path).unwrap();
}

/// A node may be started by a task of its own.
#[tokio::test]
async fn binding_and_connecting_can_be_spawned() {
    let bound = tokio::spawn(Service::builder("s").bind("mem://settings-spawned")).await.unwrap().unwrap();
    let client = tokio::spawn(Client::builder("c").connect("mem://settings-spawned")).await.unwrap().unwrap();
    client.stop().await;
    bound.stop().await;
}

/// A format that bears some number.
#[derive(Debug)]
struct Numbered(FormatId);

impl Codec for Numbered {
    fn id(&self) -> FormatId {
        self.0
    }

    fn encode_args<A: Args>(&self, _: &A, _: &mut Output<'_>) -> Result<(), SerdeError> {
        Ok(())
    }

    fn encode_result<T: serde::Serialize + ?Sized>(&self, _: &T, _: &mut Output<'_>) -> Result<(), SerdeError> {
        Ok(())
    }

    fn decode_args<S: ArgsSink>(&self, _: &Body, _: &mut S) -> Result<(), SerdeError> {
        Ok(())
    }

    fn decode_result<S: ResultSink>(&self, _: &Body, _: &mut S) -> Result<(), SerdeError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_format_that_would_never_be_used_is_refused() {
    for id in [FormatId::OPAQUE, FormatId::JSON, FormatId::PICKLE, FormatId::MSGPACK, FormatId::POSTCARD] {
        let service = Service::builder("s").format(Numbered(id)).bind("mem://settings-format").await.map(drop);
        let client = || Client::builder("c").format(Numbered(id));
        let lazy = client().connect_lazy("mem://settings-format").map(drop);
        let connected = client().connect("mem://settings-format").await.map(drop);
        let group = client().connect_all(["mem://settings-format"]).await.map(drop);
        let connector = Box::new(MemConnector::new("mem://settings-format".parse().unwrap()));
        let with = client().connect_with(connector).await.map(drop);
        for refused in [service, lazy, connected, group, with] {
            let error = refused.unwrap_err();
            assert!(matches!(error, InitializationError::NotOwnFormat(number) if number == id), "{error:?}");
            assert!(!error.is_retryable());
            let text = error.to_string();
            assert!(text.contains(&format!("the number of {id}")) && text.contains("64 to 127"), "{text}");
        }
    }
    for number in [64, 127] {
        let own = Numbered(FormatId::user(number).unwrap());
        Service::builder("s").format(own).bind("mem://settings-own-format").await.unwrap().stop().await;
    }
}

/// A client that tries for as long as it lives would do so in vain.
#[tokio::test]
async fn an_endpoint_that_cannot_be_used_is_told_before_the_first_attempt() {
    for typo in [
        "tpc://127.0.0.1:5000",
        "127.0.0.1:5000",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tls://-:5000",
        "tls://127.0.0.1:0",
        "ws://127.0.0.1:0/",
        "ws://user@127.0.0.1:5000/",
    ] {
        let lazy = Client::builder("c").connect_lazy(typo).unwrap_err();
        let retrying = Client::builder("c").connect_retry(Duration::from_secs(3600)).connect(typo).await.unwrap_err();
        for error in [lazy, retrying] {
            assert!(!error.is_retryable() && error.to_string().contains(typo), "{typo}: {error}");
        }
        let bound = Service::builder("s").also_bind("tpc://x").bind("tcp://127.0.0.1:0").await.unwrap_err();
        assert!(!bound.is_retryable(), "{bound:?}");
    }
}

/// As the other times of a node are.
#[tokio::test]
async fn a_keepalive_of_no_time_is_refused_and_none_is_said_by_its_name() {
    let quick = |field| match field {
        "interval" => Keepalive { interval: Duration::ZERO, ..KEEPALIVE },
        _ => Keepalive { patience: Duration::ZERO, ..KEEPALIVE },
    };
    for field in ["interval", "patience"] {
        let bound = Service::builder("s").websocket_keepalive(quick(field)).bind("tcp://127.0.0.1:0").await;
        let lazy = Client::builder("c").websocket_keepalive(quick(field)).connect_lazy("ws://127.0.0.1:1/");
        for error in [bound.unwrap_err(), lazy.unwrap_err()] {
            assert!(!error.is_retryable(), "{error:?}");
            let said = error.to_string();
            assert!(said.contains(field) && said.contains("0s") && said.contains("Keepalive::off()"), "{said}");
        }
    }
    let service = Service::builder("s").websocket_keepalive(Keepalive::off()).bind("tcp://127.0.0.1:0").await.unwrap();
    let at = service.endpoints()[0].as_str().replace("tcp://", "ws://");
    let client = Client::builder("c").websocket_keepalive(Keepalive::off()).connect(&at).await.unwrap();
    client.stop().await;
    service.stop().await;
}
