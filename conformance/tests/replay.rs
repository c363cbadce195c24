//! Every recorded session against every node kind that took part in it.

use conformance::{
    Like, NodeKind, NodeSpec, Session,
    nodes::{Over, start},
    recordings, replay,
};
use futures::{StreamExt, stream};

/// Replays at once: most of their time they wait.
const AT_ONCE: usize = 16;

/// All sessions in which a node of this kind took part, with it in the place of ours.
async fn all(kind: NodeKind, over: Over) {
    let sessions = recordings().expect("the recordings can be read");
    // A WebSocket begins with an HTTP request, which a pipe in memory does not look for.
    let parts = sessions
        .iter()
        .filter(|session| over == Over::Tcp || !session.has_websocket())
        .flat_map(|session| session.parts().filter(|part| part.kind == kind).map(move |part| (session, part)));
    let outcomes: Vec<_> =
        stream::iter(parts).map(|(session, part)| one(session, part, over)).buffer_unordered(AT_ONCE).collect().await;
    assert!(!outcomes.is_empty(), "no session has a {}", kind.word());
    let failures: Vec<_> = outcomes.iter().flatten().map(String::as_str).collect();
    assert!(failures.is_empty(), "{} of {} replays:\n\n{}", failures.len(), outcomes.len(), failures.join("\n"));
}

async fn one(session: &Session, part: &NodeSpec, over: Over) -> Option<String> {
    let ended = replay(session, &part.name, Like::ThisProject, |spec| start(spec, over)).await;
    ended.err().map(|mismatch| format!("{over:?}: {mismatch}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn services_over_memory() {
    all(NodeKind::Service, Over::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_over_tcp() {
    all(NodeKind::Service, Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_over_memory() {
    all(NodeKind::Client, Over::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_over_tcp() {
    all(NodeKind::Client, Over::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_over_memory() {
    all(NodeKind::Router, Over::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_over_tcp() {
    all(NodeKind::Router, Over::Tcp).await;
}
