//! Nodes of daffi 3.0.1 as peers.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{accept, chain, fixture, listen, pinning, server, trusting};
use daffi_testing::{Certificate, Peer};
use daffi_transport::{Connector, Endpoint, LinkConfig, Listener};
use daffi_transport_tls::{ClientTls, TlsConnector};
use daffi_wire::{CallId, Frame, Header, Kind, Limits};

/// Whether a client that trusts `ca` gets its handshake answered by a server that shows
/// `certificate`.
async fn connects(certificate: &str, ca: Option<&str>) -> bool {
    let mut listener = listen("127.0.0.1", server(certificate)).await;
    let client = Peer::client(&listener.endpoint().to_string()).name("py");
    let client = match ca {
        Some(ca) => client.trusting(&fixture(&format!("{ca}.pem"))),
        None => client,
    };
    let serving = async {
        let mut link = accept(&mut listener).await.upgrade().await.ok()?;
        let hello = link.receive().await.ok()??;
        assert_eq!((hello.kind(), hello.transmitter()), (Kind::Handshake, "py"));
        let members = br#"{"meta":{"type":"service","error":null},"members":[{"name":"svc","methods":["add"]}]}"#;
        let answer = Frame::new(hello.header().handshake_reply(), "py", "", "", members, &Limits::default()).unwrap();
        link.send(&answer).await.ok()?;
        // The client is connected as long as its link lasts.
        Some(link)
    };
    let (served, connected) = tokio::join!(serving, client.try_start());
    assert_eq!(served.is_some(), connected.is_ok(), "{connected:?}");
    served.is_some()
}

#[tokio::test]
async fn clients_of_3_0_1_connect() {
    for (certificate, ca) in [
        ("plain", "plain"),
        ("v1", "v1"),
        ("v1-ec", "v1-ec"),
        ("v1-issued", "legacy"),
        ("unnamed", "legacy"),
        ("advised", "advised"),
        ("localhost", "authority"),
    ] {
        assert!(connects(certificate, Some(ca)).await, "{certificate} trusting {ca}");
    }
    assert!(connects("v1", None).await, "without a CA file");
    assert!(!connects("localhost", Some("stranger")).await, "with the wrong CA file");
}

/// What a connector gets from a router that shows `certificate`.
async fn handshake(certificate: &str, client: ClientTls) -> Result<Frame, String> {
    let [pem, key] = ["pem", "key"].map(|kind| fixture(&format!("{certificate}.{kind}")));
    let shown = Certificate { authority: pem.clone(), certificate: pem, key };
    let router = Peer::router().with_certificate(&shown).start().await;
    let endpoint: Endpoint = router.endpoint().parse().unwrap();
    let connecting = TlsConnector::new(endpoint, client).connect(&LinkConfig::default()).await;
    let mut link = connecting.map_err(|error| chain(&error))?;
    let me = br#"{"meta":{"type":"client","error":null},"members":[{"name":"rust","methods":null}]}"#;
    let header = Header::control(Kind::Handshake, CallId(1), true);
    link.send(&Frame::new(header, "rust", "", "", me, &Limits::default()).unwrap()).await.unwrap();
    Ok(link.receive().await.unwrap().unwrap())
}

#[tokio::test]
async fn servers_of_3_0_1_are_reached() {
    for (certificate, client) in [
        ("v1", pinning("v1")),
        ("plain", pinning("plain")),
        ("v1", ClientTls::dangerous_accept_any_certificate()),
        ("localhost", trusting("authority")),
    ] {
        let answer = handshake(certificate, client).await.unwrap();
        assert_eq!((answer.kind(), answer.transmitter()), (Kind::Handshake, "rust"));
    }
    let refused = handshake("v1", trusting("v1")).await.unwrap_err();
    assert!(refused.contains("-addext subjectAltName=IP:127.0.0.1 "), "{refused}");
}
