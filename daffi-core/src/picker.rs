//! Which member gets a call.

use std::{collections::HashMap, fmt, sync::Arc};

use daffi_wire::NodeName;
use parking_lot::Mutex;

/// Chooses the receiver of a call among the members that expose its callback.
///
/// Asked only when there is a choice: never with a `receiver` given, never with a single candidate.
pub trait Picker: Send + Sync + fmt::Debug + 'static {
    /// The index of the chosen candidate; taken modulo their number.
    fn pick(&self, method: &str, candidates: &[NodeName]) -> usize;
}

/// Each callback's calls in turn to each member that exposes it. The default.
///
/// The turn is kept per callback: alternating between two callbacks spreads each of them evenly.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: Mutex<HashMap<Arc<str>, usize>>,
}

impl Picker for RoundRobin {
    fn pick(&self, method: &str, candidates: &[NodeName]) -> usize {
        let mut next = self.next.lock();
        let at = match next.get_mut(method) {
            Some(at) => at,
            None => next.entry(method.into()).or_default(),
        };
        let chosen = *at % candidates.len().max(1);
        *at = chosen + 1;
        chosen
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;

    #[test]
    fn each_callback_has_its_own_turn() {
        let names = ["a", "b", "c"].map(|n| NodeName::new(n, &Limits::default()).unwrap());
        let picker = RoundRobin::default();
        let picks: Vec<_> = (0..4).map(|_| (picker.pick("f", &names), picker.pick("g", &names))).collect();
        assert_eq!(picks, [(0, 0), (1, 1), (2, 2), (0, 0)]);
    }
}
