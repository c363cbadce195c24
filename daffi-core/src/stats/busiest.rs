//! Which of many are told of, where not all are.

use std::cmp::Reverse;

use daffi_wire::Shown;

use super::CallbackStats;

/// Bytes of a name that is told whole.
const LONGEST_NAME: usize = 256;

/// Cuts a name that a peer made so long that telling of many of them would cost much.
pub(crate) fn cut_name(name: &mut String) {
    if name.len() > LONGEST_NAME {
        *name = Shown::new(name).at_most(LONGEST_NAME).to_string();
    }
}

/// Keeps so many. What is weighed in several ways is taken in turns, the heaviest of each first, so
/// that those who weigh much in one way hide none that do in another: whoever can be many at little
/// cost would hide what he does. What weighs nothing in any way fills the rest.
pub(crate) fn keep_heaviest<T>(all: &mut Vec<T>, most: usize, ways: &[fn(&T) -> u64]) {
    if all.len() <= most {
        return;
    }
    let ranked = ways.iter().map(|weigh| {
        let weights = all.iter().enumerate().map(|(at, one)| (Reverse(weigh(one)), at));
        let mut heavy: Vec<_> = weights.filter(|(Reverse(weight), _)| *weight > 0).collect();
        if heavy.len() > most {
            heavy.select_nth_unstable(most);
            heavy.truncate(most);
        }
        heavy.sort_unstable();
        heavy
    });
    let ranked: Vec<_> = ranked.collect();
    let in_turns = (0..most).flat_map(|turn| ranked.iter().filter_map(move |heavy| Some(heavy.get(turn)?.1)));
    let mut rest: Vec<_> = std::mem::take(all).into_iter().map(Some).collect();
    let count = rest.len();
    all.extend(in_turns.chain(0..count).filter_map(|at| rest[at].take()).take(most));
}

impl CallbackStats {
    /// The ways in which callbacks are weighed.
    pub(crate) const WAYS: [fn(&Self) -> u64; 4] =
        [|one| one.open, |one| one.errors, |one| one.unanswered, |one| one.calls];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_weighs_much_in_one_way_hides_nobody_who_does_in_another() {
        let mut all: Vec<(u64, u64)> = (0..1000).map(|n| (n, 0)).collect();
        all.push((0, 1));
        all.push((0, 0));
        keep_heaviest(&mut all, 10, &[|one| one.0, |one| one.1]);
        assert_eq!(all.len(), 10);
        assert_eq!(all[..3], [(999, 0), (0, 1), (998, 0)]);
        keep_heaviest(&mut all, 10, &[]);
        assert_eq!(all.len(), 10);
        let mut idle = vec![(0, 0); 20];
        keep_heaviest(&mut idle, 10, &[|one| one.0]);
        assert_eq!(idle.len(), 10, "what weighs nothing fills the rest");
    }

    #[test]
    fn a_callback_that_fails_is_seen_among_many_that_are_busy() {
        let callback = |name: String, calls, errors| CallbackStats { name, calls, errors, ..CallbackStats::default() };
        let mut all: Vec<_> = (0..1000).map(|n| callback(format!("busy-{n}"), 1_000_000, 0)).collect();
        all.push(callback("failing".to_owned(), 3, 2));
        keep_heaviest(&mut all, 500, &CallbackStats::WAYS);
        assert!(all.iter().any(|one| one.name == "failing") && all.len() == 500);
    }
}
