//! Nodes of daffi 3.0.1 as peers. Runs when `DAFFI_PYTHON` names a Python interpreter that has daffi 3.0.1.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
};

use common::{accept, chain, fixture, listen, pinning, server, trusting};
use daffi_transport::{Connector, Endpoint, LinkConfig, Listener};
use daffi_transport_tls::{ClientTls, TlsConnector};
use daffi_wire::{CallId, Frame, Header, Kind, Limits};

const CLIENT: &str = "
import os, sys
from daffi import Client
client = Client(app_name='py', host='127.0.0.1', port=int(sys.argv[1]), tls=True, ca_file=sys.argv[2])
try:
    client.connect()
    os._exit(0)
except Exception as error:
    print(error, file=sys.stderr)
    os._exit(1)
";

const ROUTER: &str = "
import sys
from daffi import Router
Router(host='127.0.0.1', port=int(sys.argv[1]), tls=True, cert_file=sys.argv[2], key_file=sys.argv[3]).start()
print('started', flush=True)
sys.stdin.read()
import os
os._exit(0)
";

/// Whether a client that trusts `ca` gets its handshake answered by a server that shows `certificate`.
async fn connects(python: &str, certificate: &str, ca: &str) -> bool {
    let mut listener = listen("127.0.0.1", server(certificate)).await;
    let port = listener.endpoint().host_port().unwrap().1.to_string();
    let ca = if ca.is_empty() { String::new() } else { fixture(&format!("{ca}.pem")).display().to_string() };
    let mut client = Command::new(python).args(["-c", CLIENT, &port, &ca]).stdin(Stdio::null()).spawn().unwrap();
    let serving = async {
        let mut link = accept(&mut listener).await.upgrade().await.ok()?;
        let hello = link.receive().await.ok()??;
        assert_eq!((hello.kind(), hello.transmitter()), (Kind::Handshake, "py"));
        let members = br#"{"meta":{"type":"service","error":null},"members":[{"name":"svc","methods":["add"]}]}"#;
        let answer = Frame::new(hello.header().handshake_reply(), "py", "", "", members, &Limits::default()).unwrap();
        link.send(&answer).await.ok()?;
        let _ = link.receive().await;
        Some(())
    };
    let served = serving.await.is_some();
    let status = client.wait().unwrap();
    assert_eq!(served, status.success());
    served
}

#[tokio::test]
async fn clients_of_3_0_1_connect() {
    let Ok(python) = std::env::var("DAFFI_PYTHON") else { return };
    for (certificate, ca) in
        [("plain", "plain"), ("v1", "v1"), ("v1-ec", "v1-ec"), ("advised", "advised"), ("localhost", "authority")]
    {
        assert!(connects(&python, certificate, ca).await, "{certificate} trusting {ca}");
    }
    assert!(connects(&python, "v1", "").await, "without a CA file");
    assert!(!connects(&python, "localhost", "stranger").await, "with the wrong CA file");
}

/// What a connector gets from a router that shows `certificate`.
async fn handshake(python: &str, certificate: &str, client: ClientTls) -> Result<Frame, String> {
    // 3.0.1 does not say which port it got for 0.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (pem, key) = (fixture(&format!("{certificate}.pem")), fixture(&format!("{certificate}.key")));
    let mut command = Command::new(python);
    command.args(["-c", ROUTER, &port]).args([pem, key]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut router = command.spawn().unwrap();
    BufReader::new(router.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();

    let endpoint = Endpoint::new("tls", &format!("127.0.0.1:{port}")).unwrap();
    let answer = async {
        let connecting = TlsConnector::new(endpoint, client).connect(&LinkConfig::default()).await;
        let mut link = connecting.map_err(|error| chain(&error))?;
        let me = br#"{"meta":{"type":"client","error":null},"members":[{"name":"rust","methods":null}]}"#;
        let header = Header::control(Kind::Handshake, CallId(1), true);
        link.send(&Frame::new(header, "rust", "", "", me, &Limits::default()).unwrap()).await.unwrap();
        Ok(link.receive().await.unwrap().unwrap())
    };
    let answer = answer.await;
    // Its end of input is the router's end.
    drop(router.stdin.take());
    router.wait().unwrap();
    answer
}

#[tokio::test]
async fn servers_of_3_0_1_are_reached() {
    let Ok(python) = std::env::var("DAFFI_PYTHON") else { return };
    for (certificate, client) in [
        ("v1", pinning("v1")),
        ("plain", pinning("plain")),
        ("v1", ClientTls::dangerous_accept_any_certificate()),
        ("localhost", trusting("authority")),
    ] {
        let answer = handshake(&python, certificate, client).await.unwrap();
        assert_eq!((answer.kind(), answer.transmitter()), (Kind::Handshake, "rust"));
    }
    let refused = handshake(&python, "v1", trusting("v1")).await.unwrap_err();
    assert!(refused.contains("-addext subjectAltName=IP:127.0.0.1 "), "{refused}");
}
