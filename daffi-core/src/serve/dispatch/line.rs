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
    len: usize,
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
        Self { few, crowds, crowd_is_next: false, callers: ByNumber::default(), spare, len: 0 }
    }
}

impl<T> Line<T> {
    /// `known`: something of this caller has run before.
    pub(crate) fn push(&mut self, caller: CallerId, known: bool, item: T) {
        self.len += 1;
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
        let item = if crowd { self.pop_crowd() } else { self.pop_few() };
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes out all that is not wanted any more, and gives back the room that it had.
    pub(crate) fn sweep(&mut self, is_wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let (callers, mut gone) = (&mut self.callers, Vec::new());
        retain(&mut self.few, |(caller, item)| {
            if is_wanted(&item) {
                return Some((caller, item));
            }
            gone.push(item);
            if let Some(of_caller) = callers.get_mut(&caller) {
                of_caller.few -= 1;
                if of_caller.few == 0 && !of_caller.crowd.is_empty() {
                    self.crowds.push_back(caller);
                }
            }
            None
        });
        callers.retain(|_, of_caller| {
            retain(&mut of_caller.crowd, |item| {
                if is_wanted(&item) {
                    return Some(item);
                }
                gone.push(item);
                None
            });
            of_caller.few > 0 || !of_caller.crowd.is_empty()
        });
        self.crowds.retain(|caller| callers.contains_key(caller));
        self.len -= gone.len();
        gone
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

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// Keeps what `keep` gives back, in its order, and not much more room than that takes.
fn retain<T>(queue: &mut VecDeque<T>, mut keep: impl FnMut(T) -> Option<T>) {
    for _ in 0..queue.len() {
        let Some(item) = queue.pop_front() else { break };
        queue.extend(keep(item));
    }
    if queue.capacity() > 4 * queue.len() + SPARE {
        queue.shrink_to(2 * queue.len());
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

    #[test]
    fn what_is_swept_out_leaves_the_others_their_places() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let (mut swept, mut plain) = (Line::default(), Line::default());
            for n in 0..rng.usize(0..400) {
                let (of, known, stays) = (rng.u64(..12).min(5), rng.bool(), rng.bool());
                swept.push(caller(of), known, (of, n, stays));
                if stays {
                    plain.push(caller(of), known, (of, n, stays));
                }
            }
            let before = swept.len();
            let gone = swept.sweep(|(.., stays)| *stays);
            assert!(gone.iter().all(|(.., stays)| !stays));
            assert_eq!((swept.len(), before), (plain.len(), plain.len() + gone.len()));
            assert!(swept.callers.len() <= plain.callers.len());
            let order = |line: &mut Line<(u64, usize, bool)>| {
                let all: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
                assert!(line.is_empty() && line.callers.is_empty() && line.crowds.is_empty());
                (0..6)
                    .map(|of| all.iter().filter(|(other, ..)| *other == of).copied().collect())
                    .collect::<Vec<Vec<_>>>()
            };
            assert_eq!(order(&mut swept), order(&mut plain), "each in its own order");
        }
    }

    #[test]
    fn one_busy_moment_does_not_stay() {
        let mut line = Line::default();
        (0..100_000).for_each(|n| line.push(caller(n % 3), n % 2 == 0, n));
        assert_eq!(line.sweep(|n| *n == 7).len(), 99_999);
        assert!(line.callers[&caller(1)].crowd.capacity() <= 2 * SPARE && line.few.capacity() <= 2 * SPARE);
        assert_eq!((line.pop(), line.pop()), (Some(7), None));
    }
}
