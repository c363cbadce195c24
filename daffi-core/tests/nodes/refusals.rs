//! Errors that look as refusals of a call and are none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use daffi_core::{CallError, Callback, CallbackOptions};
use daffi_serde::RemoteError;
use daffi_transport::Endpoint;
use daffi_wire::{CallId, Kind};
use futures::{StreamExt, stream};
use tokio::time::timeout;

use crate::{
    level_three::{Server, connect},
    peer::Peer,
    support::{client, formats, method, router, worker},
};

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

/// What a callback of 3.0.1 raises that made a call, which was refused.
const PASSED_ON: [&str; 4] = ["NodeStopping", "Overloaded", "ReceiverNotFound", "DeadlineExceeded"];

fn error(class: &str) -> String {
    format!(r#"{{"args": [["{class}", "daffi", "inner did not run", null]], "kwargs": {{}}}}"#)
}

async fn worker_of_3_0_1(at: &Endpoint) -> Peer {
    let mut worker = Peer::connect(at).await;
    worker.hello_with("py", "client", r#"["outer"]"#).await;
    worker
}

/// Answers one request, which has to be a call of `outer`, with an error of this class.
async fn fail_next(worker: &mut Peer, class: &str) {
    let request = loop {
        let frame = soon(worker.receive()).await.expect("a request");
        if frame.kind() == Kind::Request {
            break frame;
        }
    };
    let CallId(id) = request.header().id();
    worker.send_to(Kind::Error, id, ["py", request.transmitter(), "outer"], &error(class), false).await;
}

#[tokio::test]
async fn what_a_callback_of_3_0_1_passes_on_refuses_no_call_of_it() {
    let (_router, at) = router();
    let mut worker = worker_of_3_0_1(&at).await;
    let caller = client(&at, "caller").await;
    soon(caller.wait_for_members(&["py"], None)).await.unwrap();
    for class in PASSED_ON {
        // It would be made again if it had not run.
        let call = caller.rpc().timeout(Duration::from_secs(50)).wait_for_receiver();
        let (failed, ()) = tokio::join!(soon(call.call::<()>("outer", ())), fail_next(&mut worker, class));
        let failed = failed.unwrap_err();
        assert!(matches!(&failed, CallError::Remote { error, .. } if error.class == class), "{failed:?}");
        assert!(!failed.is_retryable(), "{class}: it ran");
        let (failed, ()) = tokio::join!(soon(call.results::<()>("outer", ())), fail_next(&mut worker, class));
        let failed = failed.unwrap_err();
        assert!(matches!(&failed, CallError::Remote { error, .. } if error.class == class), "{failed:?}");
    }
}

/// Whatever the callback is, and whether its results go one by one or as a list.
#[tokio::test]
async fn what_a_callback_of_ours_passes_on_refuses_no_call_of_it() {
    let ran = Arc::new(AtomicUsize::new(0));
    let options = CallbackOptions::new;
    let fails = |class: &str| RemoteError::new(class, "inner did not run").in_module("daffi");
    let begin = |ran: &Arc<AtomicUsize>| {
        let ran = Arc::clone(ran);
        move || ran.fetch_add(1, SeqCst)
    };
    let [a, b, c, d] = [(); 4].map(|()| begin(&ran));
    let callbacks = vec![
        Callback::plain(method("plain"), options(), formats(), move |(class,): (String,), _| {
            a();
            Err::<(), _>(fails(&class))
        }),
        Callback::asynchronous(method("asynchronous"), options(), formats(), move |(class,): (String,), _| {
            b();
            async move { Err::<(), _>(fails(&class)) }
        }),
        Callback::streaming(method("streaming"), options(), formats(), move |(class,): (String,), _| {
            c();
            Err::<stream::Empty<Result<u64, _>>, _>(fails(&class))
        }),
        Callback::streaming(method("item"), options(), formats(), move |(class,): (String,), _| {
            d();
            Ok(stream::iter([Err::<u64, _>(fails(&class))]))
        }),
    ];
    let methods: Vec<String> = callbacks.iter().map(|callback| callback.name().to_string()).collect();
    let (_router, at) = router();
    let _worker = worker(&at, "w", callbacks).await;
    let caller = client(&at, "caller").await;
    soon(caller.wait_for_members(&["w"], None)).await.unwrap();
    let call = caller.rpc().timeout(Duration::from_secs(50)).wait_for_receiver();
    let mut calls = 0;
    for (name, class) in methods.iter().flat_map(|name| PASSED_ON.map(|class| (name, class))) {
        let one = soon(call.call::<()>(name, (class,))).await.unwrap_err();
        let many = match soon(call.results::<()>(name, (class,))).await {
            Ok(mut results) => soon(results.next()).await.unwrap().unwrap_err(),
            Err(error) => error,
        };
        calls += 2;
        for failed in [one, many] {
            assert!(matches!(&failed, CallError::Remote { error, .. } if error.class == class), "{name}: {failed:?}");
        }
        assert_eq!(ran.load(SeqCst), calls, "{name} and {class}: each ran once");
    }
}

#[tokio::test]
async fn what_a_callback_at_a_server_of_3_0_1_passes_on_refuses_no_call_of_it() {
    let at = crate::support::endpoint();
    let mut server = Server::bind(&at);
    let answer = r#"{"meta":{"type":"service","error":null},"members":[{"name":"py","methods":["outer"]}]}"#;
    let (caller, (mut peer, _)) = tokio::join!(connect(&at), server.accept(answer));
    for class in PASSED_ON {
        let call = caller.rpc().timeout(Duration::from_secs(50));
        let (failed, ()) = tokio::join!(soon(call.call::<()>("outer", ())), fail_next(&mut peer, class));
        let failed = failed.unwrap_err();
        assert!(matches!(&failed, CallError::Remote { error, .. } if error.class == class), "{failed:?}");
        assert!(!failed.is_retryable(), "{class}: it ran");
    }
}
