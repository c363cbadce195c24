//! A peer that breaks rules is ended; everybody else is served.

use bytes::Bytes;
use daffi_core::NodeConfig;
use daffi_serde::RemoteError;
use daffi_wire::{Handshake, Kind, Limits};

use crate::{
    peer::Peer,
    support::{client, endpoint, plain, service, service_at},
};

fn add() -> daffi_core::Callback {
    plain("add", |(a, b): (i64, i64)| Ok(a + b))
}

#[tokio::test]
async fn a_level_three_client_gets_the_bytes_of_3_0_1() {
    let (_service, at) = service(vec![add()]);
    let mut peer = Peer::connect(&at).await;
    let hello = peer.hello("c1").await;
    assert_eq!(
        hello.to_json(),
        br#"{"meta":{"type":"service","error":null},"members":[{"name":"svc","methods":["add"]}]}"#
    );
    peer.send(Kind::Request, 2, "c1", "add", r#"{"args": [3, 4], "kwargs": {}}"#).await;
    let answer = peer.receive().await.unwrap();
    assert_eq!((answer.transmitter(), answer.receiver(), answer.method()), ("svc", "c1", "add"));
    assert_eq!(answer.payload(), br#"{"args":[7],"kwargs":{}}"#);
    assert!(!answer.header().wants_reply());
}

#[tokio::test]
async fn what_no_client_may_send_ends_its_connection_only() {
    let (_service, at) = service(vec![add()]);
    let good = client(&at, "good").await;
    let header = |flags: u8| [2, 0, flags, 12, 0, 0, 0x16, 0, 0x81];
    let garbage: Vec<Vec<u8>> = vec![
        vec![0xff; 64],
        header(0x0f).to_vec(),
        // Metadata longer than the message, three separators, no separators, names that are not
        // UTF-8.
        vec![2, 0, 0x91, 1, 0, 0, 0x16, 0, 0x81],
        [&[2, 0, 0x91, 4, 0, 0, 8, 0, 0x81][..], b"||||"].concat(),
        [&[2, 0, 0x91, 4, 0, 0, 8, 0, 0x81][..], b"abcd"].concat(),
        [&[2, 0, 0x91, 4, 0, 0, 8, 0, 0x81][..], b"|\xff\xff|"].concat(),
    ];
    for bytes in garbage {
        let mut peer = Peer::connect(&at).await;
        peer.hello("bad").await;
        peer.send_bytes(&bytes).await;
        assert!(peer.receive().await.is_none(), "{bytes:?}");
        assert_eq!(good.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
    for kind in [Kind::Response, Kind::Error, Kind::Events] {
        let mut peer = Peer::connect(&at).await;
        peer.hello("bad").await;
        peer.send(kind, 2, "bad", "add", "{}").await;
        assert!(peer.receive().await.is_none(), "{kind}");
    }
    // Something else before the handshake, and a frame cut off by the end of the stream.
    let mut peer = Peer::connect(&at).await;
    peer.send(Kind::Request, 2, "c", "add", "{}").await;
    assert!(peer.receive().await.is_none());
    let mut peer = Peer::connect(&at).await;
    peer.hello("cut").await;
    peer.send_bytes(&header(0x91)[..7]).await;
    drop(peer);
    assert_eq!(good.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
}

#[tokio::test]
async fn bad_handshakes_are_refused_in_a_form_that_3_0_1_reads() {
    let (_service, at) = service(vec![add()]);
    for body in ["", "{}", r#"{"meta":{"type":"client","x":1},"members":[]}"#] {
        let mut peer = Peer::connect(&at).await;
        peer.send(Kind::Handshake, 1, "c1", "", body).await;
        let answer = peer.receive().await.unwrap();
        let refusal = Handshake::parse(answer.payload(), &Limits::default()).unwrap();
        assert!(refusal.error.is_some_and(|e| !e.is_empty()));
        assert!(peer.receive().await.is_none());
    }
    let mut peer = Peer::connect(&at).await;
    peer.hello("c1").await;
    peer.send(Kind::Handshake, 5, "c2", "", r#"{"meta":{"type":"client"},"members":[]}"#).await;
    let refusal = Handshake::parse(peer.receive().await.unwrap().payload(), &Limits::default()).unwrap();
    assert!(refusal.error.unwrap().contains("c2"));
}

#[tokio::test]
async fn a_second_handshake_is_an_update() {
    let (_service, at) = service(vec![add()]);
    let mut peer = Peer::connect(&at).await;
    peer.hello("c1").await;
    peer.hello("c1").await;
    peer.send(Kind::Request, 2, "c1", "add", r#"{"args": [3, 4], "kwargs": {}}"#).await;
    assert_eq!(peer.receive().await.unwrap().payload(), br#"{"args":[7],"kwargs":{}}"#);
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let (_service, at) = service(vec![add()]);
    let mut victim = Peer::connect(&at).await;
    victim.hello("victim").await;
    let mut peer = Peer::connect(&at).await;
    peer.hello("peer").await;
    peer.send(Kind::Request, 2, "victim", "add", r#"{"args": [3, 4], "kwargs": {}}"#).await;
    let answer = peer.receive().await.unwrap();
    assert_eq!(answer.kind(), Kind::Error);
    assert!(String::from_utf8_lossy(answer.payload()).contains("PermissionError"));
}

#[tokio::test]
async fn results_that_do_not_fit_are_errors_that_name_size_and_limit() {
    let at = endpoint();
    let limits = Limits::default().max_frame_bytes(1000);
    let config = NodeConfig::server().limits(limits);
    let _service = service_at(&at, config, vec![plain("text", |(n,): (usize,)| Ok("x".repeat(n)))]);
    let client = client(&at, "c").await;
    let error = client.rpc().call::<String>("text", (5000,)).await.unwrap_err();
    let error: &RemoteError = error.remote().unwrap();
    assert_eq!(error.class, "TransmissionFailure");
    assert!(error.message.contains("5035") && error.message.contains("1000"), "{}", error.message);
    assert_eq!(client.rpc().call::<String>("text", (5,)).await.unwrap(), "xxxxx");
}

#[tokio::test]
async fn a_caller_that_leaves_before_its_answer_leaves_the_node_serving() {
    let (_service, at) = service(vec![plain("slow", |(): ()| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        Ok(Bytes::from_static(b"done").to_vec())
    })]);
    for i in 0..5 {
        let mut peer = Peer::connect(&at).await;
        peer.hello(&format!("c{i}")).await;
        peer.send(Kind::Request, 2, &format!("c{i}"), "slow", r#"{"args": [], "kwargs": {}}"#).await;
    }
    let good = client(&at, "good").await;
    assert_eq!(good.rpc().call::<Vec<u8>>("slow", ()).await.unwrap(), b"done");
}
