//! Which connection bears which name, on a server.

use std::collections::HashMap;

use daffi_wire::NodeName;

/// Who bears which name: a name has one connection, and the newest wins.
#[derive(Debug)]
pub(crate) struct Hub<P> {
    peers: HashMap<NodeName, (u64, P)>,
}

impl<P> Default for Hub<P> {
    fn default() -> Self {
        Self { peers: HashMap::new() }
    }
}

impl<P> Hub<P> {
    /// Gives `name` to connection `id`, and returns the peer that bore it before, which is evicted.
    pub(crate) fn join(&mut self, name: NodeName, id: u64, peer: P) -> Option<P> {
        self.peers.insert(name, (id, peer)).map(|(_, old)| old)
    }

    /// The peer that bears `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&P> {
        self.peers.get(name).map(|(_, peer)| peer)
    }

    /// Forgets connection `id`, which ended. `true`: the name is free now; `false`: it had passed
    /// to a newer connection.
    pub(crate) fn leave(&mut self, name: &str, id: u64) -> bool {
        match self.peers.get(name) {
            Some((current, _)) if *current == id => {
                self.peers.remove(name);
                true
            }
            _ => false,
        }
    }

    /// All connections that bear a name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeName, &P)> {
        self.peers.iter().map(|(name, (_, peer))| (name, peer))
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;

    #[test]
    fn the_newest_connection_keeps_the_name() {
        let name = NodeName::new("a", &Limits::default()).unwrap();
        let mut hub = Hub::default();
        assert_eq!(hub.join(name.clone(), 1, "old"), None);
        assert_eq!(hub.join(name.clone(), 2, "new"), Some("old"));
        assert!(!hub.leave("a", 1), "the evicted connection ends and takes nothing with it");
        assert_eq!(hub.iter().count(), 1);
        assert!(hub.leave("a", 2));
        assert_eq!(hub.iter().count(), 0);
    }
}
