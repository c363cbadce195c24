//! What runs on each host of a simulation.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::Arc,
    time::Duration,
};

use daffi_core::{Callback, Client, Events, MemberEvent, NodeConfig, RoundRobin, Router, Service};
use daffi_transport::Endpoint;
use fastrand::Rng;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::{runtime::Handle, time::sleep};

use crate::{
    callbacks::{ECHO, Formats, callbacks, formats, name},
    fault::{SERVER, TWIN},
    ledger::{Ledger, Outcome},
    network::Network,
    times::{self, CALM, COMPARE, PROBE, STOP, STOP_LATER},
    transport::{SimConnector, SimListener},
    workload::make_calls,
};

pub(crate) type Ended = Result<(), Box<dyn Error>>;

pub(crate) const PORT: u16 = 5001;

/// How long a pinned call may take when nothing is wrong.
const PROMPT: Duration = Duration::from_millis(1_000);

/// What all hosts of a simulation share.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) network: Arc<Network>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) config: NodeConfig,
    /// Nodes that expose callbacks.
    pub(crate) workers: Vec<String>,
    /// Nodes that connect.
    pub(crate) clients: Vec<String>,
    /// Nodes that call.
    pub(crate) callers: Vec<String>,
    /// Nodes that started more than once: an older connection of theirs may be the newest that the
    /// server hears of.
    pub(crate) restarted: Mutex<BTreeSet<String>>,
    /// How often each caller has started to call.
    pub(crate) starts: Mutex<BTreeMap<String, u32>>,
    /// Whose name the twin takes when it starts.
    pub(crate) twin_of: Mutex<Option<String>>,
    /// The server stops before its clients.
    pub(crate) server_first: bool,
    /// No honest node may lose its connection.
    pub(crate) nobody_leaves: bool,
}

fn endpoint() -> Endpoint {
    Endpoint::new("sim", SERVER).expect("a host's name is a good address")
}

/// No task of a node outlives it.
async fn expect_no_tasks(setting: &Setting, host: &str) {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    for _ in 0..100 {
        if tasks() == 0 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    setting.ledger.violation(format!("{host} left {} tasks behind", tasks()));
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn compare(setting: &Setting, host: &str, seen: Vec<String>, expected: &[String]) {
    let (seen, expected) = (sorted(seen), sorted(expected.to_vec()));
    if seen != expected {
        setting.ledger.violation(format!("{host} sees {seen:?}, there are {expected:?}"));
    }
}

/// Looks who leaves until it is time to compare.
async fn watch(setting: &Setting, mut events: Events) {
    let leaves = async {
        while let Some(event) = events.next().await {
            if let MemberEvent::Removed(node) | MemberEvent::Evicted(node) = event
                && setting.nobody_leaves
                && setting.clients.contains(&node)
            {
                setting.ledger.violation(format!("{node}, which is honest, lost its connection"));
            }
        }
    };
    tokio::select! {
        () = leaves => {}
        () = times::until(COMPARE) => return,
    }
    times::until(COMPARE).await;
}

/// A Service with all callbacks.
pub(crate) async fn service(setting: Arc<Setting>) -> Ended {
    let listener = SimListener::bind(&endpoint(), PORT, Arc::clone(&setting.network)).await?;
    let exposed = callbacks(SERVER, &setting.ledger);
    let config = setting.config.clone();
    let service =
        Service::builder(name(SERVER), formats()).config(config).callbacks(exposed).listen(vec![Box::new(listener)])?;
    watch(&setting, service.events()).await;
    compare(&setting, SERVER, service.clients(), &setting.clients);
    times::until(if setting.server_first { STOP } else { STOP_LATER }).await;
    service.stop().await;
    drop(service);
    expect_no_tasks(&setting, SERVER).await;
    setting.ledger.note("server has stopped");
    Ok(())
}

/// A Router.
pub(crate) async fn router(setting: Arc<Setting>) -> Ended {
    let listener = SimListener::bind(&endpoint(), PORT, Arc::clone(&setting.network)).await?;
    let router = Router::builder(name(SERVER)).config(setting.config.clone()).listen(vec![Box::new(listener)])?;
    watch(&setting, router.events()).await;
    let members = router.members().into_iter().map(|member| member.name.to_string()).collect();
    compare(&setting, SERVER, members, &setting.clients);
    let stats = router.stats();
    if (stats.open_calls, stats.held_requests) != (0, 0) {
        setting.ledger.violation(format!("the router still holds what nobody waits for: {stats:?}"));
    }
    if stats.held_bytes > 0 {
        setting.ledger.violation(format!("the router still counts what nobody sends or takes: {stats:?}"));
    }
    times::until(if setting.server_first { STOP } else { STOP_LATER }).await;
    router.stop().await;
    drop(router);
    expect_no_tasks(&setting, SERVER).await;
    setting.ledger.note("server has stopped");
    Ok(())
}

/// A node that connects: it exposes callbacks, calls, or both. Evicted, it starts anew, as a
/// process manager would do.
pub(crate) async fn member(setting: Arc<Setting>, host: String, exposes: bool, calls: bool) -> Ended {
    loop {
        let exposed = || if exposes { callbacks(&host, &setting.ledger) } else { Vec::new() };
        let client = connect_as(&setting, &host, &host, exposed).await?;
        setting.ledger.note(format!("{host} is connected"));
        let evicted = tokio::select! {
            biased;
            ended = client.join() => ended == daffi_core::Ended::Evicted,
            () = live(&setting, &client, calls) => false,
        };
        if evicted {
            setting.ledger.note(format!("{host} is evicted"));
            if !setting.restarted.lock().contains(&host) {
                setting.ledger.violation(format!("{host} is evicted, but nobody else ever bore its name"));
            }
            continue;
        }
        client.stop().await;
        drop(client);
        expect_no_tasks(&setting, &host).await;
        setting.ledger.note(format!("{host} has stopped"));
        return Ok(());
    }
}

/// A second node under another's name: it takes the name and works until the other takes it back.
pub(crate) async fn twin(setting: Arc<Setting>) -> Ended {
    let Some(host) = setting.twin_of.lock().clone() else { return Ok(()) };
    let exposes = setting.workers.contains(&host);
    let exposed = || if exposes { callbacks(&host, &setting.ledger) } else { Vec::new() };
    let client = connect_as(&setting, TWIN, &host, exposed).await?;
    setting.ledger.note(format!("the twin of {host} is connected"));
    tokio::select! {
        biased;
        _ = client.join() => {}
        () = times::until(CALM) => client.stop().await,
    }
    drop(client);
    expect_no_tasks(&setting, TWIN).await;
    setting.ledger.note(format!("the twin of {host} is gone"));
    Ok(())
}

async fn live(setting: &Setting, client: &Client<Formats>, calls: bool) {
    let host = client.name();
    let mut open = Vec::new();
    if calls {
        let start = {
            let mut starts = setting.starts.lock();
            let start = starts.entry(host.to_owned()).or_default();
            *start += 1;
            *start
        };
        let rng = Rng::with_seed(setting.seed ^ hash(&format!("{host} {start}")));
        open = make_calls(client, &setting.ledger, rng, &setting.workers, setting.network.window()).await;
    }
    times::until(PROBE).await;
    for call in open {
        if !call.is_finished() {
            setting.ledger.violation(format!("a call of {host} is still open after all is well again"));
        }
    }
    probe(setting, client, calls).await;
    times::until(COMPARE).await;
    let seen = client.members().iter().filter(|m| !m.methods.is_empty()).map(|m| m.name.to_string()).collect();
    compare(setting, host, seen, &setting.workers);
    times::until(if setting.server_first { STOP_LATER } else { STOP }).await;
}

async fn connect_as(
    setting: &Setting,
    host: &str,
    node: &str,
    exposed: impl Fn() -> Vec<Callback>,
) -> Result<Client<Formats>, Box<dyn Error>> {
    loop {
        let connector = SimConnector::new(&endpoint(), host, SERVER, PORT, Arc::clone(&setting.network));
        let (config, picker) = (setting.config.clone(), Box::new(RoundRobin::default()));
        match Client::builder(name(node), Box::new(connector), formats())
            .config(config)
            .callbacks(exposed())
            .picker(picker)
            .connect()
            .await
        {
            Ok(client) => return Ok(client),
            Err(error) if times::now() < PROBE => {
                setting.ledger.note(format!("{host} cannot connect: {error}"));
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(format!("{host} cannot connect although all is well: {error:?}").into()),
        }
    }
}

/// When all is well again, everybody can call everybody.
async fn probe(setting: &Setting, client: &Client<Formats>, calls: bool) {
    for worker in setting.workers.iter().filter(|worker| calls && *worker != client.name()) {
        let call = setting.ledger.begin(client.name(), format!("probe of {worker}"), Some(PROMPT));
        let id = call.id;
        let probe = client.rpc().receiver(worker).timeout(PROMPT);
        match probe.call::<(u64, String, Vec<u8>)>(ECHO, (id, 0u64, Vec::<u8>::new())).await {
            Ok((echoed, node, _)) if echoed == id && node == *worker => call.end(vec![(None, Outcome::Answered)]),
            Ok((echoed, node, _)) => {
                setting.ledger.violation(format!("probe {id} got the answer of {node} to {echoed}"));
                call.end(Vec::new());
            }
            Err(error) => {
                let text = format!("{} cannot call {worker} although all is well: {error}", client.name());
                setting.ledger.violation(text);
                call.end(vec![(None, error.into())]);
            }
        }
    }
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
