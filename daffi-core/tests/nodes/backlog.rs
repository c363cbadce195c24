//! Requests that nobody answers, beyond what their receiver takes: what waits of them is bounded,
//! and who sends them without end pays.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_core::{Client, ClientState, NodeConfig};
use daffi_transport::{Connector, mem};
use daffi_wire::{Credit, Extensions, FlowId, Level, Limits, credit_cost};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    level_three::Server,
    peer::{Peer, accept, nowait, raw, send},
    support::{client, client_exposing, endpoint, formats, hang, node, plain, router_with, worker},
};

/// Requests that are sent at most. What they would hold is many times the budget.
const MANY: usize = 500_000;

const NOTHING: &str = r#"{"args":[1],"kwargs":{}}"#;

fn small(config: NodeConfig) -> NodeConfig {
    let mut config = config.budget_bytes(2 * 1024 * 1024);
    config.limits.max_frame_bytes = 64 * 1024;
    config
}

/// Sends requests until the other end has had enough.
async fn flood(peer: &mut Peer, names: [&str; 3], is_ended: impl Fn() -> bool) {
    let one = nowait(names, &Extensions::default(), NOTHING);
    let many = one.as_bytes().repeat(500);
    let flooding = async {
        for _ in 0..MANY / 500 {
            peer.send_bytes(&many).await;
            if is_ended() {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    };
    assert!(timeout(Duration::from_secs(120), flooding).await.is_ok_and(|ended| ended), "it goes on without end");
}

/// It begins a flow, as is right, and sends on whatever it is granted.
#[tokio::test]
async fn a_member_that_sends_beyond_its_credit_without_end_is_ended() {
    let (router, at) = router_with(small(NodeConfig::server()));
    let _good = worker(&at, "good", vec![plain("echo", |(n,): (i64,)| Ok(n))]).await;
    let _silent = raw(&at, "silent", "client/4", r#"["f"]"#).await;
    let mut greedy = raw(&at, "greedy", "client/4", "null").await;
    let caller = client(&at, "caller").await;
    let limits = Limits::default();
    send(&mut greedy, &Credit::Begins(FlowId(1)).frame("greedy", "silent", &limits).unwrap()).await;
    let is_there = |name: &str| router.members().iter().any(|member| member.name.as_str() == name);
    flood(&mut greedy, ["greedy", "silent", "f"], || !is_there("greedy")).await;
    assert_eq!(caller.rpc().call::<i64>("echo", (5,)).await.unwrap(), 5);
    assert!(is_there("good") && is_there("silent") && is_there("caller"));
}

/// A Service is granted nothing, and its Client counts nothing.
#[tokio::test]
async fn a_server_that_calls_back_without_end_is_ended() {
    let at = endpoint();
    let mut listener = mem::MemListener::bind(&at).unwrap();
    let connector: Box<dyn Connector> = Box::new(mem::MemConnector::new(at.clone()));
    let gate = Arc::new(Semaphore::new(0));
    let connecting = Client::builder(node("caller"), connector, formats())
        .config(small(NodeConfig::client()))
        .callbacks(vec![hang(&gate)])
        .connect();
    let (client, mut server) = tokio::join!(connecting, accept(&mut listener));
    let client = client.unwrap();
    let state = client.state();
    flood(&mut server, ["svc", "caller", "hang"], || *state.borrow() != ClientState::Connected).await;
    gate.add_permits(MANY);
}

/// Each of its members is owed a word after each request, and it takes none of them.
#[tokio::test]
async fn grants_do_not_heap_up_before_a_router_that_reads_nothing() {
    const MEMBERS: u16 = 20;
    const ROUNDS: usize = 1000;
    let names: Vec<_> = (0..MEMBERS).map(|n| format!("m{n}")).collect();
    let list: Vec<_> = names.iter().map(|name| format!(r#"{{"name":"{name}","methods":[],"level":4}}"#)).collect();
    let list = format!(r#"{{"meta":{{"type":"router/4","error":null}},"members":[{}]}}"#, list.join(","));
    let at = endpoint();
    let (mut server, done) = (Server::bind(&at), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&done);
    let take = plain("take", move |(_n,): (u32,)| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let connecting = client_exposing(&at, "caller", NodeConfig::client(), vec![take]);
    let (client, (mut deaf, _)) = tokio::join!(connecting, server.accept(&list));
    deaf.0.reader.set_level(Level::FOUR);
    for (flow, name) in names.iter().enumerate() {
        let begins = Credit::Begins(FlowId(u32::try_from(flow).unwrap()));
        send(&mut deaf, &begins.frame(name, "caller", &Limits::default()).unwrap()).await;
    }
    for round in 0..ROUNDS {
        for name in &names {
            send(&mut deaf, &nowait([name, "caller", "take"], &Extensions::default(), NOTHING)).await;
            // Each in a turn of its own.
            tokio::task::yield_now().await;
        }
        while done.load(Ordering::SeqCst) < (round + 1) * usize::from(MEMBERS) {
            tokio::task::yield_now().await;
        }
    }
    // What was written before the way was full, and the newest of each.
    let mut grants = 0;
    loop {
        let frame = timeout(Duration::from_secs(60), deaf.receive()).await.unwrap().expect("it is there");
        if let Ok(Credit::Grants(grant)) = Credit::read(&frame) {
            grants += 1;
            let all = ROUNDS as u64 * credit_cost(NOTHING.len());
            if frame.receiver() == names[usize::from(MEMBERS) - 1] && grant.worked_off() == all {
                break;
            }
        }
    }
    assert!(grants < ROUNDS * usize::from(MEMBERS) / 2, "{grants} grants");
    drop(client);
}
