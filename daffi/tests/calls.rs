//! What a call takes, gives and waits for, as a program meets it.
#![cfg(all(feature = "msgpack", feature = "pickle", feature = "postcard", feature = "json"))]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use daffi::{
    CallError, Callbacks, CastItem, Client, ClientState, Context, Ended, FormatId, Owned, Router, Service, Value, args,
};
use futures::{
    StreamExt,
    future::{join_all, try_join_all},
};

/// An endpoint of its own.
fn endpoint() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("mem://calls-{}", NEXT.fetch_add(1, Relaxed))
}

async fn service(at: &str) -> Service {
    Service::builder("service")
        .callback_fn("add", |a: i64, b: i64| async move { a + b })
        .callback_fn("echo", |value: Value| async move { value })
        .callback_fn("length", |data: Bytes| async move { data.len() })
        .callback_fn("hang", std::future::pending::<()>)
        .bind(at)
        .await
        .unwrap()
}

async fn pair() -> (Service, Client) {
    let at = endpoint();
    (service(&at).await, Client::builder("client").connect(&at).await.unwrap())
}

#[tokio::test]
async fn nothing_takes_any_result() {
    let (_service, client) = pair().await;
    for format in [FormatId::MSGPACK, FormatId::PICKLE, FormatId::JSON, FormatId::POSTCARD] {
        let rpc = client.rpc().serde(format);
        rpc.call::<()>("add", (1, 2)).await.unwrap();
        rpc.run("add", (1, 2)).await.unwrap();
        let all: BTreeMap<_, Result<(), _>> = client.cast().serde(format).call("add", (1, 2)).await.unwrap();
        assert!(matches!(all["service"], Ok(())));
    }
    client.rpc().serde(FormatId::OPAQUE).run("echo", ("text",)).await.unwrap();
    assert!(client.rpc().run("add", (1,)).await.unwrap_err().is_remote(), "a failure is one all the same");
}

#[tokio::test]
async fn arguments_may_be_borrowed() {
    let (_service, client) = pair().await;
    let (text, data) = (String::from("text"), vec![0_u8, 159, 146, 150]);
    let rpc = client.rpc();
    for format in [FormatId::MSGPACK, FormatId::PICKLE] {
        let rpc = rpc.clone().serde(format);
        assert_eq!(rpc.call::<Value>("echo", (text.as_str(),)).await.unwrap(), Value::from("text"));
        // As a `Vec<u8>` does, a slice travels as bytes.
        let bytes = Value::Bytes(data.clone().into());
        assert_eq!(rpc.call::<Value>("echo", (&data[..],)).await.unwrap(), bytes);
        assert_eq!(rpc.call::<Value>("echo", (&data,)).await.unwrap(), bytes);
        assert_eq!(rpc.call::<Value>("echo", (data.clone(),)).await.unwrap(), bytes);
        assert_eq!(
            rpc.call::<Value>("echo", args![&data[..1]]).await.unwrap(),
            Value::Bytes(data[..1].to_vec().into())
        );
        assert_eq!(rpc.call::<Value>("echo", (&data[..0],)).await.unwrap(), Value::Bytes([].into()));
    }
    for format in [FormatId::MSGPACK, FormatId::PICKLE, FormatId::POSTCARD] {
        let rpc = rpc.clone().serde(format);
        assert_eq!(rpc.call::<usize>("length", (&data[..],)).await.unwrap(), 4, "{format}");
        assert_eq!(rpc.call::<usize>("length", Bytes::from(data.clone())).await.unwrap(), 4, "{format}");
        assert_eq!(rpc.call::<usize>("length", Owned(data.clone())).await.unwrap(), 4, "{format}");
    }
    let opaque = rpc.serde(FormatId::OPAQUE);
    assert_eq!(opaque.call::<Bytes>("echo", (&data[..],)).await.unwrap(), data);
    assert_eq!(opaque.call::<Bytes>("echo", Bytes::from(data.clone())).await.unwrap(), data);
    assert_eq!(opaque.call::<Bytes>("echo", (Bytes::from(data.clone()),)).await.unwrap(), data);
}

#[tokio::test]
async fn futures_of_calls_outlive_what_made_them() {
    let (_service, client) = pair().await;
    let sums: Vec<i64> = try_join_all((0..3).map(|i| client.rpc().call("add", (i, 1)))).await.unwrap();
    assert_eq!(sums, [1, 2, 3]);
    let spawned = {
        let text = String::from("lent");
        tokio::spawn(client.rpc().call::<String>("echo", (text.as_str(),)))
    };
    let last = client.rpc().call::<i64>("add", (3, 4));
    drop(client);
    assert_eq!(spawned.await.unwrap().unwrap(), "lent");
    assert_eq!(last.await.unwrap(), 7, "a call keeps its node");
}

/// The connection that a call was made on is gone when it is sent: it goes over the next one.
#[tokio::test]
async fn a_call_is_sent_over_the_connection_there_is() {
    let at = endpoint();
    let first = service(&at).await;
    let client = Client::builder("client").connect(&at).await.unwrap();
    let rpc = client.rpc().wait_for_connection();
    let before = rpc.call::<i64>("add", (1, 2));
    let queued_before = client.rpc_nowait().wait_for_connection().call("add", (1, 2));
    first.stop().await;
    while client.is_connected() {
        tokio::task::yield_now().await;
    }
    let meanwhile = rpc.call::<i64>("add", (3, 4));
    let all_meanwhile = client.cast().wait_for_connection().call::<i64>("add", (5, 6));
    let impatient = client.rpc().call::<i64>("add", (0, 0)).await;
    assert!(matches!(impatient, Err(CallError::Disconnected(_))), "{impatient:?}");
    let late = client.rpc().wait_for_connection().timeout(Duration::from_millis(1)).call::<i64>("add", (0, 0)).await;
    // An attempt may have failed by then, and its reason follows.
    let words = late.unwrap_err().to_string();
    assert!(words.starts_with("no connection within 1ms, so \"add\" was not called"), "{words}");
    let _second = service(&at).await;
    assert_eq!(before.await.unwrap(), 3);
    assert_eq!(meanwhile.await.unwrap(), 7);
    assert_eq!(*all_meanwhile.await.unwrap()["service"].as_ref().unwrap(), 11);
    queued_before.await.unwrap();
}

#[tokio::test]
async fn calls_wait_for_a_member_that_exposes_the_callback() {
    let at = endpoint();
    let _router = Router::builder("router").bind(&at).await.unwrap();
    let caller = Client::builder("caller").connect(&at).await.unwrap();
    let patient = caller.rpc().wait_for_receiver();

    let error = patient.clone().timeout(Duration::from_millis(1)).call::<i64>("add", (1, 2)).await.unwrap_err();
    assert!(error.is_timeout());
    // It waits at the Router, whose clock may be the first to see that its time is up.
    let words = [
        "no member exposed \"add\" within 1ms, so it was not called; is a node that has it there?",
        "no answer of any member to add within 1ms: is a node that has it there, and quick enough?",
    ];
    assert!(words.contains(&&*error.to_string()), "{error}");
    assert!(matches!(caller.rpc().call::<i64>("add", (1, 2)).await, Err(CallError::ReceiverNotFound { .. })));

    let any = tokio::spawn(patient.call::<i64>("add", (1, 2)));
    let one = tokio::spawn(patient.clone().receiver("second").call::<String>("name", ()));
    let sent = tokio::spawn({
        let stream = caller.stream().wait_for_receiver();
        stream.send("add", futures::stream::iter([(1, 2)]))
    });
    let queued = tokio::spawn(caller.rpc_nowait().wait_for_receiver().call("add", (1, 2)));
    let member = |name: &'static str| {
        Client::builder(name)
            .callback_fn("add", |a: i64, b: i64| async move { a + b })
            .callback_fn("name", move || async move { name })
            .connect(&at)
    };
    let _first = member("first").await.unwrap();
    assert_eq!(any.await.unwrap().unwrap(), 3);
    queued.await.unwrap().unwrap();
    assert!(sent.await.unwrap().is_err(), "a pair is one argument, and two are expected");
    assert!(!one.is_finished());
    let _second = member("second").await.unwrap();
    assert_eq!(one.await.unwrap().unwrap(), "second");

    let endless = tokio::spawn(patient.call::<i64>("nobody has it", ()));
    tokio::task::yield_now().await;
    caller.stop().await;
    assert!(matches!(endless.await.unwrap(), Err(CallError::Stopped)));
}

/// What `to_cast` is given of a call's options holds for every member.
#[tokio::test]
async fn casts_wait_for_members_that_expose_the_callback() {
    let at = endpoint();
    let caller = Client::builder("caller").connect_lazy(&at).unwrap();
    let patient = caller.rpc().wait_for_receiver().to_cast();
    let hasty = caller.rpc().to_cast();
    let disconnected = hasty.call::<i64>("add", (1, 2)).await;
    assert!(matches!(disconnected, Err(CallError::Disconnected(_))), "{disconnected:?}");

    let any = tokio::spawn(patient.call::<i64>("add", (1, 2)));
    let named = patient.clone().receivers(["first", "second"]);
    let both = tokio::spawn(named.call::<i64>("add", (3, 4)));
    let queued = tokio::spawn(caller.cast_nowait().wait_for_receiver().receivers(["second"]).call("add", (5, 6)));
    let _router = Router::builder("router").bind(&at).await.unwrap();
    caller.wait_for_connection().await.unwrap();
    let error = patient.clone().timeout(Duration::from_millis(1)).call::<i64>("add", (1, 2)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no member exposed \"add\" within 1ms, so it was not called; is a node that has it there?"
    );
    assert!(matches!(hasty.call::<i64>("add", (1, 2)).await, Err(CallError::ReceiverNotFound { .. })));

    let member = |name| {
        let add = |a: i64, b: i64| async move { a + b };
        Client::builder(name).callback_fn("add", add).connect(&at)
    };
    let _first = member("first").await.unwrap();
    let answers = any.await.unwrap().unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!(*answers["first"].as_ref().unwrap(), 3);
    // Whoever is there is called meanwhile, and who does not come in time has an error of its own.
    let brief = named.clone().timeout(Duration::from_millis(1)).call::<i64>("add", (3, 4));
    assert!(brief.await.unwrap()["second"].as_ref().unwrap_err().is_timeout());
    let mut results = named.results::<i64>("add", (7, 8)).await.unwrap();
    let (name, item) = results.next().await.unwrap();
    assert!(name == "first" && matches!(item, CastItem::Item(15)), "{name}: {item:?}");
    assert!(!both.is_finished() && !queued.is_finished());

    let _second = member("second").await.unwrap();
    let answers = both.await.unwrap().unwrap();
    assert_eq!(answers.values().map(|answer| *answer.as_ref().unwrap()).collect::<Vec<_>>(), [7, 7]);
    queued.await.unwrap().unwrap();
    let of_second = results.filter(|(name, _)| std::future::ready(name == "second"));
    assert!(matches!(of_second.collect::<Vec<_>>().await[..], [(_, CastItem::Item(15)), (_, CastItem::Ended)]));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_given_up_when_its_time_is_up() {
    let (_service, client) = pair().await;
    let begun = tokio::time::Instant::now();
    let rpc = client.rpc().timeout(Duration::from_millis(250));
    let call = rpc.call::<()>("hang", ());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = call.await.unwrap_err();
    assert_eq!(error.to_string(), "no answer of service to hang within 250ms");
    assert_eq!(begun.elapsed().as_millis() / 10, 35, "the time begins with the sending");
    // Calls in great number are given up, too, and free what they held.
    let errors = join_all((0..1000).map(|_| rpc.call::<()>("hang", ()))).await;
    assert!(errors.into_iter().all(|error| error.unwrap_err().is_timeout()));
}

#[tokio::test]
async fn a_call_that_is_never_awaited_is_never_made() {
    let at = endpoint();
    let ran = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&ran);
    let count = move |_: Context| {
        let counted = Arc::clone(&counted);
        async move { counted.fetch_add(1, Relaxed) }
    };
    let _service = Service::builder("service").callback_fn("count", count).bind(&at).await.unwrap();
    let client = Client::builder("client").connect(&at).await.unwrap();
    drop(client.rpc().run("count", ()));
    drop(client.rpc_nowait().call("count", ()));
    drop(client.cast().call::<()>("count", ()));
    assert_eq!(client.rpc().call::<u64>("count", ()).await.unwrap(), 0);
}

/// The words of an error, which its causes must not say again where a chain is printed.
fn words(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    for cause in causes {
        assert!(!text.contains(&cause.to_string()), "{text:?} says what its cause says");
    }
    text
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_what_to_do() {
    let (_service, client) = pair().await;
    let rpc = client.rpc();
    let error = rpc.clone().serde(FormatId::user(77).unwrap()).run("add", (1, 2)).await.unwrap_err();
    assert_eq!(
        words(&error),
        "arguments of add: this node has no format 77: add it with the builder's format(), or turn its feature on"
    );
    assert_eq!(words(&rpc.run("", ()).await.unwrap_err()), "no callback has an empty name: name the one to call");
    assert_eq!(
        words(&rpc.clone().receiver("").run("add", ()).await.unwrap_err()),
        "no member has an empty name: name the one that is to run add, or none for any"
    );
    assert_eq!(words(&rpc.run("ad", ()).await.unwrap_err()), "no member exposes ad");
    assert_eq!(
        words(&rpc.clone().receiver("w9").run("add", ()).await.unwrap_err()),
        "w9 is not a member that exposes add"
    );
    let nobody: [&str; 0] = [];
    assert_eq!(
        words(&client.cast().receivers(nobody).call::<i64>("add", (1, 2)).await.unwrap_err()),
        "the list of receivers is empty, so add was called nowhere: name at least one, or call without receivers to reach all \
         that expose it"
    );
    words(&rpc.call::<String>("add", (1, 2)).await.unwrap_err());
    words(&rpc.run("add", (1,)).await.unwrap_err());
    // What nobody answers goes in one frame.
    let too_large = client.rpc_nowait().call("length", (vec![0_u8; 33 << 20],)).await;
    let too_large = words(&too_large.unwrap_err());
    assert!(too_large.starts_with("call of length does not fit: "), "{too_large}");
    let sent = client.stream().send("add", futures::stream::iter([(1, 2)])).await.unwrap_err();
    assert!(words(&sent).starts_with("chunk 0: "), "{sent}");

    let nobody = Client::builder("c").connect("mem://calls-nobody").await.unwrap_err();
    words(&nobody);
    words(&Client::builder("a|b").connect("mem://calls-nobody").await.unwrap_err());
    words(&Client::builder("c").connect("carrier-pigeon://x").await.unwrap_err());
    let twice = Service::builder("s").callback_fn("f", || async {}).callback_fn("f", || async {});
    let twice = twice.bind(&endpoint()).await.unwrap_err();
    assert_eq!(words(&twice), "two callbacks are named f: give one of them another name");
    let idle = words(&Service::builder("s").workers(0).bind(&endpoint()).await.unwrap_err());
    assert_eq!(idle, "workers is 0: at least 1 callback must be able to run");
}

#[tokio::test]
async fn a_client_that_connects_later_tells_how_it_stands() {
    let at = endpoint();
    let client = Client::builder("early").connect_lazy(&at).unwrap();
    let mut state = client.state();
    assert_eq!(*state.borrow_and_update(), ClientState::Connecting);
    assert!(!client.is_connected() && client.members().iter().next().is_none());
    let error = client.rpc().run("add", (1, 2)).await.unwrap_err();
    assert_eq!(
        words(&error),
        "disconnected: there is no connection at the moment; one is being made; the call did not run"
    );
    let early = client.rpc().wait_for_receiver().call::<i64>("add", (1, 2));

    let first = service(&at).await;
    assert_eq!(early.await.unwrap(), 3);
    state.wait_for(|state| *state == ClientState::Connected).await.unwrap();
    drop(first);
    state.wait_for(|state| *state == ClientState::Reconnecting).await.unwrap();
    let _second = service(&at).await;
    state.wait_for(|state| *state == ClientState::Connected).await.unwrap();
    assert_eq!(client.rpc().call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let newer = Client::builder("early").connect(&at).await.unwrap();
    state.wait_for(|state| *state == ClientState::Ended(Ended::Evicted)).await.unwrap();
    newer.stop().await;
    assert_eq!(*newer.state().borrow(), ClientState::Ended(Ended::Stopped));

    // Given up before there was a connection, it leaves nothing.
    let given_up = Client::builder("early").connect_lazy("mem://calls-never").unwrap();
    let mut state = given_up.state();
    drop(given_up);
    state.wait_for(|state| matches!(state, ClientState::Ended(_))).await.unwrap();
}

/// Nothing tells when a client has heard of an added callback, but a call can wait for it.
#[tokio::test]
async fn a_callback_that_was_added_just_now_can_be_waited_for() {
    let at = "mem://added-just-now";
    let service = Service::builder("service").bind(at).await.unwrap();
    let client = Client::builder("client").connect(at).await.unwrap();
    for number in 0..50_usize {
        let name = format!("f{number}");
        service.add_callbacks(Callbacks::new().callback_fn(name.clone(), move || async move { number })).unwrap();
        let rpc = client.rpc().timeout(Duration::from_secs(60)).wait_for_receiver();
        let rpc = if number % 2 == 0 { rpc } else { rpc.receiver("service") };
        assert_eq!(rpc.call::<usize>(&name, ()).await.unwrap(), number);
    }
}
