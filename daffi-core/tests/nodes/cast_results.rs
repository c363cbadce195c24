//! Results that several members of a cast give one by one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use daffi_core::{CallError, Callback, CallbackOptions, CastItem, Client, NodeConfig, Router};
use daffi_serde::RemoteError;
use daffi_transport::Endpoint;
use daffi_wire::{FormatId, Frame, Header, Kind, Limits, MethodName};
use futures::{FutureExt, StreamExt, stream};
use tokio::time::timeout;

use crate::{
    peer::Peer,
    support::{Formats, client, formats, plain, router, worker},
};

fn name(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

/// What a member did.
#[derive(Clone, Debug, Default)]
struct Seen {
    made: Arc<AtomicU64>,
    dropped: Arc<AtomicUsize>,
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// `give`: 1 to n, and then nothing more if it `stays`, or an error if it `fails`.
fn gives(n: u64, how: &'static str, seen: &Seen) -> Callback {
    let seen = seen.clone();
    Callback::streaming(name("give"), CallbackOptions::new(), formats(), move |(): (), _| {
        let (made, dropped) = (Arc::clone(&seen.made), OnDrop(Arc::clone(&seen.dropped)));
        let results = stream::iter(1..=n).map(move |k| {
            let _held = &dropped;
            made.fetch_add(1, SeqCst);
            Ok(k)
        });
        Ok(match how {
            "stays" => results.chain(stream::pending()).boxed(),
            "fails" => results.chain(stream::iter([Err(RemoteError::new("Full", "of it"))])).boxed(),
            _ => results.boxed(),
        })
    })
}

struct Network {
    _router: Router,
    at: Endpoint,
    members: BTreeMap<&'static str, (Client<Formats>, Seen)>,
    caller: Client<Formats>,
}

/// Members with a callback `give` each: how many, and what then.
async fn network(all: &[(&'static str, u64, &'static str)]) -> Network {
    let (router, at) = router();
    let mut members = BTreeMap::new();
    for (member, n, how) in all {
        let seen = Seen::default();
        let add = plain("add", |(a, b): (i64, i64)| Ok(a + b));
        members.insert(*member, (worker(&at, member, vec![gives(*n, how, &seen), add]).await, seen));
    }
    let caller = client(&at, "caller").await;
    Network { _router: router, at, members, caller }
}

/// An item in a word.
fn said(item: CastItem<u64>) -> String {
    match item {
        CastItem::Item(n) => n.to_string(),
        CastItem::Failed(CallError::Remote { error, .. }) => error.class,
        CastItem::Failed(error) => format!("{error:?}").split([' ', '(']).next().unwrap().to_owned(),
        CastItem::Ended => "ended".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn results_bear_names_and_each_member_ends_once() {
    let network = network(&[("two", 2, ""), ("none", 0, ""), ("fails", 1, "fails")]).await;
    let _plain = worker(&network.at, "plain", vec![plain("give", |(): ()| Ok(7))]).await;
    // One of daffi 3.0.1 gives its one answer.
    let mut old = Peer::connect(&network.at).await;
    old.hello_with("old", "client", r#"["give"]"#).await;
    while network.caller.members().get("old").is_none() || network.caller.members().get("plain").is_none() {
        tokio::task::yield_now().await;
    }
    let asking = async {
        let results = network.caller.cast().results::<u64>("give", ()).await.unwrap();
        assert_eq!(results.open(), 5);
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        results
            .for_each(|(member, item)| {
                all.entry(member).or_default().push(said(item));
                async {}
            })
            .await;
        all
    };
    let answering = async {
        loop {
            let request = old.receive().await.unwrap();
            if request.kind() == Kind::Request {
                assert!(
                    !request.header().has_extensions()
                        || request.header().format(daffi_wire::Level::THREE) == FormatId::JSON
                );
                let header = Header::new(Kind::Response, request.header().id(), FormatId::JSON, true, false);
                let body = br#"{"args":[9],"kwargs":{}}"#;
                let answer = Frame::new(header, "old", "caller", "give", body, &Limits::default()).unwrap();
                old.send_bytes(answer.as_bytes()).await;
                return;
            }
        }
    };
    let (all, ()) = soon(async { tokio::join!(asking, answering) }).await;
    let expected = [
        ("fails", &["1", "Full"][..]),
        ("none", &["ended"]),
        ("old", &["9", "ended"]),
        ("plain", &["7", "ended"]),
        ("two", &["1", "2", "ended"]),
    ];
    assert_eq!(
        all,
        expected.map(|(member, said)| (member.to_owned(), said.iter().map(ToString::to_string).collect())).into()
    );
}

/// Of four members one is honest and short, one gives without end, one says nothing, one leaves.
#[tokio::test]
async fn a_greedy_a_silent_and_a_leaving_member_hold_up_no_other() {
    let network =
        network(&[("greedy", u64::MAX, ""), ("honest", 1_000, ""), ("leaves", 1, "stays"), ("silent", 0, "stays")])
            .await;
    let mut results = soon(network.caller.cast().results::<u64>("give", ())).await.unwrap();
    let (mut ended, mut greedy, mut left) = (BTreeMap::new(), 0_u64, false);
    while ended.len() < 2 {
        let (member, item) = soon(results.next()).await.expect("two never end");
        match (&member[..], item) {
            ("leaves", CastItem::Item(_)) if !std::mem::replace(&mut left, true) => {
                network.members["leaves"].0.stop().await
            }
            ("greedy", CastItem::Item(_)) => greedy += 1,
            (_, CastItem::Item(_)) => {}
            (_, item) => drop(ended.insert(member, said(item))),
        }
    }
    let expected = [("honest", "ended"), ("leaves", "ReceiverGone")];
    assert_eq!(ended, expected.map(|(member, how)| (member.to_owned(), how.to_owned())).into());
    assert!(greedy < 1_000_000, "{greedy} results of the greedy one came before 1,000 of the honest one");
    assert_eq!(results.open(), 2);

    // Who reads no more holds the greedy one up, within its window.
    let made = &network.members["greedy"].1.made;
    let mut before = u64::MAX;
    while made.load(SeqCst) != before {
        before = made.load(SeqCst);
        for _ in 0..100 {
            let sum = network.caller.rpc().receiver("greedy").call::<i64>("add", (1, 2));
            assert_eq!(soon(sum).await.unwrap(), 3);
        }
    }
    assert!(before < greedy + 2_000_000, "{before} were made, {greedy} read");

    // Dropped, all are given up.
    drop(results);
    soon(async {
        for member in ["greedy", "silent"] {
            while network.members[member].1.dropped.load(SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    assert_eq!(soon(network.caller.rpc().receiver("silent").call::<i64>("add", (1, 2))).await.unwrap(), 3);
}

#[tokio::test]
async fn the_timeout_is_that_of_each_member() {
    let network = network(&[("one", 1, ""), ("silent", 1, "stays")]).await;
    let cast = network.caller.cast().timeout(Duration::from_millis(100));
    let results = soon(cast.results::<u64>("give", ())).await.unwrap();
    let mut all: Vec<_> = soon(results.map(|(member, item)| (member, said(item))).collect()).await;
    all.sort();
    let expected = [("one", "1"), ("one", "ended"), ("silent", "1"), ("silent", "Timeout")];
    assert_eq!(all, expected.map(|(member, said)| (member.to_owned(), said.to_owned())));
    let nobody = network.caller.cast().results::<u64>("nothing", ()).await.unwrap_err();
    assert!(matches!(nobody, CallError::ReceiverNotFound { .. }), "{nobody}");
    let none = network.caller.cast().receivers(Vec::<String>::new()).results::<u64>("give", ()).await.unwrap_err();
    assert!(matches!(none, CallError::NoReceivers { .. }), "{none}");
    let unknown = network.caller.cast().receivers(["one", "nobody"]).results::<u64>("give", ()).await.unwrap();
    let all: Vec<_> = soon(unknown.map(|(member, item)| (member, said(item))).collect()).await;
    assert!(all.contains(&("nobody".into(), "ReceiverNotFound".into())) && all.len() == 3, "{all:?}");
}

/// A member lets one caller have so many streams; the next is told so, and others are not.
#[tokio::test]
async fn a_member_with_too_many_streams_refuses_and_the_others_go_on() {
    let (_router, at) = router();
    let (few, many) = (Seen::default(), Seen::default());
    let config = NodeConfig::client().max_streams(1);
    let _few = crate::support::client_exposing(&at, "few", config, vec![gives(1, "stays", &few)]).await;
    let _many = worker(&at, "many", vec![gives(1, "stays", &many)]).await;
    let caller = client(&at, "caller").await;
    let mut first = soon(caller.cast().results::<u64>("give", ())).await.unwrap();
    let both = [soon(first.next()).await.unwrap().0, soon(first.next()).await.unwrap().0];
    assert!(both.contains(&"few".to_owned()) && both.contains(&"many".to_owned()));
    let second = soon(caller.cast().results::<u64>("give", ())).await.unwrap();
    let mut two: Vec<_> = soon(second.take(2).map(|(member, item)| (member, said(item))).collect()).await;
    two.sort();
    assert_eq!(two, [("few".to_owned(), "Overloaded".to_owned()), ("many".to_owned(), "1".to_owned())]);
    assert!(first.next().now_or_never().is_none(), "the first goes on");
}
