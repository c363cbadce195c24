//! Callbacks that read bytes in pieces, and calls that read results so.

use std::sync::OnceLock;

use bytes::Bytes;
use daffi::{CallError, Callbacks, Context, FormatId, Incoming, callback, callbacks};
use futures::{StreamExt, TryStreamExt, stream};

use crate::support::serve;

const MIB: usize = 1 << 20;

/// What came: in how many pieces, how many bytes, and whether they are those that were sent.
#[callback]
async fn store(name: String, mut pieces: Incoming<Bytes>) -> Result<(String, usize, usize, bool), CallError> {
    let (mut count, mut at, mut same) = (0, 0, true);
    while let Some(piece) = pieces.try_next().await? {
        same &= piece == sample(at + piece.len())[at..];
        (count, at) = (count + 1, at + piece.len());
    }
    Ok((name, count, at, same))
}

/// Wants none of it.
#[callback]
fn ignore(ctx: Context, pieces: Incoming<Bytes>) -> String {
    drop(pieces);
    ctx.caller().to_owned()
}

#[callback]
fn fetch(bytes: usize) -> Bytes {
    sample(bytes)
}

/// So many bytes in which a part that is missing, doubled or moved shows.
fn sample(bytes: usize) -> Bytes {
    static ALL: OnceLock<Bytes> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..5 * MIB as u64).flat_map(u64::to_le_bytes).collect());
    all.slice(..bytes)
}

fn all() -> Callbacks {
    callbacks![store, ignore, fetch]
}

#[tokio::test]
async fn a_large_argument_of_bytes_is_read_in_pieces() {
    let (_service, client) = serve(1, all()).await;
    for format in [FormatId::MSGPACK, FormatId::PICKLE, FormatId::POSTCARD] {
        let rpc = client.rpc().serde(format);
        for bytes in [0, 3, 2 * MIB, 34 * MIB] {
            let sent = sample(bytes);
            if format == FormatId::POSTCARD {
                // It does not say what stands there, so it has a list.
                let (.., at, same) =
                    rpc.call::<(String, usize, usize, bool)>("store", ("x", vec![&sent])).await.unwrap();
                assert_eq!((at, same), (bytes, true));
                continue;
            }
            let (name, count, at, same) =
                rpc.call::<(String, usize, usize, bool)>("store", ("x", &sent)).await.unwrap();
            assert_eq!((name.as_str(), at, same), ("x", bytes, true), "{format}");
            assert_eq!(count > 1, bytes > MIB, "{format}: {count} pieces of {bytes}");
        }
        let pieces = stream::iter([sample(300), sample(10)]);
        let (_, count, at, _) = rpc.send::<(String, usize, usize, bool)>("store", ("x",), pieces).await.unwrap();
        assert_eq!((count, at), (2, 310));
    }
}

#[tokio::test]
async fn bytes_that_nobody_reads_hold_nobody_up() {
    let (_service, client) = serve(1, all()).await;
    let caller = client.rpc().serde(FormatId::MSGPACK).call::<String>("ignore", (sample(40 * MIB),)).await.unwrap();
    assert_eq!(caller, client.name());
}

#[tokio::test]
async fn a_large_result_of_bytes_is_read_in_pieces() {
    let (_service, client) = serve(1, all()).await;
    for format in [FormatId::MSGPACK, FormatId::OPAQUE, FormatId::PICKLE] {
        for bytes in [0, 7, 2 * MIB, 34 * MIB] {
            let args = (bytes,);
            let mut pieces = client.rpc().serde(format).in_pieces().results::<Bytes>("fetch", args).await.unwrap();
            let (mut count, mut at) = (0, 0);
            while let Some(piece) = pieces.next().await {
                let piece = piece.unwrap();
                assert!(piece == sample(at + piece.len())[at..]);
                (count, at) = (count + 1, at + piece.len());
            }
            assert_eq!(at, bytes);
            assert_eq!(count > 1, bytes > MIB, "{format}: {count} pieces of {bytes}");
            let whole: Bytes = client.rpc().serde(format).call("fetch", args).await.unwrap();
            assert_eq!(whole.len(), bytes);
        }
    }
}

/// It holds up who sends them, and neither other calls nor their worker.
#[tokio::test]
async fn a_reader_that_pauses_holds_nobody_else_up() {
    let (_service, client) = serve(1, all()).await;
    let rpc = client.rpc().serde(FormatId::MSGPACK);
    let mut pieces = rpc.clone().in_pieces().results::<Bytes>("fetch", (34 * MIB,)).await.unwrap();
    let mut at = pieces.next().await.unwrap().unwrap().len();
    for bytes in 0..50 {
        assert_eq!(rpc.call::<Bytes>("fetch", (bytes,)).await.unwrap(), sample(bytes));
    }
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap();
        assert!(piece == sample(at + piece.len())[at..]);
        at += piece.len();
    }
    assert_eq!(at, 34 * MIB);
}
