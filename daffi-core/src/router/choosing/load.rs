//! How much a member has to do, as those see it who choose among several.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    router::waiting::ready::{Ready, Sign},
    session::{LoadMark, OnCallEnd},
};

/// Calls that waited which a member gets before it has ended any: others may come who take the
/// rest.
const PLACES: usize = 64;

/// One call, or one error of late, in what a [`Load`] says.
const ONE: u64 = 256;

/// What errors count at most: as so many calls.
const MOST: u64 = 64 * ONE;

/// Half of what errors count is forgotten in this time.
const HALF: Duration = Duration::from_secs(1);

/// The bits of what errors count; above them stand the milliseconds at which they did.
const BITS: u32 = 16;

/// The calls that a member may still answer, whoever made them, and beside them the errors that it
/// answered with of late.
///
/// Whoever fails at once has little to do, and would get all calls if errors did not count. They
/// count as calls do, one for one, up to 64: an eighth of that goes with each good answer, so that
/// a few errors among many answers change nothing, and half in each second, so that who fails is
/// tried again.
#[derive(Debug)]
pub(crate) struct Load {
    places: Arc<Places>,
    trouble: AtomicU64,
}

/// What a member may take of calls that waited: so many, and one more for each call that it ends,
/// of whoever. One that works takes what waits, however many calls it always has open.
///
/// There is one copy more of this than there are calls that the member may still answer.
#[derive(Debug)]
struct Places {
    free: AtomicUsize,
    member: u64,
    ready: Arc<Ready>,
}

impl OnCallEnd for Places {
    #[inline]
    fn on_call_end(&self) {
        // Relaxed: a place that is taken is taken before the call goes whose end gives it back.
        // Others may be lost while none is needed.
        if self.free.load(Relaxed) < PLACES {
            self.add();
        }
    }
}

impl Places {
    #[cold]
    fn add(&self) {
        let before = self.free.fetch_update(Relaxed, Relaxed, |free| (free < PLACES).then_some(free + 1));
        if before == Ok(0) {
            self.ready.note(Sign::TakesMore(self.member));
        }
    }
}

impl Load {
    /// The load of the member of this connection. `ready` hears when it takes calls again that
    /// wait.
    pub(crate) fn new(member: u64, ready: &Arc<Ready>) -> Self {
        let places = Places { free: AtomicUsize::new(PLACES), member, ready: Arc::clone(ready) };
        Self { places: Arc::new(places), trouble: AtomicU64::new(0) }
    }

    /// To be kept for each call as long as the member may answer it.
    pub(crate) fn mark(&self) -> LoadMark {
        LoadMark::new(Arc::clone(&self.places))
    }

    /// The calls that the member may still answer.
    pub(crate) fn calls(&self) -> usize {
        Arc::strong_count(&self.places) - 1
    }

    /// Whether the member takes a call that waits. If not, that is noted once it does.
    pub(crate) fn has_place(&self) -> bool {
        self.places.free.load(Relaxed) > 0
    }

    /// It took one. Only the task that lets them go takes places, so there still is one.
    pub(crate) fn take_place(&self) {
        let _none = self.places.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(1));
    }

    /// The member has begun to give the results of a call, which may stay open for good.
    pub(crate) fn note_begun(&self) {
        self.places.on_call_end();
    }

    /// The member answered with an error, or could not be given a call.
    pub(crate) fn note_error(&self, now: u64) {
        self.change(now, |count| (count + ONE).min(MOST));
    }

    /// The member answered.
    #[inline]
    pub(crate) fn note_answer(&self, now: impl FnOnce() -> u64) {
        if self.trouble.load(Relaxed) != 0 {
            self.change(now(), |count| count - count.div_ceil(8));
        }
    }

    fn change(&self, now: u64, change: impl Fn(u64) -> u64) {
        let now = millis(now);
        // What is told by two at the same time may be lost: it is a guess.
        let changed = change(trouble_at(self.trouble.load(Relaxed), now));
        self.trouble.store(if changed == 0 { 0 } else { now << BITS | changed }, Relaxed);
    }

    /// What is compared: the less, the better.
    pub(crate) fn weight(&self, now: impl FnOnce() -> u64) -> u64 {
        let trouble = match self.trouble.load(Relaxed) {
            0 => 0,
            trouble => trouble_at(trouble, millis(now())),
        };
        ONE * self.calls() as u64 + trouble
    }
}

fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000
}

/// What is left by now.
fn trouble_at(trouble: u64, now: u64) -> u64 {
    let (count, at) = (trouble & ((1 << BITS) - 1), trouble >> BITS);
    let half = u64::try_from(HALF.as_millis()).unwrap_or(u64::MAX);
    let since = now.saturating_sub(at);
    let halved = count.checked_shr(u32::try_from(since / half).unwrap_or(u32::MAX)).unwrap_or(0);
    halved - halved * (since % half) / (2 * half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Load {
        Load::new(7, &Arc::default())
    }

    /// However its calls end, a member takes one that waits for one that ended, and whoever lets
    /// them go hears of it once.
    #[test]
    fn a_place_is_free_for_each_call_that_ends() {
        let ready = Arc::<Ready>::default();
        let load = Load::new(7, &ready);
        let mut open = Vec::new();
        while load.has_place() {
            open.push(load.mark());
            load.take_place();
        }
        assert_eq!((open.len(), load.calls(), ready.take().len()), (PLACES, PLACES, 0));
        open.truncate(PLACES - 2);
        assert!(load.has_place() && matches!(ready.take()[..], [Sign::TakesMore(7)]));
        load.take_place();
        load.take_place();
        load.note_begun();
        assert!(load.has_place() && matches!(ready.take()[..], [Sign::TakesMore(7)]), "it stays open");
        drop(open);
        (0..2 * PLACES).for_each(|_| drop(load.mark()));
        let free = std::iter::from_fn(|| load.has_place().then(|| load.take_place())).count();
        assert_eq!((free, ready.take().len()), (PLACES, 0), "nobody gathers more");
    }

    fn at(millis: u64) -> u64 {
        millis * 1_000_000
    }

    #[test]
    fn errors_count_as_calls_and_are_forgotten() {
        let load = load();
        let calls: Vec<_> = (0..3).map(|_| load.mark()).collect();
        assert_eq!((load.calls(), load.weight(|| at(5))), (3, 3 * ONE));
        drop(calls);
        for _ in 0..8 {
            load.note_error(at(5));
        }
        assert_eq!(load.weight(|| at(5)), 8 * ONE);
        assert_eq!(load.weight(|| at(505)), 6 * ONE);
        assert_eq!(load.weight(|| at(2_005)), 2 * ONE);
        assert_eq!(load.weight(|| at(100_005)), 0);
        load.note_answer(|| at(5));
        assert_eq!(load.weight(|| at(5)), 7 * ONE);
        for _ in 0..100 {
            load.note_answer(|| at(5));
        }
        assert_eq!(load.weight(|| panic!("nothing is left that a clock is looked at for")), 0);
    }

    #[test]
    fn few_errors_among_many_answers_count_little_and_many_are_bounded() {
        let load = load();
        for n in 0..1000 {
            if n % 10 == 0 {
                load.note_error(at(1));
            } else {
                load.note_answer(|| at(1));
            }
        }
        assert!(load.weight(|| at(1)) < ONE);
        for _ in 0..1000 {
            load.note_error(at(1));
        }
        assert_eq!(load.weight(|| at(1)), MOST);
    }
}
