//! Remembers those who call a client, which hears when they leave.

use std::sync::Arc;

use daffi_wire::{Frame, NodeName};

use super::connection::ClientHandler;
use crate::{
    conn::Account,
    keyed::ByName,
    serve::{CallerId, Context as Caller},
};

/// About what a caller takes beside its name.
const COST: usize = 512;

/// What all of them may take, in bytes.
const MOST: usize = 8 * 1024 * 1024;

/// At so many a newcomer may look whether they can be forgotten, and at as many as those before it
/// left of theirs: where all are busy, each request of one for whom there is no room costs no more.
/// Who calls again looks at the next ones.
const LOOKS_EACH: usize = 16;

/// At so many it may look at most.
const MOST_LOOKS: usize = 256;

/// Callers over one connection that have not left, as far as its server says.
///
/// A server need not say that one left of whom nothing was open, so those are forgotten when there
/// is no room for another. One is never forgotten while a request of it waits or runs, a call of it
/// is open, or DATA waits for it: what comes for that call would find it no more, and what is said
/// last when it has left would not come behind that DATA. So a nowait request of one for whom there
/// is no room runs, and does not hear that its caller has left.
#[derive(Debug)]
pub(super) struct Callers {
    /// Where each of them is in `all`.
    by_name: ByName<NodeName, usize>,
    all: Vec<Caller>,
    /// Whom the next newcomer looks at first.
    next: usize,
    /// At so many may still be looked.
    looks: usize,
    bytes: usize,
    /// The account that counts them.
    account: Arc<Account>,
}

impl Callers {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { by_name: ByName::default(), all: Vec::new(), next: 0, looks: MOST_LOOKS, bytes: 0, account }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Caller> {
        self.by_name.get(name).and_then(|at| self.all.get(*at))
    }

    /// Remembers one that is not known yet, in the place of those who are idle. `has_open`: whether
    /// a call of a caller is open that can be cancelled. `false`: there is no room for it, because
    /// calls of the others are open.
    pub(super) fn add(&mut self, caller: &Caller, has_open: impl Fn(CallerId) -> bool) -> bool {
        let name = caller.caller_name();
        self.looks = (self.looks + LOOKS_EACH).min(MOST_LOOKS);
        while self.bytes + cost(name) > MOST && self.looks > 0 && !self.all.is_empty() {
            self.looks -= 1;
            self.look(&has_open);
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
    fn look(&mut self, has_open: impl Fn(CallerId) -> bool) {
        self.next %= self.all.len();
        if self.all[self.next].is_idle(has_open) {
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
    pub(super) fn find_known(&mut self, frame: &Frame) -> Option<Caller> {
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
        let is_remembered = self.callers.add(&caller, |known| self.intake.has_open(known));
        // The one before may be forgotten by now.
        self.caller = is_remembered.then(|| caller.clone());
        Some((caller, is_remembered))
    }
}

fn cost(name: &NodeName) -> usize {
    COST + name.len()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bytes::Bytes;
    use daffi_wire::{CallId, Limits};

    use super::*;
    use crate::conn::{Budget, DataKey};

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
            assert!(callers.add(&caller(n), |_| false));
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
        let (mut all, mut open) = (Vec::new(), HashSet::new());
        // A half of them stay, and those who come later find room in the place of the others.
        for n in 0..4_000 {
            let caller = caller(n);
            if n % 4 == 0 && all.len() < 400 {
                open.insert(caller.caller_id());
                all.push(caller.clone());
            }
            assert!(callers.add(&caller, |id| open.contains(&id)), "{n}");
        }
        let knows = |callers: &Callers, one: &Caller| {
            callers.get(one.caller()).is_some_and(|known| known.caller_id() == one.caller_id())
        };
        assert!(all.iter().all(|one| knows(&callers, one)));
        // All that there is room for have calls open.
        let refused = loop {
            let caller = caller(4_000 + all.len());
            if !(0..64).any(|_| callers.add(&caller, |id| open.contains(&id))) {
                break caller;
            }
            open.insert(caller.caller_id());
            all.push(caller);
        };
        assert!(all.iter().all(|one| knows(&callers, one)) && !knows(&callers, &refused));
        assert!(callers.all.len() == all.len() && callers.bytes <= MOST);
        // One of them has its answer, and its program keeps what it knows of the call.
        let over = all.swap_remove(7);
        open.remove(&over.caller_id());
        assert!((0..64).any(|_| callers.add(&refused, |id| open.contains(&id))));
        assert!(!knows(&callers, &over) && knows(&callers, &refused));
        assert!(all.iter().all(|one| knows(&callers, one)));
    }

    #[test]
    fn where_all_are_busy_a_newcomer_costs_a_few_looks() {
        let account = Budget::new(1 << 28, 1.0, 2, 1 << 20).open();
        let (mut callers, mut all) = (Callers::new(account), Vec::new());
        while callers.add(&caller(all.len()), |_| true) {
            // Who is seen elsewhere may have a call open.
            all.push(callers.all.last().unwrap().clone());
        }
        let looks = std::cell::Cell::new(0);
        let newcomer = caller(10_000);
        for _ in 0..1_000 {
            assert!(!callers.add(&newcomer, |_| {
                looks.set(looks.get() + 1);
                true
            }));
        }
        assert_eq!(looks.get(), 1_000 * LOOKS_EACH);
    }

    /// Whoever has unfinished business is not idle: a request that waits or runs, or DATA that
    /// nobody has taken yet.
    #[test]
    fn who_has_something_to_come_is_not_idle() {
        let one = caller(1);
        assert!(one.is_idle(|_| true), "nobody else knows it");
        let kept = one.clone();
        assert!(one.is_idle(|_| false) && !one.is_idle(|_| true));
        let runs = one.count();
        assert!(!one.is_idle(|_| false));
        drop((runs, kept));
        one.call().caller.note_data();
        let key = |caller: &Caller| DataKey { from: caller.caller_id().data_from(), id: CallId(1), from_caller: false };
        for of in [&caller(2), &one] {
            one.conn().send_data(key(of), Bytes::from_static(b"data")).unwrap();
            assert_eq!(one.is_idle(|_| false), of.caller_id() != one.caller_id());
        }
        one.conn().forget_data(key(&one));
        assert!(one.is_idle(|_| false));
    }
}
