//! The addresses of a client, of which it uses one at a time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use daffi_transport::{Connector, Endpoint, EndpointError};

use crate::config::NodeConfig;

/// How long one of several addresses is tried in the first round before the next one is, for its
/// link and again for its handshake. Each round gives twice as much, so that a network which is
/// slow everywhere is given the time that is set.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a client may connect to: one address at least.
pub(super) struct Addresses {
    connectors: Box<[Box<dyn Connector>]>,
    /// The one in use, or tried next. Relaxed: only the supervisor moves it, others show it.
    at: AtomicUsize,
}

impl Addresses {
    /// `None` if there are none. Which is tried first is left to chance, so that the clients of
    /// several servers spread over them.
    pub(super) fn new(connectors: Vec<Box<dyn Connector>>) -> Option<Self> {
        let count = connectors.len();
        (count > 0).then(|| Self { connectors: connectors.into(), at: AtomicUsize::new(fastrand::usize(..count)) })
    }

    pub(super) fn len(&self) -> usize {
        self.connectors.len()
    }

    /// Whether each can be used, as far as can be told without connecting.
    pub(super) fn check(&self) -> Result<(), EndpointError> {
        self.connectors.iter().try_for_each(|connector| connector.check())
    }

    /// The connector of one of the addresses, counted from 0.
    pub(super) fn connector(&self, at: usize) -> &dyn Connector {
        &*self.connectors[at % self.connectors.len()]
    }

    /// The one in use, or tried last.
    pub(super) fn endpoint(&self) -> &Endpoint {
        self.connector(self.at()).endpoint()
    }

    /// Which one that is, counted from 0.
    pub(super) fn at(&self) -> usize {
        self.at.load(Ordering::Relaxed)
    }

    /// Has the address at this place used, or tried, from here on.
    pub(super) fn choose(&self, at: usize) {
        self.at.store(at % self.connectors.len(), Ordering::Relaxed);
    }

    /// Of the hosts that this address stands for another one is tried the next time.
    pub(super) fn give_way(&self, at: usize) {
        self.connector(at).give_way();
    }

    /// How much time an address is given in this round, counted from 0.
    pub(super) fn patience(&self, config: &NodeConfig, round: u32) -> Patience {
        match self.len() {
            1 => Patience::whole(config),
            _ => Patience::in_round(config, round),
        }
    }
}

/// How much time an attempt to connect is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) link: Duration,
    pub(super) handshake: Duration,
}

impl Patience {
    /// All that is set.
    pub(super) const fn whole(config: &NodeConfig) -> Self {
        Self { link: config.connect_timeout, handshake: config.handshake_timeout }
    }

    /// The time for one of several addresses, in this round, counted from 0.
    pub(super) fn in_round(config: &NodeConfig, round: u32) -> Self {
        let most = PATIENCE.saturating_mul(2u32.saturating_pow(round));
        Self { link: config.connect_timeout.min(most), handshake: config.handshake_timeout.min(most) }
    }
}

#[cfg(test)]
mod tests {
    use daffi_transport::mem::MemConnector;

    use super::*;

    fn addresses(names: &[&str]) -> Option<Addresses> {
        let connector = |name: &&str| Box::new(MemConnector::new(name.parse().unwrap())) as Box<dyn Connector>;
        Addresses::new(names.iter().map(connector).collect())
    }

    #[test]
    fn each_comes_in_turn_and_all_are_begun_with() {
        assert!(addresses(&[]).is_none());
        let names = ["mem://a", "mem://b", "mem://c"];
        let mut begun_with = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let addresses = addresses(&names).unwrap();
            begun_with.insert(addresses.endpoint().to_string());
            let seen: std::collections::BTreeSet<_> = (0..3)
                .map(|_| {
                    addresses.choose(addresses.at() + 1);
                    addresses.endpoint().to_string()
                })
                .collect();
            assert_eq!(seen.len(), 3);
        }
        assert_eq!(begun_with.len(), 3);
    }

    #[test]
    fn one_of_several_gives_way_sooner_at_first_and_later_has_all_its_time() {
        let config = NodeConfig::client();
        assert_eq!([config.connect_timeout, config.handshake_timeout].map(|time| time.as_secs()), [15, 10]);
        let seconds = |patience: Patience| (patience.link.as_secs(), patience.handshake.as_secs());
        let (one, two) = (addresses(&["mem://a"]).unwrap(), addresses(&["mem://a", "mem://b"]).unwrap());
        assert_eq!([0, 9].map(|round| seconds(one.patience(&config, round))), [(15, 10); 2]);
        let rounds = [0, 1, 2, 3, u32::MAX].map(|round| seconds(two.patience(&config, round)));
        assert_eq!(rounds, [(2, 2), (4, 4), (8, 8), (15, 10), (15, 10)]);
        let hasty = config.connect_timeout(Duration::from_millis(5));
        assert_eq!(two.patience(&hasty, 0).link, Duration::from_millis(5));
    }
}
