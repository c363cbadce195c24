//! Who may do what at a router, of all that its settings say.

use std::net::IpAddr;

use clap::Args;
use daffi::{policy::Policy, transport::Endpoint};

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

/// Warns of endpoints that others than this host reach, where nothing says who may do what.
pub(super) fn warn_of_strangers(endpoints: &[Endpoint]) {
    for endpoint in endpoints.iter().filter(|endpoint| is_reached_from_elsewhere(endpoint)) {
        tracing::warn!(
            %endpoint,
            "whoever reaches this endpoint may take any name, call everything, and send PICKLE, which runs code in nodes \
             of daffi 3.0.1: say who may do what in [policy] of --config FILE (`daffi config example`), or use \
             --no-pickle-from"
        );
    }
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
