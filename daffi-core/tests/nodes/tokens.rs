//! Tokens: who shows one is nobody until it was taken, and is whom the policy knows by it then.

use std::time::Duration;

use daffi_core::{Client, Disconnected, InitializationError, NodeConfig, Others, Policy, Router, Rule, Service, Token};
use daffi_transport::{Endpoint, PeerInfo, mem::MemConnector};
use daffi_wire::{CallId, Frame, Handshake, Header, Kind, Limits, Ping};
use futures::{FutureExt, StreamExt};
use tokio::task::JoinHandle;

use crate::{
    peer::Peer,
    policy::{listen_as, soon, tcp, until},
    support::{Formats, endpoint, formats, node, plain},
};

const RIGHT: &str = "right-0123456789abcdef";
const WRONG: &str = "wrong-0123456789abcdef";

fn policy(token: &str) -> Policy {
    let rule = Rule::new("batch").who("token:batch").unwrap().names(["w*"]).unwrap();
    let rule = rule.expose(["*"]).unwrap().call(["*"]).unwrap();
    Policy::new().others(Others::Nobody).token("batch", Token::new(token).unwrap()).rule(rule)
}

fn tls() -> PeerInfo {
    PeerInfo::new("tls", "192.0.2.7:4000")
}

/// A router with that policy. Gives where it is reached over TLS, and over TCP from elsewhere.
fn guarded(config: NodeConfig) -> (Router, Endpoint, Endpoint) {
    let (one, at_tls) = listen_as(tls(), "tls://0.0.0.0:1");
    let (other, at_tcp) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:1");
    let builder = Router::builder(node("router")).config(config).policy(policy(RIGHT));
    (builder.listen(vec![one, other]).unwrap(), at_tls, at_tcp)
}

/// A second handshake with a token.
async fn show(peer: &mut Peer, name: &str, token: &str, says: &str) -> Handshake {
    let body = format!(
        r#"{{"meta":{{"type":"client/4","error":null,"token":"{token}"}},"members":[{{"name":"{name}","methods":null}}]}}"#
    );
    let header = Header::control(Kind::Handshake, CallId(2), true);
    let frame = Frame::new(header, name, "", says, body.as_bytes(), &Limits::default()).unwrap();
    peer.send_bytes(frame.as_bytes()).await;
    let answer = soon("an answer", peer.receive()).await.expect("an answer to the handshake");
    Handshake::parse(answer.payload(), &Limits::default()).unwrap()
}

fn with_token(at: &Endpoint, name: &str, token: &str) -> daffi_core::ClientBuilder<Formats> {
    let connector = Box::new(MemConnector::new(at.clone()));
    Client::builder(node(name), connector, formats()).token(Token::new(token).unwrap())
}

#[tokio::test]
async fn who_shows_a_token_is_nobody_until_it_was_taken() {
    let (router, at, _) = guarded(NodeConfig::server());
    let mut events = router.events();
    let mut holder = Peer::connect(&at).await;
    holder.hello_saying("w", "client/4", "null", "token:follows").await;
    show(&mut holder, "w", RIGHT, "").await;
    assert_eq!(events.next().await.unwrap().member(), "w");

    let mut thief = Peer::connect(&at).await;
    let first = thief.hello_saying("w", "client/4", r#"["f"]"#, "token:follows").await;
    assert!(first.members.is_empty() && first.error.is_none(), "nobody is told who is there");
    assert_eq!(router.members().len(), 1);
    assert!(events.next().now_or_never().is_none(), "nobody hears of it");
    let refused = show(&mut thief, "w", WRONG, "").await;
    assert_eq!(refused.error.as_deref(), Some("this server does not know the token"));
    assert!(soon("the end", thief.receive()).await.is_none());
    // Who bears the name was not evicted.
    holder.send_bytes(Ping::Asks(*b"anything").frame().as_bytes()).await;
    assert_eq!(soon("an answer", holder.receive()).await.unwrap().kind(), Kind::Ping);

    for (name, part) in [("w2", None), ("x", Some("bear the name"))] {
        let mut peer = Peer::connect(&at).await;
        peer.hello_saying(name, "client/4", "null", "token:follows").await;
        let error = show(&mut peer, name, RIGHT, "").await.error;
        assert_eq!(error.is_some(), part.is_some(), "{error:?}");
        assert!(error.is_none_or(|error| error.contains(part.unwrap())));
    }
    // Who has one may look, too.
    let mut looker = Peer::connect(&at).await;
    looker.hello_saying("looker", "client/4", "null", "token:follows").await;
    assert!(!show(&mut looker, "looker", RIGHT, "look:only").await.members.is_empty());
}

#[tokio::test]
async fn what_is_no_second_handshake_with_a_token_is_refused() {
    let (router, at, at_tcp) = guarded(NodeConfig::server());
    // On a link of level 3 the section means nothing.
    let mut three = Peer::connect(&at).await;
    let refused = three.hello_saying("w", "client", "null", "token:follows").await.error.unwrap();
    assert!(refused.contains("no rule applies"), "{refused}");
    // None comes.
    let mut peer = Peer::connect(&at).await;
    peer.hello_saying("w", "client/4", "null", "token:follows").await;
    assert!(peer.hello_saying("w", "client/4", "null", "").await.error.unwrap().contains("carries none"));
    // Another name.
    let mut peer = Peer::connect(&at).await;
    peer.hello_saying("w", "client/4", "null", "token:follows").await;
    assert!(show(&mut peer, "w2", RIGHT, "").await.error.is_some());
    // Something else.
    let mut peer = Peer::connect(&at).await;
    peer.hello_saying("w", "client/4", "null", "token:follows").await;
    peer.send_to(Kind::Request, 3, ["w", "w", "f"], "{}", true).await;
    assert!(soon("the end", peer.receive()).await.is_none());
    // Others can read it.
    let mut peer = Peer::connect(&at_tcp).await;
    let refused = peer.hello_saying("w", "client/4", "null", "token:follows").await.error.unwrap();
    assert!(refused.contains("others may read this link"), "before it is shown: {refused}");
    // Without having said so.
    let mut peer = Peer::connect(&at).await;
    assert!(show(&mut peer, "w", RIGHT, "").await.error.unwrap().contains("no rule applies"));
    assert!(router.members().is_empty());
}

#[tokio::test]
async fn a_token_that_does_not_come_ends_the_connection_in_time() {
    let (_router, at, _) = guarded(NodeConfig::server().handshake_timeout(Duration::from_millis(50)));
    let mut peer = Peer::connect(&at).await;
    peer.hello_saying("w", "client/4", "null", "token:follows").await;
    assert!(soon("the end", peer.receive()).await.is_none());
}

#[tokio::test]
async fn clients_show_theirs_and_come_back_with_it() {
    let (router, at, _) = guarded(NodeConfig::server());
    let callback = || vec![plain("f", |(n,): (i64,)| Ok(n))];
    let worker = with_token(&at, "w1", RIGHT).callbacks(callback()).connect().await.unwrap();
    let caller = with_token(&at, "w2", RIGHT).connect().await.unwrap();
    assert_eq!(caller.rpc().call::<i64>("f", (5,)).await.unwrap(), 5);
    worker.add_callbacks(vec![plain("g", |(n,): (i64,)| Ok(n))]).unwrap();
    until("the other one is told", || caller.members().iter().any(|member| member.methods.len() == 2)).await;
    let looker = with_token(&at, "any", RIGHT).look_only().connect().await.unwrap();
    assert_eq!(looker.members().iter().count(), 2);
    let refused = with_token(&at, "w3", WRONG).connect().await.unwrap_err();
    assert!(refused.to_string().contains("does not know the token") && !format!("{refused:?}").contains(WRONG));

    // A token that is known no more lets nobody stay; once it is known again they come back.
    router.set_policy(Some(policy(WRONG)));
    until("nobody is there", || router.members().is_empty()).await;
    router.set_policy(Some(policy(RIGHT)));
    until("they are back", || router.members().len() == 2).await;
    assert_eq!(caller.rpc().wait_for_receiver().call::<i64>("f", (6,)).await.unwrap(), 6);
}

#[tokio::test]
async fn services_know_them_and_servers_without_a_policy_do_not_ask() {
    let (listener, at) = listen_as(tls(), "tls://0.0.0.0:1");
    let who = daffi_core::Callback::plain(
        crate::support::method("who"),
        daffi_core::CallbackOptions::default(),
        formats(),
        |(): (), context| Ok(context.identity().to_string()),
    );
    let builder = Service::builder(node("svc"), formats()).callbacks(vec![who]).policy(policy(RIGHT));
    let service = builder.listen(vec![listener]).unwrap();
    let client = with_token(&at, "w", RIGHT).connect().await.unwrap();
    assert_eq!(client.rpc().call::<String>("who", ()).await.unwrap(), "token:batch");
    let rule = Rule::new("night").who("token:night").unwrap().names(["w"]).unwrap().call(["*"]).unwrap();
    let renamed = Policy::new().others(Others::Nobody).token("night", Token::new(RIGHT).unwrap()).rule(rule);
    service.set_policy(Some(renamed));
    assert_eq!(client.rpc().call::<String>("who", ()).await.unwrap(), "token:night");
    service.set_policy(None);
    let other = with_token(&at, "anybody", WRONG).connect().await.unwrap();
    assert_eq!(other.rpc().call::<String>("who", ()).await.unwrap(), "addr:192.0.2.7");
}

/// A server that speaks as one of 3.0.1 does, to one client. Gives what that sent.
fn of_3_0_1() -> (Endpoint, JoinHandle<String>) {
    let at = endpoint();
    let mut listener = daffi_transport::mem::MemListener::bind(&at).unwrap();
    let server = tokio::spawn(async move {
        let config = daffi_transport::LinkConfig::default();
        let accept = std::future::poll_fn(|cx| daffi_transport::Listener::poll_accept(&mut listener, cx, &config));
        let mut peer = Peer(accept.await.unwrap().upgrade().await.unwrap());
        let mut seen = Vec::new();
        while let Some(frame) = peer.receive().await {
            seen.extend_from_slice(frame.as_bytes());
            let body = r#"{"meta":{"type":"router","error":null},"members":[]}"#;
            let header = frame.header().handshake_reply();
            let reply =
                Frame::new(header, frame.transmitter(), "", frame.method(), body.as_bytes(), &Limits::default());
            peer.send_bytes(reply.unwrap().as_bytes()).await;
        }
        String::from_utf8_lossy(&seen).into_owned()
    });
    (at, server)
}

#[tokio::test]
async fn a_server_of_3_0_1_gets_no_token() {
    let (at, server) = of_3_0_1();
    let refused = with_token(&at, "w", RIGHT).connect().await.unwrap_err();
    assert!(
        matches!(&refused, InitializationError::Handshake { source: Disconnected::TokenWithheld(_), .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("3.0.1"), "{refused}");
    let seen = soon("the end", server).await.unwrap();
    assert!(seen.contains("token:follows") && !seen.contains(RIGHT), "{seen}");
}

/// It would be withheld the next time, too.
#[tokio::test(start_paused = true)]
async fn who_may_not_show_its_token_does_not_try_for_an_hour() {
    let (at, _server) = of_3_0_1();
    let begun = tokio::time::Instant::now();
    let refused = with_token(&at, "w", RIGHT).retry(Duration::from_secs(3600)).connect().await.unwrap_err();
    assert!(refused.to_string().contains("3.0.1") && !refused.is_retryable(), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_token_is_shown_by_no_debug() {
    let (_router, at, _) = guarded(NodeConfig::server());
    let builder = with_token(&at, "w1", RIGHT);
    assert!(!format!("{builder:?}").contains(RIGHT));
    let client = builder.connect().await.unwrap();
    assert!(!format!("{client:?} {:?}", policy(RIGHT)).contains("0123456789"));
}
