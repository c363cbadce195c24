//! What a hand-made client sends after the handshake, and how links end.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{
    future::poll_fn,
    io::Read as _,
    time::{Duration, Instant},
};

use bytes::Buf;
use common::{BINARY, CLOSE, PATIENCE, PING, PONG, RawClient, Server, TEXT, frame, ws};
use daffi_transport::{Batch, Connector, Link, LinkError};
use daffi_transport_ws::{CLOSE_TIMEOUT, Keepalive, WebSockets, WsConnector};
use daffi_wire::{DecodeError, SYN};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

async fn receive(link: &mut Link) -> Result<Option<daffi_wire::Frame>, LinkError> {
    timeout(PATIENCE, link.receive()).await.expect("a link neither hangs nor waits")
}

async fn shutdown(link: &mut Link) {
    timeout(PATIENCE, poll_fn(|cx| link.writer.poll_shutdown(cx))).await.unwrap().unwrap();
}

#[tokio::test]
async fn text_binary_masked_and_fragments_are_taken_alike() {
    let mut server = Server::new().await;
    let (mut link, mut client) = server.meet().await;
    let whole = frame(1, 300);
    client.send(&ws(BINARY, whole.as_bytes())).await;
    client.send(&ws(TEXT, whole.as_bytes())).await;
    for cut in [0, 1, 9, 100, whole.as_bytes().len()] {
        let (first, second) = whole.as_bytes().split_at(cut);
        client.send(&[ws(0x02, first), ws(PING, b"between"), ws(0x00, b""), ws(0x80, second)].concat()).await;
    }
    let mut masked = vec![BINARY, 0x80 | 126];
    masked.extend_from_slice(&u16::try_from(whole.as_bytes().len()).unwrap().to_be_bytes());
    masked.extend_from_slice(&[1, 2, 3, 4]);
    masked.extend(whole.as_bytes().iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key));
    client.send(&masked).await;
    for _ in 0..8 {
        assert_eq!(receive(&mut link).await.unwrap(), Some(whole.clone()));
    }
    // What pings ask for leaves while the link waits for more.
    let answer = tokio::select! {
        more = receive(&mut link) => panic!("{more:?}"),
        answer = client.receive() => answer,
    };
    assert_eq!(answer, (PONG, b"between".to_vec()));
}

#[tokio::test]
async fn frames_leave_as_one_binary_message_each() {
    let mut server = Server::new().await;
    let (mut link, mut client) = server.meet().await;
    let sizes = [0, 100, 125, 126, 5_000, 65_535, 65_536, 2_000_000];
    let sending = tokio::spawn(async move {
        let mut batch = Batch::new();
        for size in sizes {
            let whole = frame(1, size);
            batch.push(&whole.as_bytes()[..20], Some(whole.as_bytes().slice(20..)));
        }
        let mut taken = 0;
        let all = batch.remaining();
        while batch.has_remaining() {
            taken += poll_fn(|cx| link.writer.poll_write(cx, &mut batch)).await.unwrap();
        }
        assert_eq!(taken, all);
        poll_fn(|cx| link.writer.poll_flush(cx)).await.unwrap();
        link
    });
    for size in sizes {
        let (first, payload) = client.receive().await;
        assert_eq!((first, payload.len()), (BINARY, frame(1, size).as_bytes().len()));
        assert_eq!(payload, frame(1, size).as_bytes()[..]);
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn what_is_not_one_whole_frame_closes_with_a_code_and_a_sentence() {
    let whole = frame(1, 10).into_bytes();
    let size = whole.len();
    let two = [&whole[..], &whole[..]].concat();
    let no_separators = [&[0, 0, 1, 3, 0, 0, 6, 0, 0x81], &b"abc"[..]].concat();
    let not_one = |size, frame| Some(DecodeError::NotOneFrame { size, frame });
    for (message, code, error) in [
        (&b""[..], 1007, not_one(0, 9)),
        (&whole[..8], 1007, not_one(8, 9)),
        (&whole[..size - 1], 1007, not_one(size - 1, size)),
        (&two, 1007, not_one(2 * size, size)),
        (&[&whole[..], b"x"].concat(), 1007, not_one(size + 1, size)),
        (&SYN, 1007, None),
        (&no_separators, 1007, Some(DecodeError::Separators(0))),
    ] {
        let mut server = Server::new().await;
        let (mut link, mut client) = server.meet().await;
        client.send(&[ws(BINARY, &whole), ws(BINARY, message), ws(BINARY, &whole)].concat()).await;
        assert!(receive(&mut link).await.unwrap().is_some(), "what came before counts");
        let (seen, (closed, reason)) = tokio::join!(receive(&mut link), async {
            let close = client.close_code().await;
            client.stream.shutdown().await.unwrap();
            close
        });
        let LinkError::Protocol(seen) = seen.unwrap_err() else { panic!("{message:?}") };
        assert_eq!((closed, reason), (code, seen.to_string()));
        if let Some(error) = error {
            assert_eq!(seen, error);
        }
        let refused = link.send(&frame(1, 1)).await.unwrap_err();
        assert!(matches!(refused, LinkError::Protocol(_)), "later writers are told the same: {refused}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_on_its_header() {
    let mut server = Server::new().await;
    server.config.limits.max_frame_bytes = 1000;
    let fits = frame(1, 1000 - "cli|svc|echo".len()).into_bytes();
    assert_eq!(fits.len(), 1009);
    for too_large in [
        vec![BINARY, 126, 0x03, 0xf2],
        vec![BINARY, 127, 0, 0, 0, 1, 0, 0, 0, 0],
        [ws(0x02, &fits[..1000]), vec![0x80, 10]].concat(),
    ] {
        let (mut link, mut client) = server.meet().await;
        client.send(&ws(BINARY, &fits)).await;
        assert_eq!(receive(&mut link).await.unwrap().unwrap().as_bytes(), &fits);
        client.send(&too_large).await;
        let (seen, (code, reason)) = tokio::join!(receive(&mut link), async {
            let close = client.close_code().await;
            client.stream.shutdown().await.unwrap();
            close
        });
        assert_eq!(code, 1009);
        assert!(reason.contains("the limit is 1009"), "{reason}");
        let error = seen.unwrap_err().to_string();
        assert!(error.contains("a rule of WebSocket") && error.contains(&reason), "{error}");
    }
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let mut text = String::new();
    std::fs::File::open("/proc/self/statm").unwrap().read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Address space of this process in bytes.
fn reserved() -> usize {
    let mut text = String::new();
    std::fs::File::open("/proc/self/statm").unwrap().read_to_string(&mut text).unwrap();
    text.split(' ').next().unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_grows_with_what_arrives_and_not_on_the_word_of_a_header() {
    let mut server = Server::new().await;
    let before = (resident(), reserved());
    let mut held = Vec::new();
    for _ in 0..50 {
        let (mut link, mut client) = server.meet().await;
        client.send(&[&[BINARY, 127, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff][..], &[0; 100]].concat()).await;
        poll_fn(|cx| link.reader.poll_fill(cx, usize::MAX)).await.unwrap();
        assert_eq!(link.reader.next_frame().unwrap(), None);
        assert_eq!(link.reader.buffered_bytes(), 100);
        assert!(
            link.reader.held_bytes() <= 128 << 10 && link.reader.growth() <= 128 << 10,
            "{}",
            link.reader.held_bytes()
        );
        held.push((link, client));
    }
    // 50 times 32 MiB are announced; other tests of this process run beside this one.
    let grown = (resident().saturating_sub(before.0), reserved().saturating_sub(before.1));
    assert!(grown.0 < 100 << 20 && grown.1 < 800 << 20, "{grown:?}");
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_within_bounds() {
    let mut server = Server::new().await;
    let (mut link, mut client) = server.meet().await;
    // Far more than sockets hold, from a client that reads nothing meanwhile.
    let pings = ws(PING, &[7; 125]).repeat(10_000);
    let flood = async {
        for _ in 0..20 {
            client.send(&pings).await;
        }
        client.send(&ws(BINARY, frame(1, 1).as_bytes())).await;
    };
    let (received, ()) = tokio::join!(receive(&mut link), flood);
    assert_eq!(received.unwrap(), Some(frame(1, 1)));
    assert_eq!(client.receive().await, (PONG, vec![7; 125]));
}

#[tokio::test]
async fn a_peers_close_is_answered_and_the_connection_ended() {
    for (sent, answered, ends_well) in [
        (&b""[..], 1000, true),
        (b"\x03\xe8bye", 1000, true),
        (b"\x03\xe9", 1001, true),
        (b"\x0f\xa0why", 4000, false),
        (b"\x03\xf1", 1009, false),
        (b"\x03\xed", 1002, false),
        (b"\x03", 1002, false),
    ] {
        let mut server = Server::new().await;
        let (mut link, mut client) = server.meet().await;
        client.send(&[ws(BINARY, frame(1, 1).as_bytes()), ws(CLOSE, sent)].concat()).await;
        assert_eq!(receive(&mut link).await.unwrap(), Some(frame(1, 1)));
        let begun = Instant::now();
        let ended = receive(&mut link).await;
        assert!(begun.elapsed() < CLOSE_TIMEOUT * 3, "{:?}", begun.elapsed());
        assert_eq!(ended.is_ok(), ends_well, "{sent:?}: {ended:?}");
        if sent == b"\x0f\xa0why" {
            assert_eq!(ended.unwrap_err().to_string(), "the peer closed the WebSocket with code 4000, reason \"why\"");
        }
        assert_eq!(client.close_code().await.0, answered);
        client.await_close().await;
        let refused = link.send(&frame(1, 1)).await.expect_err("nothing is sent behind a close frame");
        assert_eq!(matches!(refused, LinkError::Ended), ends_well, "{sent:?}: {refused:?}");
    }
}

#[tokio::test]
async fn shutting_down_closes_with_1000_and_waits_for_the_peers_answer_only() {
    let mut server = Server::new().await;
    let (mut link, mut client) = server.meet().await;
    link.send(&frame(1, 1)).await.unwrap();
    shutdown(&mut link).await;
    assert_eq!(client.receive().await.0, BINARY);
    assert_eq!(client.close_code().await, (1000, String::new()));
    // What the peer sent before it knew still counts.
    client.send(&[ws(BINARY, frame(2, 1).as_bytes()), ws(CLOSE, &1000_u16.to_be_bytes())].concat()).await;
    assert_eq!(receive(&mut link).await.unwrap(), Some(frame(2, 1)));
    assert_eq!(receive(&mut link).await.unwrap(), None);
    client.await_close().await;
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_message_is_an_error_and_between_two_an_end() {
    for (sent, ends_well) in
        [(ws(BINARY, frame(1, 10).as_bytes()), true), (vec![BINARY, 30, 1, 2], false), (vec![0x02, 1, 7], false)]
    {
        let mut server = Server::new().await;
        let (mut link, mut client) = server.meet().await;
        client.send(&sent).await;
        drop(client);
        if ends_well {
            assert!(receive(&mut link).await.unwrap().is_some());
        }
        assert_eq!(receive(&mut link).await.is_ok(), ends_well);
    }
}

const QUICK: Keepalive = Keepalive { interval: Duration::from_millis(100), patience: Duration::from_secs(1) };

#[tokio::test]
async fn a_silent_client_is_pinged_and_ended_when_nothing_comes() {
    let mut server = Server::taking(WebSockets::new().keepalive(QUICK)).await;
    let (mut link, mut client) = server.meet().await;
    let ending = tokio::spawn(async move { (Instant::now(), receive(&mut link).await, link) });
    for _ in 0..3 {
        assert_eq!(client.receive().await, (PING, Vec::new()));
        client.send(&ws(PONG, b"")).await;
    }
    assert_eq!(client.receive().await, (PING, Vec::new()));
    let unanswered = Instant::now();
    let (begun, ended, _link) = ending.await.unwrap();
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("no answer to a ping"), "{error}");
    assert!(begun.elapsed() >= QUICK.interval * 4, "each answer gave it more time");
    assert!(unanswered.elapsed() >= QUICK.patience.mul_f32(0.9), "{:?}", unanswered.elapsed());
}

#[tokio::test]
async fn our_client_answers_pings_and_pings() {
    let mut server = Server::taking(WebSockets::new().keepalive(QUICK)).await;
    let connector = WsConnector::new(format!("ws://{}", server.address()).parse().unwrap()).keepalive(QUICK);
    let config = server.config;
    let connecting = tokio::spawn(async move { connector.connect(&config).await.unwrap() });
    let mut link = server.accept().await.unwrap();
    let mut client = connecting.await.unwrap();
    // Several times as long as either would wait in silence.
    let quiet = (QUICK.interval + QUICK.patience) * 3;
    let (one, other) = tokio::join!(timeout(quiet, link.receive()), timeout(quiet, client.receive()));
    assert!(one.is_err() && other.is_err(), "neither end saw the other end: {one:?} {other:?}");
    client.send(&frame(1, 1)).await.unwrap();
    assert_eq!(receive(&mut link).await.unwrap(), Some(frame(1, 1)));
}

/// A server that answers the upgrade as 3.0.1 does, and then is silent.
async fn like_3_0_1(listener: &TcpListener) -> RawClient {
    let mut peer = RawClient { stream: listener.accept().await.unwrap().0 };
    let request = peer.head().await;
    assert!(request.starts_with("GET /x HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-Websocket-Accept: {accept}\r\n\r\n"
    );
    peer.send(answer.as_bytes()).await;
    peer
}

#[tokio::test]
async fn a_server_that_does_not_say_that_it_answers_pings_is_never_pinged_and_never_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("ws://{}/x", listener.local_addr().unwrap()).parse().unwrap();
    let connector = WsConnector::new(endpoint).keepalive(QUICK);
    let (client, mut peer) = tokio::join!(connector.connect(&Default::default()), like_3_0_1(&listener));
    let mut client = client.unwrap();

    let quiet = (QUICK.interval + QUICK.patience) * 3;
    assert!(timeout(quiet, client.receive()).await.is_err(), "silence is no end");
    let large = frame(1, 100_000);
    client.send(&large).await.unwrap();
    shutdown(&mut client).await;

    // The first frame is the message: masked, binary, whole.
    assert_eq!(peer.stream.read_u16().await.unwrap(), 0x82ff);
    let length = peer.stream.read_u64().await.unwrap();
    assert_eq!(length, large.as_bytes().len() as u64);
    let mut bytes = vec![0; 4 + large.as_bytes().len()];
    peer.stream.read_exact(&mut bytes).await.unwrap();
    let (key, payload) = bytes.split_at(4);
    assert!(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).eq(large.as_bytes().iter().copied()));
    assert_eq!(peer.stream.read_u16().await.unwrap(), 0x8882, "then the close frame");

    // 3.0.1 answers a close, and leaves the connection open.
    peer.send(&ws(CLOSE, &1000_u16.to_be_bytes())).await;
    let begun = Instant::now();
    assert_eq!(receive(&mut client).await.unwrap(), None);
    assert!(begun.elapsed() < CLOSE_TIMEOUT / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_breaks_a_rule_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = WsConnector::new(format!("ws://{}/x", listener.local_addr().unwrap()).parse().unwrap());
    let (client, mut peer) = tokio::join!(connector.connect(&Default::default()), like_3_0_1(&listener));
    let mut client = client.unwrap();
    peer.send(&[BINARY, 0x80, 1, 2, 3, 4]).await;
    let begun = Instant::now();
    let error = receive(&mut client).await.unwrap_err();
    assert!(error.to_string().contains("must not mask"), "{error}");
    assert!(begun.elapsed() < CLOSE_TIMEOUT * 3, "a server that does not close is not waited for");
    let first = peer.stream.read_u8().await.unwrap();
    assert_eq!(first, CLOSE);
}
