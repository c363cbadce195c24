//! Calls as far as they come without a peer: what they wait for, and what their errors say.

use std::time::Duration;

use daffi_serde::{Opaque, Single};
use daffi_transport::mem::MemConnector;
use daffi_wire::{ExtensionError, Limits, NodeName};
use futures::{FutureExt, stream};

use super::{CallOptions, progress::Progress, written_extensions::WrittenExtensions};
use crate::{
    client::Client,
    error::{CallError, Disconnected, WaitedFor},
};

const AFTER: Duration = Duration::from_millis(50);

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
    progress.waits_for(WaitedFor::Receiver);
    let error = progress.timeout_error("f", AFTER);
    let CallError::Timeout { receiver, method, waited_for: WaitedFor::Receiver, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((&*receiver, &*method), ("any member", "f"));
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
