//! Lanes: threads with a single-threaded runtime each, over which the connections of a node spread
//! when one is not enough.
//!
//! Two threads that hand every frame to each other wake each other up for it, and that costs more
//! than what they do. So all connections run on the first lane, the runtime that the node was
//! started on, until it asks for most of a core: what it uses, and what it waits for because others
//! use it. Then each is watched for a moment, and some move to a further lane: those that talk to
//! each other together, as far as that is possible. When less is to do again they come back.
//!
//! A connection is a future, and moving is handing it to another runtime between two polls. Its
//! socket [follows](daffi_transport::Movable).

mod here;
mod meter;
mod plan;

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Instant,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{
    runtime::{Builder, Handle, RuntimeFlavor},
    task::AbortHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::here::{allow_move, lane, note_exchange, seat};
use self::{
    meter::Meter,
    plan::{Exchanges, LaneStep, Spreading, Worked, arrange},
};

/// Pairs of connections that are counted while they are watched.
const PAIRS: usize = 16 * 1024;

/// Numbers of seats that were given out; 0 is none.
static SEATS: AtomicU64 = AtomicU64::new(0);

/// The threads on which the connections of a node run.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    /// `None`: on the runtime as it is.
    inner: Option<Arc<AllLanes>>,
}

#[derive(Debug)]
struct AllLanes {
    /// All lanes there may be. Those beyond the first are started when they are needed, and stay.
    lanes: Box<[OnceLock<Lane>]>,
    /// Lanes in use, from the first on. Starting a lane happens before it counts as open.
    open: AtomicUsize,
    /// The lane on which the next connection begins, modulo the open ones.
    next: AtomicUsize,
    /// Counts changes of `targets` and `open`, which happen before a seat sees the new count.
    changes: AtomicU64,
    /// Which lane a seat is to move to.
    targets: ArcSwap<FxHashMap<u64, usize>>,
    policy: Mutex<Spreading>,
    /// Relaxed: a poll that is measured or not more than was meant changes little.
    watching: AtomicBool,
    watched: Mutex<Watched>,
    /// Ends the threads.
    over: CancellationToken,
    #[cfg(test)]
    moved: AtomicUsize,
}

#[derive(Debug)]
struct Lane {
    /// The number by which sockets know it.
    number: u32,
    runtime: Handle,
    meter: Meter,
}

/// What connections did while they were watched.
#[derive(Debug, Default)]
struct Watched {
    worked: FxHashMap<u64, (usize, u64)>,
    exchanges: Exchanges,
}

impl Lanes {
    /// Up to `most` lanes, the first of which is this runtime. Of a runtime that has several
    /// threads itself nothing spreads.
    pub(crate) fn on(runtime: &Handle, most: NonZeroUsize) -> Self {
        if most.get() == 1 || runtime.runtime_flavor() != RuntimeFlavor::CurrentThread {
            return Self { inner: None };
        }
        let lanes: Box<[_]> = (0..most.get()).map(|_| OnceLock::new()).collect();
        lanes[0].get_or_init(|| Lane::on(runtime.clone()));
        let inner = AllLanes {
            lanes,
            open: AtomicUsize::new(1),
            next: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            targets: ArcSwap::default(),
            policy: Mutex::default(),
            watching: AtomicBool::new(false),
            watched: Mutex::default(),
            over: CancellationToken::new(),
            #[cfg(test)]
            moved: AtomicUsize::new(0),
        };
        Self { inner: Some(Arc::new(inner)) }
    }

    /// How many lanes there may be.
    pub(crate) fn most(&self) -> usize {
        self.inner.as_ref().map_or(1, |inner| inner.lanes.len())
    }

    /// Runs what makes connections, on the first lane.
    pub(crate) fn spawn_first(&self, tracker: &TaskTracker, work: impl Future<Output = ()> + Send + 'static) {
        match &self.inner {
            Some(inner) => drop(Seat::new(inner, tracker, 0, work).spawn()),
            None => drop(tracker.spawn(work)),
        }
    }

    /// Runs a connection, which stays where it begins until it [may move](allow_move); until then
    /// it can be aborted.
    pub(crate) fn spawn(&self, tracker: &TaskTracker, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        match &self.inner {
            Some(inner) => Seat::new(inner, tracker, inner.next_lane(), work).spawn(),
            None => tracker.spawn(work).abort_handle(),
        }
    }
}

#[cfg(test)]
impl Lanes {
    /// Sends every connection to another lane than `turn` before.
    pub(crate) fn scatter(&self, turn: u64) {
        let inner = self.inner.as_ref().expect("lanes");
        let lanes = inner.start_lanes(self.most());
        let to = |seat: u64| (0..lanes).cycle().nth(usize::try_from((seat + turn) % 60).unwrap_or(0)).unwrap_or(0);
        inner.change(lanes, (1..=SEATS.load(Ordering::SeqCst)).map(|seat| (seat, to(seat))).collect());
    }

    /// How often a connection has moved.
    pub(crate) fn move_count(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| inner.moved.load(Ordering::SeqCst))
    }
}

/// A connection on a lane.
struct Seat {
    number: u64,
    lane: usize,
    may_move: bool,
    /// Changes that it has followed.
    followed: u64,
    lanes: Arc<AllLanes>,
    tracker: TaskTracker,
    /// `None`: it has moved.
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Seat {
    fn new(
        lanes: &Arc<AllLanes>,
        tracker: &TaskTracker,
        lane: usize,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            number: SEATS.fetch_add(1, Ordering::Relaxed) + 1,
            lane,
            may_move: false,
            followed: lanes.changes.load(Ordering::Acquire),
            lanes: Arc::clone(lanes),
            tracker: tracker.clone(),
            work: Some(Box::pin(work)),
        }
    }

    fn spawn(self) -> AbortHandle {
        let runtime = self.lanes.lane(self.lane).runtime.clone();
        let tracker = self.tracker.clone();
        tracker.spawn_on(self, &runtime).abort_handle()
    }

    /// Goes to the lane that it is wanted on. `true`: it has gone.
    fn follow(&mut self) -> bool {
        let changes = self.lanes.changes.load(Ordering::Acquire);
        if changes == self.followed || !self.may_move {
            return false;
        }
        self.followed = changes;
        let open = self.lanes.open.load(Ordering::Acquire);
        let wanted = self.lanes.targets.load().get(&self.number).copied().unwrap_or(self.lane);
        let to = if wanted < open { wanted } else { 0 };
        if to == self.lane {
            return false;
        }
        #[cfg(test)]
        self.lanes.moved.fetch_add(1, Ordering::SeqCst);
        let work = self.work.take();
        let (lanes, tracker) = (Arc::clone(&self.lanes), self.tracker.clone());
        let moved = Self { lane: to, work, lanes, tracker, ..*self };
        drop(moved.spawn());
        true
    }
}

impl Future for Seat {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.follow() {
            return Poll::Ready(());
        }
        let Some(work) = &mut this.work else { return Poll::Ready(()) };
        let lane = this.lanes.lane(this.lane);
        let begun = this.lanes.watching.load(Ordering::Relaxed).then(Instant::now);
        let poll = || work.as_mut().poll(cx);
        let (polled, seen) = here::run(this.number, this.lane, lane.number, begun.is_some(), poll);
        this.may_move |= seen.may_move;
        if let Some(begun) = begun {
            this.lanes.watched.lock().note(this.number, this.lane, begun, seen.exchanges);
        }
        if let Some(busy) = lane.meter.tick() {
            this.lanes.close_window(this.lane, busy);
        }
        polled
    }
}

impl AllLanes {
    fn lane(&self, lane: usize) -> &Lane {
        // Only lanes that were started are open, and the first always is.
        self.lanes[lane].get().or_else(|| self.lanes[0].get()).expect("the first lane is there from the start")
    }

    /// The lane on which a new connection begins.
    fn next_lane(&self) -> usize {
        match self.open.load(Ordering::Acquire) {
            0 | 1 => 0,
            open => self.next.fetch_add(1, Ordering::Relaxed) % open,
        }
    }

    /// A window of a lane is over, which asked for so much of a core.
    fn close_window(&self, lane: usize, busy: u32) {
        let Some(mut policy) = self.policy.try_lock() else { return };
        let open = self.open.load(Ordering::Acquire);
        if lane >= open {
            return;
        }
        let mut all: Vec<u32> = (0..open).map(|lane| self.lane(lane).meter.busy()).collect();
        all[lane] = busy;
        match policy.note(lane, &all, self.lanes.len()) {
            LaneStep::Stay => {}
            LaneStep::Watch => {
                *self.watched.lock() = Watched::default();
                self.watching.store(true, Ordering::Relaxed);
            }
            LaneStep::Arrange(lanes) => {
                self.watching.store(false, Ordering::Relaxed);
                let watched = std::mem::take(&mut *self.watched.lock());
                if !self.spread(watched, lanes) {
                    policy.note_nothing_found(open);
                }
            }
            LaneStep::Retire => {
                self.watching.store(false, Ordering::Relaxed);
                self.change(open - 1, FxHashMap::default());
            }
        }
    }

    /// Moves connections to `lanes` lanes. `false`: nothing moves.
    fn spread(&self, watched: Watched, lanes: usize) -> bool {
        let lanes = self.start_lanes(lanes);
        let worked: Vec<_> =
            watched.worked.into_iter().map(|(seat, (lane, nanos))| Worked { seat, lane, nanos }).collect();
        let moves = arrange(&worked, &watched.exchanges, lanes);
        if moves.is_empty() {
            return false;
        }
        self.change(lanes, moves.into_iter().collect());
        true
    }

    fn change(&self, open: usize, targets: FxHashMap<u64, usize>) {
        tracing::debug!(threads = open, moving = targets.len(), "spread connections over threads");
        self.targets.store(Arc::new(targets));
        self.open.store(open, Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Starts the threads of so many lanes. Gives how many there are of them.
    fn start_lanes(&self, lanes: usize) -> usize {
        for (at, lane) in self.lanes.iter().enumerate().take(lanes) {
            if lane.get().is_some() {
                continue;
            }
            match Lane::start(at, self.over.clone()) {
                Ok(started) => drop(lane.set(started)),
                Err(error) => {
                    tracing::warn!(%error, threads = at, "cannot start a further thread for connections");
                    return at;
                }
            }
        }
        lanes
    }
}

impl Drop for AllLanes {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl Lane {
    fn on(runtime: Handle) -> Self {
        static NUMBERS: AtomicU32 = AtomicU32::new(1);
        Self { number: NUMBERS.fetch_add(1, Ordering::Relaxed), runtime, meter: Meter::default() }
    }

    fn start(at: usize, over: CancellationToken) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let lane = Self::on(runtime.handle().clone());
        thread::Builder::new().name(format!("daffi-lane-{at}")).spawn(move || runtime.block_on(over.cancelled()))?;
        Ok(lane)
    }
}

impl Watched {
    fn note(&mut self, seat: u64, lane: usize, begun: Instant, exchanges: Vec<(u64, u64)>) {
        let worked = self.worked.entry(seat).or_default();
        worked.0 = lane;
        worked.1 += u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        for (other, frames) in exchanges {
            // A pair has one entry, whoever sends.
            let pair = (seat.min(other), seat.max(other));
            if self.exchanges.len() < PAIRS || self.exchanges.contains_key(&pair) {
                *self.exchanges.entry(pair).or_default() += frames;
            }
        }
    }
}
