//! Every recorded session against every node kind that took part in it.

use conformance::{
    NodeKind, NodeSpec, Replay, Session,
    nodes::{Over, start},
    recordings,
};
use futures::{StreamExt, stream};

/// Replays at once: most of their time they wait.
const AT_ONCE: usize = 16;

/// How the replay writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    /// Each item at once.
    Whole,
    /// Byte by byte.
    Bytes,
}

/// All sessions in which a node of this kind took part, with ours in its place.
async fn all(kind: NodeKind, over: Over, pieces: Pieces) {
    let sessions = recordings().expect("the recordings can be read");
    let parts = sessions
        .iter()
        // A WebSocket begins with an HTTP request, which a pipe in memory does not look for.
        .filter(|session| over == Over::Tcp || !session.has_websocket())
        .filter(|session| pieces == Pieces::Whole || !has_large(session))
        .flat_map(|session| session.parts().filter(|part| part.kind == kind).map(move |part| (session, part)));
    let outcomes: Vec<_> = stream::iter(parts)
        .map(|(session, part)| one(session, part, over, pieces))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert!(!outcomes.is_empty(), "no session has a {}", kind.word());
    let failures: Vec<_> = outcomes.iter().flatten().map(String::as_str).collect();
    assert!(failures.is_empty(), "{} of {} replays:\n\n{}", failures.len(), outcomes.len(), failures.join("\n"));
}

/// Whether 16 MiB would be written byte by byte.
fn has_large(session: &Session) -> bool {
    let directions = [conformance::Direction::ToServer, conformance::Direction::ToClient];
    let all = session.connections().flat_map(|c| directions.iter().flat_map(move |way| session.bytes(c, *way)));
    all.map(|bytes| bytes.len()).max() > Some(1 << 16)
}

async fn one(session: &Session, part: &NodeSpec, over: Over, pieces: Pieces) -> Option<String> {
    let replay = Replay::of(session, &part.name);
    let replay = if pieces == Pieces::Bytes { replay.in_pieces(1) } else { replay };
    let ended = replay.run(|spec| start(spec, over)).await;
    ended.err().map(|mismatch| format!("{over:?}, {pieces:?}: {mismatch}"))
}

macro_rules! replays {
    ($($name:ident: $kind:ident $over:ident $pieces:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            all(NodeKind::$kind, Over::$over, Pieces::$pieces).await;
        }
    )*};
}

replays! {
    services_over_memory: Service Memory Whole;
    services_over_tcp: Service Tcp Whole;
    services_in_single_bytes: Service Memory Bytes;
    routers_over_memory: Router Memory Whole;
    routers_over_tcp: Router Tcp Whole;
    routers_in_single_bytes: Router Memory Bytes;
    clients_over_memory: Client Memory Whole;
    clients_over_tcp: Client Tcp Whole;
    clients_in_single_bytes: Client Memory Bytes;
}
