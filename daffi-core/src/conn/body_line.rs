//! Whose large bodies are put together now, and whose wait for room.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use daffi_wire::NodeName;
use parking_lot::Mutex;
use tokio::{runtime::Handle, time::Instant};

use super::{Account, Budget, Charge, slow_peer::Watch};

/// Bodies of one member that are put together at once.
const AT_ONCE: usize = 4;

/// How often those who wait are looked at, beside each end of a body.
const LOOK: Duration = Duration::from_secs(1);

/// Whose bodies they are: those of one member over one connection, arguments apart from results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) conn: u64,
    pub(crate) name: NodeName,
    pub(crate) are_results: bool,
}

/// A body that waits for its room.
pub(crate) trait TakesRoom: fmt::Debug + Send + Sync {
    /// It has the room from now on.
    fn on_room(&self);

    /// Bytes that came so far, and how often this end did not read what its sender may have sent.
    fn progress(&self) -> BodyProgress;

    /// It is to end: it comes more slowly than a peer has to send what it began.
    fn on_lost(&self);
}

/// How far a body has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyProgress {
    pub(crate) bytes: usize,
    pub(crate) holds: u64,
}

/// The bodies of a node that are put together, and those that wait for room.
///
/// Room for all of a body is taken from the budget before its sender is let send more than a first
/// window, so that none stops half-way for want of it. One body at a time has the *reserve* in the
/// place of room in the budget: of several that find none each has its turn. A body that has its
/// room must come at the pace of an unfinished frame, and while others find no room at that of one
/// in their way: who goes silent in the middle keeps nobody out for long.
#[derive(Debug, Default)]
pub(crate) struct BodyLine(Mutex<Bodies>);

#[derive(Debug, Default)]
struct Bodies {
    last: u64,
    waiting: VecDeque<Body>,
    open: Vec<OpenBody>,
    /// Somebody looks at those who wait, now and then.
    is_watched: bool,
}

#[derive(Debug)]
struct Body {
    id: u64,
    whose: Whose,
    bytes: usize,
    account: Arc<Account>,
    takes: Weak<dyn TakesRoom>,
}

/// A body that has its room.
#[derive(Debug)]
struct OpenBody {
    body: Body,
    room: Room,
    watch: Watch,
    seen: BodyProgress,
}

#[derive(Debug)]
enum Room {
    Charged(#[expect(dead_code, reason = "dropped when the body has ended")] Charge),
    Reserve,
}

/// A place in the line, and then the room. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct BodyPlace {
    budget: Arc<Budget>,
    id: u64,
}

impl Drop for BodyPlace {
    fn drop(&mut self) {
        let mut bodies = self.budget.bodies.0.lock();
        bodies.waiting.retain(|body| body.id != self.id);
        let open = bodies.open.iter().position(|open| open.body.id == self.id);
        let ended = open.map(|at| bodies.open.swap_remove(at));
        drop(bodies);
        if ended.is_some() {
            drop(ended);
            look(&self.budget);
        }
    }
}

impl Body {
    /// Whether others find as much room after it as it takes, as after many small steps.
    fn fits(&self) -> bool {
        self.account.held_bytes().saturating_add(self.bytes) <= self.account.share_after(self.bytes)
    }
}

impl Bodies {
    /// The next that may begin, with its room.
    fn take_next(&mut self) -> Option<Weak<dyn TakesRoom>> {
        let has_reserve = !self.open.iter().any(OpenBody::has_reserve);
        let mut refused = None;
        let may_begin = |body: &Body| {
            let others = self.open.iter().filter(|other| other.body.whose == body.whose).count();
            let (may, finds_room) = (others < AT_ONCE, has_reserve || body.fits());
            if may && !finds_room {
                refused.get_or_insert_with(|| Arc::clone(&body.account));
            }
            may && finds_room
        };
        let at = self.waiting.iter().position(may_begin);
        if let Some(account) = refused {
            account.budget().note_refusal(account.held_bytes(), Instant::now().into_std());
        }
        let at = at?;
        let body = self.waiting.remove(at)?;
        let fits = body.fits();
        let room = if fits { Room::Charged(body.account.charge(body.bytes)) } else { Room::Reserve };
        let takes = Weak::clone(&body.takes);
        let watch = Watch::for_reading(body.account.budget().patience(), true);
        self.open.push(OpenBody { body, room, watch, seen: BodyProgress::default() });
        Some(takes)
    }

    /// Those that come too slowly.
    fn too_slow(&mut self) -> Vec<Arc<dyn TakesRoom>> {
        let is_awaited = !self.waiting.is_empty();
        self.open.iter_mut().filter_map(|open| open.look(is_awaited)).collect()
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }
}

impl OpenBody {
    fn has_reserve(&self) -> bool {
        matches!(self.room, Room::Reserve)
    }

    /// Gives the body if it comes too slowly.
    fn look(&mut self, is_awaited: bool) -> Option<Arc<dyn TakesRoom>> {
        let takes = self.body.takes.upgrade()?;
        let (before, now) = (self.seen, takes.progress());
        self.seen = now;
        if now.holds != before.holds {
            // What is not read does not have to come.
            self.watch.rest();
        }
        self.watch.moves(now.bytes - before.bytes);
        let in_the_way = is_awaited && self.has_reserve();
        let kept = self.watch.wait(&self.body.account, in_the_way, Instant::now().into_std());
        kept.is_err().then_some(takes)
    }
}

/// Takes a place in the line of this budget for a body of so many bytes of a peer with this
/// account. [`look`] lets it begin.
pub(crate) fn line_up(account: &Arc<Account>, whose: Whose, bytes: usize, takes: Weak<dyn TakesRoom>) -> BodyPlace {
    let budget = Arc::clone(account.budget());
    let mut bodies = budget.bodies.0.lock();
    bodies.last += 1;
    let id = bodies.last;
    bodies.waiting.push_back(Body { id, whose, bytes, account: Arc::clone(account), takes });
    drop(bodies);
    BodyPlace { budget, id }
}

/// Lets those begin for whom there is room, and sees to it that the others are looked at again.
pub(crate) fn look(budget: &Arc<Budget>) {
    loop {
        let mut bodies = budget.bodies.0.lock();
        let Some(next) = bodies.take_next() else {
            let is_to_be_watched = !bodies.is_idle() && !bodies.is_watched;
            if is_to_be_watched && let Ok(runtime) = Handle::try_current() {
                bodies.is_watched = true;
                runtime.spawn(watch(Arc::downgrade(budget)));
            }
            return;
        };
        drop(bodies);
        // Without the lock: it says so to its sender.
        if let Some(next) = next.upgrade() {
            next.on_room();
        }
    }
}

/// Looks at those who wait, for which room may come in other ways than by the end of a body, and at
/// those who are slow, until there are none.
async fn watch(budget: Weak<Budget>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(budget) = budget.upgrade() else { return };
        look(&budget);
        let too_slow = {
            let mut bodies = budget.bodies.0.lock();
            bodies.is_watched = !bodies.is_idle();
            if !bodies.is_watched {
                return;
            }
            bodies.too_slow()
        };
        too_slow.iter().for_each(|body| body.on_lost());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    use daffi_wire::Limits;

    use super::*;

    const MIB: usize = 1 << 20;

    #[derive(Debug)]
    struct Probe {
        has_room: AtomicBool,
        lost: AtomicBool,
        came: AtomicUsize,
    }

    impl TakesRoom for Probe {
        fn on_room(&self) {
            assert!(!self.has_room.swap(true, SeqCst), "once");
        }

        fn progress(&self) -> BodyProgress {
            BodyProgress { bytes: self.came.load(SeqCst), holds: 0 }
        }

        fn on_lost(&self) {
            self.lost.store(true, SeqCst);
        }
    }

    struct Line {
        budget: Arc<Budget>,
        account: Arc<Account>,
    }

    impl Line {
        fn new(budget: usize) -> Self {
            let budget = Budget::new(budget, 1.0, 100, MIB);
            Self { account: budget.open_common(), budget }
        }

        fn enter(&self, name: &str, bytes: usize) -> (Arc<Probe>, BodyPlace) {
            let probe = Arc::new(Probe {
                has_room: AtomicBool::default(),
                lost: AtomicBool::default(),
                came: AtomicUsize::default(),
            });
            let takes: Weak<Probe> = Arc::downgrade(&probe);
            let name = NodeName::new(name, &Limits::default()).unwrap();
            let place = line_up(&self.account, Whose { conn: 1, name, are_results: false }, bytes, takes);
            look(&self.budget);
            (probe, place)
        }
    }

    fn has_room(body: &(Arc<Probe>, BodyPlace)) -> bool {
        body.0.has_room.load(SeqCst)
    }

    #[test]
    fn the_fifth_of_a_member_waits_and_others_pass() {
        let line = Line::new(256 * MIB);
        let mut bodies: Vec<_> = (0..5).map(|_| line.enter("greedy", MIB)).collect();
        assert_eq!(bodies.iter().map(has_room).collect::<Vec<_>>(), [true, true, true, true, false]);
        assert!(has_room(&line.enter("honest", MIB)));
        bodies.remove(1);
        assert!(bodies.iter().all(has_room));
        drop(bodies);
        assert_eq!(line.account.held_bytes(), 0);
    }

    #[test]
    fn all_room_is_taken_before_one_begins_and_one_at_a_time_has_the_reserve() {
        let line = Line::new(64 * MIB);
        let first = line.enter("a", 25 * MIB);
        assert_eq!(line.account.held_bytes(), 25 * MIB);
        let second = line.enter("b", 200 * MIB);
        assert!(has_room(&first) && has_room(&second), "the second from the reserve");
        assert_eq!(line.account.held_bytes(), 25 * MIB);
        let third = line.enter("c", 200 * MIB);
        assert!(!has_room(&third));
        assert!(has_room(&line.enter("d", MIB)), "which fits");
        drop(second);
        assert!(has_room(&third));
    }

    /// Lets seconds pass, in each of which so many bytes of a body come.
    async fn pass(seconds: u64, body: &(Arc<Probe>, BodyPlace), bytes: usize) {
        for _ in 0..seconds {
            tokio::time::sleep(LOOK).await;
            body.0.came.fetch_add(bytes, SeqCst);
        }
    }

    fn is_lost(body: &(Arc<Probe>, BodyPlace)) -> bool {
        body.0.lost.load(SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stalls_with_the_reserve_loses_it_when_others_wait() {
        // A byte now and then is not enough.
        for (bytes, is_enough) in [(0, false), (1, false), (10 * 1024, false), (20 * 1024, true)] {
            let line = Line::new(64 * MIB);
            let holder = line.enter("slow", 200 * MIB);
            pass(50, &holder, 2 * 1024).await;
            assert!(!is_lost(&holder), "nobody waits");
            let waits = line.enter("honest", 200 * MIB);
            pass(30, &holder, bytes).await;
            assert_eq!(is_lost(&holder), !is_enough, "{bytes} a second");
            drop(holder);
            assert!(has_room(&waits));
            drop(waits);
            tokio::time::sleep(2 * LOOK).await;
            assert!(!line.budget.bodies.0.lock().is_watched, "nobody is left to be looked at");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_goes_silent_is_not_waited_for_without_end() {
        let line = Line::new(256 * MIB);
        let (silent, steady) = (line.enter("silent", 20 * MIB), line.enter("steady", 20 * MIB));
        pass(120, &steady, 1100).await;
        assert_eq!((is_lost(&silent), is_lost(&steady)), (true, false));
    }

    #[tokio::test(start_paused = true)]
    async fn one_with_room_of_its_own_has_to_hurry_while_others_find_none() {
        let line = Line::new(64 * MIB);
        let slow = line.enter("slow", 25 * MIB);
        pass(20, &slow, 2 * 1024).await;
        let _reserve = line.enter("a", 200 * MIB);
        assert!(!is_lost(&slow));
        let _waits =
            Line { account: line.budget.open_common(), budget: Arc::clone(&line.budget) }.enter("b", 200 * MIB);
        pass(20, &slow, 2 * 1024).await;
        assert!(is_lost(&slow));
    }
}
