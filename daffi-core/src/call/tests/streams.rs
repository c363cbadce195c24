//! Streams of chunks to one receiver: as it acknowledges them, or takes them without a word.

use bytes::Bytes;
use daffi_wire::{Credit, FIRST_WINDOW};
use futures::channel::mpsc;
use tokio::time::advance;

use super::*;
use crate::error::StreamError;

type Chunks = mpsc::UnboundedSender<Bytes>;
type SentChunks = JoinHandle<Result<u64, StreamError>>;

/// A stream with so many chunks unacknowledged, at most; 0: nobody acknowledges them.
fn streaming(client: &BareClient, window: usize) -> (Chunks, SentChunks) {
    let (source, chunks) = mpsc::unbounded();
    let sent = match window {
        0 => begin(client.client.stream_nowait().timeout(AFTER).send("f", chunks)),
        _ => begin(client.client.stream().timeout(AFTER).window(window).send("f", chunks)),
    };
    (source, sent)
}

fn texts(sent: &[Frame]) -> Vec<&[u8]> {
    sent.iter().map(Frame::payload).collect()
}

#[tokio::test(start_paused = true)]
async fn no_more_chunks_are_unacknowledged_than_were_asked_for() {
    for link in LINKS {
        for window in [1, 3] {
            let (client, mut conn) = linked(link, &["w"]);
            let (source, mut sent) = streaming(&client, window);
            let all: Vec<_> = (0..10_u8).map(|n| vec![n]).collect();
            all.iter().for_each(|chunk| source.unbounded_send(Bytes::copy_from_slice(chunk)).unwrap());
            let mut came = requests(&mut conn).await;
            assert_eq!(came.len(), window);
            assert!(requests(&mut conn).await.is_empty(), "a silent receiver gets no more");
            for n in 0..all.len() {
                conn.handle(result_of(&came[n], "w", "y"));
                came.extend(requests(&mut conn).await);
                assert_eq!(came.len(), all.len().min(n + 1 + window));
            }
            assert_eq!(texts(&came), all);
            assert!(ended(&mut sent).await.is_none());
            drop(source);
            assert_eq!(ended(&mut sent).await.unwrap().unwrap(), 10);
            assert!(conn.is_quiet() && taken(&mut conn).await.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_error_ends_a_stream_and_says_which_chunk_it_was() {
    let (client, mut conn) = routed(&["w"]);
    let (source, mut sent) = streaming(&client, 3);
    (0..5).for_each(|_| source.unbounded_send("x".into()).unwrap());
    let came = requests(&mut conn).await;
    // Chunks are looked at in their order, whichever is answered first.
    conn.handle(error_of(&came[1], "w", &RemoteError::new("ValueError", "no")));
    assert!(ended(&mut sent).await.is_none());
    conn.handle(result_of(&came[0], "w", "y"));
    let error = ended(&mut sent).await.unwrap().unwrap_err();
    assert!(error.chunk == 1 && error.source.is_remote(), "{error:?}");
    let given_up = cancels(&mut conn).await;
    assert!(given_up.contains(&(came[2].header().id(), CancelReason::Dropped)), "{given_up:?}");
    assert!(source.is_closed());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_chunk_is_that_to_its_acknowledgement() {
    let (client, mut conn) = routed(&["w"]);
    let (source, mut sent) = streaming(&client, 1);
    settle().await;
    advance(100 * AFTER).await;
    assert!(ended(&mut sent).await.is_none(), "a source may take its time");
    source.unbounded_send("a".into()).unwrap();
    let came = request(&mut conn).await;
    advance(AFTER - MS).await;
    conn.handle(result_of(&came, "w", "y"));
    source.unbounded_send("b".into()).unwrap();
    let came = request(&mut conn).await;
    advance(AFTER - MS).await;
    assert!(ended(&mut sent).await.is_none());
    advance(MS).await;
    let error = ended(&mut sent).await.unwrap().unwrap_err();
    assert!(error.chunk == 1 && error.source.is_timeout(), "{error:?}");
    assert_eq!(cancels(&mut conn).await, [(came.header().id(), CancelReason::Dropped)]);
}

#[tokio::test(start_paused = true)]
async fn large_chunks_take_turns_with_their_acknowledgements() {
    let (client, mut conn) = routed(&["w"]);
    let (source, mut sent) = streaming(&client, 10);
    // Two of them are more than may be unacknowledged, and one goes in any case.
    for _ in 0..3 {
        source.unbounded_send(vec![7; 600_000].into()).unwrap();
    }
    for _ in 0..3 {
        let came = request(&mut conn).await;
        assert!(ended(&mut sent).await.is_none());
        conn.handle(result_of(&came, "w", "y"));
    }
    drop(source);
    assert_eq!(ended(&mut sent).await.unwrap().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_stays_on_its_connection_and_ends_with_it() {
    for window in [0, 2] {
        let (client, mut conn) = routed(&["w"]);
        let (source, mut sent) = streaming(&client, window);
        source.unbounded_send("a".into()).unwrap();
        let came = request(&mut conn).await;
        if window > 0 {
            conn.handle(result_of(&came, "w", "y"));
        }
        settle().await;
        conn.lose(&Disconnected::PeerClosed);
        let mut next = client.connect(Role::Router, Level::FOUR, &["w"]);
        next.take();
        source.unbounded_send("b".into()).unwrap();
        let error = ended(&mut sent).await.unwrap().unwrap_err();
        assert!(
            error.chunk == 1 && matches!(*error.source, CallError::Disconnected(Disconnected::PeerClosed)),
            "{error:?}"
        );
        assert!(taken(&mut next).await.is_empty(), "half a stream is none");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_does_not_go_on_to_the_next_of_the_name() {
    for window in [0, 2] {
        let (client, mut conn) = routed(&["w", "other"]);
        let (source, mut sent) = streaming(&client, window);
        source.unbounded_send("a".into()).unwrap();
        let came = request(&mut conn).await;
        if window > 0 {
            conn.handle(result_of(&came, came.receiver(), "y"));
        }
        settle().await;
        conn.leave(came.receiver());
        conn.join(came.receiver());
        source.unbounded_send("b".into()).unwrap();
        let error = ended(&mut sent).await.unwrap().unwrap_err();
        assert!(error.chunk == 1 && matches!(*error.source, CallError::ReceiverGone { .. }), "{error:?}");
        assert!(requests(&mut conn).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_that_nobody_acknowledges_wait_for_credit_and_for_room() {
    let (client, mut conn) = routed(&["w"]);
    let (source, mut sent) = streaming(&client, 0);
    let chunk = Bytes::from(vec![7; FIRST_WINDOW as usize / 3 - 300]);
    (0..4).for_each(|_| source.unbounded_send(chunk.clone()).unwrap());
    let frames = taken(&mut conn).await;
    let begins = of_kind(frames.clone(), Kind::Credit);
    assert!(matches!(begins.as_slice(), [frame] if matches!(Credit::read(frame), Ok(Credit::Begins(_)))));
    assert_eq!(of_kind(frames, Kind::Request).len(), 3);
    advance(AFTER).await;
    let error = ended(&mut sent).await.unwrap().unwrap_err();
    assert!(error.chunk == 3 && error.source.is_timeout(), "{error:?}");
    // A server that takes nothing holds it up where nobody counts credit.
    let (client, mut conn) = linked((Role::Service, Level::THREE), &["w"]);
    let (source, mut sent) = streaming(&client, 0);
    conn.fill();
    (0..4).for_each(|_| source.unbounded_send(chunk.clone()).unwrap());
    drop(source);
    assert!(ended(&mut sent).await.is_none());
    conn.take();
    assert_eq!(requests(&mut conn).await.len(), 4);
    assert_eq!(ended(&mut sent).await.unwrap().unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_source_is_told_behind_the_chunks_before_it() {
    let (client, mut conn) = routed(&["w"]);
    let call = client.client.stream();
    let chunks = stream::iter([Ok("a"), Ok("b"), Err("gone"), Ok("c")]);
    let mut sent = begin(async move { call.try_send("f", chunks).await });
    for text in ["a", "b"] {
        let came = request(&mut conn).await;
        assert_eq!(came.payload(), text.as_bytes());
        assert!(ended(&mut sent).await.is_none());
        conn.handle(result_of(&came, "w", "y"));
    }
    let error = ended(&mut sent).await.unwrap().unwrap_err();
    assert!(matches!(error, crate::call::SendError::Source("gone")), "{error:?}");
    assert!(requests(&mut conn).await.is_empty());
}
