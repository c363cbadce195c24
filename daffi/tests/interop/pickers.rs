//! Which worker behind a router gets a call, beside taking turns.

use std::collections::{HashMap, HashSet};

use daffi::{CallError, Client, LeastInFlight, Picker, StickyByKey};

use crate::{
    lifecycle::held_call,
    routers::{AnyRouter, RouterKind, behind_either_router},
    support::{PATIENCE, eventually},
};

behind_either_router! { the_idle_worker_gets_the_calls, keys_stay_with_their_worker }

async fn caller(router: &AnyRouter, picker: impl Picker) -> Client {
    let caller = Client::builder("caller").picker(picker).default_timeout(PATIENCE);
    caller.connect(&router.endpoint()).await.unwrap()
}

async fn the_idle_worker_gets_the_calls(kind: RouterKind) {
    let router = kind.start().await;
    let busy = router.python_worker("busy").await;
    let client = caller(&router, LeastInFlight::default()).await;
    let open = held_call(&client, &busy).await;
    let _idle = router.rust_worker("idle").await;
    client.wait_for_members(&["idle"], None).await.unwrap();
    for _ in 0..50 {
        assert_eq!(client.rpc().call::<String>("whoami", ()).await.unwrap(), "idle");
    }
    busy.kill();
    assert!(matches!(open.await.unwrap(), Err(CallError::ReceiverGone { .. })));
    // Whoever comes next under the busy one's name has nothing to do.
    let _again = router.python_worker("busy").await;
    client.wait_for_members(&["busy"], None).await.unwrap();
    let mut called = HashSet::new();
    for _ in 0..2 {
        called.insert(client.rpc().call::<String>("whoami", ()).await.unwrap());
    }
    assert_eq!(called.len(), 2, "{called:?}");
}

async fn keys_stay_with_their_worker(kind: RouterKind) {
    let router = kind.start().await;
    let mut workers = HashMap::new();
    for name in ["a", "b", "c"] {
        workers.insert(name.to_owned(), router.rust_worker(name).await);
    }
    let _python = router.python_worker("python").await;
    let clients = [caller(&router, StickyByKey::default()).await, {
        let other = Client::builder("other").picker(StickyByKey::default()).default_timeout(PATIENCE);
        other.connect(&router.endpoint()).await.unwrap()
    }];
    let keys: Vec<String> = (0..60).map(|n| format!("user-{n}")).collect();
    let places = async |client: &Client| {
        let mut places = HashMap::new();
        for key in &keys {
            places.insert(key.clone(), client.rpc().key(key).call::<String>("whoami", ()).await.unwrap());
        }
        places
    };
    let before = places(&clients[0]).await;
    assert_eq!(before.values().collect::<HashSet<_>>().len(), 4, "{before:?}");
    assert_eq!(before, places(&clients[1]).await, "all clients agree");
    drop(workers.remove("b"));
    for client in &clients {
        eventually("it is gone", async || client.members().get("b").is_none().then_some(())).await;
        for (key, place) in places(client).await {
            assert!(place == before[&key] || before[&key] == "b", "{key} moved from {} to {place}", before[&key]);
        }
    }
}
