//! Lists of members are no weapon: who names much, often, or ever anew costs the others next to
//! nothing.

use std::{future::Future, time::Duration};

use daffi_core::{Client, InitializationError, NodeConfig};
use daffi_transport::{Endpoint, mem::MemConnector};
use daffi_wire::{CallId, Frame, Handshake, Header, Kind, Level, Limits, Ping};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    level_three::{Server, answer_to},
    peer::Peer,
    support::{Formats, client, endpoint, formats, node, plain, router, router_with, worker},
};

async fn connect(at: &Endpoint, name: &str) -> Result<Client<Formats>, InitializationError> {
    Client::builder(node(name), Box::new(MemConnector::new(at.clone())), formats()).connect().await
}

/// The JSON of a list of names, of so many bytes.
fn names(bytes: usize, round: usize) -> String {
    let name = |n: usize| format!("\"callback-{round:06}-{n:06}-{}\"", "x".repeat(70));
    let count = bytes / (name(0).len() + 1);
    format!("[{}]", (0..count).map(name).collect::<Vec<_>>().join(","))
}

async fn join(at: &Endpoint, name: &str, node_type: &str, methods: &str) -> (Peer, Handshake) {
    let mut peer = Peer::connect(at).await;
    let answer = peer.hello_with(name, node_type, methods).await;
    (peer, answer)
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(300), future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

fn announcement(name: &str, methods: &str) -> Frame {
    let body =
        format!(r#"{{"meta":{{"type":"client/4","error":null}},"members":[{{"name":"{name}","methods":{methods}}}]}}"#);
    let header = Header::control(Kind::Handshake, CallId(1), true);
    Frame::new(header, name, "", "", body.as_bytes(), &Limits::default()).unwrap()
}

/// Reads all that comes, for ever, and shows that it lives when it is asked.
fn reads_all(mut peer: Peer) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(frame) = peer.receive().await {
            if let Some(answer) = Ping::read(&frame).ok().and_then(Ping::answer) {
                peer.send_bytes(answer.frame().as_bytes()).await;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn greedy_lists_keep_no_newcomer_out() {
    let (router, at) = router();
    let (mut readers, mut refused) = (Vec::new(), 0);
    for n in 0..40 {
        let (peer, answer) = join(&at, &format!("greedy{n}"), "client/4", &names(600_000, n)).await;
        if let Some(reason) = answer.error {
            assert!(reason.contains("callbacks") && reason.contains("max_list_bytes"), "{reason}");
            refused += 1;
        }
        readers.push(reads_all(peer));
    }
    assert!((20..40).contains(&refused), "{refused} of the greedy were refused");
    let honest = (0..20).map(|n| plain(&format!("honest{n}"), |(n,): (i64,)| Ok(n))).collect();
    let worker = worker(&at, "worker", honest).await;
    let caller = client(&at, "caller").await;
    assert_eq!(caller.rpc().call::<i64>("honest7", (7,)).await.unwrap(), 7);
    assert_eq!(router.members().len(), 42 - refused);
    drop(worker);
}

/// What others hear of one that announces much and often: the newest, now and then.
#[tokio::test(start_paused = true)]
async fn one_that_announces_much_and_often_is_heard_seldom() {
    const ROUNDS: usize = 300;
    const BYTES: usize = 500_000;
    let (_router, at) = router();
    // One of level 3 need not show that it lives.
    let (mut bystander, _) = join(&at, "bystander", "client", "null").await;
    let (restless, _) = join(&at, "restless", "client/4", "null").await;
    let (reader, mut writer) = (restless.0.reader, restless.0.writer);
    let taking = tokio::spawn(async move {
        let mut reader = reader;
        while std::future::poll_fn(|cx| reader.poll_fill(cx, 1 << 16)).await.is_ok_and(|bytes| bytes > 0) {
            while reader.next_frame().unwrap().is_some() {}
        }
    });
    let begun = Instant::now();
    let announcing = tokio::spawn(async move {
        for round in 0..ROUNDS {
            let mut batch = daffi_transport::Batch::new();
            batch.push_frame(announcement("restless", &names(BYTES, round)).as_bytes());
            while batch.frames() > 0 {
                std::future::poll_fn(|cx| writer.poll_write(cx, &mut batch)).await.unwrap();
            }
            sleep(Duration::from_millis(200)).await;
        }
        writer
    });
    let (mut heard, last) = (0, format!("callback-{:06}", ROUNDS - 1));
    loop {
        let frame = soon("news of the last", bystander.receive()).await.unwrap();
        if frame.kind() == Kind::Handshake {
            heard += usize::from(frame.payload().len() > 1000);
            if String::from_utf8_lossy(frame.payload()).contains(&last) {
                break;
            }
        }
    }
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() * 64 * 1024 / BYTES + 2;
    assert!(heard <= most, "{heard} of {ROUNDS} announcements, in {:?}", begun.elapsed());
    drop(announcing.await.unwrap());
    taking.await.unwrap();
}

/// Whoever takes nothing is told the newest once it does, not all that happened.
#[tokio::test(start_paused = true)]
async fn news_wait_merged_for_one_that_does_not_take_them() {
    let (router, at) = router();
    // One of level 3 need not show that it lives.
    let (mut deaf, _) = join(&at, "deaf", "client", "null").await;
    let (changing, _) = join(&at, "changing", "client/4", "null").await;
    let (reader, mut changing) = (changing.0.reader, changing.0.writer);
    let mut reader = reader;
    let taking = tokio::spawn(async move {
        while std::future::poll_fn(|cx| reader.poll_fill(cx, 1 << 16)).await.is_ok_and(|bytes| bytes > 0) {
            while reader.next_frame().unwrap().is_some() {}
        }
    });
    for round in 0..400 {
        // Larger than what lies in the pipe to the deaf one.
        let (churning, _) = join(&at, &format!("churning{round}"), "client/4", &names(20_000, round)).await;
        let mut batch = daffi_transport::Batch::new();
        batch.push_frame(announcement("changing", &format!("[\"f{round}\"]")).as_bytes());
        while batch.frames() > 0 {
            std::future::poll_fn(|cx| changing.poll_write(cx, &mut batch)).await.unwrap();
        }
        sleep(Duration::from_millis(100)).await;
        drop(churning);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(router.members().len(), 2, "the deaf one has not been ended");
    let (mut frames, mut newest) = (0, false);
    while !newest {
        let frame = soon("the newest", deaf.receive()).await.unwrap();
        frames += 1;
        newest = String::from_utf8_lossy(frame.payload()).contains("\"f399\"");
    }
    assert!(frames < 40, "{frames} frames of 1200 changes");
    drop((changing, deaf));
    taking.await.unwrap();
}

/// A call does not reach one that has not heard of its caller, and waits for nobody who takes no
/// news.
#[tokio::test(start_paused = true)]
async fn newcomers_that_call_a_deaf_member_make_the_router_hold_no_more_than_its_share() {
    let limits = Limits::default().max_frame_bytes(1024 * 1024);
    let config = NodeConfig::server().limits(limits).budget_bytes(8 * 1024 * 1024).max_connections(100);
    let (router, at) = router_with(config);
    let (mut deaf, _) = join(&at, "deaf", "client/4", r#"["f"]"#).await;
    let mut overloaded = 0;
    for round in 0..120 {
        let (mut churning, _) = join(&at, &format!("c{round}"), "client/4", &names(100_000, round)).await;
        let caller = format!("c{round}");
        churning.send_to(Kind::Request, 2, [&caller, "deaf", "f"], "{}", false).await;
        churning.send_to(Kind::Request, 2, [&caller, "deaf", "f"], "{}", true).await;
        churning.send_to(Kind::Request, 3, [&caller, "nobody", "f"], "{}", true).await;
        loop {
            let frame = soon("an answer", churning.receive()).await.unwrap();
            let text = String::from_utf8_lossy(frame.payload()).into_owned();
            overloaded += usize::from(text.contains("Overloaded"));
            if frame.header().id() == CallId(3) {
                break;
            }
        }
    }
    assert!(overloaded > 40, "{overloaded} of 120 calls");
    // It took what its share allows, and goes on.
    let mut bytes = 0;
    while let Ok(Some(frame)) = timeout(Duration::from_secs(10), deaf.receive()).await {
        bytes += frame.as_bytes().len();
    }
    assert!(bytes < 8 * 1024 * 1024, "{bytes}");
    let good = client(&at, "good").await;
    let call = good.rpc().receiver("deaf");
    let call = tokio::spawn(async move { call.call::<i64>("f", ()).await });
    let id = loop {
        let frame = soon("the call", deaf.receive()).await.unwrap();
        if frame.kind() == Kind::Request {
            break frame.header().id().0;
        }
    };
    deaf.send_to(Kind::Response, id, ["deaf", "good", "f"], r#"{"args":[5],"kwargs":{}}"#, false).await;
    assert_eq!(call.await.unwrap().unwrap(), 5);
    assert_eq!(router.members().len(), 2);
}

/// What it sends is no answer, however steadily it comes.
#[tokio::test(start_paused = true)]
async fn a_server_that_sends_anything_but_its_answer_is_not_waited_for() {
    let at = endpoint();
    let mut server = Server::bind(&at);
    let begun = Instant::now();
    let connecting = tokio::spawn(async move { connect(&at, "caller").await.map(drop) });
    let (mut peer, _) = server.accept_unanswered().await;
    let news = format!(r#"{{"type":"disconnected","member":"w","more":"{}"}}"#, "x".repeat(130_000));
    let header = Header::control(Kind::Events, CallId::NONE, false);
    let frame = Frame::new(header, "", "", "", news.as_bytes(), &Limits::default()).unwrap();
    let mut rest = frame.as_bytes().iter().cycle();
    while !connecting.is_finished() {
        let piece: Vec<u8> = rest.by_ref().take(12_000).copied().collect();
        peer.send_bytes(&piece).await;
        sleep(Duration::from_secs(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(60), "it is waited for");
    }
    assert!(soon("it ends", connecting).await.unwrap().is_err());
}

/// Over a slow way the list of many members takes longer than a handshake may.
#[tokio::test(start_paused = true)]
async fn a_list_that_comes_slowly_and_steadily_is_waited_for() {
    let methods = names(300_000, 0);
    let list = format!(
        r#"{{"meta":{{"type":"router","error":null}},"members":[{{"name":"caller","methods":null}},{{"name":"w","methods":{methods}}}]}}"#
    );
    for pieces in [usize::MAX, 5] {
        let at = endpoint();
        let mut server = Server::bind(&at);
        let begun = Instant::now();
        let connecting = tokio::spawn({
            let at = at.clone();
            async move { connect(&at, "caller").await }
        });
        let (mut peer, hello) = server.accept_unanswered().await;
        for piece in answer_to(&hello, &list).as_bytes().chunks(20_000).take(pieces) {
            peer.send_bytes(piece).await;
            sleep(Duration::from_secs(1)).await;
        }
        let connected = soon("it connects, or not", connecting).await.unwrap();
        if pieces == 5 {
            assert!(connected.is_err() && begun.elapsed() < Duration::from_secs(25), "it stopped in the middle");
        } else {
            assert!(connected.is_ok() && begun.elapsed() > Duration::from_secs(10), "{:?}", connected.err());
        }
    }
}

/// Their handshakes are answered one by one, some after their turn came.
#[tokio::test]
async fn newcomers_that_waited_for_their_turn_speak_the_level_that_they_were_answered() {
    let (_router, at) = router();
    let joining = (0..6).map(|n| {
        let (name, at) = (format!("{n}{}", "h".repeat(300)), at.clone());
        async move { join(&at, &name, "client/4", "null").await }
    });
    for (mut peer, answer) in futures::future::join_all(joining).await {
        assert_eq!(answer.node_type.level(), Level::FOUR);
        peer.send_bytes(Ping::Asks(*b"at four?").frame().as_bytes()).await;
        let answered = async {
            loop {
                let frame = peer.receive().await.expect("it is understood");
                if frame == Ping::Answers(*b"at four?").frame() {
                    return;
                }
            }
        };
        soon("an answer", answered).await;
    }
}
