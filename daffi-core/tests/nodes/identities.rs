//! Who calls, behind a Router: it says so to who trusts it, whatever a caller writes there.

use std::sync::Arc;

use daffi_core::{Callback, CallbackOptions, Client, NodeConfig, Router};
use daffi_transport::Endpoint;
use daffi_wire::{Extensions, Kind, Limits, MethodName};
use parking_lot::Mutex;

use crate::{
    peer::{Peer, request},
    policy::{listen_as, soon, tcp, until},
    support::{Formats, client, client_exposing, endpoint, formats, node, service_at},
};

const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;

/// What `note` was called by.
type Noted = Arc<Mutex<Vec<String>>>;

fn callbacks(noted: &Noted) -> Vec<Callback> {
    let name = |name| MethodName::new(name, &Limits::default()).unwrap();
    let (options, noted) = (CallbackOptions::new, Arc::clone(noted));
    let whoami = Callback::plain(name("whoami"), options(), formats(), |(): (), ctx| Ok(ctx.identity().to_string()));
    let note = Callback::plain(name("note"), options(), formats(), move |(): (), ctx| {
        noted.lock().push(ctx.identity().to_string());
        Ok(())
    });
    vec![whoami, note]
}

/// A Router that knows who comes at the first endpoint as an address, and nothing of who comes at
/// the second.
fn router() -> (Router, Endpoint, Endpoint) {
    let (one, known) = listen_as(tcp("192.0.2.7:1"), "tcp://0.0.0.0:1");
    let (other, unknown) = listen_as(daffi_transport::PeerInfo::new("mem", "somewhere"), "mem://somewhere");
    (Router::builder(node("router")).listen(vec![one, other]).unwrap(), known, unknown)
}

async fn worker(at: &Endpoint, trusts: bool, noted: &Noted) -> Client<Formats> {
    client_exposing(at, "svc", NodeConfig::client().trust_router_identities(trusts), callbacks(noted)).await
}

/// What `whoami` answers to a call that claims to come from somebody else.
async fn forged(at: &Endpoint, name: &str) -> String {
    let mut forger = Peer::connect(at).await;
    forger.hello_with(name, "client/4", "null").await;
    let said = Extensions::builder().time_left_ms(60_000).identity("token:admin").unwrap();
    let said = said.header("tenant", "blue").unwrap().build().unwrap();
    forger.send_bytes(request(2, [name, "svc", "whoami"], &said, NOTHING).as_bytes()).await;
    soon("an answer", forger.expect(Kind::Response)).await
}

#[tokio::test]
async fn a_worker_that_trusts_its_router_hears_who_calls() {
    let (_router, known, unknown) = router();
    let noted = Noted::default();
    let _worker = worker(&unknown, true, &noted).await;
    let caller = client(&known, "caller").await;
    caller.wait_for_members(&["svc"], None).await.unwrap();
    assert_eq!(caller.rpc().call::<String>("whoami", ()).await.unwrap(), "addr:192.0.2.7");
    let nobody = client(&unknown, "nobody").await;
    nobody.wait_for_members(&["svc"], None).await.unwrap();
    assert_eq!(nobody.rpc().call::<String>("whoami", ()).await.unwrap(), "unknown");

    assert!(forged(&known, "forger").await.contains("addr:192.0.2.7"));
    assert!(forged(&unknown, "other").await.contains("unknown"), "what is not known is not what a caller says");
    let mut old = Peer::connect(&known).await;
    old.hello("old").await;
    old.send(Kind::Request, 2, "old", "whoami", NOTHING).await;
    let told = loop {
        let frame = soon("an answer", old.receive()).await.unwrap();
        if frame.kind() == Kind::Response {
            break String::from_utf8_lossy(frame.payload()).into_owned();
        }
    };
    assert!(told.contains("addr:192.0.2.7"), "{told}");

    // What is said of them costs their sender nothing, so that there is always credit for the next.
    for _ in 0..1000 {
        soon("credit", caller.rpc_nowait().receiver("svc").call("note", ())).await.unwrap();
    }
    until("all calls", || noted.lock().len() == 1000).await;
    assert!(noted.lock().iter().all(|identity| identity == "addr:192.0.2.7"));
}

#[tokio::test]
async fn who_did_not_ask_believes_nobody() {
    let (_router, known, unknown) = router();
    let _worker = worker(&unknown, false, &Noted::default()).await;
    let caller = client(&known, "caller").await;
    caller.wait_for_members(&["svc"], None).await.unwrap();
    let routers = caller.rpc().call::<String>("whoami", ()).await.unwrap();
    assert!(routers.contains("mem"), "that of the connection: {routers}");
    assert!(forged(&known, "forger").await.contains(&routers));
}

#[tokio::test]
async fn a_service_believes_no_client() {
    let at = endpoint();
    let config = NodeConfig::server().trust_router_identities(true);
    let _service = service_at(&at, config, callbacks(&Noted::default()));
    assert!(!forged(&at, "forger").await.contains("admin"));
}
