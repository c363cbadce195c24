//! The line of those that wait for a worker, fair between callers.

use std::collections::{
    VecDeque,
    hash_map::{Entry, OccupiedEntry},
};

use super::super::caller::CallerId;
use crate::{conn::FEW, keyed::ByNumber};

/// The largest queue that is kept for the next crowd.
const SPARE: usize = 256;

/// What waits, in the order in which it is to be taken.
///
/// Requests of callers that have few waiting are taken in order of arrival, and between each two of
/// them one of a crowd, whose callers alternate. So who asks little waits for others that ask
/// little and for as many of all crowds together, however many callers flood the node; and of a
/// crowd at least every second request is. A caller of which nothing has run yet counts as a crowd:
/// else whoever comes again and again on new connections would always be one of few.
#[derive(Debug)]
pub(crate) struct Line<T> {
    few: VecDeque<(CallerId, T)>,
    crowds: VecDeque<CallerId>,
    crowd_is_next: bool,
    callers: ByNumber<CallerId, CallerLine<T>>,
    /// The queue of a crowd that has run.
    spare: VecDeque<T>,
}

/// What one caller has waiting.
#[derive(Debug)]
struct CallerLine<T> {
    /// How many requests it has among the few.
    few: usize,
    /// The rest, in order. The caller is in line as a crowd when it has nothing else.
    crowd: VecDeque<T>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        let (few, crowds, spare) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { few, crowds, crowd_is_next: false, callers: ByNumber::default(), spare }
    }
}

impl<T> Line<T> {
    /// `known`: something of this caller has run before.
    pub(crate) fn push(&mut self, caller: CallerId, known: bool, item: T) {
        let new = CallerLine { few: 0, crowd: VecDeque::new() };
        let waiting = self.callers.entry(caller).or_insert(new);
        if !known || waiting.few == FEW || !waiting.crowd.is_empty() {
            if waiting.few == 0 && waiting.crowd.is_empty() {
                self.crowds.push_back(caller);
            }
            if waiting.crowd.capacity() == 0 {
                waiting.crowd = std::mem::take(&mut self.spare);
            }
            waiting.crowd.push_back(item);
        } else {
            waiting.few += 1;
            self.few.push_back((caller, item));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let crowd = (self.crowd_is_next || self.few.is_empty()) && !self.crowds.is_empty();
        self.crowd_is_next = !crowd;
        if crowd { self.pop_crowd() } else { self.pop_few() }
    }

    fn pop_few(&mut self) -> Option<T> {
        let (caller, item) = self.few.pop_front()?;
        if let Entry::Occupied(mut entry) = self.callers.entry(caller) {
            entry.get_mut().few -= 1;
            if entry.get().few == 0 {
                line_up(&mut self.crowds, &mut self.spare, entry);
            }
        }
        Some(item)
    }

    fn pop_crowd(&mut self) -> Option<T> {
        let Entry::Occupied(mut entry) = self.callers.entry(self.crowds.pop_front()?) else { return None };
        let item = entry.get_mut().crowd.pop_front();
        line_up(&mut self.crowds, &mut self.spare, entry);
        item
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.crowds.is_empty()
    }
}

/// What is left of a caller goes to the end of the crowds.
fn line_up<T>(
    crowds: &mut VecDeque<CallerId>,
    spare: &mut VecDeque<T>,
    entry: OccupiedEntry<'_, CallerId, CallerLine<T>>,
) {
    if !entry.get().crowd.is_empty() {
        return crowds.push_back(*entry.key());
    }
    let crowd = entry.remove().crowd;
    if (1..=SPARE).contains(&crowd.capacity()) {
        *spare = crowd;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(n: u64) -> CallerId {
        CallerId(n)
    }

    #[test]
    fn greedy_callers_leave_the_others_their_turn() {
        let mut line = Line::default();
        for n in 0..20 {
            for request in 0..1000 {
                line.push(caller(n), true, (n, request));
            }
        }
        line.push(caller(20), true, (20, 0));
        let order: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
        let honest = order.iter().position(|(n, _)| *n == 20).unwrap();
        // Before it came, each had a few requests in line as others have.
        assert_eq!(order.len(), 20_001);
        assert!((20 * FEW..2 * 20 * FEW).contains(&honest), "{honest}");
        for n in 0..20 {
            let of_one: Vec<_> = order.iter().filter(|(of, _)| *of == n).map(|(_, request)| *request).collect();
            assert_eq!(of_one, (0..1000).collect::<Vec<_>>(), "each in its own order");
        }
        assert!(line.is_empty() && line.callers.is_empty());
    }

    #[test]
    fn one_that_asks_little_waits_for_one_request_of_all_crowds() {
        let mut line = Line::default();
        for n in 0..20 {
            (0..1000).for_each(|_| line.push(caller(n), true, n));
        }
        while !line.few.is_empty() {
            line.pop();
        }
        for _ in 0..100 {
            line.push(caller(20), true, 20);
            assert!(line.pop() == Some(20) || line.pop() == Some(20));
        }
        let turns: Vec<_> = (0..40).filter_map(|_| line.pop()).collect();
        assert_eq!(turns[..20], turns[20..], "crowds take turns");
        assert_eq!(turns.iter().collect::<std::collections::HashSet<_>>().len(), 20);
        // And they are not kept waiting either.
        (0..100).for_each(|n| line.push(caller(100 + n), true, 100));
        let ran: Vec<_> = (0..50).filter_map(|_| line.pop()).collect();
        assert_eq!(ran.iter().filter(|n| **n < 20).count(), 25);
    }

    #[test]
    fn few_requests_of_each_keep_the_order_of_arrival() {
        let mut line = Line::default();
        let requests: Vec<_> = (0..50 * FEW as u64).map(|n| (n * 7 % 50, n)).collect();
        for (of, n) in &requests {
            line.push(caller(*of), true, (*of, *n));
        }
        assert_eq!(std::iter::from_fn(|| line.pop()).collect::<Vec<_>>(), requests);
    }

    #[test]
    fn newcomers_are_a_crowd_until_something_of_theirs_has_run() {
        let mut line = Line::default();
        for n in 0..1000 {
            (0..3).for_each(|request| line.push(caller(n), false, (n, request)));
        }
        line.push(caller(1000), true, (1000, 0));
        let order: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
        let known = order.iter().position(|(n, _)| *n == 1000).unwrap();
        assert!(known <= 1, "{known}");
        assert_eq!(order.len(), 3001);
        for n in 0..1000 {
            let of_one: Vec<_> = order.iter().filter(|(of, _)| *of == n).map(|(_, request)| *request).collect();
            assert_eq!(of_one, [0, 1, 2], "each in its own order");
        }
        assert!(line.is_empty() && line.callers.is_empty());
    }
}
