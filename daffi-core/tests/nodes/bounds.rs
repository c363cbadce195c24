//! What a peer can't do: hold more than its share, or be waited for without end.

use std::{sync::Arc, time::Duration};

use daffi_core::{CallError, NodeConfig};
use daffi_wire::Kind;
use tokio::sync::Semaphore;

use crate::{
    peer::Peer,
    support::{asynchronous, client, endpoint, plain, service_at},
};

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_answers_is_disconnected() {
    let at = endpoint();
    let config = NodeConfig::server().budget_bytes(4 * 1024 * 1024);
    let text = || plain("text", |(n,): (usize,)| Ok("x".repeat(n)));
    let service = service_at(&at, config, vec![text()]);
    let mut peer = Peer::connect(&at).await;
    peer.hello("deaf").await;
    for id in 2..40 {
        peer.send(Kind::Request, id, "deaf", "text", r#"{"args": [100000], "kwargs": {}}"#).await;
    }
    let good = client(&at, "good").await;
    assert_eq!(good.rpc().call::<String>("text", (3,)).await.unwrap(), "xxx", "nobody else waits for the deaf peer");
    let begun = tokio::time::Instant::now();
    while service.clients().contains(&"deaf".to_owned()) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!((59..65).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(good.rpc().call::<String>("text", (3,)).await.unwrap(), "xxx");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_answers_at_once_end_nobody() {
    let at = endpoint();
    let config = NodeConfig::server().workers(8).budget_bytes(32 * 1024 * 1024);
    let together = Arc::new(tokio::sync::Barrier::new(8));
    let callback = asynchronous("large", move |(): ()| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            "x".repeat(1024 * 1024)
        }
    });
    let _service = service_at(&at, config, vec![callback]);
    let client = client(&at, "c").await;
    let rpc = client.rpc();
    let answers = futures::future::join_all((0..8).map(|_| rpc.call::<String>("large", ()))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().len() == 1024 * 1024));
}

/// Reading one takes so much memory that two at once find room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_arguments_wait_until_those_before_them_were_worked_off() {
    let (at, gate) = (endpoint(), Arc::new(Semaphore::new(0)));
    let began = Arc::new(Semaphore::new(0));
    let config = NodeConfig::server().workers(8).budget_bytes(8 * 1024 * 1024);
    let (permits, starts) = (Arc::clone(&gate), Arc::clone(&began));
    let future = asynchronous("future", move |(text,): (String,)| {
        let (gate, began) = (Arc::clone(&permits), Arc::clone(&starts));
        async move {
            began.add_permits(1);
            gate.acquire().await.unwrap().forget();
            text.len()
        }
    });
    let (permits, starts) = (Arc::clone(&gate), Arc::clone(&began));
    let function = plain("function", move |(text,): (String,)| {
        starts.add_permits(1);
        tokio::runtime::Handle::current().block_on(permits.acquire()).unwrap().forget();
        Ok(text.len())
    });
    let _service = service_at(&at, config, vec![future, function, plain("one", |(): ()| Ok(1))]);
    let (large, small) = (client(&at, "large").await, client(&at, "small").await);
    for method in ["future", "function"] {
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let large = large.clone();
                tokio::spawn(async move { large.rpc().call::<usize>(method, ("x".repeat(150_000),)).await })
            })
            .collect();
        began.acquire_many(2).await.unwrap().forget();
        assert_eq!(small.rpc().call::<i64>("one", ()).await.unwrap(), 1, "workers are free meanwhile");
        assert!(calls.iter().all(|call| !call.is_finished()));
        gate.add_permits(5);
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), 150_000, "{method}");
        }
        began.acquire_many(3).await.unwrap().forget();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_provokes_refusals_and_takes_none_is_ended() {
    let at = endpoint();
    let config = NodeConfig::server().budget_bytes(1024 * 1024);
    let service = service_at(&at, config, vec![]);
    let mut peer = Peer::connect(&at).await;
    peer.hello("deaf").await;
    let mut sent = 0;
    while service.clients().contains(&"deaf".to_owned()) {
        assert!(sent < 10_000, "{sent} refusals are kept for a peer that takes none");
        peer.send(Kind::Request, 2, "deaf", "unknown", "").await;
        sent += 1;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_flood_beyond_the_queue_is_held_back_and_loses_nothing() {
    let (at, gate) = (endpoint(), Arc::new(Semaphore::new(0)));
    let config = NodeConfig::server().budget_bytes(256 * 1024);
    let ran = Arc::new(Semaphore::new(0));
    let callback = asynchronous("work", {
        let (gate, ran) = (Arc::clone(&gate), Arc::clone(&ran));
        move |(): ()| {
            let (gate, ran) = (Arc::clone(&gate), Arc::clone(&ran));
            async move {
                gate.acquire().await.unwrap().forget();
                ran.add_permits(1);
            }
        }
    });
    let _service = service_at(&at, config, vec![callback]);
    let flood = client(&at, "flood").await;
    for _ in 0..10_000 {
        flood.rpc_nowait().call("work", ()).await.unwrap();
    }
    assert_eq!(ran.available_permits(), 0);
    gate.add_permits(10_000);
    ran.acquire_many(10_000).await.unwrap().forget();
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let at = endpoint();
    let config = NodeConfig::server().max_connections(2);
    let service = service_at(&at, config, vec![plain("one", |(): ()| Ok(1))]);
    let (first, second) = (client(&at, "a").await, client(&at, "b").await);
    let mut third = Peer::connect(&at).await;
    third.send(Kind::Handshake, 1, "c", "", r#"{"meta":{"type":"client"},"members":[]}"#).await;
    assert!(third.receive().await.is_none());
    assert_eq!(first.rpc().call::<i64>("one", ()).await.unwrap(), 1);
    second.stop().await;
    while service.clients().len() > 1 {
        tokio::task::yield_now().await;
    }
    let third = loop {
        let mut third = Peer::connect(&at).await;
        third.send(Kind::Handshake, 1, "c", "", r#"{"meta":{"type":"client"},"members":[]}"#).await;
        if let Some(answer) = third.receive().await {
            break answer;
        }
    };
    assert_eq!(third.transmitter(), "c");
}

#[tokio::test]
async fn silent_connections_push_out_their_own() {
    let at = endpoint();
    let config = NodeConfig::server().max_pending_handshakes(4);
    let _service = service_at(&at, config, vec![plain("one", |(): ()| Ok(1))]);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Peer::connect(&at).await);
    }
    let good = client(&at, "good").await;
    assert_eq!(good.rpc().call::<i64>("one", ()).await.unwrap(), 1);
    // All but the newest were pushed out, without waiting for their time.
    for peer in &mut silent[..16] {
        assert!(peer.receive().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_members_ends() {
    let at = endpoint();
    let _service = service_at(&at, NodeConfig::server(), vec![]);
    let client = client(&at, "c").await;
    client.wait_for_members(&["svc"], None).await.unwrap();
    let error = client.wait_for_members(&["svc", "w1"], Some(Duration::from_millis(1500))).await.unwrap_err();
    assert!(matches!(&error, CallError::Timeout { receiver, .. } if receiver == "w1"), "{error}");
}
