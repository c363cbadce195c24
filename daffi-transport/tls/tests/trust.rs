//! Who is let in, who is refused, and what the errors say.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{future::poll_fn, sync::Arc};

use common::{chain, connect, connector, fixture, listen, meet, pinning, server, trusting};
use daffi_transport::{Link, Listener};
use daffi_transport_tcp::StreamListener;
use daffi_transport_tls::{ClientTls, ServerTls, TlsConnector};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

fn der(name: &str) -> Vec<u8> {
    CertificateDer::from_pem_file(fixture(name)).unwrap().to_vec()
}

/// What both sides say when the client refuses the server.
async fn refused(host: &str, server: ServerTls, client: ClientTls) -> (String, String) {
    let (server, client) = meet(host, server, client).await;
    (chain(&server.unwrap_err()), chain(&client.unwrap_err()))
}

#[tokio::test]
async fn names_and_addresses_of_the_certificate_are_accepted() {
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let (server, client) = meet(host, server("localhost"), trusting("authority")).await;
        server.unwrap();
        assert_eq!(client.unwrap().peer.certificate, Some(der("localhost.pem")), "{host}");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused_with_advice() {
    let (server, client) = refused("localhost", server("localhost"), trusting("stranger")).await;
    assert!(server.contains("the peer refuses our certificate: UnknownCA"), "{server}");
    for part in [
        "the TLS handshake with tls://localhost:",
        "its issuer is not among the trusted authorities",
        "trust the CA file of whoever issued it",
    ] {
        assert!(client.contains(part), "{client}");
    }
    // Another certificate of the same kind would be trusted as little.
    assert!(!client.contains("openssl"), "{client}");
}

#[tokio::test]
async fn the_platform_does_not_trust_our_authority() {
    // A machine without any authorities has nothing to test.
    let Ok(platform) = ClientTls::platform_roots() else { return };
    let (_, client) = refused("localhost", server("localhost"), platform).await;
    assert!(client.contains("the peer's certificate is refused"), "{client}");
}

#[tokio::test]
async fn another_host_name_is_refused() {
    let (_, client) = refused("localhost", server("elsewhere"), trusting("authority")).await;
    assert!(client.contains("it is for daffi.example, not for localhost;"), "{client}");
}

#[cfg(target_os = "linux")] // Elsewhere 127.0.0.2 is not there.
#[tokio::test]
async fn another_address_is_refused() {
    let (_, client) = refused("127.0.0.2", server("localhost"), trusting("authority")).await;
    assert!(client.contains("it is for localhost, 127.0.0.1, ::1, not for 127.0.0.2;"), "{client}");
    assert!(client.contains("-addext subjectAltName=IP:127.0.0.2 "), "{client}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let (_, client) = refused("localhost", server("expired"), trusting("authority")).await;
    assert!(client.contains("it has expired"), "{client}");
    let weakness = server("expired").weakness().unwrap();
    assert!(weakness.starts_with("it has expired (") && weakness.contains("have it renewed"), "{weakness}");
}

#[tokio::test]
async fn certificates_of_3_0_1_load_and_are_refused_with_their_reason() {
    for (name, reason) in [
        ("plain", "the certificate of an authority (CA:TRUE)"),
        ("v1", "of X.509 version 1"),
        ("v1-ec", "of X.509 version 1"),
    ] {
        assert!(server(name).weakness().unwrap().contains(reason), "{name}");
        let (_, client) = refused("localhost", server(name), trusting(name)).await;
        assert!(client.contains(reason), "{client}");
        assert!(client.contains("-addext subjectAltName=DNS:localhost "), "{client}");
    }
}

#[tokio::test]
async fn the_advised_certificate_is_accepted() {
    let (server, client) = meet("localhost", server("advised"), trusting("advised")).await;
    server.unwrap();
    client.unwrap();
}

#[tokio::test]
async fn a_pinned_certificate_is_accepted_whatever_it_is() {
    for name in ["localhost", "elsewhere", "expired", "plain", "v1", "v1-ec"] {
        let (server, client) = meet("127.0.0.1", server(name), pinning(name)).await;
        server.unwrap();
        assert_eq!(client.unwrap().peer.certificate, Some(der(&format!("{name}.pem"))));
    }
}

fn of_any_host(name: &str) -> ClientTls {
    ClientTls::dangerous_ca_file_for_any_host(fixture(&format!("{name}.pem"))).unwrap()
}

#[tokio::test]
async fn what_an_authority_issued_is_accepted_for_any_host_where_that_is_asked_for() {
    for (shown, authority) in [
        ("v1-issued", "legacy"),
        ("unnamed", "legacy"),
        ("elsewhere", "authority"),
        ("plain", "plain"),
        ("v1", "v1"),
        ("v1-ec", "v1-ec"),
        ("advised", "advised"),
    ] {
        let (server, client) = meet("127.0.0.1", server(shown), of_any_host(authority)).await;
        assert!(server.is_ok() && client.is_ok(), "{shown} of {authority}: {client:?}");
    }
}

#[tokio::test]
async fn what_an_authority_did_not_issue_is_refused_for_any_host_too() {
    for (shown, authority, reason) in [
        ("v1-issued", "authority", "its issuer is not among the trusted authorities"),
        ("localhost", "legacy", "its issuer is not among the trusted authorities"),
        // A certificate is not its own authority for being the one in the file.
        ("v1-issued", "v1-issued", "its issuer is not among the trusted authorities"),
        ("v1-issued", "usurper", "did not sign it"),
        ("v1", "v1-ec", "did not sign it"),
        ("v1-ended", "legacy", "it has expired"),
        ("expired", "authority", "it has expired"),
    ] {
        let (_, client) = refused("127.0.0.1", server(shown), of_any_host(authority)).await;
        assert!(client.contains(reason), "{shown} of {authority}: {client}");
    }
}

#[tokio::test]
async fn another_than_the_pinned_certificate_is_refused() {
    for (shown, pinned) in [("v1", "v1-ec"), ("localhost", "authority"), ("localhost", "elsewhere")] {
        let (_, client) = refused("localhost", server(shown), pinning(pinned)).await;
        assert!(
            client.contains(
                "the peer's certificate is refused: it is not the pinned one: if the server got a new one, pin that"
            ),
            "{client}"
        );
    }
}

#[tokio::test]
async fn any_certificate_is_accepted_only_where_asked_for() {
    let (server, client) = meet("localhost", server("v1"), ClientTls::dangerous_accept_any_certificate()).await;
    server.unwrap();
    assert_eq!(client.unwrap().peer.certificate, None);
}

/// Connects to a server that shows one certificate and signs with the key of another.
async fn shown(
    version: &'static SupportedProtocolVersion,
    certificate: &str,
    key: &str,
    client: ClientTls,
) -> Result<(), String> {
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::from_pem_file(fixture(&format!("{key}.key"))).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let identity = CertifiedKey::new(vec![der(&format!("{certificate}.pem")).into()], key);
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    let mut listener = StreamListener::bind(&"tls://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let connector = TlsConnector::new(listener.endpoint().clone(), client);
    let accepting = async {
        let (stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    };
    let ((), result) = tokio::join!(accepting, connect(&connector));
    result.map(drop).map_err(|error| chain(&error))
}

#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    for version in [&TLS12, &TLS13] {
        for (certificate, other) in [("v1", "plain"), ("v1-ec", "client"), ("localhost", "client"), ("plain", "v1")] {
            shown(version, certificate, certificate, pinning(certificate)).await.unwrap();
            for client in [pinning(certificate), ClientTls::dangerous_accept_any_certificate()] {
                let error = shown(version, certificate, other, client).await.unwrap_err();
                assert!(error.contains("the peer's certificate is refused"), "{error}");
            }
        }
    }
}

/// What the client hears first when it reads.
async fn heard(mut client: Link) -> String {
    chain(&client.receive().await.unwrap_err())
}

#[tokio::test]
async fn client_certificates_are_demanded_and_verified() {
    let strict = || server("localhost").client_ca_file(fixture("authority.pem")).unwrap();
    let showing = |name: &str| {
        let (certificate, key) = (fixture(&format!("{name}.pem")), fixture(&format!("{name}.key")));
        trusting("authority").client_certificate(certificate, key).unwrap()
    };

    let (accepted, client) = meet("localhost", strict(), showing("client")).await;
    assert_eq!(accepted.unwrap().peer.certificate, Some(der("client.pem")));
    client.unwrap();

    let (missing, client) = meet("localhost", strict(), trusting("authority")).await;
    assert!(chain(&missing.unwrap_err()).contains("shows no certificate, and this listener demands one"));
    let text = heard(client.unwrap()).await;
    assert!(text.contains("the peer refuses our certificate: CertificateRequired"), "{text}");

    for wrong in ["intruder", "v1"] {
        let (refused, client) = meet("localhost", strict(), showing(wrong)).await;
        let text = chain(&refused.unwrap_err());
        assert!(text.contains("the peer's certificate is refused: it"), "{text}");
        let text = heard(client.unwrap()).await;
        assert!(text.contains("the peer refuses our certificate"), "{text}");
    }
}

#[tokio::test]
async fn a_listener_goes_on_after_refusals() {
    let mut listener = listen("127.0.0.1", server("localhost")).await;
    for (trusted, welcome) in [("stranger", false), ("authority", true), ("stranger", false), ("authority", true)] {
        let connector = connector(&listener, "localhost", trusting(trusted));
        let (server, client) =
            tokio::join!(async { common::accept(&mut listener).await.upgrade().await }, connect(&connector));
        assert_eq!((server.is_ok(), client.is_ok()), (welcome, welcome));
    }
    assert_eq!(listener.endpoint().scheme(), "tls");
}
