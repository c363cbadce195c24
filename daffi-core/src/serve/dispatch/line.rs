//! The line of those that wait for a worker, fair between callers.

use std::collections::{VecDeque, hash_map::Entry};

use daffi_wire::NodeName;

use crate::keyed::ByName;

/// So many requests of one caller stand in the line at most; its others wait behind them and step up one by one.
///
/// So a request waits for at most so many of each other caller that came before, however many they sent. As long as nobody has
/// more than this waiting, all run in order of arrival.
pub(crate) const STANDING: usize = 16;

/// Who waits: a caller on one connection.
pub(crate) type Caller = (u64, NodeName);

/// What waits, in the order in which it is to be taken.
#[derive(Debug)]
pub(crate) struct Line<T> {
    standing: VecDeque<(Caller, T)>,
    callers: ByName<Caller, Waiting<T>>,
}

/// What one caller has waiting.
#[derive(Debug)]
struct Waiting<T> {
    /// Of it in the line.
    standing: usize,
    /// The rest, in order.
    behind: VecDeque<T>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { standing: VecDeque::new(), callers: ByName::default() }
    }
}

impl<T> Line<T> {
    pub(crate) fn push(&mut self, caller: Caller, item: T) {
        let new = Waiting { standing: 0, behind: VecDeque::new() };
        let waiting = self.callers.entry(caller.clone()).or_insert(new);
        if waiting.standing == STANDING {
            waiting.behind.push_back(item);
        } else {
            waiting.standing += 1;
            self.standing.push_back((caller, item));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let (caller, item) = self.standing.pop_front()?;
        if let Entry::Occupied(mut entry) = self.callers.entry(caller) {
            match entry.get_mut().behind.pop_front() {
                Some(next) => self.standing.push_back((entry.key().clone(), next)),
                None if entry.get().standing == 1 => {
                    entry.remove();
                }
                None => entry.get_mut().standing -= 1,
            }
        }
        Some(item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;

    fn caller(n: u64) -> Caller {
        (n % 3, NodeName::new(format!("c{n}"), &Limits::default()).unwrap())
    }

    #[test]
    fn greedy_callers_leave_the_others_their_turn() {
        let mut line = Line::default();
        for n in 0..20 {
            for request in 0..1000 {
                line.push(caller(n), (n, request));
            }
        }
        line.push(caller(20), (20, 0));
        let order: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
        let honest = order.iter().position(|(n, _)| *n == 20).unwrap();
        assert_eq!((order.len(), honest), (20_001, 20 * STANDING));
        for n in 0..20 {
            let of_one: Vec<_> = order.iter().filter(|(of, _)| *of == n).map(|(_, request)| *request).collect();
            assert_eq!(of_one, (0..1000).collect::<Vec<_>>(), "each in its own order");
        }
        assert!(line.is_empty() && line.callers.is_empty());
    }

    #[test]
    fn few_requests_of_each_keep_the_order_of_arrival() {
        let mut line = Line::default();
        let requests: Vec<_> = (0..50 * STANDING as u64).map(|n| (n * 7 % 50, n)).collect();
        for (of, n) in &requests {
            line.push(caller(*of), (*of, *n));
        }
        assert_eq!(std::iter::from_fn(|| line.pop()).collect::<Vec<_>>(), requests);
    }
}
