//! What a node does, at one moment.

use std::time::Instant;

use daffi::{Router, RouterStats, Service};
use serde::Serialize;

/// Members that are listed; the count tells of all.
const MOST_MEMBERS: usize = 500;
/// Callbacks of one member that are listed.
const MOST_CALLBACKS: usize = 50;

/// A node.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    Router(Router),
    Service(Service),
}

impl Watched {
    /// Whether it takes calls.
    pub(crate) fn is_ready(&self) -> bool {
        !match self {
            Self::Router(router) => router.is_stopping(),
            Self::Service(service) => service.is_stopping(),
        }
    }

    pub(crate) fn numbers(&self) -> Numbers {
        match self {
            Self::Router(router) => Numbers::Router(router.stats().into()),
            Self::Service(service) => Numbers::Service { clients: service.clients().len() },
        }
    }

    pub(crate) fn snapshot(&self, since: Instant) -> Snapshot {
        let (kind, name, endpoints, (members, listed)) = match self {
            Self::Router(router) => ("router", router.name(), router.endpoints(), members(router)),
            Self::Service(service) => ("service", service.name(), service.endpoints(), clients(service)),
        };
        Snapshot {
            kind,
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            seconds: since.elapsed().as_secs(),
            ready: self.is_ready(),
            endpoints: endpoints.iter().map(ToString::to_string).collect(),
            numbers: self.numbers(),
            members,
            listed,
        }
    }
}

fn members(router: &Router) -> (usize, Vec<Listed>) {
    let members = router.members();
    let listed = members.iter().take(MOST_MEMBERS).map(|member| Listed {
        name: member.name.to_string(),
        level: Some(member.level.number()),
        callbacks: member.methods.len(),
        some_callbacks: member.methods.iter().take(MOST_CALLBACKS).map(ToString::to_string).collect(),
    });
    (members.len(), listed.collect())
}

fn clients(service: &Service) -> (usize, Vec<Listed>) {
    let clients = service.clients();
    let listed = clients.iter().take(MOST_MEMBERS).map(|name| Listed {
        name: name.clone(),
        level: None,
        callbacks: 0,
        some_callbacks: Vec::new(),
    });
    (clients.len(), listed.collect())
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
    endpoints: Vec<String>,
    numbers: Numbers,
    /// How many nodes are connected.
    members: usize,
    /// The first of them.
    listed: Vec<Listed>,
}

/// A node that is connected.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    callbacks: usize,
    some_callbacks: Vec<String>,
}

/// What a node counted.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Numbers {
    Router(RouterNumbers),
    Service { clients: usize },
}

/// The counters of a [`RouterStats`], whose names are those of its fields.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RouterNumbers {
    pub(crate) members: usize,
    pub(crate) stopped_members: usize,
    pub(crate) open_calls: usize,
    pub(crate) held_requests: usize,
    pub(crate) held_bytes: usize,
    pub(crate) refused_calls: u64,
    pub(crate) unanswered_calls: u64,
    pub(crate) dropped_requests: u64,
    pub(crate) dropped_replies: u64,
    pub(crate) skipped_frames: u64,
}

impl From<RouterStats> for RouterNumbers {
    fn from(stats: RouterStats) -> Self {
        Self {
            members: stats.members,
            stopped_members: stats.stopped_members,
            open_calls: stats.open_calls,
            held_requests: stats.held_requests,
            held_bytes: stats.held_bytes,
            refused_calls: stats.refused_calls,
            unanswered_calls: stats.unanswered_calls,
            dropped_requests: stats.dropped_requests,
            dropped_replies: stats.dropped_replies,
            skipped_frames: stats.skipped_frames,
        }
    }
}
