//! Members tell their Router of whom they want to hear: peers that speak by hand show what goes
//! over the wire, and clients that each learns what it uses.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use daffi_core::{CallError, Client, MemberEvent, Router};
use daffi_transport::{Endpoint, mem::MemConnector, mem::MemListener};
use daffi_wire::{CallerLeft, FormatId, Frame, Handshake, Header, Kind, Level, Limits, MethodName, Ping, Watch};
use futures::{FutureExt, StreamExt};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{
    peer::{Peer, handshake, next_of_a_call, raw, send},
    support::{Formats, endpoint, formats, hang, node, plain, router},
};

fn methods(names: &[&str]) -> Vec<MethodName> {
    names.iter().map(|name| MethodName::new(name, &Limits::default()).unwrap()).collect()
}

fn add(names: &[&str]) -> Watch {
    Watch { add: methods(names), ..Watch::default() }
}

/// A level 4 peer that watches nothing yet. `methods`: the JSON of the list.
async fn watcher(at: &Endpoint, name: &str, methods: &str) -> Peer {
    let mut peer = Peer::connect(at).await;
    let answer = peer.hello_saying(name, "client/4", methods, Handshake::WATCH_NONE).await;
    assert_eq!(listed(&answer), [name], "it is told of itself");
    peer
}

fn listed(body: &Handshake) -> Vec<&str> {
    body.members.iter().map(|member| member.name.as_str()).collect()
}

/// The next frame but for a PING, which is answered.
async fn next(peer: &mut Peer) -> Frame {
    loop {
        let frame = timeout(Duration::from_secs(60), peer.receive()).await.expect("a frame in time").expect("a frame");
        if frame.kind() != Kind::Ping {
            return frame;
        }
        if let Some(answer) = Ping::read(&frame).ok().and_then(Ping::answer) {
            peer.send_bytes(answer.frame().as_bytes()).await;
        }
    }
}

async fn text(peer: &mut Peer) -> String {
    String::from_utf8_lossy(next(peer).await.payload()).into_owned()
}

/// What a WATCH is answered: the next frame, so that nothing was told before.
async fn watch(peer: &mut Peer, name: &str, says: &Watch) -> Handshake {
    peer.send_bytes(says.frame(name, &Limits::default()).unwrap().as_bytes()).await;
    let answer = next(peer).await;
    assert_eq!((answer.kind(), answer.header().wants_reply(), answer.transmitter()), (Kind::Watch, false, name));
    Handshake::parse(answer.payload(), &Limits::default()).unwrap()
}

fn notice(name: &str, methods: &str) -> String {
    format!(
        r#"{{"meta":{{"type":"router/4","error":null}},"members":[{{"name":"{name}","methods":{methods},"level":4}}]}}"#
    )
}

fn event(kind: &str, name: &str) -> String {
    format!(r#"{{"type":"{kind}","member":"{name}"}}"#)
}

#[tokio::test]
async fn a_member_is_told_of_those_who_expose_what_it_watches_and_of_nobody_else() {
    let (_router, at) = router();
    let mut idle = watcher(&at, "idle", r#"["g"]"#).await;
    let mut caller = watcher(&at, "caller", "null").await;
    let first = watcher(&at, "first", r#"["f","h"]"#).await;
    let answer = watch(&mut caller, "caller", &add(&["f", "nobody"])).await;
    assert_eq!((listed(&answer), &answer.error, answer.members[0].level), (vec!["first"], &None, Level::FOUR));
    assert_eq!(listed(&watch(&mut caller, "caller", &add(&["h"])).await), [""; 0], "it was told of that one");
    // In the order of what happens: one that it does not watch, one that it does, and a change.
    let other = watcher(&at, "other", r#"["g"]"#).await;
    let mut second = watcher(&at, "second", r#"["f"]"#).await;
    assert_eq!(text(&mut caller).await, notice("second", r#"["f"]"#));
    assert_eq!(text(&mut caller).await, event("connected", "second"));
    second.send_bytes(handshake("second", "client/4", r#"["g"]"#, Handshake::WATCH_NONE).as_bytes()).await;
    assert_eq!(text(&mut caller).await, notice("second", r#"["g"]"#), "from here on it is told no more of it");
    drop((second, other, first));
    assert_eq!(text(&mut caller).await, event("disconnected", "first"));
    assert_eq!(listed(&watch(&mut caller, "caller", &add(&["g"])).await), ["idle"]);
    assert_eq!(listed(&watch(&mut idle, "idle", &Watch::default()).await), [""; 0], "nobody was told to it");
}

#[tokio::test]
async fn those_who_announce_no_watching_see_what_they_always_saw() {
    let (_router, at) = router();
    let mut three = raw(&at, "three", "client", "null").await;
    let mut four = raw(&at, "four", "client/4", "null").await;
    let silent = watcher(&at, "worker", r#"["f"]"#).await;
    let of_three = r#"{"meta":{"type":"router","error":null},"members":[{"name":"worker","methods":["f"]}]}"#;
    let connected = event("connected", "four");
    assert_eq!([text(&mut three).await, text(&mut three).await], [connected, of_three.to_owned()]);
    assert_eq!(text(&mut three).await, event("connected", "worker"));
    assert_eq!(
        [text(&mut four).await, text(&mut four).await],
        [notice("worker", r#"["f"]"#), event("connected", "worker")]
    );
    assert_eq!(listed(&watch(&mut four, "four", &add(&["f"])).await), [""; 0], "it is told of all in any case");
    drop(silent);
    for peer in [&mut three, &mut four] {
        assert_eq!(text(peer).await, event("disconnected", "worker"));
    }
    let mut late = Peer::connect(&at).await;
    assert_eq!(listed(&late.hello("late").await), ["three", "four", "late"]);
    // A section of two words says both.
    let mut both = Peer::connect(&at).await;
    assert_eq!(listed(&both.hello_saying("both", "client/4", "null", "identity:tell,watch:none").await), ["both"]);
    // On a level 3 link it says nothing.
    let mut old = Peer::connect(&at).await;
    assert_eq!(old.hello_saying("old", "client", "null", Handshake::WATCH_NONE).await.members.len(), 5);
}

#[tokio::test]
async fn one_that_asks_for_all_is_told_of_all() {
    let (_router, at) = router();
    let mut caller = watcher(&at, "caller", "null").await;
    let workers = [watcher(&at, "w1", r#"["f"]"#).await, watcher(&at, "w2", "null").await];
    assert_eq!(listed(&watch(&mut caller, "caller", &add(&["f"])).await), ["w1"]);
    assert_eq!(listed(&watch(&mut caller, "caller", &Watch::all()).await), ["caller", "w1", "w2"]);
    assert_eq!(listed(&watch(&mut caller, "caller", &Watch::all()).await), [""; 0]);
    let removes = Watch { remove: methods(&["f"]), ..Watch::default() };
    assert_eq!(listed(&watch(&mut caller, "caller", &removes).await), [""; 0], "all stays all");
    drop(workers);
    let mut gone = [text(&mut caller).await, text(&mut caller).await];
    gone.sort();
    assert_eq!(gone, [event("disconnected", "w1"), event("disconnected", "w2")]);
}

#[tokio::test]
async fn who_takes_the_name_of_another_is_told_to_those_who_watch_either() {
    let (_router, at) = router();
    let mut caller = watcher(&at, "caller", "null").await;
    watch(&mut caller, "caller", &add(&["f"])).await;
    let old = watcher(&at, "w", r#"["f"]"#).await;
    assert_eq!([text(&mut caller).await, text(&mut caller).await], [notice("w", r#"["f"]"#), event("connected", "w")]);
    let new = watcher(&at, "w", r#"["g"]"#).await;
    assert_eq!(text(&mut caller).await, event("evicted", "w"));
    let newest = watcher(&at, "w", r#"["f"]"#).await;
    assert_eq!([text(&mut caller).await, text(&mut caller).await], [notice("w", r#"["f"]"#), event("connected", "w")]);
    drop((old, new, newest));
}

#[tokio::test]
async fn what_a_member_may_watch_is_bounded_and_the_limit_is_named() {
    let (_router, at) = router();
    let mut caller = watcher(&at, "caller", "null").await;
    let _worker = watcher(&at, "w", r#"["f"]"#).await;
    let names: Vec<_> = (0..4096).map(|n| format!("n{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(watch(&mut caller, "caller", &add(&names)).await.error, None);
    let refused = watch(&mut caller, "caller", &add(&["f"])).await;
    assert!(refused.error.unwrap().contains("4097 callbacks, and a member watches 4096 at most"));
    let long: Vec<_> = (0..300).map(|n| format!("{n}{}", "x".repeat(900))).collect();
    let mut other = watcher(&at, "other", "null").await;
    let long: Vec<_> = long.iter().map(String::as_str).collect();
    let refused = watch(&mut other, "other", &add(&long)).await.error.unwrap();
    assert!(refused.contains("may have 262144"), "{refused}");
    let mut other = watcher(&at, "another", "null").await;
    // What is no WATCH is refused as well, and one that is not its sender's is skipped.
    let header = Watch::all().frame("another", &Limits::default()).unwrap().header();
    let junk = Frame::new(header, "another", "", "", b"junk", &Limits::default()).unwrap();
    other.send_bytes(junk.as_bytes()).await;
    assert!(text(&mut other).await.contains("not a valid watch body"));
    other.send_bytes(Watch::all().frame("caller", &Limits::default()).unwrap().as_bytes()).await;
    assert_eq!(listed(&watch(&mut other, "another", &add(&["f"])).await), ["w"], "the connection lives");
    let instead = Watch { add: methods(&["f"]), remove: methods(&["n0"]), all: false };
    assert_eq!(listed(&watch(&mut caller, "caller", &instead).await), ["w"]);
}

#[tokio::test]
async fn one_that_changes_its_mind_without_end_is_refused_and_others_are_not() {
    let (_router, at) = router();
    let _workers = [watcher(&at, "w1", r#"["f"]"#).await, watcher(&at, "w2", r#"["f"]"#).await];
    let mut restless = watcher(&at, "restless", "null").await;
    let removes = Watch { remove: methods(&["f"]), ..Watch::default() };
    let mut refused = None;
    for _ in 0..5000 {
        for says in [&add(&["f"]), &removes] {
            refused = refused.or(watch(&mut restless, "restless", says).await.error);
        }
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("too often");
    assert!(refused.contains("too often") && refused.contains("65536 in a second"), "{refused}");
    let mut caller = watcher(&at, "caller", "null").await;
    assert_eq!(listed(&watch(&mut caller, "caller", &add(&["f"])).await), ["w1", "w2"]);
}

/// Whoever takes nothing of what it watches is told the newest once it does; what it does not watch
/// makes nobody keep anything for it.
#[tokio::test(start_paused = true)]
async fn news_for_a_watcher_that_takes_none_are_merged() {
    let (router, at) = router();
    let mut deaf = watcher(&at, "deaf", "null").await;
    watch(&mut deaf, "deaf", &add(&["f"])).await;
    let names = |n: usize| {
        let long = (0..200).map(|m| format!("\"callback-{n}-{m}-{}\"", "x".repeat(70)));
        format!("[\"f\",{}]", long.collect::<Vec<_>>().join(","))
    };
    for round in 0..80 {
        // Larger than what lies in the pipe to the deaf one.
        let churning = watcher(&at, &format!("churning{round}"), &names(round)).await;
        let other = watcher(&at, &format!("other{round}"), r#"["g"]"#).await;
        sleep(Duration::from_millis(60)).await;
        drop((churning, other));
        sleep(Duration::from_millis(20)).await;
    }
    let _last = watcher(&at, "last", r#"["f"]"#).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(router.members().len(), 2, "the deaf one has not been ended");
    let mut frames = 0;
    while text(&mut deaf).await != event("connected", "last") {
        frames += 1;
    }
    assert!(frames < 40, "{frames} frames of 160 that came and went");
}

/// Credit needs no list: who is sent to has not been told of the sender, and hears when it is gone.
#[tokio::test]
async fn what_nobody_answers_comes_from_those_it_was_not_told_of() {
    let (_router, at) = router();
    let mut receiver = watcher(&at, "receiver", r#"["f"]"#).await;
    let sender = client(&at, "sender").await;
    sender.wait_for_members(&["receiver"], None).await.unwrap();
    sender.rpc_nowait().call("f", (1,)).await.unwrap();
    let begins = next(&mut receiver).await;
    assert_eq!((begins.kind(), begins.transmitter()), (Kind::Credit, "sender"));
    let request = next(&mut receiver).await;
    assert_eq!((request.kind(), request.transmitter()), (Kind::Request, "sender"));
    sender.stop().await;
    let gone = next(&mut receiver).await;
    assert_eq!((gone.kind(), gone.transmitter()), (Kind::Cancel, "sender"));
    assert_eq!(CallerLeft::read(&gone).unwrap(), Some(CallerLeft::Told(0)), "it has no calls that could be answered");
    assert_eq!(listed(&watch(&mut receiver, "receiver", &Watch::default()).await), [""; 0], "and nothing else");
}

/// A client that is told of those whom it calls.
async fn client(at: &Endpoint, name: &str) -> Client<Formats> {
    worker(at, name, Vec::new()).await
}

async fn worker(at: &Endpoint, name: &str, callbacks: Vec<daffi_core::Callback>) -> Client<Formats> {
    let builder = Client::builder(node(name), Box::new(MemConnector::new(at.clone())), formats());
    builder.callbacks(callbacks).watch_called().connect().await.unwrap()
}

/// Whom a client was told of.
fn known(client: &Client<Formats>) -> Vec<String> {
    let names: BTreeSet<_> = client.known_members().iter().map(|member| member.name.to_string()).collect();
    names.into_iter().collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let holds = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(60), holds).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn echo(name: &str) -> daffi_core::Callback {
    plain(name, |(n,): (i64,)| Ok(n))
}

#[tokio::test]
async fn a_client_is_told_of_those_who_expose_what_it_calls() {
    let (_router, at) = router();
    let workers = [worker(&at, "w1", vec![echo("f")]).await, worker(&at, "w2", vec![echo("g")]).await];
    let caller = client(&at, "caller").await;
    assert_eq!(known(&caller), ["caller"]);
    assert_eq!(caller.rpc().call::<i64>("f", (7,)).await.unwrap(), 7);
    assert_eq!(known(&caller), ["caller", "w1"]);
    let both = worker(&at, "w3", vec![echo("f"), echo("h")]).await;
    until("it is told of one that comes", || known(&caller) == ["caller", "w1", "w3"]).await;
    for n in 0..10 {
        assert_eq!(caller.rpc().call::<i64>("f", (n,)).await.unwrap(), n);
    }
    // Workers that call nothing were told of nobody, whoever called them.
    for (worker, name) in workers.iter().chain([&both]).zip(["w1", "w2", "w3"]) {
        assert_eq!(known(worker), [name]);
    }
    let nobody = caller.rpc().call::<i64>("nobody", (1,)).await;
    assert!(matches!(nobody, Err(CallError::ReceiverNotFound { receiver: None, .. })), "{nobody:?}");
    let none = caller.rpc().call::<i64>("no, name", (1,)).await;
    assert!(matches!(none, Err(CallError::ReceiverNotFound { .. })), "{none:?}");
    both.stop().await;
    until("it is told of one that goes", || known(&caller) == ["caller", "w1"]).await;
    // A call that names its receiver, what nobody answers, a cast and a stream ask as well.
    let other = client(&at, "other").await;
    assert_eq!(other.rpc().receiver("w2").call::<i64>("g", (3,)).await.unwrap(), 3);
    let wrong = other.rpc().receiver("w2").call::<i64>("f", (3,)).await;
    assert!(matches!(wrong, Err(CallError::ReceiverNotFound { receiver: Some(_), .. })), "{wrong:?}");
    let casting = client(&at, "casting").await;
    assert_eq!(casting.cast().call::<i64>("g", (1,)).await.unwrap().len(), 1);
    casting.rpc_nowait().call("f", (1,)).await.unwrap();
    assert_eq!(known(&casting), ["casting", "w1", "w2"]);
}

#[tokio::test]
async fn whoever_asks_who_is_there_is_told_of_all() {
    let (_router, at) = router();
    let _w1 = worker(&at, "w1", vec![echo("f")]).await;
    let asks = client(&at, "asks").await;
    let mut events = asks.events();
    until("the list", || asks.members().iter().count() == 2).await;
    assert_eq!(events.next().await, Some(MemberEvent::Added("w1".into())), "who was not known before is told");
    let w2 = worker(&at, "w2", Vec::new()).await;
    assert_eq!(events.next().await, Some(MemberEvent::Added("w2".into())));
    assert!(asks.members().get("w2").is_some());
    w2.stop().await;
    assert_eq!(events.next().await, Some(MemberEvent::Removed("w2".into())));
    let waits = client(&at, "waits").await;
    waits.wait_for_members(&[], None).await.unwrap();
    assert_eq!(known(&waits), ["asks", "w1", "waits"]);
    // One that is told of all has the list when it is connected, and no event of who was there.
    let told = crate::support::client(&at, "told").await;
    assert_eq!(known(&told), ["asks", "told", "w1", "waits"]);
    assert_eq!(told.events().next().now_or_never(), None);
}

#[tokio::test]
async fn a_call_that_the_router_addresses_needs_no_list() {
    let (_router, at) = router();
    let _worker = worker(&at, "w", vec![echo("f")]).await;
    let caller = client(&at, "caller").await;
    assert_eq!(caller.rpc().by_router().call::<i64>("f", (7,)).await.unwrap(), 7);
    assert_eq!(known(&caller), ["caller"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_come_while_it_asks_are_neither_missed_nor_doubled() {
    let (_router, at) = router();
    let caller = client(&at, "caller").await;
    let joining: Vec<_> = (0..60)
        .map(|n| {
            let at = at.clone();
            tokio::spawn(async move { worker(&at, &format!("w{n:02}"), vec![echo("f"), echo("g")]).await })
        })
        .collect();
    for n in 0..200 {
        let method = ["f", "g"][n % 2];
        match caller.rpc().call::<i64>(method, (1,)).await {
            Ok(_) | Err(CallError::ReceiverNotFound { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let mut workers = Vec::new();
    for joined in joining {
        workers.push(joined.await.unwrap());
    }
    until("all are known", || known(&caller).len() == 61).await;
    for method in ["f", "g"] {
        let members = caller.known_members();
        let receivers: BTreeSet<_> = members.receivers_of(method).unwrap().iter().cloned().collect();
        assert_eq!((receivers.len(), members.receivers_of(method).unwrap().len()), (60, 60));
    }
    drop(workers);
    until("all are forgotten", || known(&caller).len() == 1).await;
}

/// What a client asked for it asks for again when it comes back, and sees no difference.
#[tokio::test]
async fn a_client_that_comes_back_is_told_of_the_same() {
    let at = endpoint();
    let start = || Router::builder(node("router")).listen(vec![Box::new(MemListener::bind(&at).unwrap())]).unwrap();
    let first = start();
    let _workers = [worker(&at, "w1", vec![echo("f")]).await, worker(&at, "w2", vec![echo("g")]).await];
    let caller = client(&at, "caller").await;
    assert_eq!(caller.rpc().call::<i64>("f", (1,)).await.unwrap(), 1);
    first.stop().await;
    drop(first);
    let _second = start();
    let again = caller.rpc().wait_for_receiver().timeout(Duration::from_secs(60)).call::<i64>("f", (2,)).await;
    assert_eq!(again.unwrap(), 2);
    until("it knows the same", || known(&caller) == ["caller", "w1"]).await;
    let late = worker(&at, "w3", vec![echo("f")]).await;
    until("and the news", || known(&caller) == ["caller", "w1", "w3"]).await;
    late.stop().await;
    until("and the ends", || known(&caller) == ["caller", "w1"]).await;
}

/// What nobody answers goes between clients that know nothing of each other but what they call, and
/// one that is gone leaves its receiver with nothing.
/// One that withdraws what it exposed, as a client does that stops in order, is listed no more and
/// has not left: what it called is answered.
#[tokio::test]
async fn who_withdraws_is_still_answered() {
    let (_router, at) = router();
    let gate = Arc::new(Semaphore::new(0));
    let watcher = worker(&at, "watcher", vec![hang(&gate)]).await;
    let mut other = raw(&at, "other", "client/4", r#"["f"]"#).await;
    let asked = tokio::spawn({
        let watcher = watcher.clone();
        async move { watcher.rpc().run("f", ()).await }
    });
    let request = next_of_a_call(&mut other).await.unwrap();
    let header = Header::new(Kind::Response, request.header().id(), FormatId::JSON, true, false);
    let answer =
        Frame::new(header, "other", "watcher", "f", br#"{"args":[1],"kwargs":{}}"#, &Limits::default()).unwrap();
    send(&mut other, &answer).await;
    asked.await.unwrap().unwrap();
    for id in [5, 6] {
        let call = ["other", "watcher", "hang"];
        other.send_to(Kind::Request, id, call, r#"{"args":[1],"kwargs":{}}"#, true).await;
    }
    until("it is listed", || watcher.known_members().get("other").is_some()).await;
    send(&mut other, &handshake("other", "client/4", "null", "")).await;
    until("it is listed no more", || watcher.known_members().get("other").is_none()).await;
    gate.add_permits(2);
    for id in [5, 6] {
        let answer = next_of_a_call(&mut other).await.unwrap();
        assert_eq!((answer.kind(), answer.header().id().0), (Kind::Response, id), "{answer:?}");
    }
}

#[tokio::test]
async fn senders_come_and_go_at_a_worker_that_is_told_of_nobody() {
    let (_router, at) = router();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let notes = plain("note", move |(n,): (i64,)| {
        told.send(n).unwrap();
        Ok(())
    });
    let worker = worker(&at, "worker", vec![notes]).await;
    for round in 0..5 {
        // The same name again: another flow.
        let sender = client(&at, "sender").await;
        for n in 0..40 {
            sender.rpc_nowait().call("note", (round * 100 + n,)).await.unwrap();
        }
        for n in 0..40 {
            assert_eq!(tells.recv().await, Some(round * 100 + n));
        }
        sender.stop().await;
    }
    assert_eq!(known(&worker), ["worker"]);
}
