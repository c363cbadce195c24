//! Who goes next, of those that have much to do.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;

/// Lets as many through at a time as there are passes, and of those who wait the one that had least
/// time so far.
///
/// Time is counted as start-time fair queueing does: whoever comes anew, or after a while, begins
/// with what the one has had that was let through last, so nobody saves time up, and nobody who had
/// little waits for a round of those who had much.
#[derive(Debug)]
pub(super) struct Turnstile {
    state: Mutex<VisitState>,
    passes: usize,
}

/// The time that one has had, and a number that keeps the order of arrival.
type Key = (Duration, u64);

#[derive(Debug)]
struct VisitState {
    free: usize,
    /// What the one had so far that was let through last.
    had: Duration,
    number: u64,
    waiting: BTreeMap<Key, Waker>,
    /// Those who were let through and have not looked yet.
    granted: Vec<Key>,
}

/// One who comes again and again.
#[derive(Debug)]
pub(super) struct Visitor {
    turnstile: Arc<Turnstile>,
    had: Duration,
    waits: Option<Key>,
}

/// Somebody is through. When this is dropped, the next one is let through.
#[derive(Debug)]
pub(super) struct Pass(Arc<Turnstile>);

impl Turnstile {
    pub(super) fn new(passes: usize) -> Arc<Self> {
        let state = VisitState {
            free: passes,
            had: Duration::ZERO,
            number: 0,
            waiting: BTreeMap::new(),
            granted: Vec::with_capacity(passes),
        };
        Arc::new(Self { state: Mutex::new(state), passes })
    }

    /// Whether somebody is through.
    pub(super) fn is_busy(&self) -> bool {
        self.state.lock().free < self.passes
    }

    fn let_next_through(&self) {
        let mut state = self.state.lock();
        let Some((key, waker)) = state.waiting.pop_first() else {
            state.free += 1;
            return;
        };
        state.had = state.had.max(key.0);
        state.granted.push(key);
        drop(state);
        waker.wake();
    }
}

impl Visitor {
    pub(super) const fn of(turnstile: Arc<Turnstile>) -> Self {
        Self { turnstile, had: Duration::ZERO, waits: None }
    }

    /// Goes through, or waits for that: `cx` is woken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Pass> {
        let mut state = self.turnstile.state.lock();
        if let Some(key) = self.waits {
            if let Some(waker) = state.waiting.get_mut(&key) {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            state.granted.retain(|granted| *granted != key);
            self.waits = None;
        } else {
            self.had = self.had.max(state.had);
            if state.free == 0 {
                state.number += 1;
                let key = (self.had, state.number);
                state.waiting.insert(key, cx.waker().clone());
                self.waits = Some(key);
                return Poll::Pending;
            }
            state.free -= 1;
            state.had = self.had;
        }
        Poll::Ready(Pass(Arc::clone(&self.turnstile)))
    }

    /// Notes that it had so much more time.
    pub(super) fn note(&mut self, time: Duration) {
        self.had += time;
    }

    /// Waits no more. If it was let through and has not looked yet, the next one is.
    pub(super) fn leave(&mut self) {
        let Some(key) = self.waits.take() else { return };
        let mut state = self.turnstile.state.lock();
        if state.waiting.remove(&key).is_none() {
            state.granted.retain(|granted| *granted != key);
            drop(state);
            self.turnstile.let_next_through();
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.let_next_through();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Duration = Duration::from_micros(1);

    fn poll(visitor: &mut Visitor) -> Option<Pass> {
        match visitor.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(pass) => Some(pass),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_had_least_is_next() {
        let turnstile = Turnstile::new(1);
        let mut greedy: Vec<_> = (0..10).map(|_| Visitor::of(Arc::clone(&turnstile))).collect();
        let (mut honest, mut times) = (Visitor::of(Arc::clone(&turnstile)), [0_u32; 11]);
        let mut pass = poll(&mut greedy[0]);
        assert!(pass.is_some() && turnstile.is_busy());
        for _ in 0..1000 {
            for visitor in &mut greedy {
                assert!(poll(visitor).is_none());
            }
            assert!(poll(&mut honest).is_none());
            drop(pass);
            let next =
                greedy.iter_mut().chain([&mut honest]).enumerate().find_map(|(n, one)| Some((n, poll(one)?, one)));
            let (n, next, one) = next.unwrap();
            one.note(if n == 10 { ONE } else { 20 * ONE });
            times[n] += if n == 10 { 1 } else { 20 };
            pass = Some(next);
        }
        assert!(times[..10].iter().all(|time| times[10].abs_diff(*time) <= 40), "each had as much: {times:?}");
        drop(pass);
        drop((greedy, honest));
        assert!(!turnstile.is_busy());
    }

    #[test]
    fn whoever_comes_after_a_while_is_first_and_has_saved_nothing_up() {
        let turnstile = Turnstile::new(1);
        let [mut first, mut second, mut late] = [(); 3].map(|()| Visitor::of(Arc::clone(&turnstile)));
        for _ in 0..100 {
            drop(poll(&mut first).unwrap());
            first.note(20 * ONE);
        }
        let pass = poll(&mut first).unwrap();
        first.note(20 * ONE);
        assert!(poll(&mut second).is_none() && poll(&mut first).is_none() && poll(&mut late).is_none());
        drop(pass);
        assert!(poll(&mut first).is_none() && poll(&mut late).is_none(), "it came before the late one");
        drop(poll(&mut second).unwrap());
        drop(poll(&mut late).unwrap());
        late.note(50 * ONE);
        let pass = poll(&mut first).unwrap();
        assert!(poll(&mut late).is_none() && poll(&mut second).is_none());
        drop(pass);
        assert!(poll(&mut late).is_none() && poll(&mut second).is_some());
    }

    #[test]
    fn who_goes_away_lets_the_next_one_through() {
        let turnstile = Turnstile::new(1);
        let [mut first, mut waits, mut granted, mut last] = [(); 4].map(|()| Visitor::of(Arc::clone(&turnstile)));
        let pass = poll(&mut first).unwrap();
        assert!([&mut granted, &mut waits, &mut last].into_iter().all(|one| poll(one).is_none()));
        drop(pass);
        drop(waits);
        assert!(poll(&mut last).is_none());
        drop(granted);
        drop(poll(&mut last).unwrap());
        assert!(!turnstile.is_busy());
    }
}
