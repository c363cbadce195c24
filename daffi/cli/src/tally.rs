//! Errors counted by what they are.

use std::collections::BTreeMap;

use daffi::Shown;
use serde::Serialize;

/// Kinds that are told apart. A peer chooses the names of some.
const KINDS: usize = 16;
/// The name under which further kinds are counted.
const OTHERS: &str = "others";

/// How many errors there were of each kind.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub(crate) fn count(&mut self, kind: &str) {
        self.put(kind, 1);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            self.put(kind, *count);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }

    fn put(&mut self, kind: &str, count: u64) {
        if let Some(known) = self.0.get_mut(kind) {
            *known += count;
        } else {
            let kind = if self.0.len() < KINDS { kind_text(kind) } else { OTHERS.to_owned() };
            *self.0.entry(kind).or_default() += count;
        }
    }
}

/// As much of a name as is kept. It is escaped where it is shown.
fn kind_text(kind: &str) -> String {
    kind.chars().take(Shown::MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_makes_no_more_kinds_than_some() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.count(&format!("E{number}"));
            tally.count("E0");
        }
        let mut both = tally.clone();
        both.add(&tally);
        assert_eq!((tally.total(), both.total(), both.iter().count()), (200, 400, KINDS + 1));
        assert!(both.iter().any(|kind| kind == (OTHERS, 168)));
    }
}
