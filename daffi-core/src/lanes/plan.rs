//! When connections spread over more lanes or fewer, and which of them go where: functions of what
//! was counted.

use rustc_hash::FxHashMap;

/// Thousandths of a core from which on a lane is asked to give something away.
pub(super) const HOT: u32 = 850;

/// There is one lane fewer once all together use no more than so many thousandths of what one fewer
/// has. The gap to [`HOT`] is what spreading costs, and a margin, so that they do not change at
/// every breath.
pub(super) const COOL: u32 = 650;

/// Windows in a row in which a lane was hot before its connections are watched.
const HEATING: u32 = 2;

/// Windows of each lane in a row in which all were cool before they are one fewer.
const COOLING: u32 = 5;

/// Windows of each lane until it is looked again who talks to whom, and those until it is tried
/// again after nothing was found.
const LOOK: u32 = 30;

/// What is to be done after a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneStep {
    Stay,
    /// Count what each connection does, in the windows that follow.
    Watch,
    /// Spread what was counted over so many lanes.
    Arrange(usize),
    /// Use one lane fewer.
    Retire,
}

/// What the windows before showed.
#[derive(Debug, Default)]
pub(super) struct Spreading {
    /// Windows in a row that were hot, of each lane.
    hot: Vec<u32>,
    cool: u32,
    /// Windows that connections are watched for yet.
    watching: u32,
    /// Windows since they were.
    unwatched: u32,
    /// Looking is no use until so many windows have passed.
    pause: u32,
}

impl Spreading {
    /// A window of `lane` is over. `busy`: thousandths of a core that each open lane asks for;
    /// `most`: lanes there may be.
    pub(super) fn note(&mut self, lane: usize, busy: &[u32], most: usize) -> LaneStep {
        let open = busy.len();
        let lanes = u32::try_from(open).unwrap_or(u32::MAX);
        self.hot.resize(open, 0);
        self.pause = self.pause.saturating_sub(1);
        self.unwatched += 1;
        let is_hot = busy[lane] >= HOT;
        self.hot[lane] = if is_hot { self.hot[lane] + 1 } else { 0 };
        let all: u32 = busy.iter().sum();
        // The last lane stays, however little there is to do.
        let is_cool = open > 1 && all <= COOL * (lanes - 1);
        self.cool = if is_cool { self.cool + 1 } else { 0 };
        if self.cool >= COOLING * lanes {
            *self = Self::default();
            return LaneStep::Retire;
        }
        if self.watching > 0 {
            self.watching -= 1;
            if self.watching > 0 {
                return LaneStep::Stay;
            }
            let is_full = self.hot.iter().any(|hot| *hot > 0) && all >= COOL * lanes;
            self.hot.fill(0);
            self.unwatched = 0;
            return LaneStep::Arrange(if is_full { most.min(open + 1) } else { open });
        }
        let asks = self.hot[lane] >= HEATING && most > 1;
        let is_due = open > 1 && !is_cool && self.unwatched >= LOOK * lanes;
        if (asks || is_due) && self.pause == 0 {
            self.watching = lanes;
            return LaneStep::Watch;
        }
        LaneStep::Stay
    }

    /// Nothing could be arranged better.
    pub(super) fn note_nothing_found(&mut self, open: usize) {
        self.pause = LOOK * u32::try_from(open).unwrap_or(u32::MAX);
    }
}

/// What one connection did while it was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worked {
    pub(super) seat: u64,
    pub(super) lane: usize,
    pub(super) nanos: u64,
}

/// Frames that went from one to another.
pub(super) type Exchanges = FxHashMap<(u64, u64), u64>;

/// Who goes to which of `lanes` lanes, so that none has much more to do than others and few frames
/// go from one to another; empty when that would gain little.
pub(super) fn arrange(worked: &[Worked], exchanges: &Exchanges, lanes: usize) -> Vec<(u64, usize)> {
    let at: FxHashMap<u64, usize> = worked.iter().enumerate().map(|(at, worked)| (worked.seat, at)).collect();
    let all: u64 = worked.iter().map(|worked| worked.nanos).sum();
    let fair = all / lanes.max(1) as u64;
    let most = fair + fair / 10;

    let mut groups = Groups::new(worked);
    let mut edges: Vec<_> =
        exchanges.iter().filter_map(|((a, b), frames)| Some((*frames, *at.get(a)?, *at.get(b)?))).collect();
    edges.sort_unstable_by(|a, b| b.cmp(a));
    for &(_, a, b) in &edges {
        groups.join(a, b, most);
    }

    let mut units: Vec<(u64, usize)> = groups.roots().map(|root| (groups.nanos[root], root)).collect();
    units.sort_unstable_by(|a, b| b.cmp(a));
    let mut loads = vec![0; lanes];
    let mut place = vec![0; worked.len()];
    for (nanos, root) in units {
        let now = worked[root].lane;
        let least = (0..lanes).min_by_key(|lane| loads[*lane]).unwrap_or(0);
        let to = if now < lanes && loads[now] + nanos <= most { now } else { least };
        loads[to] += nanos;
        place[root] = to;
    }
    let after: Vec<usize> = (0..worked.len()).map(|seat| place[groups.root(seat)]).collect();
    let before: Vec<usize> = worked.iter().map(|worked| worked.lane).collect();
    if !is_better(worked, &edges, &before, &after) {
        return Vec::new();
    }
    worked.iter().zip(after).filter(|(worked, to)| worked.lane != *to).map(|(worked, to)| (worked.seat, to)).collect()
}

/// Whether the busiest lane has a tenth less to do, or no more and a third fewer frames go from
/// lane to lane.
fn is_better(worked: &[Worked], edges: &[(u64, usize, usize)], before: &[usize], after: &[usize]) -> bool {
    let busiest = |place: &[usize]| {
        let mut loads = vec![0; place.iter().max().map_or(0, |most| most + 1)];
        worked.iter().zip(place).for_each(|(worked, lane)| loads[*lane] += worked.nanos);
        loads.into_iter().max().unwrap_or(0)
    };
    let crossing = |place: &[usize]| -> u64 {
        edges.iter().filter(|(_, a, b)| place[*a] != place[*b]).map(|(frames, ..)| frames).sum()
    };
    let (was, is) = (busiest(before), busiest(after));
    is * 10 <= was * 9 || is * 20 <= was * 21 && crossing(after) * 3 <= crossing(before) * 2 && crossing(before) > 0
}

/// Connections that stay together.
struct Groups {
    parent: Vec<usize>,
    /// What a whole group does, by its root.
    nanos: Vec<u64>,
}

impl Groups {
    fn new(worked: &[Worked]) -> Self {
        Self { parent: (0..worked.len()).collect(), nanos: worked.iter().map(|worked| worked.nanos).collect() }
    }

    fn root(&mut self, mut of: usize) -> usize {
        while self.parent[of] != of {
            self.parent[of] = self.parent[self.parent[of]];
            of = self.parent[of];
        }
        of
    }

    fn roots(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.parent.len()).filter(|at| self.parent[*at] == *at)
    }

    /// Unless they are too much for one lane then. The one that does more is the root.
    fn join(&mut self, a: usize, b: usize, most: u64) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b && self.nanos[a] + self.nanos[b] <= most {
            let (root, other) = if self.nanos[a] >= self.nanos[b] { (a, b) } else { (b, a) };
            self.parent[other] = root;
            self.nanos[root] += self.nanos[other];
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
