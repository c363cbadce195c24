//! What a node does, at one moment.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Instant, SystemTime},
};

use daffi::{
    CallbackStats, CalledStats, Client, ClientGroup, ClientStats, MemberStats, Router, RouterStats, Service,
    ServiceStats, Shown,
};
use serde::Serialize;

/// Members and callbacks that are listed; the counts tell of all.
const MOST_ROWS: usize = 500;

/// Bytes of a client's name that is told whole.
const LONGEST_NAME: usize = 256;

/// When a certificate ends, asked anew each time.
#[derive(Clone)]
pub(crate) struct Expiry(pub(crate) Arc<dyn Fn() -> Option<SystemTime> + Send + Sync>);

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expiry")
    }
}

/// What else a node needs to take calls, asked anew each time: what it lacks of it.
#[derive(Clone)]
pub(crate) struct Needs(pub(crate) Arc<dyn Fn() -> Result<(), String> + Send + Sync>);

impl fmt::Debug for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Needs")
    }
}

/// What is watched: a node, what else it needs, and the certificate that it shows.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) node: WatchedNode,
    pub(crate) needs: Option<Needs>,
    pub(crate) expiry: Option<Expiry>,
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) enum WatchedNode {
    Router(Router),
    Service(Service),
    Client(Client),
    Group(ClientGroup),
}

impl Watched {
    /// Why it takes no calls. `None`: it does.
    pub(crate) fn unready(&self) -> Option<String> {
        let (is_ready, why) = match &self.node {
            WatchedNode::Router(router) => (!router.is_stopping(), "it is stopping"),
            WatchedNode::Service(service) => (!service.is_stopping(), "it is stopping"),
            WatchedNode::Client(client) => (client.is_connected(), "it is not connected"),
            WatchedNode::Group(group) => {
                (group.clients().any(|client| client.is_connected()), "it is connected to none of its servers")
            }
        };
        if !is_ready {
            return Some(why.to_owned());
        }
        self.needs.as_ref().and_then(|needs| (needs.0)().err())
    }

    /// Lists its servers to which it is not connected.
    fn list_unconnected(&self) -> Vec<String> {
        let WatchedNode::Group(group) = &self.node else { return Vec::new() };
        let missed = group.clients().filter(|client| !client.is_connected());
        missed.map(|client| client.endpoint().to_string()).collect()
    }

    /// When its certificate ends, in seconds since 1970.
    pub(crate) fn expires(&self) -> Option<f64> {
        let at = (self.expiry.as_ref()?.0)()?;
        Some(at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()))
    }

    pub(crate) fn snapshot(&self, since: Instant) -> Snapshot {
        let (kind, name, endpoints) = match &self.node {
            WatchedNode::Router(router) => ("router", router.name().to_owned(), addresses(router.endpoints())),
            WatchedNode::Service(service) => ("service", service.name().to_owned(), addresses(service.endpoints())),
            WatchedNode::Client(client) => ("client", client.name().to_owned(), vec![client.endpoint().to_string()]),
            WatchedNode::Group(group) => {
                let endpoints = group.clients().map(|client| client.endpoint().to_string()).collect();
                let name = group.clients().next().map_or_else(String::new, |client| client.name().to_owned());
                ("client", name, endpoints)
            }
        };
        let (members, told) = match &self.node {
            WatchedNode::Router(router) => of_router(router.stats()),
            WatchedNode::Service(service) => of_service(service.stats(), service.clients()),
            WatchedNode::Client(client) => (client.known_members().iter().count(), of_client(client.stats())),
            WatchedNode::Group(group) => (members_of(group), of_client(group.stats())),
        };
        let unready = self.unready();
        Snapshot {
            kind,
            name,
            version: env!("CARGO_PKG_VERSION"),
            seconds: since.elapsed().as_secs(),
            ready: unready.is_none(),
            unready,
            unconnected: self.list_unconnected(),
            endpoints,
            members,
            // Hundredths are a quarter of an hour.
            certificate_days: self.expires().map(|at| ((at - now_seconds()) / 864.0).round() / 100.0),
            told,
        }
    }
}

/// The nodes that any of its servers told of.
fn members_of(group: &ClientGroup) -> usize {
    let all = group.clients().map(|client| client.known_members());
    all.flat_map(|known| known.iter().map(|member| member.name.clone()).collect::<Vec<_>>())
        .collect::<BTreeSet<_>>()
        .len()
}

fn now_seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn addresses(endpoints: &[impl ToString]) -> Vec<String> {
    endpoints.iter().map(ToString::to_string).collect()
}

fn of_router(mut stats: RouterStats) -> (usize, Told) {
    stats.keep_busiest(MOST_ROWS);
    let (callbacks, nodes) = (std::mem::take(&mut stats.callbacks), std::mem::take(&mut stats.nodes));
    let listed = nodes.into_iter().map(Listed::Member).collect();
    (stats.members, Told { numbers: Numbers::Router(stats), callbacks, called: Vec::new(), listed })
}

fn of_service(mut stats: ServiceStats, clients: Vec<String>) -> (usize, Told) {
    stats.keep_busiest(MOST_ROWS);
    let numbers = Numbers::Node {
        running_calls: stats.running,
        held_bytes: stats.held_bytes,
        budget_bytes: stats.budget_bytes,
        refused_calls: stats.refused_calls,
        own: OwnNumbers::Service {
            clients: stats.clients,
            held_back_clients: stats.held_back_clients,
            longest_queue_bytes: stats.longest_queue_bytes,
            denied: stats.denied,
            evictions: stats.evictions,
            cut_connections: stats.cut_connections,
        },
    };
    let (members, callbacks) = (clients.len(), stats.callbacks);
    let cut = |name: String| {
        if name.len() > LONGEST_NAME { Shown::new(&name).at_most(LONGEST_NAME).to_string() } else { name }
    };
    let listed = clients.into_iter().take(MOST_ROWS).map(|name| Listed::Client { name: cut(name) }).collect();
    (members, Told { numbers, callbacks, called: Vec::new(), listed })
}

fn of_client(mut stats: ClientStats) -> Told {
    stats.keep_busiest(MOST_ROWS);
    let numbers = Numbers::Node {
        running_calls: stats.running,
        held_bytes: stats.held_bytes,
        budget_bytes: stats.budget_bytes,
        refused_calls: stats.refused_calls,
        own: OwnNumbers::Client { queued_bytes: stats.queued_bytes, reconnects: stats.reconnects },
    };
    let called = stats.called.into_iter().map(Called::from).collect();
    Told { numbers, callbacks: stats.callbacks, called, listed: Vec::new() }
}

/// All that is told of a node.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    kind: &'static str,
    name: String,
    version: &'static str,
    /// How long it has been watched.
    seconds: u64,
    ready: bool,
    /// Why it takes no calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    unready: Option<String>,
    /// Of its servers those to which it is not connected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unconnected: Vec<String>,
    endpoints: Vec<String>,
    /// How many nodes are connected.
    members: usize,
    /// Days until its certificate ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_days: Option<f64>,
    #[serde(flatten)]
    told: Told,
}

/// What is counted, and of whom.
#[derive(Debug, Serialize)]
struct Told {
    numbers: Numbers,
    callbacks: Vec<CallbackStats>,
    /// What a client called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    called: Vec<Called>,
    /// The nodes that are connected, or those of them of whom most is to be said.
    listed: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Called {
    receiver: String,
    #[serde(flatten)]
    callback: CallbackStats,
}

impl From<CalledStats> for Called {
    fn from(called: CalledStats) -> Self {
        Self { receiver: called.receiver, callback: called.callback }
    }
}

/// A node that is connected.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Listed {
    Member(MemberStats),
    Client { name: String },
}

/// What a node counted in all.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Numbers {
    Router(RouterStats),
    Node {
        running_calls: usize,
        held_bytes: usize,
        budget_bytes: usize,
        refused_calls: u64,
        #[serde(flatten)]
        own: OwnNumbers,
    },
}

/// What nodes of one kind alone count.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum OwnNumbers {
    Service {
        clients: usize,
        held_back_clients: usize,
        longest_queue_bytes: usize,
        denied: u64,
        evictions: u64,
        cut_connections: u64,
    },
    Client {
        queued_bytes: usize,
        reconnects: u64,
    },
}
