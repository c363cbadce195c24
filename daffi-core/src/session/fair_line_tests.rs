//! The line beside models of callers and of a receiver.

use std::collections::HashMap;

use super::*;

const COST: u64 = 300;
const US: Duration = Duration::from_micros(1);

/// Callers with requests of one size each, and a receiver that reads them after a way.
struct World {
    line: FairLine<usize>,
    callers: Vec<Caller>,
    now: Instant,
    /// Half of the time there and back.
    way: Duration,
    /// What the receiver takes for a request.
    work: Duration,
    /// When the receiver has done all that was sent.
    busy_until: Instant,
    /// When each mark is back.
    marks: VecDeque<(u64, Instant)>,
    most_behind: Duration,
    idle: Duration,
}

#[derive(Default)]
struct Caller {
    place: FairPlace,
    cost: u64,
    held: usize,
    passed: u64,
}

impl World {
    fn new(callers: &[u64], (way, work): (u32, u32)) -> Self {
        let now = Instant::now();
        Self {
            line: FairLine::default(),
            callers: callers.iter().map(|cost| Caller { cost: *cost, ..Caller::default() }).collect(),
            now,
            way: way * US,
            work: work * US,
            busy_until: now,
            marks: VecDeque::new(),
            most_behind: Duration::ZERO,
            idle: Duration::ZERO,
        }
    }

    fn send(&mut self, n: usize) {
        self.callers[n].passed += 1;
        let comes = self.now + self.way;
        self.idle += comes.saturating_duration_since(self.busy_until);
        self.busy_until = self.busy_until.max(comes) + self.work;
        self.most_behind = self.most_behind.max(self.busy_until - comes);
        self.mark();
    }

    fn mark(&mut self) {
        if let Some(mark) = self.line.mark(self.now) {
            let comes = self.now + self.way;
            self.marks.push_back((mark, self.busy_until.max(comes) + self.way));
        }
    }

    fn ask(&mut self, n: usize) {
        let caller = &mut self.callers[n];
        if caller.held == 0 && self.line.pass(&mut caller.place, caller.cost, || n) {
            self.send(n);
        } else {
            self.callers[n].held += 1;
        }
    }

    /// The next mark comes back. `false`: none is on its way.
    fn step(&mut self) -> bool {
        let Some((mark, at)) = self.marks.pop_front() else { return false };
        self.now = at;
        assert!(self.line.on_mark(mark, self.now) && !self.line.on_mark(mark, self.now));
        while let Some(n) = self.line.next() {
            let caller = &mut self.callers[n];
            self.line.let_pass(&mut caller.place, caller.cost);
            caller.held -= 1;
            self.send(n);
            while let caller = &mut self.callers[n]
                && caller.held > 0
                && self.line.pass(&mut caller.place, caller.cost, || n)
            {
                caller.held -= 1;
                self.send(n);
            }
        }
        self.mark();
        true
    }

    /// All callers have more than they may send, for so long.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            for n in 0..self.callers.len() {
                while self.callers[n].held < 100 {
                    self.ask(n);
                }
            }
            assert!(self.step(), "whoever waits waits for a mark");
        }
    }
}

#[test]
fn one_alone_passes_and_every_wait_ends() {
    let mut world = World::new(&[COST], (10, 2));
    (0..1000).for_each(|_| world.ask(0));
    assert_eq!(world.callers[0].passed, FIRST / COST);
    while world.step() {}
    assert_eq!((world.callers[0].passed, world.callers[0].held), (1000, 0));
    assert_eq!(world.line.sent, world.line.read, "nothing is on its way");
    assert!(world.line.waiting.is_empty() && world.line.marks.is_empty());
}

#[test]
fn little_waits_before_a_receiver_that_is_near() {
    for work in [1, 5, 20] {
        let mut world = World::new(&[COST; 100], (15, work));
        world.run(100_000 * US);
        world.most_behind = Duration::ZERO;
        world.run(3_000_000 * US);
        let most = (30 + 8 * work) * US;
        assert!(world.most_behind <= most, "{:?} of work {work} us each", world.most_behind);
        let total = world.callers.iter().map(|caller| caller.passed).sum::<u64>();
        let few = 3_100_000 / u64::from(30 + work) / 2;
        assert!(total > few, "{total} passed");
    }
}

#[test]
fn one_that_is_far_is_kept_busy() {
    let mut world = World::new(&[COST; 10], (25_000, 10));
    world.run(10_000_000 * US);
    world.idle = Duration::ZERO;
    world.run(10_000_000 * US);
    assert!(world.idle < 4_000_000 * US, "{:?} of 10 s", world.idle);
    assert!(world.most_behind < 200_000 * US, "{:?}", world.most_behind);
}

#[test]
fn callers_have_as_much_each_whatever_their_requests_cost() {
    let mut world = World::new(&[COST, COST, 10 * COST, 100 * COST], (15, 5));
    world.run(3_000_000 * US);
    let had: Vec<_> = world.callers.iter().map(|caller| caller.passed * caller.cost).collect();
    let most = had.iter().max().unwrap();
    assert!(had.iter().all(|one| most - one <= 2 * 100 * COST), "{had:?}");
    // One that comes now has saved nothing up.
    let before = world.callers[0].passed;
    world.callers.push(Caller { cost: COST, ..Caller::default() });
    world.run(1_000_000 * US);
    let (newcomer, other) = (world.callers[4].passed, world.callers[0].passed - before);
    assert!(newcomer.abs_diff(other) <= 200, "{newcomer} and {other}");
}

#[test]
fn a_mark_that_is_none_of_these_changes_nothing() {
    let (mut line, now) = (FairLine::<()>::default(), Instant::now());
    let mut place = FairPlace::default();
    assert!(line.pass(&mut place, COST, || ()));
    let first = line.mark(now).unwrap();
    assert_eq!(line.mark(now), None, "it is on its way");
    while line.pass(&mut place, COST, || ()) {}
    let second = line.mark(now).unwrap();
    for wrong in [0, first + 1, second, u64::MAX] {
        assert!(!line.on_mark(wrong, now));
    }
    assert!(line.on_mark(first, now) && !line.on_mark(first, now) && line.on_mark(second, now));
    assert_eq!(line.sent, line.read);
}

/// What is counted is what is on its way, and who waits is in the line, whatever comes in which
/// order.
#[test]
fn what_is_counted_is_what_is_held() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut line, mut now) = (FairLine::<u64>::default(), Instant::now());
        let mut callers: HashMap<u64, (FairPlace, VecDeque<u64>)> = HashMap::new();
        let (mut on_the_way, mut marks) = (VecDeque::<u64>::new(), VecDeque::<(u64, usize)>::new());
        for _ in 0..2_000 {
            now += random.u32(0..100) * US;
            let (caller, cost) = (random.u64(0..10), random.u64(LEAST..20 * LEAST));
            match random.u8(0..10) {
                0..6 => {
                    let (place, held) = callers.entry(caller).or_default();
                    if held.is_empty() && line.pass(place, cost, || caller) {
                        on_the_way.push_back(cost);
                    } else {
                        held.push_back(cost);
                    }
                }
                6 => {
                    // It leaves, with all that it has.
                    if let Some((mut place, _)) = callers.remove(&caller) {
                        line.leave(&mut place);
                    }
                }
                7 => assert!(!line.on_mark(random.u64(..), now)),
                _ => {
                    let Some((mark, read)) = marks.pop_front() else { continue };
                    on_the_way.drain(..read);
                    marks.iter_mut().for_each(|(_, other)| *other -= read);
                    assert!(line.on_mark(mark, now));
                    while let Some(next) = line.next() {
                        let (place, held) = callers.get_mut(&next).expect("who left has no turn");
                        let cost = held.pop_front().expect("it waits with something");
                        line.let_pass(place, cost);
                        on_the_way.push_back(cost);
                        while let Some(cost) = held.front().copied()
                            && line.pass(place, cost, || next)
                        {
                            held.pop_front();
                            on_the_way.push_back(cost);
                        }
                    }
                }
            }
            if let Some(mark) = line.mark(now) {
                marks.push_back((mark, on_the_way.len()));
            }
            assert_eq!(line.sent - line.read, on_the_way.iter().sum::<u64>(), "seed {seed}");
            let waits = callers.values().filter(|(place, _)| place.waits.is_some()).count();
            let holds = callers.values().filter(|(_, held)| !held.is_empty()).count();
            assert_eq!((line.waiting.len(), waits), (holds, holds), "seed {seed}");
            assert!(on_the_way.is_empty() || !marks.is_empty(), "whoever waits waits for a mark");
            assert!(marks.len() <= MARKS);
        }
    }
}
