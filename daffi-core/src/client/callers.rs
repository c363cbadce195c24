//! Remembers those who call a client, which hears when they leave.

use std::sync::Arc;

use daffi_wire::NodeName;

use crate::{conn::Account, keyed::ByName, serve::Context as Caller};

/// About what a caller takes beside its name.
const COST: usize = 512;

/// What all of them may take, in bytes.
const MOST: usize = 8 * 1024 * 1024;

/// Callers over one connection that have not left, as far as its server says.
#[derive(Debug)]
pub(super) struct Callers {
    by_name: ByName<NodeName, Caller>,
    bytes: usize,
    /// The account that counts them.
    account: Arc<Account>,
}

impl Callers {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { by_name: ByName::default(), bytes: 0, account }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Caller> {
        self.by_name.get(name)
    }

    /// Remembers one that is not known yet.
    pub(super) fn add(&mut self, caller: &Caller) {
        let name = caller.caller_name();
        if self.bytes + cost(name) > MOST {
            // This server names ever new callers and never says that one left. Those before this
            // one hear only of the end of the connection.
            self.by_name = ByName::default();
            self.count(0);
        }
        self.count(self.bytes + cost(name));
        self.by_name.insert(name.clone(), caller.clone());
    }

    /// The caller of that name has left.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some((name, caller)) = self.by_name.remove_entry(name) {
            self.count(self.bytes - cost(&name));
            caller.note_gone();
        }
    }

    fn count(&mut self, bytes: usize) {
        self.account.change(self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.count(0);
    }
}

fn cost(name: &NodeName) -> usize {
    COST + name.len()
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;
    use crate::conn::Budget;

    /// Long names are no more than short ones: what they take is bounded, and counted.
    #[test]
    fn callers_without_end_take_no_memory_without_end() {
        let account = Budget::new(1 << 28, 1.0, 2, 1 << 20).open();
        let mut callers = Callers::new(Arc::clone(&account));
        let name = |n| NodeName::new(format!("{n:09000}"), &Limits::default()).unwrap();
        for n in 0..5_000 {
            callers.add(&Caller::detached(name(n), name(0)));
            assert!(account.held_bytes() == callers.bytes && callers.bytes <= MOST);
        }
        assert!(callers.get(&name(0)).is_none(), "it was forgotten");
        let last = callers.get(&name(4_999)).unwrap().clone();
        assert!(!last.is_cancelled());
        callers.remove(&name(4_999));
        assert!(last.is_cancelled());
        drop(callers);
        assert_eq!(account.held_bytes(), 0);
    }
}
