//! The callbacks of `demo` whose arguments or results come one by one.

use std::time::Duration;

use daffi::{Bytes, CallError, Client, DynArgs, Rpc, Value, args};
use futures::{StreamExt, TryStreamExt, stream};

use crate::support::Running;

async fn client(demo: &Running) -> Client {
    Client::builder("caller").connect(&demo.endpoint()).await.unwrap()
}

#[tokio::test]
async fn results_and_arguments_go_one_by_one() {
    let demo = Running::demo();
    let client = client(&demo).await;
    let rpc = client.rpc();
    let counted: Vec<u64> = rpc.results::<u64>("count", (3,)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(counted, [1, 2, 3]);
    let counted: Vec<u64> =
        rpc.results::<u64>("count", args![2, delay = 0.01]).await.unwrap().try_collect().await.unwrap();
    assert_eq!(counted, [1, 2]);
    assert_eq!(rpc.call::<Vec<u64>>("count", (0,)).await.unwrap(), [0; 0]);
    assert_eq!(rpc.send::<f64>("sum", (), stream::iter([1.5, -3.0])).await.unwrap(), -1.5);
    assert_eq!(rpc.send::<i64>("sum", (), stream::iter([0; 0])).await.unwrap(), 0);
    assert_eq!(rpc.call::<i64>("sum", (vec![1, 2],)).await.unwrap(), 3);
    let (mut say, mut heard) = rpc.duplex::<String, String>("shout", ()).await.unwrap();
    say.send("straße".into()).await.unwrap();
    assert_eq!(heard.try_next().await.unwrap().as_deref(), Some("STRASSE"));
    say.finish();
    assert_eq!(heard.try_next().await.unwrap(), None);
}

#[tokio::test]
async fn a_blob_is_as_large_as_asked_for_and_its_hash_the_same_however_it_comes() {
    let demo = Running::demo();
    let client = client(&demo).await;
    let rpc = client.rpc();
    let chunks: Vec<Bytes> = rpc.results::<Bytes>("blob", (1_000_000,)).await.unwrap().try_collect().await.unwrap();
    let all = chunks.concat();
    assert!(all.len() == 1_000_000 && all.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
    let hash: String = rpc.send("hash", (), stream::iter(chunks)).await.unwrap();
    assert_eq!(rpc.call::<String>("hash", (Bytes::from(all),)).await.unwrap(), hash);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(rpc.send::<String>("hash", (), stream::iter(["a", "bc"])).await.unwrap(), abc);
    assert_eq!(rpc.call::<String>("hash", ("abc",)).await.unwrap(), abc);
    let nothing = rpc.results::<Bytes>("blob", (0,)).await.unwrap().count().await;
    assert_eq!(nothing, 0);
}

#[tokio::test]
async fn what_makes_no_sense_is_an_error_of_its_class() {
    let demo = Running::demo();
    let client = client(&demo).await;
    let class = |error| match error {
        CallError::Remote { error, .. } => error.class.to_string(),
        other => panic!("{other}"),
    };
    let rpc = client.rpc();
    for (method, args) in [("count", vec![-1]), ("blob", vec![-1]), ("count", vec![1, -1])] {
        let args = DynArgs { positional: args.into_iter().map(Value::from).collect(), keywords: Vec::new() };
        let error = rpc.results::<Bytes>(method, args).await.unwrap_err();
        assert_eq!(class(error), "ValueError", "{method}");
    }
    let error = rpc.send::<i64>("sum", (), stream::iter(["a"])).await.unwrap_err();
    assert!(error.to_string().ends_with("TypeError: sum() takes two numbers, not 0 and 'a'"), "{error}");
    assert_eq!(class(rpc.call::<String>("hash", ()).await.unwrap_err()), "TypeError");
}

async fn until_cancelled(rpc: &Rpc, count: u64) {
    while rpc.call::<u64>("cancelled", ()).await.unwrap() != count {}
}

/// One who drops it, one whose time is over, one who leaves: each callback counts once, and makes
/// room for the next.
#[tokio::test]
async fn it_counts_what_was_given_up() {
    let demo = Running::demo();
    let (client, guest) = (client(&demo).await, Client::builder("guest").connect(&demo.endpoint()).await.unwrap());
    let rpc = client.rpc();
    let mut counted = rpc.results::<u64>("count", args![2, 1000]).await.unwrap();
    assert_eq!(counted.try_next().await.unwrap(), Some(1));
    until_cancelled(&rpc, 0).await;
    drop(counted);
    until_cancelled(&rpc, 1).await;
    let brief = rpc.clone().timeout(Duration::from_millis(20));
    assert!(matches!(brief.call::<f64>("sleep", (1000,)).await, Err(CallError::Timeout { .. })));
    until_cancelled(&rpc, 2).await;
    let (_say, _heard) = guest.rpc().duplex::<u64, u64>("sum", ()).await.unwrap();
    let mut counted = guest.rpc().results::<u64>("count", (u32::MAX,)).await.unwrap();
    assert_eq!(counted.try_next().await.unwrap(), Some(1));
    guest.stop().await;
    until_cancelled(&rpc, 4).await;
    // What nobody waits for from the start is not given up when its caller leaves.
    let guest = Client::builder("guest").connect(&demo.endpoint()).await.unwrap();
    guest.rpc_nowait().call("sleep", (0.05,)).await.unwrap();
    guest.stop().await;
    assert_eq!(rpc.call::<f64>("sleep", (0.1,)).await.unwrap(), 0.1);
    until_cancelled(&rpc, 4).await;
}

/// A caller whose process is killed says nothing itself: its Router does.
#[tokio::test]
async fn a_caller_that_is_killed_behind_a_router_is_seen_by_its_callback() {
    let router = Running::router();
    let at = router.endpoint();
    let _worker = Running::worker(&at, "demo");
    let looker = Client::builder("looker").connect(&at).await.unwrap();
    let mut caller = Running::start(&["call", &at, "count", "1000000", "0.01"]);
    caller.answer("1");
    until_cancelled(&looker.rpc(), 0).await;
    caller.signal("KILL");
    caller.end();
    until_cancelled(&looker.rpc(), 1).await;
}
