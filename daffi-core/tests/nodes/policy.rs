//! Who is let in, under which name, and what a change of the policy does to those who are there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use daffi_core::{Identity, NodeConfig, Others, Policy, Router, Rule, Service};
use daffi_transport::{
    Endpoint, LinkConfig, Listener, PeerInfo, Pending,
    mem::{MemConnector, MemListener},
};
use daffi_wire::{Kind, Ping};
use tokio::time::timeout;

use crate::{
    peer::Peer,
    support::{endpoint, formats, node, plain},
};

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(300), future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is: impl Fn() -> bool) {
    let looks = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what, looks).await;
}

/// A listener in memory, the peers of which are who they are said to be.
struct As {
    inner: MemListener,
    endpoint: Endpoint,
    peer: PeerInfo,
}

impl Listener for As {
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<std::io::Result<Pending>> {
        let peer = self.peer.clone();
        self.inner.poll_accept(cx, config).map_ok(|pending| {
            Pending::new(peer.clone(), async move {
                let mut link = pending.upgrade().await?;
                link.peer = peer;
                Ok(link)
            })
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// Listens for peers like this one, as if at `endpoint`. Gives where they connect.
pub(crate) fn listen_as(peer: PeerInfo, endpoint_told: &str) -> (Box<dyn Listener>, Endpoint) {
    let at = endpoint();
    let listener = As { inner: MemListener::bind(&at).unwrap(), endpoint: endpoint_told.parse().unwrap(), peer };
    (Box::new(listener), at)
}

pub(crate) fn tcp(address: &str) -> PeerInfo {
    PeerInfo::new("tcp", address)
}

/// What was said about a refusal.
fn refusal(hello: daffi_wire::Handshake) -> String {
    hello.error.expect("it was refused")
}

#[tokio::test]
async fn who_is_let_in_under_which_name() {
    let (near, at_near) = listen_as(tcp("127.0.0.1:1"), "tcp://127.0.0.1:5000");
    let (far, at_far) = listen_as(tcp("198.51.100.7:1"), "tcp://0.0.0.0:5000");
    let (guest, at_guest) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:5000");
    let rule = Rule::new("guests").who("addr:192.0.2.0/24").unwrap();
    let rule = rule.names(["g-*"]).unwrap().expose(["f"]).unwrap().call(["f"]).unwrap();
    let builder = Router::builder(node("router")).policy(Policy::new().rule(rule));
    let router = builder.listen(vec![near, far, guest]).unwrap();
    for node_type in ["client", "client/4"] {
        let mut peer = Peer::connect(&at_near).await;
        assert_eq!(peer.hello_with("anything", node_type, r#"["x"]"#).await.error, None, "it is on this host");
        for says in ["", "look:only"] {
            let mut peer = Peer::connect(&at_far).await;
            let refused = refusal(peer.hello_saying("g-1", node_type, "null", says).await);
            assert_eq!(refused, "refused by the policy of this server: no rule applies to addr:198.51.100.7");
            assert!(soon("the end", peer.receive()).await.is_none());
        }
        for (name, methods, part) in [
            ("g", "null", r#"(guests) does not let you bear the name "g""#),
            ("anything", "null", r#"bear the name "anything""#),
            ("g-1", r#"["f","g"]"#, r#"expose a callback "g""#),
        ] {
            let mut peer = Peer::connect(&at_guest).await;
            let refused = refusal(peer.hello_with(name, node_type, methods).await);
            assert!(refused.contains(part), "{refused}");
            assert!(soon("the end", peer.receive()).await.is_none());
        }
        let mut peer = Peer::connect(&at_guest).await;
        assert_eq!(peer.hello_with("g-1", node_type, r#"["f"]"#).await.error, None);
        // A second handshake is held against it, too.
        assert!(refusal(peer.hello_with("g-1", node_type, r#"["f","g"]"#).await).contains(r#"expose a callback "g""#));
        assert!(soon("the end", peer.receive()).await.is_none());
    }
    let denied = router.stats().denied;
    assert_eq!(denied, 2 * 6);
}

#[tokio::test]
async fn a_service_lets_in_by_the_same_rules() {
    let (far, at_far) = listen_as(tcp("198.51.100.7:1"), "tcp://0.0.0.0:5000");
    let (guest, at_guest) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:5000");
    let rule = Rule::new("guests").who("addr:192.0.2.0/24").unwrap();
    let rule = rule.names(["g-*"]).unwrap().call(["f"]).unwrap();
    let callbacks = ["f", "secret"].map(|name| plain(name, |(n,): (i64,)| Ok(n)));
    let service = Service::builder(node("svc"), formats()).callbacks(callbacks.into());
    let service = service.policy(Policy::new().rule(rule)).listen(vec![far, guest]).unwrap();
    for node_type in ["client", "client/4"] {
        let mut peer = Peer::connect(&at_far).await;
        assert!(refusal(peer.hello_with("g-1", node_type, "null").await).contains("no rule applies"));
        let mut peer = Peer::connect(&at_guest).await;
        assert!(refusal(peer.hello_with("x", node_type, "null").await).contains("bear the name"));
        let mut peer = Peer::connect(&at_guest).await;
        assert_eq!(peer.hello_with("g-1", node_type, r#"["whatever"]"#).await.error, None);
        for _ in 0..2 {
            peer.send_to(Kind::Request, 0, ["g-1", "svc", "secret"], "{}", false).await;
            peer.send_to(Kind::Request, 5, ["g-1", "svc", "secret"], "{}", true).await;
            let refused = soon("a refusal", peer.expect(Kind::Error)).await;
            assert!(refused.contains("PermissionError") && refused.contains("secret"), "{refused}");
            // Whether it is there is not told either.
            peer.send_to(Kind::Request, 6, ["g-1", "svc", "nothing"], "{}", true).await;
            assert!(soon("a refusal", peer.expect(Kind::Error)).await.contains("PermissionError"));
            peer.send_to(Kind::Request, 7, ["g-1", "svc", "f"], r#"{"args":[5],"kwargs":{}}"#, true).await;
            assert!(soon("an answer", peer.expect(Kind::Response)).await.contains('5'));
        }
    }
    service.set_policy(Some(Policy::new().others(Others::Nobody)));
    until("nobody is there", || service.clients().is_empty()).await;
}

#[tokio::test]
async fn admit_has_a_say_before_a_name_is_taken() {
    let (one, at_one) = listen_as(tcp("192.0.2.1:1"), "tcp://0.0.0.0:1");
    let (other, at_other) = listen_as(tcp("192.0.2.2:1"), "tcp://0.0.0.0:2");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let router = Router::builder(node("router")).admit(move |newcomer, name| {
        count.fetch_add(1, Ordering::SeqCst);
        assert!(newcomer.info.listener.is_some());
        match &newcomer.identity {
            Identity::Address(ip) if ip.to_string() == "192.0.2.2" && name == "w" => {
                Err("that name is not yours".into())
            }
            _ => Ok(()),
        }
    });
    let router = router.listen(vec![one, other]).unwrap();
    let mut first = Peer::connect(&at_one).await;
    first.hello_with("w", "client/4", r#"["f"]"#).await;
    let mut second = Peer::connect(&at_other).await;
    assert_eq!(refusal(second.hello("w").await), "that name is not yours");
    // The first one still bears it, and is asked no second time.
    first.hello_with("w", "client/4", r#"["f","g"]"#).await;
    first.send_bytes(Ping::Asks(*b"anything").frame().as_bytes()).await;
    assert_eq!(soon("an answer", first.receive()).await.unwrap().kind(), Kind::Ping);
    assert_eq!((router.members().len(), asked.load(Ordering::SeqCst)), (1, 2));
    // Who only looks is asked about, too.
    let mut looker = Peer::connect(&at_other).await;
    let refused = looker.hello_saying("w", "client/4", "null", "look:only").await;
    assert_eq!(refusal(refused), "that name is not yours");
}

#[tokio::test]
async fn another_policy_holds_for_those_who_are_there() {
    let (guests, at_guests) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:5000");
    let (near, at_near) = listen_as(tcp("127.0.0.1:1"), "tcp://127.0.0.1:5000");
    let router = Router::builder(node("router")).listen(vec![guests, near]).unwrap();
    let mut worker = Peer::connect(&at_near).await;
    worker.hello_with("worker", "client/4", r#"["f","g"]"#).await;
    let mut guest = Peer::connect(&at_guests).await;
    guest.hello_with("guest", "client/4", "null").await;
    let mut silent = Peer::connect(&at_guests).await;
    silent.hello_with("silent", "client/4", r#"["h"]"#).await;
    let mut looker = Peer::connect(&at_guests).await;
    looker.hello_saying("looker", "client/4", "null", "look:only").await;
    guest.send_to(Kind::Request, 3, ["guest", "worker", "g"], "{}", true).await;
    until("the call is open", || router.stats().open_calls == 1).await;

    let rule = |calls: &[&str]| {
        let rule = Rule::new("guests").who("addr:192.0.2.0/24").unwrap();
        Policy::new().rule(rule.names(["guest"]).unwrap().call(calls).unwrap())
    };
    router.set_policy(Some(rule(&["f"])));
    while soon("the end of the one that says nothing", silent.receive()).await.is_some() {}
    assert_eq!(router.members().len(), 2);
    for (id, method, class) in [(4, "g", "PermissionError"), (5, "f", "")] {
        guest.send_to(Kind::Request, id, ["guest", "worker", method], "{}", true).await;
        if class.is_empty() {
            until("the call is open", || router.stats().open_calls == 2).await;
        } else {
            let refused = loop {
                let frame = soon("a refusal", guest.receive()).await.unwrap();
                if frame.kind() == Kind::Error {
                    break frame;
                }
            };
            assert!(String::from_utf8_lossy(refused.payload()).contains(class));
        }
    }
    // What was found out under one policy does not outlive it.
    router.set_policy(Some(rule(&["g"])));
    guest.send_to(Kind::Request, 6, ["guest", "worker", "f"], "{}", true).await;
    assert!(soon("a refusal", guest.expect(Kind::Error)).await.contains("PermissionError"));
    // Who looks may: a rule applies to it. Without one it is ended.
    router.set_policy(Some(Policy::new()));
    assert!(soon("the end of the guest", guest.receive()).await.is_none());
    while soon("the end of the looker", looker.receive()).await.is_some() {}
    assert_eq!(router.members().len(), 1);
    router.set_policy(None);
    let mut guest = Peer::connect(&at_guests).await;
    assert_eq!(guest.hello("guest").await.error, None);
}

#[tokio::test]
async fn callbacks_know_who_is_at_the_other_end() {
    let mut peer = PeerInfo::new("unix", "pid=1,uid=1000");
    peer.uid = Some(1000);
    let (listener, at) = listen_as(peer, "unix:///run/a.sock");
    let who = daffi_core::Callback::plain(
        crate::support::method("who"),
        daffi_core::CallbackOptions::default(),
        formats(),
        |(): (), context| {
            let listener = context.peer().listener.as_ref().map(ToString::to_string);
            Ok(format!("{} at {}", context.identity(), listener.unwrap_or_default()))
        },
    );
    let service = Service::builder(node("svc"), formats()).callbacks(vec![who]).listen(vec![listener]).unwrap();
    let client = daffi_core::Client::builder(node("c"), Box::new(MemConnector::new(at)), formats());
    let client = client.config(NodeConfig::client()).connect().await.unwrap();
    assert_eq!(client.rpc().call::<String>("who", ()).await.unwrap(), "uid:1000 at unix:///run/a.sock");
    client.stop().await;
    service.stop().await;
}

#[tokio::test]
async fn what_a_router_counted_is_told_to_whom_a_rule_lets_ask() {
    let calls = |calls: &[&str]| {
        let rule = Rule::new("r").who("addr:192.0.2.0/24").unwrap().names(["*"]).unwrap();
        Policy::new().rule(rule.call(calls).unwrap())
    };
    let (far, at) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:1");
    let router = Router::builder(node("router")).listen(vec![far]).unwrap();
    for (policy, is_told) in [
        (None, false),
        // What only takes a format off says nothing of who may ask.
        (Some(Policy::open().no_pickle_from("0.0.0.0/0").unwrap()), false),
        (Some(calls(&["daffi.stats"])), true),
        (Some(calls(&["f"])), false),
        (Some(Policy::new().others(Others::Everybody).rule(Rule::new("r").who("uid:1").unwrap())), true),
    ] {
        let text = format!("{policy:?}");
        router.set_policy(policy);
        let mut peer = Peer::connect(&at).await;
        assert_eq!(peer.hello_with("c", "client/4", "null").await.error, None);
        peer.send_to(Kind::Request, 7, ["c", "router", "daffi.stats"], r#"{"args":[],"kwargs":{}}"#, true).await;
        let answer = crate::policy_calls::next(&mut peer).await;
        assert_eq!(answer.kind() == Kind::Response, is_told, "{text}");
    }
}
