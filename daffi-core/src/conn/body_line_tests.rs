use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use daffi_wire::Limits;

use super::*;

const MIB: usize = 1 << 20;

#[derive(Debug)]
struct Probe {
    has_room: AtomicBool,
    lost: AtomicBool,
    came: AtomicUsize,
    holds: AtomicU64,
    read: AtomicU64,
}

impl TakesRoom for Probe {
    fn on_room(&self) {
        assert!(!self.has_room.swap(true, SeqCst), "once");
    }

    fn progress(&self) -> BodyProgress {
        BodyProgress { bytes: self.came.load(SeqCst), holds: self.holds.load(SeqCst), read: self.read.load(SeqCst) }
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
            holds: AtomicU64::default(),
            read: AtomicU64::default(),
        });
        let takes: Weak<Probe> = Arc::downgrade(&probe);
        let name = NodeName::new(name, &Limits::default()).unwrap();
        let place = line_up(&self.account, (Whose { conn: 1, name, are_results: false }, 1), bytes, takes);
        let_begin(&self.budget, place.id());
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

/// What came of it lies in the socket, and whoever reads it runs after the one who looks.
#[tokio::test(start_paused = true)]
async fn nobody_is_blamed_for_what_this_process_has_not_come_to_read() {
    let line = Line::new(64 * MIB);
    let holder = line.enter("quick", 200 * MIB);
    let _waits = line.enter("honest", 200 * MIB);
    for _ in 0..10 {
        pass(1, &holder, MIB).await;
        // By less than what those who read themselves forgive.
        tokio::time::advance(6 * LOOK).await;
        pass(1, &holder, 0).await;
        assert!(!is_lost(&holder));
    }
    pass(10, &holder, 0).await;
    assert!(is_lost(&holder), "now it is silent itself");
}

#[tokio::test(start_paused = true)]
async fn one_with_room_of_its_own_has_to_hurry_while_others_find_none() {
    let line = Line::new(64 * MIB);
    let slow = line.enter("slow", 25 * MIB);
    pass(20, &slow, 2 * 1024).await;
    let _reserve = line.enter("a", 200 * MIB);
    assert!(!is_lost(&slow));
    let other = Line { account: line.budget.open_common(), budget: Arc::clone(&line.budget) };
    let _waits_for_the_reserve = other.enter("b", 200 * MIB);
    pass(20, &slow, 2 * 1024).await;
    assert!(!is_lost(&slow), "which would not fit without it either");
    let _waits_for_memory = other.enter("c", 20 * MIB);
    pass(20, &slow, 2 * 1024).await;
    assert!(is_lost(&slow));
}

#[tokio::test(start_paused = true)]
async fn bodies_of_one_member_do_not_hurry_each_other() {
    let line = Line::new(64 * MIB);
    let holder = line.enter("slow", 200 * MIB);
    let others: Vec<_> = (0..5).map(|_| line.enter("slow", 200 * MIB)).collect();
    pass(60, &holder, 2 * 1024).await;
    assert!(!is_lost(&holder) && !others.iter().any(has_room));
    let _honest = line.enter("honest", 200 * MIB);
    pass(30, &holder, 2 * 1024).await;
    assert!(is_lost(&holder));
}

/// It could see to it that it is never read: by what it does not take, say.
#[tokio::test(start_paused = true)]
async fn one_that_is_not_read_keeps_what_others_wait_for_for_a_minute_and_no_longer() {
    for (bytes, is_enough) in [(0, false), (1_000, false), (20 * 1024, true)] {
        let line = Line::new(64 * MIB);
        let holder = line.enter("held back", 200 * MIB);
        let pass_held = async |seconds, bytes| {
            for _ in 0..seconds {
                holder.0.holds.fetch_add(1, SeqCst);
                pass(1, &holder, bytes).await;
            }
        };
        pass_held(300, 0).await;
        assert!(!is_lost(&holder), "nobody waits");
        let waits = line.enter("honest", 200 * MIB);
        pass_held(55, bytes).await;
        assert!(!is_lost(&holder), "it may be this end's doing");
        pass_held(300, bytes).await;
        assert_eq!(is_lost(&holder), !is_enough, "{bytes} a second");
        drop(holder);
        assert!(has_room(&waits));
    }
}

/// A connection that brings so much in a second, and parts of these bodies in turn.
async fn bring(seconds: u64, bytes: u64, bodies: &[&(Arc<Probe>, BodyPlace)]) {
    let (mut came, mut next) = (0, 0);
    for _ in 0..seconds {
        tokio::time::sleep(LOOK).await;
        came += bytes;
        for body in bodies {
            body.0.read.fetch_add(bytes, SeqCst);
        }
        while came >= BODY_PART_BYTES as u64 {
            came -= BODY_PART_BYTES as u64;
            bodies[next % bodies.len()].0.came.fetch_add(BODY_PART_BYTES, SeqCst);
            next += 1;
        }
    }
}

/// Each alone comes more slowly than it would have to.
#[tokio::test(start_paused = true)]
async fn bodies_that_come_in_turn_over_one_slow_connection_are_not_too_slow() {
    let line = Line::new(256 * MIB);
    let bodies: Vec<_> = (0..100).map(|n| line.enter(&format!("caller{}", n / 4), MIB)).collect();
    assert!(bodies.iter().all(has_room));
    bring(600, 100_000, &bodies.iter().collect::<Vec<_>>()).await;
    assert!(!bodies.iter().any(is_lost));
    drop(bodies);
    // While somebody waits for what one of them has.
    let line = Line::new(64 * MIB);
    let bodies: Vec<_> = (0..4).map(|n| line.enter("slow", if n == 0 { 200 * MIB } else { MIB })).collect();
    let _honest = line.enter("honest", 200 * MIB);
    bring(100, 50_000, &bodies.iter().collect::<Vec<_>>()).await;
    assert!(bodies.iter().all(has_room) && !bodies.iter().any(is_lost));
}

#[tokio::test(start_paused = true)]
async fn what_else_its_connection_brings_does_not_excuse_one_that_is_silent() {
    let line = Line::new(64 * MIB);
    // But for a byte now and then.
    let silent = line.enter("silent", 200 * MIB);
    let steady: Vec<_> = (0..3).map(|_| line.enter("silent", MIB)).collect();
    let waits = line.enter("honest", 200 * MIB);
    let goes_on = async |seconds| {
        for _ in 0..seconds {
            silent.0.read.fetch_add(100_000, SeqCst);
            silent.0.came.fetch_add(1, SeqCst);
            bring(1, 100_000, &steady.iter().collect::<Vec<_>>()).await;
        }
    };
    goes_on(5).await;
    assert!(!is_lost(&silent), "the others have their turn");
    goes_on(20).await;
    assert!(is_lost(&silent));
    drop(silent);
    assert!(has_room(&waits));
}

/// However many have begun and wait, of however many members.
#[test]
fn what_begins_or_ends_costs_the_same_with_many_as_with_few() {
    let line = Line::new(64 * MIB);
    let _reserve = line.enter("reserve", 200 * MIB);
    let small: Vec<_> = (0..400).map(|n| line.enter(&format!("s{}", n / 4), 1_000)).collect();
    let large: Vec<_> = (0..1_200).map(|n| line.enter(&format!("w{}", n / 12), 200 * MIB)).collect();
    assert!(small.iter().all(has_room) && !large.iter().any(has_room));
    let looks = || line.budget.bodies.0.lock().looks;
    for _ in 0..10 {
        let before = looks();
        let honest = line.enter("honest", 1_000);
        assert!(has_room(&honest));
        assert_eq!(looks() - before, 1);
        drop(honest);
        let given_up = line.enter("w0", 200 * MIB);
        drop(given_up);
        assert!(looks() - before <= 1 + AT_AN_END, "{}", looks() - before);
    }
}

/// Small ones that wait behind many large ones are found, if not at once.
#[tokio::test(start_paused = true)]
async fn whoever_fits_begins_soon_however_many_do_not() {
    let line = Line::new(64 * MIB);
    let held = line.account.charge(63 * MIB);
    let _reserve = line.enter("reserve", 200 * MIB);
    let large: Vec<_> = (0..100).map(|n| line.enter(&format!("w{n}"), 200 * MIB)).collect();
    let small = line.enter("honest", 10 * MIB);
    assert!(!has_room(&small));
    drop(held);
    tokio::time::sleep(2 * LOOK).await;
    assert!(has_room(&small) && !large.iter().any(has_room));
}

/// Whatever begins, waits and ends in which order: no member has more places than it may, no
/// place is free while one of its member waits for it, and nothing is left.
#[test]
fn every_history_keeps_to_the_places_and_leaves_nothing() {
    for seed in 0_u64..300 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random).unwrap() % below
        };
        let line = Line::new(64 * MIB);
        let mut bodies = Vec::new();
        for _ in 0..150 {
            if bodies.is_empty() || next(5) < 3 {
                let size = [1_000, MIB, 20 * MIB, 100 * MIB][next(4)];
                bodies.push(line.enter(["a", "b", "c"][next(3)], size));
            } else {
                drop(bodies.swap_remove(next(bodies.len())));
            }
            let state = line.budget.bodies.0.lock();
            assert_eq!(state.open.len(), bodies.iter().filter(|body| has_room(body)).count());
            assert_eq!(state.open.len() + state.waiting.len(), bodies.len());
            assert!(state.ready.is_empty() || state.reserve.is_some(), "the reserve lies idle");
            assert_eq!(state.reserve.is_some(), state.open.values().any(OpenBody::has_reserve));
            let placed: usize = state.members.values().map(|member| member.placed).sum();
            assert_eq!(placed, state.open.len() + state.ready.len());
            for member in state.members.values() {
                assert!(member.placed > 0 && member.placed <= AT_ONCE);
                assert!(member.placed == AT_ONCE || member.others.is_empty());
            }
        }
        drop(bodies);
        let state = line.budget.bodies.0.lock();
        assert!(state.is_idle() && state.ready.is_empty() && state.members.is_empty() && state.reserve.is_none());
        drop(state);
        assert_eq!(line.account.held_bytes(), 0);
    }
}
