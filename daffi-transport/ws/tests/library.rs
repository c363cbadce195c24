//! An independent implementation at the other end, and TLS below.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{future::poll_fn, sync::Arc};

use common::{PATIENCE, Server, frame};
use daffi_transport::{Connector, Link};
use daffi_transport_ws::WsConnector;
use futures::{SinkExt, StreamExt};
use tokio::{net::TcpListener, time::timeout};
use tokio_tungstenite::{
    accept_async, client_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

async fn shutdown(link: &mut Link) {
    poll_fn(|cx| link.writer.poll_shutdown(cx)).await.unwrap();
}

#[tokio::test]
async fn a_client_of_tungstenite_meets_our_server() {
    let mut server = Server::new().await;
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let url = format!("ws://{}/", server.address());
    let (client, link) = tokio::join!(client_async(url, stream), server.accept());
    let ((mut client, _), mut link) = (client.unwrap(), link.unwrap());
    for size in [0, 200, 70_000, 3_000_000] {
        let whole = frame(1, size);
        let (sent, received) = tokio::join!(client.send(Message::Binary(whole.as_bytes().clone())), link.receive());
        sent.unwrap();
        assert_eq!(received.unwrap(), Some(whole.clone()));
        let (sent, received) = tokio::join!(link.send(&whole), client.next());
        sent.unwrap();
        assert_eq!(received.unwrap().unwrap(), Message::Binary(whole.as_bytes().clone()));
    }
    client.send(Message::Ping("hi".into())).await.unwrap();
    client.close(Some(CloseFrame { code: CloseCode::Normal, reason: "done".into() })).await.unwrap();
    assert_eq!(link.receive().await.unwrap(), None);
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("hi".into()));
    assert!(
        matches!(client.next().await.unwrap().unwrap(), Message::Close(Some(close)) if close.code == CloseCode::Normal)
    );
    assert!(timeout(PATIENCE, client.next()).await.unwrap().is_none(), "and the connection ends");
}

#[tokio::test]
async fn our_client_meets_a_server_of_tungstenite() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = WsConnector::new(format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap());
    let accepting = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
    let (client, mut server) = tokio::join!(connector.connect(&Default::default()), accepting);
    let mut client = client.unwrap();
    for size in [0, 200, 70_000, 3_000_000] {
        let whole = frame(1, size);
        let (sent, received) = tokio::join!(client.send(&whole), server.next());
        sent.unwrap();
        assert_eq!(received.unwrap().unwrap(), Message::Binary(whole.as_bytes().clone()));
        let (sent, received) = tokio::join!(server.send(Message::Binary(whole.as_bytes().clone())), client.receive());
        sent.unwrap();
        assert_eq!(received.unwrap(), Some(whole));
    }
    shutdown(&mut client).await;
    let answering = async {
        let close = server.next().await.unwrap().unwrap();
        assert!(matches!(close, Message::Close(Some(close)) if close.code == CloseCode::Normal));
        assert!(server.next().await.is_none());
    };
    let (ended, ()) = tokio::join!(timeout(PATIENCE, client.receive()), answering);
    assert_eq!(ended.unwrap().unwrap(), None);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_below_changes_nothing() {
    use daffi_testing::Certificate;
    use daffi_transport::Listener;
    use daffi_transport_tls::{ClientTls, ServerTls, TlsListener};
    use daffi_transport_ws::WebSockets;

    let Certificate { certificate, key, authority } = Certificate::localhost();
    let tls = ServerTls::from_files(certificate, key).unwrap();
    let listener = TlsListener::bind(&"tls://127.0.0.1:0".parse().unwrap(), tls).await.unwrap();
    let mut listener = listener.with_http(Arc::new(WebSockets::new()));
    let (_, port) = listener.endpoint().host_port().unwrap();
    let endpoint: daffi_transport::Endpoint = format!("wss://127.0.0.1:{port}/daffi").parse().unwrap();

    let unsure = WsConnector::new(endpoint.clone()).connect(&Default::default()).await.unwrap_err();
    assert!(unsure.to_string().contains("whom to trust"), "{unsure}");

    let connector = WsConnector::new(endpoint).tls(ClientTls::ca_file(authority).unwrap());
    let config = daffi_transport::LinkConfig::default();
    let accepting = async { poll_fn(|cx| listener.poll_accept(cx, &config)).await.unwrap().upgrade().await.unwrap() };
    let (client, mut server) = tokio::join!(connector.connect(&config), accepting);
    let mut client = client.unwrap();
    assert_eq!((client.peer.scheme, server.peer.scheme), ("wss", "wss"));
    assert!(client.peer.certificate.is_some());
    for size in [0, 1_000_000] {
        let whole = frame(1, size);
        let (sent, received) = tokio::join!(client.send(&whole), server.receive());
        sent.unwrap();
        assert_eq!(received.unwrap().as_ref(), Some(&whole));
        let (sent, received) = tokio::join!(server.send(&whole), client.receive());
        sent.unwrap();
        assert_eq!(received.unwrap(), Some(whole));
    }
    shutdown(&mut server).await;
    assert_eq!(timeout(PATIENCE, client.receive()).await.unwrap().unwrap(), None);
    assert_eq!(timeout(PATIENCE, server.receive()).await.unwrap().unwrap(), None);
}
