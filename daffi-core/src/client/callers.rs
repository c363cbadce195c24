//! Remembers those who call a client, which hears when they leave.

use std::sync::Arc;

use daffi_wire::{Frame, NodeName};

use super::connection::ClientHandler;
use crate::{conn::Account, keyed::ByName, serve::Context as Caller};

/// About what a caller takes beside its name.
const COST: usize = 512;

/// What all of them may take, in bytes.
const MOST: usize = 8 * 1024 * 1024;

/// At so many at most a newcomer looks whether they can be forgotten. Who calls again looks at the
/// next ones.
const LOOKS: usize = 256;

/// Callers over one connection that have not left, as far as its server says.
///
/// A server need not say that one left of whom nothing was open, so those are forgotten when there
/// is no room for another. One is never forgotten while a call of it is open, or while a callback
/// asks for it: what comes for that call would find it no more.
#[derive(Debug)]
pub(super) struct Callers {
    /// Where each of them is in `all`.
    by_name: ByName<NodeName, usize>,
    all: Vec<Caller>,
    /// Whom the next newcomer looks at first.
    next: usize,
    bytes: usize,
    /// The account that counts them.
    account: Arc<Account>,
}

impl Callers {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { by_name: ByName::default(), all: Vec::new(), next: 0, bytes: 0, account }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Caller> {
        self.by_name.get(name).and_then(|at| self.all.get(*at))
    }

    /// Remembers one that is not known yet, in the place of those who are idle. `false`: there is
    /// no room for it, for calls of the others are open.
    pub(super) fn add(&mut self, caller: &Caller) -> bool {
        let name = caller.caller_name();
        for _ in 0..LOOKS.min(self.all.len()) {
            if self.bytes + cost(name) <= MOST {
                break;
            }
            self.look();
        }
        if self.bytes + cost(name) > MOST {
            return false;
        }
        self.count(self.bytes + cost(name));
        self.by_name.insert(name.clone(), self.all.len());
        self.all.push(caller.clone());
        true
    }

    /// Forgets the next one, if it is idle.
    fn look(&mut self) {
        self.next %= self.all.len();
        if self.all[self.next].is_idle() {
            self.take(self.next);
        } else {
            self.next += 1;
        }
    }

    /// The caller of that name has left. Gives it, if it was known.
    pub(super) fn remove(&mut self, name: &str) -> Option<Caller> {
        let at = *self.by_name.get(name)?;
        let caller = self.take(at);
        caller.note_gone();
        Some(caller)
    }

    /// Takes one out; the last one gets its place.
    fn take(&mut self, at: usize) -> Caller {
        let caller = self.all.swap_remove(at);
        self.by_name.remove(caller.caller_name());
        if let Some(moved) = self.all.get(at) {
            self.by_name.insert(moved.caller_name().clone(), at);
        }
        self.count(self.bytes - cost(caller.caller_name()));
        caller
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

impl ClientHandler {
    /// The context of whoever called before and is remembered: all of whom anything is open. One
    /// caller often makes many calls.
    pub(super) fn known(&mut self, frame: &Frame) -> Option<Caller> {
        if let Some(known) = self.caller.as_ref().filter(|known| frame.is_from(known.caller())) {
            return Some(known.clone());
        }
        let caller = self.callers.get(frame.transmitter())?.clone();
        self.caller = Some(caller.clone());
        Some(caller)
    }

    /// Somebody calls for the first time. Gives as well whether it is remembered.
    pub(super) fn meet(&mut self, name: &str) -> Option<(Caller, bool)> {
        let name = match self.connection.members().get(name) {
            Some(member) => member.name.clone(),
            None => NodeName::new(name, &self.shared.node.config.limits).ok()?,
        };
        let conn = &self.connection.conn;
        let caller = Caller::behind(name, Arc::clone(conn), Arc::clone(&self.shared.node), conn.ended.child_token());
        let is_remembered = self.callers.add(&caller);
        if is_remembered {
            self.caller = Some(caller.clone());
        }
        Some((caller, is_remembered))
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

    fn name(n: usize) -> NodeName {
        NodeName::new(format!("{n:09000}"), &Limits::default()).unwrap()
    }

    fn caller(n: usize) -> Caller {
        Caller::detached(name(n), name(0))
    }

    /// Long names are no more than short ones: what they take is bounded, and counted.
    #[test]
    fn callers_without_end_take_no_memory_without_end() {
        let account = Budget::new(1 << 28, 1.0, 2, 1 << 20).open();
        let mut callers = Callers::new(Arc::clone(&account));
        for n in 0..5_000 {
            assert!(callers.add(&caller(n)));
            assert!(account.held_bytes() == callers.bytes && callers.bytes <= MOST);
            assert_eq!(callers.by_name.len(), callers.all.len());
        }
        assert!(callers.get(&name(0)).is_none(), "it was forgotten");
        let last = callers.get(&name(4_999)).unwrap().clone();
        assert!(!last.is_cancelled());
        assert!(callers.remove(&name(4_999)).is_some() && callers.remove(&name(4_999)).is_none());
        assert!(last.is_cancelled());
        drop(callers);
        assert_eq!(account.held_bytes(), 0);
    }

    #[test]
    fn whose_calls_are_open_is_not_forgotten_and_newcomers_find_no_room_then() {
        let account = Budget::new(1 << 28, 1.0, 2, 1 << 20).open();
        let mut callers = Callers::new(Arc::clone(&account));
        let mut open = Vec::new();
        // A half of them stay, and those who come later find room in the place of the others.
        for n in 0..4_000 {
            let caller = caller(n);
            if n % 4 == 0 && open.len() < 400 {
                open.push(caller.clone());
            }
            assert!(callers.add(&caller), "{n}");
        }
        let knows = |callers: &Callers, one: &Caller| {
            callers.get(one.caller()).is_some_and(|known| known.caller_id() == one.caller_id())
        };
        assert!(open.iter().all(|one| knows(&callers, one)));
        // All that there is room for have calls open.
        let refused = loop {
            let caller = caller(4_000 + open.len());
            if !(0..4).any(|_| callers.add(&caller)) {
                break caller;
            }
            open.push(caller);
        };
        assert!(open.iter().all(|one| knows(&callers, one)) && !knows(&callers, &refused));
        assert!(callers.all.len() == open.len() && callers.bytes <= MOST);
        // One of them has its answer.
        let over = open.swap_remove(7).caller_name().clone();
        assert!((0..4).any(|_| callers.add(&refused)));
        assert!(callers.get(&over).is_none() && knows(&callers, &refused));
        assert!(open.iter().all(|one| knows(&callers, one)));
    }
}
