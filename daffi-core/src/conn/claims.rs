//! Who holds more than its share: whose turn it is to use the reserve, and who of those that are
//! read on whatever they hold has to go when there is no memory for all of them.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{Budget, Conn};
use crate::error::Disconnected;

/// What one holds that is over its share, and what it wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Bytes that it holds.
    pub(crate) held: usize,
    /// Bytes of requests that wait and that it is read on for, above a largest frame: one large
    /// upload that has come is no backlog.
    pub(crate) backlog: usize,
    /// Bytes that its frame lacks, by its header. Nothing is taken for them before they come.
    pub(crate) missing: usize,
    /// It wants the reserve, too.
    pub(crate) grows: bool,
    /// It breaks when the rest of its frame is not read.
    pub(crate) cannot_wait: bool,
}

impl Claim {
    /// How much worse off the others are for it: what it has to be done, and what it still wants.
    /// A frame that has nearly come costs nearly nothing more, and is the dearest to throw away.
    const fn weight(&self) -> usize {
        self.backlog.saturating_add(if self.cannot_wait { self.missing } else { 0 })
    }

    /// Whether it takes memory that it cannot be kept from.
    const fn goes_on(&self) -> bool {
        self.cannot_wait || self.backlog > 0
    }
}

#[derive(Debug)]
struct Claimant {
    id: u64,
    conn: Weak<Conn>,
    claim: Claim,
    /// It was told to end, and what it holds is about to be free.
    ends: bool,
}

/// Those who hold more than their shares, in the order in which they came to that.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<VecDeque<Claimant>>);

/// A place among them. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct Place {
    budget: Arc<Budget>,
    id: u64,
}

/// What a place is worth as things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It may use the reserve: it is the first, and what came before was worked off.
    pub(crate) has_reserve: bool,
    /// The rest of its frame finds memory beyond the shares, and so do those of all who need less.
    pub(crate) fits: bool,
    /// There is no memory beyond the shares, and of those who go on nobody weighs more.
    pub(crate) is_to_go: bool,
}

impl Budget {
    /// Takes the last place among those who hold more than their share. `id` is the connection's.
    pub(crate) fn claim(self: &Arc<Self>, id: u64, conn: Weak<Conn>, claim: Claim) -> Place {
        self.claims.0.lock().push_back(Claimant { id, conn, claim, ends: false });
        Place { budget: Arc::clone(self), id }
    }
}

impl Place {
    /// Notes what the owner of this place holds and wants now.
    pub(crate) fn update(&self, claim: Claim) {
        if let Some(own) = self.budget.claims.0.lock().iter_mut().find(|other| other.id == self.id) {
            own.claim = claim;
        }
    }

    /// What it is worth now.
    pub(crate) fn standing(&self) -> Standing {
        let (budget, has_reserve) = (&*self.budget, self.budget.has_reserve());
        let entries = budget.claims.0.lock();
        let first = first(&entries).filter(|_| has_reserve);
        let Some(own) = entries.iter().find(|other| other.id == self.id) else { return Standing::default() };
        let nearer = |other: &&Claimant| {
            let counts = other.claim.cannot_wait && !other.ends && Some(other.id) != first;
            counts && (other.id == self.id || other.claim.missing <= own.claim.missing)
        };
        let has_reserve = first == Some(self.id);
        let is_to_go = is_overdrawn(budget, &entries) && heaviest(&entries).is_some_and(|other| other.id == self.id);
        if !own.claim.cannot_wait {
            // It looks often, and the rest is no matter of its.
            return Standing { has_reserve, fits: false, is_to_go };
        }
        let wanted: usize = entries.iter().filter(nearer).map(|other| other.claim.missing).sum();
        Standing {
            has_reserve,
            fits: sum_held(budget, &entries).saturating_add(wanted) <= budget.most_held(),
            is_to_go,
        }
    }

    /// Whether it may use the reserve.
    pub(crate) fn has_reserve(&self) -> bool {
        self.budget.has_reserve() && first(&self.budget.claims.0.lock()) == Some(self.id)
    }

    /// Whether it has the reserve and others wait for it.
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.budget.claims.0.lock().iter().filter(|other| other.claim.grows).count() > 1 && self.has_reserve()
    }

    /// Ends the one that has to go, if that is another, because nothing is left beyond the shares.
    /// Itself it may not come to run for a while.
    pub(crate) fn end_heaviest(&self) {
        let budget = &*self.budget;
        let (conn, size) = {
            let mut entries = budget.claims.0.lock();
            if !is_overdrawn(budget, &entries) {
                return;
            }
            let size = sum_held(budget, &entries);
            let Some(id) = heaviest(&entries).map(|other| other.id).filter(|id| *id != self.id) else { return };
            let Some(other) = entries.iter_mut().find(|other| other.id == id) else { return };
            other.ends = true;
            (Weak::clone(&other.conn), size)
        };
        if let Some(conn) = conn.upgrade() {
            conn.end(Disconnected::Limit { what: NO_MEMORY, size, limit: budget.most_held() }, false);
        }
    }
}

/// Why a peer is ended that cannot wait for memory.
pub(super) const NO_MEMORY: &str = "memory of all peers together, `budget_bytes` and twice the largest frame, of \
     which this one, of those that cannot be held back, needed most still";

impl Drop for Place {
    fn drop(&mut self) {
        self.budget.claims.0.lock().retain(|other| other.id != self.id);
    }
}

/// The connection whose turn it is to use the reserve.
fn first(entries: &VecDeque<Claimant>) -> Option<u64> {
    entries.iter().find(|entry| entry.claim.grows).map(|entry| entry.id)
}

/// What all peers hold, but for those that are about to end.
fn sum_held(budget: &Budget, entries: &VecDeque<Claimant>) -> usize {
    let ending: usize = entries.iter().filter(|entry| entry.ends).map(|entry| entry.claim.held).sum();
    budget.held_bytes().saturating_sub(ending)
}

fn is_overdrawn(budget: &Budget, entries: &VecDeque<Claimant>) -> bool {
    budget.is_overdrawn() && sum_held(budget, entries) > budget.most_held()
}

/// Of those that go on, the one that weighs most; of several the last that came.
fn heaviest(entries: &VecDeque<Claimant>) -> Option<&Claimant> {
    entries.iter().filter(|entry| entry.claim.goes_on() && !entry.ends).max_by_key(|entry| entry.claim.weight())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;
    const FRAME: Claim = Claim { held: 10 * MIB, backlog: 0, missing: 0, grows: true, cannot_wait: true };

    fn budget() -> Arc<Budget> {
        Budget::new(256 * MIB, 1.0, 100, 32 * MIB)
    }

    fn claim(budget: &Arc<Budget>, id: u64, claim: Claim) -> Place {
        budget.claim(id, Weak::new(), claim)
    }

    #[test]
    fn the_reserve_goes_to_the_first_whose_frame_grows() {
        let budget = budget();
        let backlog = claim(&budget, 0, Claim { grows: false, ..FRAME });
        let (one, two, three) = (claim(&budget, 1, FRAME), claim(&budget, 2, FRAME), claim(&budget, 3, FRAME));
        assert!(one.has_reserve() && !two.has_reserve() && !backlog.has_reserve());
        assert!(one.is_in_the_way() && !two.is_in_the_way());
        drop((one, two));
        assert!(three.has_reserve() && !three.is_in_the_way());
        let account = budget.open();
        let unworked = account.charge(256 * MIB + 8 * MIB + 64 * 1024);
        assert!(!three.has_reserve(), "what was read from it has not been worked off");
        drop(unworked);
        assert!(three.has_reserve() && three.standing().has_reserve);
    }

    #[test]
    fn who_wants_most_still_has_to_go_and_who_has_nearly_all_never() {
        let budget = budget();
        let account = budget.open();
        // Who waits with the rest of its frame does, whatever it holds.
        let waits = claim(&budget, 0, Claim { cannot_wait: false, held: 99 * MIB, missing: 31 * MIB, ..FRAME });
        let nearly = claim(&budget, 1, Claim { held: 29 * MIB, missing: MIB, ..FRAME });
        let half = claim(&budget, 2, Claim { held: 15 * MIB, missing: 15 * MIB, ..FRAME });
        let begun = claim(&budget, 3, Claim { held: MIB, missing: 29 * MIB, ..FRAME });
        let goes = || [&waits, &nearly, &half, &begun].map(|place| place.standing().is_to_go);
        assert_eq!(goes(), [false; 4], "there is memory");
        let _all = account.charge(budget.most_held() + MIB);
        assert_eq!(goes(), [false, false, false, true]);
        // Whoever finds that ends it, though it does not run; and one is enough.
        half.end_heaviest();
        assert_eq!(goes(), [false; 4]);
        let _more = account.charge(MIB);
        assert_eq!(goes(), [false, false, true, false]);
        let flood = claim(&budget, 4, Claim { held: 80 * MIB, backlog: 48 * MIB, grows: false, ..FRAME });
        assert!(flood.standing().is_to_go && !half.standing().is_to_go, "a backlog is before an upload");
        // So is one of who would wait, and is read on.
        drop((begun, half, flood));
        assert!(nearly.standing().is_to_go);
        waits.update(Claim { cannot_wait: false, backlog: 2 * MIB, ..FRAME });
        assert!(waits.standing().is_to_go && !nearly.standing().is_to_go);
    }

    #[test]
    fn those_who_need_least_are_let_finish() {
        let budget = budget();
        let account = budget.open();
        let _first = claim(&budget, 0, Claim { cannot_wait: false, ..FRAME });
        let places = [(1, 20), (2, 5), (3, 30)]
            .map(|(id, missing)| claim(&budget, id, Claim { missing: missing * MIB, ..FRAME }));
        let fits = || places.each_ref().map(|place| place.standing().fits);
        assert_eq!(fits(), [true; 3]);
        let _some = account.charge(budget.most_held() - 40 * MIB);
        assert_eq!(fits(), [true, true, false]);
        let _more = account.charge(30 * MIB);
        assert_eq!(fits(), [false, true, false]);
    }

    #[test]
    fn what_arguments_become_when_they_are_read_costs_nobody_its_place() {
        let budget = budget();
        let account = budget.open();
        let upload = claim(&budget, 1, Claim { missing: MIB, ..FRAME });
        let _full = account.charge(budget.most_held() - 10 * MIB);
        let reading = account.read_arguments(30 * MIB, || 100 * MIB, true, std::time::Instant::now);
        assert!(reading.is_ok() && budget.used_bytes() > budget.most_held());
        assert_eq!(upload.standing(), Standing { fits: true, ..Standing::default() });
        drop(reading);
        assert!(upload.standing().fits);
    }
}
