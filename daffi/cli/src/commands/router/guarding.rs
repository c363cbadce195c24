//! Who may do what at a router, of all that its settings say.

use std::net::IpAddr;

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
    /// Warns of endpoints that others than this host reach, where no rule says who may do what.
    pub(super) fn warn_of_strangers(&self, endpoints: &[Endpoint]) {
        for endpoint in endpoints.iter().filter(|endpoint| is_reached_from_elsewhere(endpoint)) {
            if self.no_pickle_from.is_empty() {
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

/// What is wrong with a policy where nobody shows a certificate: rules about names in one.
pub(super) fn rules_of_certificates(policy: &Policy) -> Option<String> {
    titles(policy.rules_of_certificates()).map(|titles| {
        format!(
            "uri:, dns: and cn: are names in certificates, for which only --client-ca asks: without it they are nobody's \
             in the rules {titles}"
        )
    })
}

/// What is wrong with a policy where nobody listens at what `at` of a rule says. Where the system
/// chooses the port, or a supervisor the socket, that shows when the router listens.
pub(super) fn rules_of_other_endpoints(policy: &Policy, endpoints: &[Endpoint]) -> Option<String> {
    let is_open = |endpoint: &Endpoint| {
        matches!(endpoint.scheme(), "fd" | "tls+fd") || endpoint.host_port().is_ok_and(|(_, port)| port == 0)
    };
    if endpoints.iter().any(is_open) {
        return None;
    }
    titles(policy.rules_of_other_endpoints(endpoints)).map(|titles| {
        let endpoints = endpoints.iter().map(Endpoint::as_str).collect::<Vec<_>>().join(", ");
        format!("`at` of these rules names nothing of what the router listens at, {endpoints}: {titles}")
    })
}

fn titles<'a>(titles: impl Iterator<Item = &'a str>) -> Option<String> {
    let titles: Vec<_> = titles.map(|title| Shown::new(title).to_string()).collect();
    (!titles.is_empty()).then(|| titles.join(", "))
}

fn is_reached_from_elsewhere(endpoint: &Endpoint) -> bool {
    let Ok((host, _)) = endpoint.host_port() else { return false };
    match host.parse::<IpAddr>() {
        Ok(address) => !address.to_canonical().is_loopback(),
        Err(_) => !host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_that_others_reach() {
        for (endpoint, is) in [
            ("tcp://127.0.0.1:1", false),
            ("tcp://[::1]:1", false),
            ("tls://localhost:1", false),
            ("unix:///run/a.sock", false),
            ("tcp://0.0.0.0:1", true),
            ("tls://[::]:1", true),
            ("tcp://192.0.2.1:1", true),
            ("tcp://router.example:1", true),
        ] {
            assert_eq!(is_reached_from_elsewhere(&endpoint.parse().unwrap()), is, "{endpoint}");
        }
    }
}
