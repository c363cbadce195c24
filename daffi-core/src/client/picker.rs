//! Which member gets a call.

use std::{fmt, sync::Arc};

use daffi_wire::NodeName;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::ClientConn;
use crate::keyed::ByName;

/// A call that several members could get.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Choice<'a> {
    /// The callback.
    pub method: &'a str,
    /// The members that expose it, at least two, in the order of the server's list.
    pub candidates: &'a [NodeName],
    /// What the caller gave to keep related calls together.
    pub key: Option<&'a str>,
    /// Which client of a [`ClientGroup`](crate::ClientGroup) makes the call, as they are counted
    /// there from 0: its candidates may be others than those of the next one. Else 0.
    pub client: usize,
}

/// Chooses the receiver of a call among the members that expose its callback.
///
/// It is asked only when there is a choice: never when a `receiver` is given, and never for a
/// single candidate.
pub trait Picker: Send + Sync + fmt::Debug + 'static {
    /// Gives the index of the chosen candidate, which is taken modulo their number.
    fn pick(&self, choice: &Choice<'_>) -> usize;

    /// Whether the Router chooses in its place, where that can: a Router of this project, for calls
    /// that want an answer. Then this is not asked, nor told of the call.
    fn leaves_to_router(&self) -> bool {
        false
    }

    /// A call that wants an answer is made to `receiver`, chosen or given.
    fn on_start(&self, _receiver: &NodeName) {}

    /// Such a call has ended, in whatever way.
    fn on_end(&self, _receiver: &NodeName) {}
}

/// Gives each callback's calls to the members that expose it, one after the other. The default.
///
/// The next member is kept per callback, and per client of a group: alternating between two
/// callbacks, or between two Routers, spreads the calls of each evenly. It begins anywhere, so that
/// many clients that make one call each spread too.
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// The next of each client. The keys are what this node calls, so nobody can choose them to
    /// collide.
    next: Mutex<FxHashMap<Arc<str>, Vec<Option<usize>>>>,
    from_first: bool,
}

impl RoundRobin {
    /// Begins at the first member of the list, as daffi 3.0.1 does, for those who need the same
    /// order in every run.
    #[must_use]
    pub fn from_first() -> Self {
        Self { from_first: true, ..Self::default() }
    }

    fn first(&self, candidates: usize) -> usize {
        // It comes from the generator of this thread, which a simulation seeds.
        if self.from_first { 0 } else { fastrand::usize(..candidates.max(1)) }
    }
}

impl Picker for RoundRobin {
    fn pick(&self, choice: &Choice<'_>) -> usize {
        let mut next = self.next.lock();
        let of_clients = match next.get_mut(choice.method) {
            Some(of_clients) => of_clients,
            None => next.entry(choice.method.into()).or_default(),
        };
        if of_clients.len() <= choice.client {
            of_clients.resize(choice.client + 1, None);
        }
        let at = of_clients[choice.client].unwrap_or_else(|| self.first(choice.candidates.len()));
        let chosen = at % choice.candidates.len().max(1);
        of_clients[choice.client] = Some(chosen + 1);
        chosen
    }
}

/// Chooses the member with the fewest open calls of this node, whatever they call, and among equals
/// one after the other. It is for calls that differ much in how long they take.
#[derive(Debug, Default)]
pub struct LeastInFlight {
    open: Mutex<ByName<NodeName, usize>>,
    ties: RoundRobin,
}

impl Picker for LeastInFlight {
    fn pick(&self, choice: &Choice<'_>) -> usize {
        let open = self.open.lock();
        let of = |name: &NodeName| open.get(name).copied().unwrap_or_default();
        let least = choice.candidates.iter().map(of).min().unwrap_or_default();
        let from = self.ties.pick(choice);
        let all = choice.candidates.len().max(1);
        (0..all).map(|step| (from + step) % all).find(|at| of(&choice.candidates[*at]) == least).unwrap_or(from)
    }

    fn on_start(&self, receiver: &NodeName) {
        *self.open.lock().entry(receiver.clone()).or_default() += 1;
    }

    fn on_end(&self, receiver: &NodeName) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(receiver) {
            *count -= 1;
            if *count == 0 {
                open.remove(receiver);
            }
        }
    }
}

/// Leaves the choice to the Router, which knows how much each member has to do for all callers, and
/// who failed of late: it draws two of those who expose the callback, and takes the one with less.
///
/// Only calls that want an answer are left to it, and only by a Router of this project; all else
/// goes round as with [`RoundRobin`].
#[derive(Debug, Default)]
pub struct ByRouter {
    elsewhere: RoundRobin,
}

impl Picker for ByRouter {
    fn pick(&self, choice: &Choice<'_>) -> usize {
        self.elsewhere.pick(choice)
    }

    fn leaves_to_router(&self) -> bool {
        true
    }
}

/// Sends calls with the same key to the same member as long as that is there. When one leaves, only
/// its keys move. Calls without a key go round.
///
/// Every client that sees the same members sends a key to the same one.
#[derive(Debug, Default)]
pub struct StickyByKey {
    without_key: RoundRobin,
}

impl Picker for StickyByKey {
    fn pick(&self, choice: &Choice<'_>) -> usize {
        let Some(key) = choice.key else { return self.without_key.pick(choice) };
        // The highest of the weights that the key has with each candidate (rendezvous hashing).
        let weights = choice.candidates.iter().map(|name| weight(key, name)).enumerate();
        weights.max_by_key(|(_, weight)| *weight).map_or(0, |(at, _)| at)
    }
}

/// Gives the same in every process and version: FNV-1a, and then a finalizer that spreads it over
/// all bits.
fn weight(key: &str, member: &NodeName) -> u64 {
    let bytes = key.bytes().chain([0]).chain(member.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

impl ClientConn {
    /// Whether the server is a Router that can choose who gets a call.
    pub(crate) fn router_chooses(&self) -> bool {
        self.credit.is_governed()
    }

    /// A call to `receiver` that has a number begins.
    pub(super) fn note_start(&self, receiver: &NodeName) {
        if !receiver.is_empty() {
            self.picker.on_start(receiver);
        }
    }

    /// A call to `receiver` that had a number has ended.
    pub(crate) fn note_end(&self, receiver: &NodeName) {
        if !receiver.is_empty() {
            self.picker.on_end(receiver);
        }
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> [NodeName; N] {
        names.map(|n| NodeName::new(n, &Limits::default()).unwrap())
    }

    fn choice<'a>(method: &'a str, candidates: &'a [NodeName], key: Option<&'a str>) -> Choice<'a> {
        Choice { method, candidates, key, client: 0 }
    }

    #[test]
    fn each_callback_has_its_own_turn() {
        let names = names(["a", "b", "c"]);
        let picker = RoundRobin::default();
        let picks: Vec<_> =
            (0..4).map(|_| ["f", "g"].map(|method| picker.pick(&choice(method, &names, None)))).collect();
        let [first_of_f, first_of_g] = picks[0];
        assert_eq!(picks, [0, 1, 2, 3].map(|n| [(first_of_f + n) % 3, (first_of_g + n) % 3]));
    }

    #[test]
    fn each_client_of_a_group_has_its_own_turn() {
        let pickers: [Box<dyn Picker>; 4] = [
            Box::new(RoundRobin::default()),
            Box::new(LeastInFlight::default()),
            Box::new(ByRouter::default()),
            Box::new(StickyByKey::default()),
        ];
        let of_clients = [names(["a", "b"]), names(["c", "d"])];
        for picker in pickers {
            let mut calls = [[0; 2]; 2];
            for n in 0..40 {
                let client = n % 2;
                calls[client][picker.pick(&Choice { client, ..choice("f", &of_clients[client], None) })] += 1;
            }
            assert_eq!(calls, [[10; 2]; 2], "{picker:?}");
        }
    }

    #[test]
    fn the_first_turn_is_anybodys() {
        let names = names(["a", "b", "c"]);
        fastrand::seed(7);
        let firsts: Vec<_> = (0..300).map(|_| RoundRobin::default().pick(&choice("f", &names, None))).collect();
        for n in 0..3 {
            assert!(firsts.iter().filter(|first| **first == n).count() > 60, "{firsts:?}");
        }
    }

    #[test]
    fn who_has_least_to_do_is_chosen() {
        let names = names(["a", "b", "c"]);
        let picker = LeastInFlight::default();
        let pick = || picker.pick(&choice("f", &names, None));
        let first = pick();
        assert_eq!([pick(), pick(), pick()], [1, 2, 3].map(|n| (first + n) % 3), "equals take turns");
        picker.on_start(&names[0]);
        picker.on_start(&names[2]);
        assert_eq!([pick(), pick()], [1, 1]);
        picker.on_start(&names[1]);
        picker.on_start(&names[1]);
        picker.on_end(&names[2]);
        assert_eq!(pick(), 2);
        picker.on_end(&names[2]);
        assert_eq!(picker.open.lock().len(), 2, "nothing is kept of idle members, and nothing underflows");
    }

    #[test]
    fn a_key_stays_with_its_member() {
        let all = names(["a", "b", "c"]);
        let picker = StickyByKey::default();
        let keys: Vec<_> = (0..300).map(|n| format!("user-{n}")).collect();
        let of = |members: &[NodeName]| {
            keys.iter().map(|key| members[picker.pick(&choice("f", members, Some(key)))].clone()).collect::<Vec<_>>()
        };
        let before = of(&all);
        for name in &all {
            assert!(before.iter().filter(|n| *n == name).count() > 60, "keys spread over all members");
        }
        let after = of(&all[..2]);
        assert!(before.iter().zip(&after).all(|(old, new)| old == new || *old == all[2]), "only the keys of c move");
        let picks: Vec<_> = (0..3).map(|_| picker.pick(&choice("f", &all, None))).collect();
        assert_eq!(picks, [0, 1, 2].map(|n| (picks[0] + n) % 3));
    }
}
