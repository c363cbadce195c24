//! Long turns, which give way to short ones: a peer that always has more ready must not keep those
//! waiting that ask little.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::yield_now};

use super::{
    timers::now,
    turnstile::{Pass, Turnstile, Visitor},
};
use crate::lanes;

/// Work between two looks at limits; a small frame is one.
pub(super) const LOOK: usize = 32;

/// A frame counts once more for each so many bytes.
const BYTES: usize = 8 * 1024;

/// A turn with at most this much work is short, unless it takes too long.
const SHORT: usize = 16;

/// A turn is not short if those of its connection took this long of late, in the mean and while
/// others wait, however little work it did.
const DEAR: Duration = Duration::from_micros(20);

/// A turn is not short if it took this long itself while others wait.
const DEAREST: Duration = Duration::from_micros(200);

/// One turn counts at most this much in that mean: time also passes while the system does something
/// else, and whoever asks little must not stand in line for that.
const MOST_IN_MEAN: Duration = Duration::from_micros(60);

/// Turns that the mean is of.
const OF_LATE: u32 = 8;

/// A turn ends when it did this much work.
const MOST: usize = 256;

/// A turn ends after so many reads. Each takes of what the runtime lets a task do in one poll,
/// which is about twice as much: after that a link says that nothing has come, whatever has.
const MOST_READS: usize = 64;

/// A turn ends when it read this much, though it may all be of one frame that is no work yet.
const MOST_READ: usize = 2 * 1024 * 1024;

/// A turn ends when it took this long, which is looked at after each [`LOOK`].
const LONGEST: Duration = Duration::from_micros(50);

/// Work between two looks at the clock while others wait, for a turn that ends after [`DEAR`].
const CLOSE_LOOK: usize = 4;

/// Bytes that one read may bring while others wait: copying more takes longer than a turn.
const READ_CROWDED: usize = 32 * 1024;

/// The line in which the connections of a node stand whose last turn was long, or that have had
/// none yet.
///
/// As many of them as the runtime has threads have their turn at a time, whoever had least of it
/// first, and after each the runtime looks for what came meanwhile. So whoever asks little waits
/// for one long turn, however many peers have more ready than they are given time for; and while
/// anybody waits, a turn is no longer than what a short call takes. Each lane has a line of its
/// own.
#[derive(Clone, Debug)]
pub(crate) struct LongTurns(Arc<[Arc<LaneLine>]>);

/// The line of one lane.
///
/// Connections whose turns hold answers that others wait for have a line of their own. A worker
/// answers everybody over one connection: among those who ask it would be one of many.
#[derive(Debug)]
struct LaneLine {
    /// One for each [`TurnKind`].
    turnstiles: [Arc<Turnstile>; 2],
    /// Connections that stand in it. Relaxed, as `had_short`: it decides only how long a turn is.
    waiting: AtomicUsize,
    /// A connection had a short turn since the last long one began.
    had_short: AtomicBool,
}

impl LongTurns {
    /// Makes the lines for connections that run on this runtime, and on up to so many lanes.
    pub(crate) fn on(runtime: &Handle, lanes: usize) -> Self {
        Self::of(runtime.metrics().num_workers(), lanes)
    }

    pub(super) fn of(threads: usize, lanes: usize) -> Self {
        Self((0..lanes).map(|_| Arc::new(LaneLine::of(threads))).collect())
    }
}

impl LaneLine {
    fn of(threads: usize) -> Self {
        let turnstiles = [(); 2].map(|()| Turnstile::new(threads));
        Self { turnstiles, waiting: AtomicUsize::new(0), had_short: AtomicBool::new(false) }
    }

    /// Whether somebody has a long turn.
    fn is_busy(&self) -> bool {
        self.turnstiles.iter().any(|turnstile| turnstile.is_busy())
    }
}

/// What a long turn is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TurnKind {
    Requests,
    Answers,
}

/// One connection, and how long its turns are.
#[derive(Debug)]
pub(super) struct TurnPace {
    /// `None`: it shares its thread with no others that matter.
    line: Option<LinePlace>,
    /// Its next turn is expected to be long.
    long: Option<TurnKind>,
    /// Kept beyond a long turn, until others had theirs.
    pass: Option<Pass>,
    /// What its turns took of late while others waited.
    mean: Duration,
    goes_on: bool,
}

/// The place of one connection in the line.
#[derive(Debug)]
struct LinePlace {
    all: LongTurns,
    /// The lane on which the connection ran last, and the line there.
    lane: usize,
    line: Arc<LaneLine>,
    visitors: [Visitor; 2],
    /// It is counted among those that stand in the line.
    waits: bool,
}

/// What one turn did so far.
#[derive(Debug, Default)]
pub(super) struct Work {
    done: usize,
    frames: usize,
    reads: usize,
    read_bytes: usize,
    looked: usize,
    /// Since when, once that was looked at.
    since: Option<Instant>,
    looked_at_clock: usize,
    /// Work between two looks at the clock while others wait.
    close_look: usize,
    /// One read brought much since the last look at the clock.
    read_much: bool,
    /// Others wait for their turn.
    crowded: bool,
}

impl LinePlace {
    fn new(all: LongTurns, lane: usize) -> Self {
        let line = Arc::clone(&all.0[lane]);
        Self { visitors: line.turnstiles.clone().map(Visitor::of), all, lane, line, waits: false }
    }

    /// Steps into the line of the lane that the connection runs on now.
    fn follow(&mut self) {
        let lane = lanes::lane().min(self.all.0.len() - 1);
        if lane != self.lane {
            *self = Self::new(self.all.clone(), lane);
        }
    }

    fn note(&mut self, waits: bool) {
        if waits != std::mem::replace(&mut self.waits, waits) {
            let waiting = &self.line.waiting;
            if waits {
                waiting.fetch_add(1, Relaxed)
            } else {
                waiting.fetch_sub(1, Relaxed)
            };
        }
    }
}

impl Drop for LinePlace {
    fn drop(&mut self) {
        self.note(false);
    }
}

impl TurnPace {
    pub(super) fn new(line: Option<LongTurns>) -> Self {
        let line = line.map(|line| LinePlace::new(line, 0));
        let long = line.is_some().then_some(TurnKind::Requests);
        Self { line, long, pass: None, mean: Duration::ZERO, goes_on: false }
    }

    /// The driver runs again, and so others have run meanwhile.
    pub(super) fn begin(&mut self) {
        self.pass = None;
    }

    /// Whether the peer may be read now, and what the turn may do. `Pending`: others are first, and
    /// `cx` is woken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Work> {
        let Some(place) = &mut self.line else { return Poll::Ready(Work::default()) };
        place.follow();
        if let Some(kind) = self.long {
            let pass = place.visitors[kind as usize].poll(cx);
            place.note(pass.is_pending());
            self.pass = Some(ready!(pass));
        }
        let line = &place.line;
        let crowded = if self.long.is_some() {
            line.waiting.load(Relaxed) > 0 || line.had_short.swap(false, Relaxed)
        } else {
            line.is_busy()
        };
        let close_look = if self.mean < DEAR { CLOSE_LOOK } else { 1 };
        Poll::Ready(Work { crowded, since: crowded.then(now), close_look, ..Work::default() })
    }

    /// The peer is not read in this turn, and maybe never again: who does not read stands in no
    /// line. A pass that was given meanwhile would be used by nobody.
    pub(super) fn leave(&mut self) {
        self.pass = None;
        if let Some(place) = &mut self.line {
            place.visitors.iter_mut().for_each(Visitor::leave);
            place.note(false);
        }
    }

    /// Whether others are first: this end does not come to read.
    pub(super) fn is_in_line(&self) -> bool {
        self.line.as_ref().is_some_and(|place| place.waits)
    }

    /// Whether the last turn ended before all that had come was read.
    pub(super) const fn is_cut(&self) -> bool {
        self.goes_on
    }

    /// A turn ended, in which so many answers were passed to others; `cut`: there was more to do.
    pub(super) fn note(&mut self, work: &Work, answers: usize, cut: bool) {
        let kind = if answers > work.frames / 2 { TurnKind::Answers } else { TurnKind::Requests };
        let dear = work.elapsed().is_some_and(|took| self.note_time(took));
        self.long = (cut || dear || work.done > SHORT).then_some(kind);
        if self.long.is_none() {
            self.pass = None;
            if let Some(place) = self.line.as_ref().filter(|_| work.crowded) {
                place.line.had_short.store(true, Relaxed);
            }
        }
        self.goes_on = cut || self.pass.is_some();
    }

    /// A turn took so long while others waited. Gives whether the next may take too long, too.
    fn note_time(&mut self, took: Duration) -> bool {
        self.mean = self.mean * (OF_LATE - 1) / OF_LATE + took.min(MOST_IN_MEAN) / OF_LATE;
        if let (Some(place), Some(kind)) = (&mut self.line, self.long) {
            place.visitors[kind as usize].note(took);
        }
        self.mean >= DEAR || took >= DEAREST
    }

    /// Whether the driver has to run again although nothing wakes it: see [`after_others`].
    pub(super) fn goes_on(&mut self) -> bool {
        std::mem::take(&mut self.goes_on)
    }
}

impl Work {
    pub(super) fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.done += 1 + bytes / BYTES;
    }

    /// Notes what one read brought: a part of a frame that is no work yet took its time, too.
    pub(super) const fn note_read(&mut self, bytes: usize) {
        self.reads += 1;
        self.read_bytes += bytes;
        self.read_much |= bytes >= CLOSE_LOOK * BYTES;
    }

    /// Counts something that costs more than a frame.
    pub(super) fn add_much(&mut self) {
        self.done += LOOK;
    }

    /// Whether others wait for their turn.
    pub(super) const fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// What one read may bring.
    pub(super) fn most_to_read(&self, most: usize) -> usize {
        if self.crowded { most.min(READ_CROWDED) } else { most }
    }

    /// Whether it is time to look at limits.
    pub(super) const fn wants_look(&self) -> bool {
        self.done - self.looked >= LOOK
    }

    /// Whether it is enough for one turn.
    pub(super) fn is_enough(&mut self) -> bool {
        if self.done >= MOST || self.reads >= MOST_READS || self.read_bytes >= MOST_READ {
            return true;
        }
        if self.wants_look() {
            self.looked = self.done;
        } else if !self.crowded || !self.read_much && self.done - self.looked_at_clock < self.close_look {
            return false;
        }
        self.read_much = false;
        self.looked_at_clock = self.done;
        let now = now();
        now.saturating_duration_since(*self.since.get_or_insert(now)) >= if self.crowded { DEAR } else { LONGEST }
    }

    /// When it began, if that was looked at.
    pub(super) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// How long it took, if others waited.
    fn elapsed(&self) -> Option<Duration> {
        self.since.filter(|_| self.crowded).map(|since| now().saturating_duration_since(since))
    }
}

/// Wakes `cx` when all other tasks that are ready have run, and the runtime looked for what
/// else came.
pub(super) fn after_others(cx: &mut Context<'_>) {
    // The first poll of it does just that.
    let _later: Poll<()> = pin!(yield_now()).poll(cx);
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::time::advance;

    use super::*;

    fn paces<const N: usize>() -> [TurnPace; N] {
        let line = LongTurns::of(1, 1);
        [(); N].map(|()| TurnPace::new(Some(line.clone())))
    }

    fn begin(pace: &mut TurnPace) -> Option<Work> {
        pace.begin();
        match pace.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(work) => Some(work),
            Poll::Pending => None,
        }
    }

    /// Works small frames in that take 10 us each, until it is enough.
    async fn frames(work: &mut Work) -> usize {
        while !work.is_enough() {
            work.add(10);
            advance(Duration::from_micros(10)).await;
        }
        work.frames
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_shorter_while_others_wait() {
        let [mut first, mut second] = paces();
        let mut work = begin(&mut first).unwrap();
        assert_eq!(frames(&mut work).await, 2 * LOOK, "nobody else wants its time");
        assert!(begin(&mut second).is_none());
        first.note(&work, 0, true);
        assert!(begin(&mut first).is_none(), "the other is first");
        let mut work = begin(&mut second).unwrap();
        assert_eq!(frames(&mut work).await, CLOSE_LOOK);
    }

    /// One that has a turn of one frame, which takes so long while another stands in the line.
    async fn takes(pace: &mut TurnPace, took: Duration) {
        let mut work = begin(pace).unwrap();
        assert!(work.crowded);
        work.add(10);
        advance(took).await;
        pace.note(&work, 0, false);
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_long_however_few_frames_it_has() {
        for took in [DEAREST, 2 * DEAR] {
            let [mut dear, mut first] = paces();
            let mut work = begin(&mut dear).unwrap();
            work.add(10);
            dear.note(&work, 0, false);
            assert!(begin(&mut first).is_some());
            let mut turns = 0;
            while dear.long.is_none() {
                takes(&mut dear, took).await;
                turns += 1;
            }
            assert!(begin(&mut dear).is_none());
            assert_eq!(turns, if took == DEAREST { 1 } else { 6 });
        }
    }

    /// A processor that serves interrupts, or another process, makes any turn long now and then.
    #[tokio::test(start_paused = true)]
    async fn one_that_is_held_up_now_and_then_stands_in_no_line() {
        let [mut short, mut first] = paces();
        let mut work = begin(&mut short).unwrap();
        work.add(10);
        short.note(&work, 0, false);
        assert!(begin(&mut first).is_some());
        for n in 0..100 {
            takes(&mut short, if n % 10 == 9 { MOST_IN_MEAN } else { DEAR / 2 }).await;
            assert!(short.long.is_none(), "{n}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_at_the_clock_follows_each_large_read() {
        let mut work = Work { crowded: true, since: Some(now()), close_look: CLOSE_LOOK, ..Work::default() };
        advance(DEAR).await;
        assert!(!work.is_enough(), "nobody looked");
        work.note_read(READ_CROWDED);
        assert!(work.is_enough());
    }

    #[test]
    fn a_turn_ends_after_many_reads_though_no_frame_was_whole() {
        for (bytes, most) in [(1, MOST_READS), (4096, MOST_READS), (MOST_READ / 2, 2)] {
            let mut work = Work::default();
            let reads = (0..).find(|_| {
                work.is_enough() || {
                    work.note_read(bytes);
                    false
                }
            });
            assert_eq!(reads, Some(most), "of {bytes} bytes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_stand_in_no_line_with_requests() {
        let [mut worker, mut asking] = paces();
        let mut work = begin(&mut worker).unwrap();
        (0..100).for_each(|_| work.add(10));
        worker.note(&work, 51, true);
        worker.begin();
        assert!(begin(&mut asking).is_some());
        assert!(begin(&mut worker).is_some());
        // One that mostly asks is one of those who ask.
        worker.note(&work, 50, true);
        assert!(begin(&mut worker).is_none());
    }
}
