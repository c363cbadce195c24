//! Calls as far as they come without a peer: what they wait for, and what their errors say. The
//! modules below have a peer, by hand, and the time.

mod again;
mod answers;
mod casts;
mod items;
mod nowait;
mod results;
mod streams;
mod waiting;

use std::{future::Future, time::Duration};

use daffi_serde::{Opaque, RemoteError, Single};
use daffi_transport::mem::MemConnector;
use daffi_wire::{
    CallCredit, CallId, Cancel, CancelReason, Data, DataEnd, ExtensionError, Extensions, FormatId, Frame, FrameWriter,
    Header, Kind, Level, Limits, NodeName, Role, StreamFlags,
};
use futures::{FutureExt, stream};
use tokio::task::{JoinHandle, yield_now};

use super::{progress::Progress, written_extensions::WrittenExtensions};
use crate::{
    client::{
        CallOptions, Client,
        bare::{BareClient, BareConn, CALLER},
    },
    config::NodeConfig,
    error::{CallError, Disconnected, WaitedFor},
    refusal::{Refusal, json_error},
};

const AFTER: Duration = Duration::from_millis(50);
const MS: Duration = Duration::from_millis(1);

/// Every server that there is.
const LINKS: [(Role, Level); 4] = [
    (Role::Service, Level::THREE),
    (Role::Service, Level::FOUR),
    (Role::Router, Level::THREE),
    (Role::Router, Level::FOUR),
];

/// A client with a connection to a server that lists these members.
fn linked((role, level): (Role, Level), members: &[&str]) -> (BareClient, BareConn) {
    let client = BareClient::new(NodeConfig::client());
    let conn = client.connect(role, level, members);
    conn_is_silent(client, conn)
}

/// What was said to shake hands is of no interest.
fn conn_is_silent(client: BareClient, mut conn: BareConn) -> (BareClient, BareConn) {
    conn.take();
    (client, conn)
}

/// A client of a Router of this project.
fn routed(members: &[&str]) -> (BareClient, BareConn) {
    linked((Role::Router, Level::FOUR), members)
}

/// What goes on beside the test.
fn begin<T: Send + 'static>(what: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(what)
}

/// Lets everything run that has something to do.
async fn settle() {
    for _ in 0..64 {
        yield_now().await;
    }
}

/// What came of it, if it has ended.
async fn ended<T>(task: &mut JoinHandle<T>) -> Option<T> {
    settle().await;
    task.now_or_never().map(|ended| ended.expect("it does not panic"))
}

/// What the server has got so far.
async fn taken(conn: &mut BareConn) -> Vec<Frame> {
    settle().await;
    conn.take()
}

/// The requests among that.
async fn requests(conn: &mut BareConn) -> Vec<Frame> {
    of_kind(taken(conn).await, Kind::Request)
}

fn of_kind(frames: Vec<Frame>, kind: Kind) -> Vec<Frame> {
    frames.into_iter().filter(|frame| frame.kind() == kind).collect()
}

/// The one request that was sent.
async fn request(conn: &mut BareConn) -> Frame {
    let [request] = requests(conn).await.try_into().expect("one request");
    request
}

/// Which calls were given up, and why.
async fn cancels(conn: &mut BareConn) -> Vec<(CallId, CancelReason)> {
    let cancels = of_kind(taken(conn).await, Kind::Cancel);
    cancels.iter().map(Cancel::read).map(|read| read.map(|Cancel { id, reason }| (id, reason)).unwrap()).collect()
}

fn said(frame: &Frame) -> Extensions {
    frame.clone().take_extensions().unwrap()
}

fn reply(kind: Kind, of: &Frame, from: &str, format: FormatId, payload: &[u8]) -> Frame {
    let header = Header::new(kind, of.header().id(), format, true, false);
    Frame::new(header, from, CALLER, of.method(), payload, &Limits::default()).unwrap()
}

/// The result of a call, from this member.
fn result_of(of: &Frame, from: &str, text: &str) -> Frame {
    reply(Kind::Response, of, from, FormatId::OPAQUE, text.as_bytes())
}

/// What it failed with.
fn error_of(of: &Frame, from: &str, error: &RemoteError) -> Frame {
    reply(Kind::Error, of, from, FormatId::JSON, &json_error(error))
}

/// The word that results follow.
fn begins(of: &Frame, from: &str) -> Frame {
    let (mut bytes, limits) = (bytes::BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, from, CALLER, of.method()).unwrap();
    let follow = StreamFlags { items_follow: true, takes_results: false };
    writer.extensions(&Extensions::builder().stream(follow).build().unwrap());
    let header = Header::new(Kind::Response, of.header().id(), FormatId::OPAQUE, false, false);
    writer.finish(header, 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// One of them, or with nothing in it the end of all.
fn item(of: &Frame, from: &str, bytes: &[u8]) -> Frame {
    let end = if bytes.is_empty() { DataEnd::Direction } else { DataEnd::Item };
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let data = Data { id: of.header().id(), from_caller: false, end, packed: false, bytes };
    data.frame(from, CALLER, &Limits::default()).unwrap()
}

/// How much of what was sent in DATA is worked off.
fn grant(of: &Frame, from: &str, worked_off: u64, window: u32) -> Frame {
    CallCredit::new(of.header().id(), false, worked_off, window)
        .unwrap()
        .frame(from, CALLER, &Limits::default())
        .unwrap()
}

/// What comes of a call that waits at a Router and was given to a member that is stopping.
fn refused_by_stopping(of: &Frame, by: &str) -> Frame {
    error_of(of, by, &Refusal::NodeStopping.error("it is stopping: f did not run"))
}

/// A client whose server is not there yet.
fn client() -> Client<Single<Opaque>> {
    let name = NodeName::new("caller", &Limits::new()).unwrap();
    let connector = Box::new(MemConnector::new("mem://nobody-listens-here".parse().unwrap()));
    Client::builder(name, connector, Single::new(Opaque::default())).connect_lazy().unwrap()
}

fn is_not_connected(error: &CallError) -> bool {
    matches!(error, CallError::Disconnected(Disconnected::NotConnected))
}

fn waited_for_connection(error: &CallError) -> bool {
    matches!(error, CallError::Timeout { after: AFTER, waited_for: WaitedFor::Connection, .. })
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_calls_fail_at_once() {
    let client = client();
    let errors = [
        client.rpc().call::<()>("f", ("x",)).now_or_never().unwrap().unwrap_err(),
        client.rpc_nowait().call("f", ("x",)).now_or_never().unwrap().unwrap_err(),
        client.cast().call::<()>("f", ("x",)).now_or_never().unwrap().unwrap_err(),
        client.cast_nowait().call("f", ("x",)).now_or_never().unwrap().unwrap_err(),
        *client.stream().send("f", stream::iter(["x"])).now_or_never().unwrap().unwrap_err().source,
        *client.stream_nowait().send("f", stream::iter(["x"])).now_or_never().unwrap().unwrap_err().source,
    ];
    assert!(errors.iter().all(is_not_connected), "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_connection_do_so_within_their_timeout() {
    let client = client();
    let rpc = client.rpc().timeout(AFTER).wait_for_connection();
    let nowait = client.rpc_nowait().timeout(AFTER).wait_for_receiver();
    let stream = client.stream().timeout(AFTER).wait_for_connection();
    let errors = [
        rpc.call::<()>("f", ("x",)).await.unwrap_err(),
        nowait.call("f", ("x",)).await.unwrap_err(),
        *stream.send("f", stream::iter(["x"])).await.unwrap_err().source,
    ];
    assert!(errors.iter().all(waited_for_connection), "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_end_with_their_node() {
    let client = client();
    let rpc = client.rpc().wait_for_connection();
    let mut call = Box::pin(rpc.call::<()>("f", ("x",)));
    assert!(call.as_mut().now_or_never().is_none());
    client.stop().await;
    assert!(matches!(call.await, Err(CallError::Stopped)));
}

#[test]
fn a_timeout_says_how_far_the_call_came() {
    let mut progress = Progress::default();
    assert!(waited_for_connection(&progress.timeout_error("f", AFTER)));
    progress.waits_for_receiver(None);
    let error = progress.timeout_error("f", AFTER);
    let CallError::Timeout { receiver, method, waited_for: WaitedFor::Receiver, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((&*receiver, &*method), ("any member", "f"));
    progress.waits_for_receiver(Some("w1"));
    let error = progress.timeout_error("f", AFTER);
    assert!(matches!(&error, CallError::Timeout { receiver, .. } if receiver == "w1"), "{error:?}");
}

#[test]
fn headers_that_do_not_fit_name_the_call_and_the_limit() {
    let options = CallOptions { headers: vec![("key".to_owned(), "v".repeat(5000))], ..CallOptions::default() };
    let error = WrittenExtensions::of(&options, "f", true, false).unwrap_err();
    let CallError::Extensions { method, source: ExtensionError::Headers { limit: 4096, .. } } = error else {
        panic!("{error:?}")
    };
    assert_eq!(method, "f");
}
