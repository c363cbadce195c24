//! The addresses of a client, of which it uses one at a time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use daffi_transport::{Connector, Endpoint, EndpointError};

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

    pub(super) fn connector(&self) -> &dyn Connector {
        &*self.connectors[self.at.load(Ordering::Relaxed)]
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.connector().endpoint()
    }

    /// Which one that is, counted from 0.
    pub(super) fn at(&self) -> usize {
        self.at.load(Ordering::Relaxed)
    }

    /// That one is used, or tried, from here on.
    pub(super) fn choose(&self, at: usize) {
        self.at.store(at % self.connectors.len(), Ordering::Relaxed);
    }

    /// Of the hosts that this address stands for another one is tried the next time.
    pub(super) fn give_way(&self) {
        self.connector().give_way();
    }

    /// The next address is tried from here on: also of those that a host name stands for.
    pub(super) fn advance(&self) {
        self.give_way();
        self.choose(self.at() + 1);
    }

    /// How much of `time` an address is given in this round, counted from 0.
    pub(super) fn patience(&self, time: Duration, round: u32) -> Duration {
        match self.len() {
            1 => time,
            _ => PATIENCE.saturating_mul(2u32.saturating_pow(round)).min(time),
        }
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
                    addresses.advance();
                    addresses.endpoint().to_string()
                })
                .collect();
            assert_eq!(seen.len(), 3);
        }
        assert_eq!(begun_with.len(), 3);
    }

    #[test]
    fn one_of_several_gives_way_sooner_at_first_and_later_has_all_its_time() {
        let time = Duration::from_secs(15);
        let (one, two) = (addresses(&["mem://a"]).unwrap(), addresses(&["mem://a", "mem://b"]).unwrap());
        assert_eq!([0, 9].map(|round| one.patience(time, round)), [time; 2]);
        assert_eq!([0, 1, 2, 3, u32::MAX].map(|round| two.patience(time, round).as_secs()), [2, 4, 8, 15, 15]);
        assert_eq!(two.patience(Duration::from_millis(5), 0), Duration::from_millis(5));
    }
}
