//! Peers that break rules over real sockets, beside a Python client that keeps calling.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use daffi_testing::Peer;
use daffi_wire::{Kind, SYN};
use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    raw::{Raw, hello, json},
    support::{PATIENCE, Transport, endpoint, python_client},
};

fn add(name: &str) -> Vec<u8> {
    json(Kind::Request, 2, [name, "", "add"], r#"{"args": [3, 4], "kwargs": {}}"#)
}

/// Correct bytes in odd pieces.
async fn odd_pieces(address: &str) {
    let whole = |name: &str| [&SYN[..], &hello(name), &add(name)].concat();
    for (attack, first) in [("a SYN of 4 and 5 bytes", 4), ("a SYN of 8 bytes and 1", 8), ("a SYN and 3 bytes", 12)] {
        let bytes = whole("split");
        let (head, tail) = bytes.split_at(first);
        let mut raw = Raw::open(address).await;
        raw.must_send([head]).await;
        // The first piece alone must not be answered, nor refused.
        let mut byte = [0];
        let early = timeout(Duration::from_millis(30), raw.stream.read(&mut byte)).await;
        assert!(early.is_err(), "{attack}: {early:?}");
        raw.must_send([tail]).await;
        raw.is_served(attack).await;
    }
    let mut raw = Raw::open(address).await;
    raw.must_send(whole("bytewise").chunks(1)).await;
    raw.is_served("everything in single bytes").await;
    let mut raw = Raw::open(address).await;
    raw.must_send([&whole("at-once")[..]]).await;
    raw.is_served("everything at once").await;
}

/// Bytes that are no daffi, after which the other end closes.
async fn rubbish(address: &str) {
    let after_hello = |bytes: &[u8]| [&SYN[..], &hello("bad"), bytes].concat();
    // A message of 1 byte with 11 bytes of names in it.
    let names_too_long = [2, 0, 0x91, 1, 0, 0, 0x16, 0, 0x81];
    // A TLS 1.2 record with the first bytes of a ClientHello.
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x5a; 64]].concat();
    let attacks: [(&str, Vec<u8>); 7] = [
        ("a TLS hello", tls),
        ("garbage from the start", vec![0xa5; 4096]),
        ("a SYN and garbage", [&SYN[..], &[0xa5; 4096]].concat()),
        ("garbage after the handshake", after_hello(&[0xff; 64])),
        ("metadata longer than its message", after_hello(&names_too_long)),
        ("a request before the handshake", [&SYN[..], &add("nobody")].concat()),
        ("a response to a service", after_hello(&json(Kind::Response, 2, ["bad", "", "add"], "{}"))),
    ];
    for (attack, bytes) in attacks {
        let mut raw = Raw::open(address).await;
        let _closed_already = raw.send(&bytes).await;
        raw.is_closed(attack).await;
    }
}

/// HTTP that is no WebSocket: an answer in HTTP, and the connection ends. WebSockets that break
/// rules: a close frame.
async fn http(address: &str) {
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: x\r\n\r\n";
    let mut message = vec![0x82, u8::try_from(hello("page").len()).unwrap()];
    message.extend(hello("page"));
    let after_hello = |bytes: &[u8]| [upgrade.as_bytes(), &message, bytes].concat();
    let refused = |code: u16| [&[0x88][..], &code.to_be_bytes()].concat();
    let attacks: [(&str, Vec<u8>, Vec<u8>); 8] = [
        ("a POST", b"POST /rpc HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}".to_vec(), b"HTTP/1.1 400 ".to_vec()),
        ("a page", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), b"HTTP/1.1 426 ".to_vec()),
        ("an endless head", [b"GET /", &[b'x'; 10_000][..]].concat(), b"HTTP/1.1 431 ".to_vec()),
        (
            "a stranger's page",
            upgrade.replacen('U', "Origin: http://a.example\r\nU", 1).into(),
            b"HTTP/1.1 403 ".to_vec(),
        ),
        ("a SYN as a message", after_hello(&[&[0x82, 9][..], &SYN].concat()), refused(1007)),
        ("half a frame as a message", after_hello(&[&[0x82, 20][..], &hello("page")[..20]].concat()), refused(1007)),
        ("a huge message", after_hello(&[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]), refused(1009)),
        ("a message of a reserved kind", after_hello(&[0x83, 0]), refused(1002)),
    ];
    for (attack, bytes, answer) in attacks {
        let mut raw = Raw::open(address).await;
        raw.send(&bytes).await.unwrap();
        raw.stream.shutdown().await.unwrap();
        let answered = async {
            let mut answered = Vec::new();
            while !matches!(raw.stream.read_buf(&mut answered).await, Ok(0) | Err(_)) {}
            answered
        };
        let answered = timeout(PATIENCE, answered).await.unwrap_or_else(|_| panic!("{attack}: is not closed"));
        let found = answered.windows(answer.len() + 1).any(|part| {
            // Of a close frame the length of the reason lies between.
            part.starts_with(&answer) || (part[0] == answer[0] && part[2..] == answer[1..])
        });
        assert!(found, "{attack}: {}", String::from_utf8_lossy(&answered));
    }
}

/// Connections that end in the middle of something.
async fn cut_short(address: &str) {
    let bytes = [&SYN[..], &hello("cut"), &add("cut")].concat();
    for length in (0..bytes.len()).step_by(5) {
        let mut raw = Raw::open(address).await;
        raw.must_send([&bytes[..length]]).await;
        raw.stream.shutdown().await.unwrap();
        raw.is_closed(&format!("{length} of {} bytes", bytes.len())).await;
    }
    let half = SYN.len() + hello("flood-000").len() / 2;
    let flood = (0..200).map(|n| async move {
        let mut raw = Raw::open(address).await;
        raw.must_send([&[&SYN[..], &hello(&format!("flood-{n:03}"))].concat()[..half]]).await;
    });
    join_all(flood).await;
}

/// Calls until it is told to stop; every call must succeed.
async fn calls_on(client: &Peer, stop: &AtomicBool) -> usize {
    let mut calls = 0;
    while !stop.load(Relaxed) {
        for outcome in client.call("add", serde_json::json!([{"$index": 0}, 1])).timeout(20).many(50, 2).await {
            outcome.unwrap_or_else(|error| panic!("after {calls} calls: {error}"));
        }
        calls += 50;
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_peers_hurt_nobody() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let address = endpoint(&service).trim_start_matches("tcp://");
    let client = python_client(&service).name("good").start().await;
    let stop = AtomicBool::new(false);
    let attacks = async {
        let silent = join_all((0..50).map(|_| Raw::open(address))).await;
        let mut half = Raw::open(address).await;
        half.must_send([&SYN[..5]]).await;
        odd_pieces(address).await;
        rubbish(address).await;
        let mut half_upgrade = Raw::open(address).await;
        half_upgrade.must_send([&b"GET / HTTP/1.1\r\nUpgrade: web"[..]]).await;
        http(address).await;
        cut_short(address).await;
        // While all of these are still open, newcomers get in.
        let late = python_client(&service).name("late").start().await;
        assert_eq!(late.call("add", serde_json::json!([3, 4])).timeout(10).ok().await, 7);
        drop((silent, half, half_upgrade));
        stop.store(true, Relaxed);
    };
    let (calls, ()) = tokio::join!(calls_on(&client, &stop), attacks);
    assert!(calls > 0);
    assert_eq!(client.call("add", serde_json::json!([3, 4])).timeout(10).ok().await, 7);
    assert!(service.clients().contains(&"good".to_owned()));
}
