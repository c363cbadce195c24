//! Who may do what at a router, of all that its settings say.

use std::{fmt, net::Ipv4Addr};

use clap::Args;
use daffi::{Shown, policy::Policy, transport::Endpoint};

use crate::connection::sentence;

/// What a router does not take from some peers, without a policy in its file.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may do what")]
pub(super) struct Guarding {
    /// Refuse PICKLE, in calls and in answers, of whoever connects from this network: it reaches
    /// nobody, and so no node of daffi 3.0.1, which runs whatever a PICKLE says. 0.0.0.0/0 is all
    /// of IPv4, ::/0 all of IPv6; peers of Unix sockets are in no network. May be repeated. All
    /// else is said in [policy] of the file: `daffi config example`
    #[arg(long, value_name = "CIDR", value_parser = network)]
    no_pickle_from: Vec<String>,
}

fn network(text: &str) -> Result<String, String> {
    Policy::open().no_pickle_from(text).map(|_| text.to_owned()).map_err(|error| sentence(&error))
}

impl Guarding {
    pub(super) fn no_pickle_from(&self) -> &[String] {
        &self.no_pickle_from
    }

    /// Warns of endpoints that others than this host reach, where no rule says who may do what.
    pub(super) fn warn_of_strangers(&self, endpoints: &[Endpoint]) {
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.is_reached_from_elsewhere()) {
            if self.refuses_all_pickle_at(endpoint) {
                tracing::warn!(
                    %endpoint,
                    "whoever reaches this endpoint may take any name and call everything, though not with PICKLE: say who \
                     may do what in [policy] of --config FILE (`daffi config example`)"
                );
            } else if self.no_pickle_from.is_empty() {
                tracing::warn!(
                    %endpoint,
                    "whoever reaches this endpoint may take any name, call everything, and send PICKLE, which runs code \
                     in nodes of daffi 3.0.1: say who may do what in [policy] of --config FILE (`daffi config example`), \
                     or use --no-pickle-from"
                );
            } else {
                tracing::warn!(
                    %endpoint,
                    "whoever reaches this endpoint may take any name and call everything, and from outside of \
                     --no-pickle-from also send PICKLE: say who may do what in [policy] of --config FILE (`daffi config \
                     example`)"
                );
            }
        }
    }

    /// Whether no PICKLE is taken of anybody who comes to it, by an address of either kind unless
    /// it is one of IPv4.
    fn refuses_all_pickle_at(&self, endpoint: &Endpoint) -> bool {
        let has = |all: &[&str]| self.no_pickle_from.iter().any(|network| all.contains(&network.as_str()));
        let host = endpoint.host_port().map_or("", |(host, _)| host);
        has(&["0.0.0.0/0", "::ffff:0:0/96"]) && (host.parse::<Ipv4Addr>().is_ok() || has(&["::/0"]))
    }

    /// The policy of the file with what the options say, if there is anything.
    pub(super) fn policy(&self, file: Option<Policy>) -> Option<Policy> {
        if file.is_none() && self.no_pickle_from.is_empty() {
            return None;
        }
        let policy = file.unwrap_or_else(Policy::open);
        let networks = self.no_pickle_from.iter();
        Some(networks.fold(policy, |policy, network| {
            policy.no_pickle_from(network).expect("the option was read as a network before")
        }))
    }
}

/// Rules that can apply to nobody, by what they say.
#[derive(Debug)]
pub(super) struct Idle {
    why: &'static str,
    titles: String,
}

impl Idle {
    /// Logs it.
    pub(super) fn tell(&self) {
        let Self { why, titles } = self;
        tracing::warn!(rules = titles, reason = why, "rules of the policy apply to nobody");
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules of the policy apply to nobody: {}: {}", self.titles, self.why)
    }
}

/// What of a policy can apply to nobody who comes to `endpoints`.
pub(super) fn idle_rules(policy: &Policy, endpoints: &[Endpoint], with_certificates: bool) -> Vec<Idle> {
    let idle = |titles: Option<String>, why| titles.map(|titles| Idle { why, titles });
    // Where a supervisor chooses the socket it shows when the router listens what it is.
    let is_handed_over = |endpoint: &Endpoint| matches!(endpoint.scheme(), "fd" | "tls+fd");
    // Where the system chooses the port, likewise.
    let is_open =
        |endpoint: &Endpoint| is_handed_over(endpoint) || endpoint.host_port().is_ok_and(|(_, port)| port == 0);
    let is_there = |is_unix: bool| {
        endpoints.iter().any(|endpoint| is_handed_over(endpoint) || (endpoint.scheme() == "unix") == is_unix)
    };
    let certificates = (!with_certificates).then(|| titles(policy.rules_of_certificates())).flatten();
    let users = (!is_there(true)).then(|| titles(policy.rules_of_users())).flatten();
    let addresses = (!is_there(false)).then(|| titles(policy.rules_of_addresses())).flatten();
    let others = (!endpoints.iter().any(is_open)).then(|| titles(policy.rules_of_other_endpoints(endpoints))).flatten();
    [
        idle(certificates, "uri:, dns: and cn: are names in certificates, for which only --client-ca asks"),
        idle(users, "uid: is the user of a process at a Unix socket, and no --listen is one"),
        idle(addresses, "addr: is an address, which peers of Unix sockets do not have, and no --listen is another"),
        idle(others, "`at` names nothing of what the router listens at"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn titles<'a>(titles: impl Iterator<Item = &'a str>) -> Option<String> {
    let titles: Vec<_> = titles.map(|title| Shown::new(title).to_string()).collect();
    (!titles.is_empty()).then(|| titles.join(", "))
}
