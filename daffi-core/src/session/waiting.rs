//! Calls that wait in a Router until somebody takes them who exposes their callback.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use daffi_wire::{CallId, MethodName};

use crate::keyed::ByName;

/// A call by the connection of its caller, and the caller's number.
pub(crate) type WaitingKey = (u64, CallId);

/// A map by name that has room for so many stays as it is.
const KEPT: usize = 1024;

/// The line that a call stands in. Whoever can be given one call of a line can be given all but its
/// own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallLine {
    pub(crate) method: MethodName,
    /// Only members of level 4 can read them.
    pub(crate) level_four: bool,
}

/// The calls that wait, each with what is kept of it. From a line its callers come one after the
/// other, and the calls of each in the order in which it made them.
///
/// Adding and taking one costs about the same with few as with many; the departure of a caller
/// costs what it has waiting. All lines share these trees, so that a line of one call takes little
/// more than one of many.
#[derive(Debug)]
pub(crate) struct WaitingCalls<T> {
    calls: BTreeMap<WaitingKey, Box<WaitingCall<T>>>,
    /// The numbers of the lines.
    lines: ByName<CallLine, u64>,
    /// The callers in each line, in its order.
    order: BTreeMap<(u64, u64), u64>,
    /// The place of each caller in each line.
    callers: BTreeMap<(u64, u64), u64>,
    /// The calls of each caller in each line by their places.
    places: BTreeMap<(u64, u64, u64), CallId>,
    /// By the time at which each is to end.
    due: BTreeMap<(Instant, u64), WaitingKey>,
    last: u64,
}

#[derive(Debug)]
struct WaitingCall<T> {
    line: CallLine,
    due: Instant,
    /// A later call has a larger one.
    place: u64,
    kept: T,
}

impl<T> Default for WaitingCalls<T> {
    fn default() -> Self {
        Self {
            calls: BTreeMap::new(),
            lines: HashMap::default(),
            order: BTreeMap::new(),
            callers: BTreeMap::new(),
            places: BTreeMap::new(),
            due: BTreeMap::new(),
            last: 0,
        }
    }
}

impl<T> WaitingCalls<T> {
    /// Adds a call. Gives what was kept of one that waited under the same number, which is
    /// forgotten.
    pub(crate) fn add(&mut self, key: WaitingKey, line: CallLine, due: Instant, kept: T) -> Option<T> {
        let before = self.take(key);
        self.last += 1;
        let place = self.last;
        // Places are never given twice, so the first call's is a number for its line.
        let number = *self.lines.entry(line.clone()).or_insert(place);
        self.callers.entry((number, key.0)).or_insert_with(|| {
            self.order.insert((number, place), key.0);
            place
        });
        self.places.insert((number, key.0, place), key.1);
        self.due.insert((due, place), key);
        self.calls.insert(key, Box::new(WaitingCall { line, due, place, kept }));
        before
    }

    /// What is kept of a call that waits.
    pub(crate) fn get_mut(&mut self, key: WaitingKey) -> Option<&mut T> {
        self.calls.get_mut(&key).map(|call| &mut call.kept)
    }

    /// Takes a call out.
    pub(crate) fn take(&mut self, key: WaitingKey) -> Option<T> {
        let WaitingCall { line, due, place, kept } = *self.calls.remove(&key)?;
        self.due.remove(&(due, place));
        self.leave(key.0, &line, place);
        Some(kept)
    }

    /// Takes a call out of its line, to which it stays where it is: it is found by its key, and
    /// ends when it is due.
    pub(crate) fn set_aside(&mut self, key: WaitingKey) {
        if let Some(call) = self.calls.get(&key) {
            let (line, place) = (call.line.clone(), call.place);
            self.leave(key.0, &line, place);
        }
    }

    fn leave(&mut self, caller: u64, line: &CallLine, place: u64) {
        let Some(&number) = self.lines.get(line) else { return };
        if self.places.remove(&(number, caller, place)).is_none() || self.first_of(number, caller).is_some() {
            return;
        }
        if let Some(place) = self.callers.remove(&(number, caller)) {
            self.order.remove(&(number, place));
        }
        if self.order.range((number, 0)..=(number, u64::MAX)).next().is_none() {
            self.lines.remove(line);
            if self.lines.capacity() > KEPT && self.lines.len() < self.lines.capacity() / 8 {
                // One busy moment must not stay for ever.
                self.lines.shrink_to(2 * self.lines.len());
            }
        }
    }

    fn first_of(&self, line: u64, caller: u64) -> Option<CallId> {
        self.places.range((line, caller, 0)..=(line, caller, u64::MAX)).next().map(|(_, id)| *id)
    }

    /// Takes all calls of a caller out.
    pub(crate) fn take_caller(&mut self, caller: u64) -> Vec<(CallId, T)> {
        let calls = self.calls.range((caller, CallId(0))..=(caller, CallId(u16::MAX)));
        let ids: Vec<_> = calls.map(|((_, id), _)| *id).collect();
        ids.into_iter().filter_map(|id| self.take((caller, id)).map(|kept| (id, kept))).collect()
    }

    /// The next call of a line that is not of the caller `but`: the first of whoever is next.
    pub(crate) fn next_of(&self, line: &CallLine, but: u64) -> Option<WaitingKey> {
        let number = *self.lines.get(line)?;
        let mut order = self.order.range((number, 0)..=(number, u64::MAX));
        // Each caller stands there once.
        let (_, caller) = order.find(|(_, caller)| **caller != but)?;
        self.first_of(number, *caller).map(|id| (*caller, id))
    }

    /// A caller stands last in a line from now on: another one is next.
    pub(crate) fn put_last(&mut self, line: &CallLine, caller: u64) {
        let Some(&number) = self.lines.get(line) else { return };
        let Some(place) = self.callers.get_mut(&(number, caller)) else { return };
        self.last += 1;
        self.order.remove(&(number, *place));
        self.order.insert((number, self.last), caller);
        *place = self.last;
    }

    /// Takes one call out whose time has passed.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(WaitingKey, CallLine, T)> {
        self.next_due().filter(|due| *due <= now).and_then(|_| self.take_first())
    }

    /// Takes the call out that is the first to end.
    pub(crate) fn take_first(&mut self) -> Option<(WaitingKey, CallLine, T)> {
        let key = *self.due.first_key_value()?.1;
        let line = self.calls.get(&key)?.line.clone();
        self.take(key).map(|kept| (key, line, kept))
    }

    /// When the first is to end.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Whether calls stand in this line.
    pub(crate) fn has_line(&self, line: &CallLine) -> bool {
        self.lines.contains_key(line)
    }

    /// The lines in which calls stand.
    pub(crate) fn lines(&self) -> impl ExactSizeIterator<Item = &CallLine> {
        self.lines.keys()
    }

    /// How many calls wait, in a line or not.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use daffi_wire::Limits;

    use super::*;

    const NOBODY: u64 = 0;

    fn line(name: &str) -> CallLine {
        CallLine { method: MethodName::new(name, &Limits::default()).unwrap(), level_four: false }
    }

    fn is_empty<T>(waiting: &WaitingCalls<T>) -> bool {
        let WaitingCalls { calls, lines, order, callers, places, due, .. } = waiting;
        calls.is_empty()
            && lines.is_empty()
            && order.is_empty()
            && callers.is_empty()
            && places.is_empty()
            && due.is_empty()
    }

    fn take_next<T>(waiting: &mut WaitingCalls<T>, of: &CallLine, but: u64) -> Option<T> {
        let key = waiting.next_of(of, but)?;
        let kept = waiting.take(key);
        waiting.put_last(of, key.0);
        kept
    }

    #[test]
    fn callers_come_in_turn_and_each_in_its_order() {
        let (mut waiting, due, f) = (WaitingCalls::default(), Instant::now(), line("f"));
        for (caller, id) in [(1, 1), (1, 2), (1, 3), (2, 9), (3, 7), (3, 8)] {
            assert_eq!(waiting.add((caller, CallId(id)), f.clone(), due, (caller, id)), None);
        }
        waiting.add((1, CallId(4)), line("g"), due, (1, 4));
        waiting.add((1, CallId(5)), CallLine { level_four: true, ..f.clone() }, due, (1, 5));
        assert_eq!(waiting.next_of(&f, 1), Some((2, CallId(9))), "who exposes it does not take its own");
        assert_eq!(waiting.next_of(&line("g"), 1), None);
        assert_eq!(waiting.take((1, CallId(2))), Some((1, 2)), "it was given up");
        let order: Vec<_> = std::iter::from_fn(|| take_next(&mut waiting, &f, NOBODY)).collect();
        assert_eq!(order, [(1, 1), (2, 9), (3, 7), (1, 3), (3, 8)]);
        assert_eq!(waiting.take_caller(1), [(CallId(4), (1, 4)), (CallId(5), (1, 5))]);
        assert!(is_empty(&waiting));
    }

    #[test]
    fn a_number_that_is_used_again_forgets_the_call_before() {
        let (mut waiting, due) = (WaitingCalls::default(), Instant::now());
        waiting.add((1, CallId(1)), line("f"), due, "first");
        assert_eq!(waiting.add((1, CallId(1)), line("g"), due, "second"), Some("first"));
        let next = |name| waiting.next_of(&line(name), NOBODY);
        assert_eq!((next("f"), next("g")), (None, Some((1, CallId(1)))));
    }

    #[test]
    fn calls_end_when_they_are_due_in_a_line_or_not() {
        let (mut waiting, begun, f) = (WaitingCalls::default(), Instant::now(), line("f"));
        let at = |seconds| begun + Duration::from_secs(seconds);
        for (id, due) in [(1, 3), (2, 1), (3, 2)] {
            waiting.add((1, CallId(id)), f.clone(), at(due), id);
        }
        assert_eq!(waiting.next_due(), Some(at(1)));
        waiting.set_aside((1, CallId(1)));
        waiting.set_aside((1, CallId(2)));
        assert_eq!((waiting.next_of(&f, NOBODY), waiting.len()), (Some((1, CallId(3))), 3));
        let mut due = |now| std::iter::from_fn(|| waiting.take_due(at(now))).map(|(_, _, id)| id).collect::<Vec<_>>();
        assert_eq!((due(0), due(2), due(2), due(3)), (vec![], vec![2, 3], vec![], vec![1]));
        assert!(is_empty(&waiting));
    }

    /// Many lines take no room for ever.
    #[test]
    fn one_busy_moment_does_not_stay() {
        let (mut waiting, due) = (WaitingCalls::default(), Instant::now());
        waiting.add((2, CallId(1)), line("stays"), due, ());
        for id in 1..=60_000 {
            waiting.add((1, CallId(id)), line(&format!("f{id}")), due, ());
        }
        waiting.take_caller(1);
        assert!(waiting.lines.capacity() <= KEPT, "{}", waiting.lines.capacity());
        assert_eq!(waiting.next_of(&line("stays"), NOBODY), Some((2, CallId(1))));
    }

    /// Nothing is left of anything, whatever was done in which order.
    #[test]
    fn nothing_is_left_after_any_history() {
        let (mut waiting, mut known) = (WaitingCalls::default(), BTreeMap::new());
        let (mut rng, begun) = (fastrand::Rng::with_seed(7), Instant::now());
        for _ in 0..20_000 {
            let key = (rng.u64(1..5), CallId(rng.u16(1..20)));
            let name = ["f", "g", "h"][rng.usize(..3)];
            match rng.u8(..9) {
                0..4 => {
                    let due = begun + Duration::from_millis(rng.u64(..100));
                    let before = waiting.add(key, line(name), due, key);
                    assert_eq!(before, known.insert(key, (name, true)).map(|_| key));
                }
                4 => assert_eq!(waiting.take(key), known.remove(&key).map(|_| key)),
                5 => {
                    let but = rng.u64(..5);
                    let next = take_next(&mut waiting, &line(name), but);
                    let is_there =
                        |(key, (of, in_line)): (&WaitingKey, &(&str, bool))| *of == name && *in_line && key.0 != but;
                    assert_eq!(next.is_some(), known.iter().any(is_there));
                    assert!(next.is_none_or(|key| known.remove(&key) == Some((name, true)) && key.0 != but));
                }
                6 => {
                    let (key, _, kept) =
                        waiting.take_due(begun + Duration::from_millis(50)).unwrap_or((key, line("f"), key));
                    assert_eq!(kept, key);
                    known.remove(&key);
                    waiting.take(key);
                }
                7 => {
                    waiting.set_aside(key);
                    known.entry(key).and_modify(|(_, in_line)| *in_line = false);
                }
                _ if rng.u8(..8) == 0 => {
                    let gone = waiting.take_caller(key.0).len();
                    let before = known.len();
                    known.retain(|(caller, _), _| *caller != key.0);
                    assert_eq!(gone, before - known.len());
                }
                _ => {}
            }
            assert_eq!(waiting.len(), known.len());
            assert_eq!(waiting.has_line(&line("f")), known.values().any(|(of, in_line)| *of == "f" && *in_line));
        }
        (1..5).for_each(|caller| drop(waiting.take_caller(caller)));
        assert!(is_empty(&waiting));
    }
}
