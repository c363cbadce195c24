//! Memory is shared out: the greedy, the silent and the deaf leave room for the honest, and nobody
//! honest is cut.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use daffi_core::{CallError, Callback, CallbackOptions, Client, NodeConfig, Service};
use daffi_serde::{Opaque, Single};
use daffi_transport::mem::{MemConnector, MemListener};
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use crate::{
    peer::Peer,
    support::{asynchronous, client, endpoint, method, node, router_with, service_at, worker},
};

const MIB: usize = 1024 * 1024;

/// A budget of 8 MiB, and frames of one.
fn small() -> NodeConfig {
    let limits = Limits::default().max_frame_bytes(MIB);
    NodeConfig::server().limits(limits).budget_bytes(8 * MIB).max_connections(100)
}

fn length() -> Callback {
    asynchronous("length", |(text,): (String,)| async move { text.len() })
}

fn text() -> Callback {
    asynchronous("text", |(n,): (usize,)| async move { "x".repeat(n) })
}

/// A call of "length" with so many letters.
fn upload(from: &str, to: &str, letters: usize) -> Vec<u8> {
    let header = Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true);
    let body = format!(r#"{{"args":["{}"],"kwargs":{{}}}}"#, "x".repeat(letters));
    let frame = Frame::new(header, from, to, "length", body.as_bytes(), &Limits::default()).unwrap();
    frame.as_bytes().to_vec()
}

/// Lets all other tasks go on until `condition` holds.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..10_000 {
        if condition().await {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("not in 200 s: {what}");
}

/// Together they are more than the budget, and each is slower than anything a server slows down.
#[tokio::test(start_paused = true)]
async fn slow_uploads_beyond_all_memory_lose_nobody() {
    let at = endpoint();
    let limits = Limits::default().max_frame_bytes(4 * MIB);
    let config = small().limits(limits).budget_bytes(32 * MIB);
    let _service = service_at(&at, config, vec![length()]);
    let good = client(&at, "good").await;
    let letters = 4 * MIB - 1000;
    let mut uploads = Vec::new();
    for n in 0..12 {
        let at = at.clone();
        uploads.push(tokio::spawn(async move {
            let name = format!("slow{n}");
            let mut peer = Peer::connect(&at).await;
            peer.hello(&name).await;
            for piece in upload(&name, "svc", letters).chunks(128 * 1024) {
                peer.send_bytes(piece).await;
                sleep(Duration::from_millis(250)).await;
            }
            peer.expect(Kind::Response).await
        }));
    }
    while !uploads.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(good.rpc().call::<usize>("length", ("small",)).await.unwrap(), 5);
        sleep(Duration::from_millis(100)).await;
    }
    for upload in uploads {
        assert!(upload.await.unwrap().contains(&letters.to_string()));
    }
}

/// Those who begin a large frame and go silent hold up nobody, and are ended.
#[tokio::test(start_paused = true)]
async fn frames_that_never_end_stop_no_service() {
    let at = endpoint();
    let service = service_at(&at, small(), vec![length()]);
    let mut silent = Vec::new();
    for n in 0..8 {
        let name = format!("silent{n}");
        let mut peer = Peer::connect(&at).await;
        peer.hello(&name).await;
        let frame = upload(&name, "svc", MIB - 1000);
        silent.push(tokio::spawn(async move {
            peer.send_bytes(&frame[..frame.len() - 1]).await;
            peer.receive().await
        }));
    }
    let good = client(&at, "good").await;
    for letters in [5, 50_000, 150_000] {
        let rpc = good.rpc().timeout(Duration::from_secs(1));
        assert_eq!(rpc.call::<usize>("length", ("x".repeat(letters),)).await.unwrap(), letters);
    }
    until("the silent are ended", || async { service.clients() == ["good"] }).await;
    for peer in silent {
        assert!(peer.await.unwrap().is_none());
    }
    assert_eq!(good.rpc().call::<usize>("length", ("x".repeat(900_000),)).await.unwrap(), 900_000);
}

#[tokio::test(start_paused = true)]
async fn frames_that_never_end_stop_no_router() {
    let (router, at) = router_with(small());
    let mut silent = Vec::new();
    for n in 0..8 {
        let name = format!("silent{n}");
        let mut peer = Peer::connect(&at).await;
        peer.hello(&name).await;
        let frame = upload(&name, "good", MIB - 1000);
        silent.push(tokio::spawn(async move {
            peer.send_bytes(&frame[..frame.len() - 1]).await;
            while peer.receive().await.is_some() {}
        }));
    }
    let _worker = worker(&at, "good", vec![length()]).await;
    let caller = client(&at, "caller").await;
    for letters in [5, 50_000, 150_000] {
        let rpc = caller.rpc().timeout(Duration::from_secs(1));
        assert_eq!(rpc.call::<usize>("length", ("x".repeat(letters),)).await.unwrap(), letters);
    }
    until("the silent are ended", || async { router.members().len() == 2 }).await;
    for peer in silent {
        peer.await.unwrap();
    }
}

/// Members that read nothing, or a byte now and then, take their shares only, and are ended.
#[tokio::test(start_paused = true)]
async fn deaf_members_make_no_call_to_a_healthy_worker_fail() {
    let (router, at) = router_with(small());
    let mut deaf = Vec::new();
    for n in 0..17 {
        let mut peer = Peer::connect(&at).await;
        peer.hello_with(&format!("deaf{n}"), "client", r#"["f"]"#).await;
        deaf.push(peer);
    }
    let _worker = worker(&at, "good", vec![length()]).await;
    let (flooder, caller) = (client(&at, "flooder").await, client(&at, "caller").await);
    let mut open = Vec::new();
    for n in 0..17 * 40 {
        let flooder = flooder.clone();
        open.push(tokio::spawn(async move {
            let to = format!("deaf{}", n % 17);
            flooder.rpc().receiver(&to).call::<()>("f", ("x".repeat(50_000),)).await
        }));
        yield_now().await;
    }
    let trickling = tokio::spawn(async move {
        loop {
            for peer in &mut deaf {
                let read = std::future::poll_fn(|cx| peer.0.reader.poll_fill(cx, 1)).await;
                if matches!(read, Ok(0) | Err(_)) {
                    return;
                }
            }
            sleep(Duration::from_secs(5)).await;
        }
    });
    for n in 0..100 {
        let letters = [5, 100_000][n % 2];
        let rpc = caller.rpc().timeout(Duration::from_secs(5));
        assert_eq!(rpc.call::<usize>("length", ("x".repeat(letters),)).await.unwrap(), letters);
        sleep(Duration::from_millis(500)).await;
    }
    for call in open {
        let error = call.await.unwrap().unwrap_err();
        let expected = matches!(
            error,
            CallError::Overloaded(_) | CallError::ReceiverGone { .. } | CallError::ReceiverNotFound { .. }
        );
        assert!(expected, "{error}");
    }
    until("the deaf are ended", || async { router.members().len() == 3 }).await;
    trickling.await.unwrap();
}

/// A caller that reads steadily gets every answer, however many it asked for at once, and keeps its
/// connection.
#[tokio::test(start_paused = true)]
async fn many_large_answers_to_a_caller_that_reads_slowly_end_nobody() {
    let (router, at) = router_with(small().budget_bytes(32 * MIB));
    let _worker = worker(&at, "good", vec![text()]).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello("caller").await;
    for id in 2..122 {
        let names = ["caller", "good", "text"];
        caller.send_to(Kind::Request, id, names, r#"{"args":[100000],"kwargs":{}}"#, true).await;
    }
    let mut answered = 0;
    while answered < 120 {
        let frame = caller.receive().await.expect("it is never cut");
        answered += usize::from(frame.kind() == Kind::Response);
        assert_ne!(frame.kind(), Kind::Error, "{frame:?}");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(router.members().len(), 2);
}

/// With less memory some answers are lost; each call ends, and the connection lives.
#[tokio::test(start_paused = true)]
async fn an_answer_without_room_is_an_error_that_says_so() {
    let (router, at) = router_with(small());
    let worker = worker(&at, "good", vec![text()]).await;
    let mut caller = Peer::connect(&at).await;
    caller.hello("caller").await;
    for id in 2..122 {
        let names = ["caller", "good", "text"];
        caller.send_to(Kind::Request, id, names, r#"{"args":[100000],"kwargs":{}}"#, true).await;
    }
    // All have run before it reads.
    sleep(Duration::from_secs(5)).await;
    let (mut whole, mut lost) = (0, 0);
    while whole + lost < 120 {
        let frame = caller.receive().await.expect("it is never cut");
        let body = String::from_utf8_lossy(frame.payload());
        match frame.kind() {
            Kind::Response => whole += 1,
            Kind::Error => {
                assert!(body.contains("AnswerLost") || body.contains("Overloaded"), "{body}");
                lost += 1;
            }
            _ => {}
        }
    }
    assert!(whole > 10 && lost > 10, "{whole} whole, {lost} lost");
    assert_eq!(router.members().len(), 2);
    drop(worker);
}

/// One that announces again and again, and takes every answer, is no deaf peer. Its last
/// announcement is answered.
#[tokio::test(start_paused = true)]
async fn one_that_announces_and_reads_is_never_cut() {
    const ROUNDS: usize = 150;
    let (router, at) = router_with(small());
    let mut peer = Peer::connect(&at).await;
    let announcement = |round: usize| {
        let names: Vec<_> = (0..3000).map(|n| format!("\"a callback with a rather long name {round} {n}\"")).collect();
        let (methods, meta) = (names.join(","), r#""meta":{"type":"client","error":null}"#);
        let body = format!(r#"{{{meta},"members":[{{"name":"busy","methods":[{methods}]}}]}}"#);
        let header = Header::control(Kind::Handshake, CallId(1), true);
        Frame::new(header, "busy", "", "", body.as_bytes(), &Limits::default()).unwrap()
    };
    peer.hello("busy").await;
    let (mut reader, mut writer) = (peer.0.reader, peer.0.writer);
    let sending = tokio::spawn(async move {
        let mut batch = daffi_transport::Batch::new();
        for round in 0..ROUNDS {
            batch.push_frame(announcement(round).as_bytes());
            while batch.frames() > 0 {
                std::future::poll_fn(|cx| writer.poll_write(cx, &mut batch)).await.unwrap();
            }
        }
        writer
    });
    let last = format!("name {} 2999", ROUNDS - 1);
    loop {
        match reader.next_frame().unwrap() {
            Some(frame) if String::from_utf8_lossy(frame.payload()).contains(&last) => break,
            Some(frame) => assert_eq!(frame.kind(), Kind::Handshake),
            None => assert!(std::future::poll_fn(|cx| reader.poll_fill(cx, 1 << 16)).await.unwrap() > 0, "it was cut"),
        }
    }
    assert_eq!(router.members().len(), 1);
    drop(sending.await.unwrap());
}

/// What arguments may hold once they are read is taken from the budget first. They wait for it, but
/// not for ever: who has it may wait for them.
#[tokio::test(start_paused = true)]
async fn large_arguments_without_room_are_refused_before_they_are_read() {
    let at = endpoint();
    let hold = asynchronous("hold", |(text,): (String,)| async move {
        sleep(Duration::from_secs(90)).await;
        text.len()
    });
    let _service = service_at(&at, small().workers(8), vec![hold]);
    let mut clients = Vec::new();
    for n in 0..8 {
        clients.push(client(&at, &format!("c{n}")).await);
    }
    let calls = clients.iter().map(|client| {
        let rpc = client.rpc();
        async move { rpc.call::<usize>("hold", ("x".repeat(300_000),)).await }
    });
    let (done, refused): (Vec<_>, Vec<_>) = futures::future::join_all(calls).await.into_iter().partition(Result::is_ok);
    assert!(!done.is_empty() && !refused.is_empty(), "{} done", done.len());
    assert!(refused.iter().all(|error| matches!(error, Err(CallError::Overloaded(why)) if why.contains("300"))));
    let rpc = clients[0].rpc();
    assert_eq!(rpc.call::<usize>("hold", ("x".repeat(300_000),)).await.unwrap(), 300_000);
}

/// Over one connection come the calls of all callers of a worker.
#[tokio::test(start_paused = true)]
async fn large_arguments_that_wait_for_memory_hold_up_no_other_call() {
    let at = endpoint();
    let hold = asynchronous("hold", |(text,): (String,)| async move {
        sleep(Duration::from_secs(90)).await;
        text.len()
    });
    let _service = service_at(&at, small().workers(8), vec![hold, length()]);
    let one = client(&at, "one").await;
    let calls = (0..4).map(|_| {
        let rpc = one.rpc();
        async move { rpc.call::<usize>("hold", ("x".repeat(100_000),)).await }
    });
    let calls = tokio::spawn(futures::future::join_all(calls));
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    assert_eq!(one.rpc().call::<usize>("length", ("x",)).await.unwrap(), 1);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let (done, refused): (Vec<_>, Vec<_>) = calls.await.unwrap().into_iter().partition(Result::is_ok);
    assert!(!done.is_empty() && !refused.is_empty(), "{} done", done.len());
}

/// Bytes that stay bytes are counted as they are, and bytes of which a callback makes a list as the
/// list that it may be.
#[tokio::test(start_paused = true)]
async fn bytes_of_which_a_callback_makes_a_list_are_counted_as_a_list() {
    let formats = Single::new(Opaque::default());
    // Longer than one waits until it may be read.
    let held = || sleep(Duration::from_secs(90));
    let options = CallbackOptions::default;
    let bytes = Callback::asynchronous(
        method("bytes"),
        options(),
        formats.clone(),
        move |(bytes,): (Vec<u8>,), _| async move {
            held().await;
            Ok(bytes.len())
        },
    );
    let list =
        Callback::asynchronous(method("list"), options(), formats.clone(), move |(list,): (Vec<u16>,), _| async move {
            held().await;
            Ok(list.len())
        });
    let at = endpoint();
    let builder =
        Service::builder(node("svc"), formats.clone()).config(small().workers(8)).callbacks(vec![bytes, list]);
    let _service = builder.listen(vec![Box::new(MemListener::bind(&at).unwrap())]).unwrap();
    let mut clients = Vec::new();
    for n in 0..8 {
        let connector = Box::new(MemConnector::new(at.clone()));
        clients.push(Client::builder(node(&format!("c{n}")), connector, formats.clone()).connect().await.unwrap());
    }
    let sent = Bytes::from(vec![7; 300_000]);
    let done = async |callback: &'static str| {
        let calls = clients.iter().map(|client| {
            let (rpc, sent) = (client.rpc().serde(FormatId::OPAQUE), sent.clone());
            async move { rpc.call::<usize>(callback, sent).await }
        });
        futures::future::join_all(calls).await.into_iter().filter(Result::is_ok).count()
    };
    assert_eq!(done("bytes").await, 8);
    let lists = done("list").await;
    assert!((1..8).contains(&lists), "{lists} of 8");
}

/// Members that take neither refusals nor answers to handshakes are ended; others are served all
/// the time.
#[tokio::test(start_paused = true)]
async fn members_that_take_nothing_of_what_they_provoke_are_ended() {
    let (router, at) = router_with(small());
    let _worker = worker(&at, "good", vec![length()]).await;
    let caller = client(&at, "caller").await;
    let mut deaf = Vec::new();
    for n in 0..32 {
        let (at, name) = (at.clone(), format!("deaf{n}"));
        deaf.push(tokio::spawn(async move {
            let mut peer = Peer::connect(&at).await;
            peer.hello_with(&name, "client/4", "null").await;
            for round in 0..2000_u16 {
                if n < 30 {
                    let nobody = "n".repeat(usize::from(500 + round % 7));
                    peer.send_to(Kind::Request, round + 2, [&name, &nobody, "f"], "{}", true).await;
                } else {
                    let methods: Vec<_> = (0..60).map(|n| format!("\"{}{round}-{n}\"", "m".repeat(90))).collect();
                    let (meta, methods) = (r#""meta":{"type":"client/4","error":null}"#, methods.join(","));
                    let body = format!(r#"{{{meta},"members":[{{"name":"{name}","methods":[{methods}]}}]}}"#);
                    let header = Header::control(Kind::Handshake, CallId(1), true);
                    let frame = Frame::new(header, &name, "", "", body.as_bytes(), &Limits::default()).unwrap();
                    peer.send_bytes(frame.as_bytes()).await;
                }
                if round % 100 == 0 {
                    yield_now().await;
                }
            }
            peer
        }));
    }
    until("the deaf are ended", || async {
        for letters in [5, 50_000] {
            let rpc = caller.rpc().timeout(Duration::from_secs(5));
            assert_eq!(rpc.call::<usize>("length", ("x".repeat(letters),)).await.unwrap(), letters);
        }
        router.members().len() == 2 && deaf.iter().all(tokio::task::JoinHandle::is_finished)
    })
    .await;
    drop(deaf);
}
