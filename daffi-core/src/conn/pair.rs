//! A driver that a test moves by hand: the other end of its connection is two queues of bytes, and time stands still until the
//! test lets it pass.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use daffi_transport::{Link, LinkConfig, Path, PeerInfo, Way};
use daffi_wire::{CallId, Frame, FrameDecoder, Header, Kind, Level, Limits, Ping};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Alive, Budget, Class, Conn, Driver, LongTurns, Role, Ticket, Turn};
use crate::{config::NodeConfig, error::Disconnected};

/// One direction: bytes on their way.
#[derive(Debug, Default)]
struct Wire {
    bytes: VecDeque<u8>,
    /// Bytes that a writer may put in before it waits.
    room: usize,
    ended: bool,
    waker: Option<Waker>,
}

type Shared = Arc<Mutex<Wire>>;

fn wake(wire: &Mutex<Wire>) {
    if let Some(waker) = wire.lock().waker.take() {
        waker.wake();
    }
}

struct ReadEnd(Shared);

impl AsyncRead for ReadEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.lock();
        let take = buffer.remaining().min(wire.bytes.len());
        if take == 0 && !wire.ended {
            wire.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken: Vec<u8> = wire.bytes.drain(..take).collect();
        buffer.put_slice(&taken);
        Poll::Ready(Ok(()))
    }
}

struct WriteEnd(Shared);

impl AsyncWrite for WriteEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.lock();
        let take = wire.room.min(bytes.len());
        if take == 0 {
            wire.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wire.bytes.extend(&bytes[..take]);
        wire.room -= take;
        Poll::Ready(Ok(take))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().ended = true;
        Poll::Ready(Ok(()))
    }
}

/// What the system would tell of the way to the peer, and how often it was asked.
#[derive(Clone, Debug, Default)]
struct TestPath(Arc<Mutex<(Way, usize)>>);

impl Path for TestPath {
    fn look(&mut self) -> Option<Way> {
        let mut told = self.0.lock();
        told.1 += 1;
        Some(told.0)
    }
}

#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What the driver's end does with what it gets.
pub(super) struct TestRole {
    conn: Arc<Conn>,
    /// Bytes of the answer to each frame.
    pub(super) answer: Option<usize>,
    /// Keeps each request as if its callback ran for ever.
    pub(super) keeps: bool,
    pub(super) asks_only: bool,
    pub(super) handled: usize,
    pub(super) kept: Vec<Ticket>,
    pub(super) rooms: usize,
    alive: Alive,
}

impl Role for TestRole {
    const SERVES: bool = true;

    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        self.handled += 1;
        if self.keeps {
            self.kept.push(Ticket::new(Arc::clone(&self.conn), frame.as_bytes().len()));
        }
        if let Some(bytes) = self.answer {
            assert!(turn.send(&self.conn, Class::Provoked, &vec![7; bytes], None));
        }
        Ok(())
    }

    fn on_room(&mut self, _: &mut Turn) {
        self.rooms += 1;
    }

    fn next_time(&self) -> Option<Instant> {
        self.alive.next()
    }

    fn on_time(&mut self, now: Instant, _: &mut Turn) -> Result<(), Disconnected> {
        self.alive.on_time(&self.conn, now).map(drop)
    }

    fn is_open(&self) -> bool {
        true
    }

    fn ended(&mut self, _: &Disconnected) {}

    fn may_stop_reading(&self) -> bool {
        self.asks_only
    }
}

/// A driver, and the other end of its connection.
pub(super) struct Pair {
    pub(super) conn: Arc<Conn>,
    pub(super) driver: Driver<TestRole>,
    inward: Shared,
    outward: Shared,
    path: TestPath,
    flag: Arc<Flag>,
}

impl Pair {
    pub(super) fn new(budget: &Arc<Budget>, level: Level) -> Self {
        Self::in_line(budget, level, None)
    }

    /// One of several connections that give way to each other.
    pub(super) fn in_line(budget: &Arc<Budget>, level: Level, line: Option<LongTurns>) -> Self {
        let (inward, outward) = (Shared::default(), Shared::default());
        let (reader, writer) = (ReadEnd(Arc::clone(&inward)), WriteEnd(Arc::clone(&outward)));
        let peer = PeerInfo::new("mem", "pair");
        let conn = Conn::new(peer.clone(), budget);
        conn.set_level(level);
        let role = TestRole {
            conn: Arc::clone(&conn),
            answer: None,
            keeps: false,
            asks_only: true,
            handled: 0,
            kept: Vec::new(),
            rooms: 0,
            alive: Alive::default(),
        };
        let path = TestPath::default();
        let (none, links) = (BytesMut::new(), LinkConfig::default());
        let mut link = Link::from_stream(reader, writer, &links, peer, none, Bytes::new()).with_path(path.clone());
        link.reader.set_level(level);
        let config = NodeConfig::server();
        let driver = Driver::new(link, Arc::clone(&conn), role, &config, config.handshake_timeout, line);
        Self { conn, driver, inward, outward, path, flag: Arc::default() }
    }

    /// The driver asks whether the peer lives, as it does after a handshake of level 4.
    fn asking(mut self) -> Self {
        self.driver.role.alive.begin(&self.conn);
        self
    }

    /// The system tells so of the way from now on.
    fn tell(&self, unacknowledged: usize, silence: Option<Duration>) {
        self.path.0.lock().0 = Way { unacknowledged, silence };
    }

    /// How often the system was asked of the way.
    fn looks(&self) -> usize {
        self.path.0.lock().1
    }

    /// What was written and not taken, as frames.
    fn frames(&self) -> Vec<Frame> {
        let (mut decoder, mut bytes) = (FrameDecoder::new(Limits::default()), BytesMut::new());
        decoder.set_level(Level::FOUR);
        bytes.extend(self.outward.lock().bytes.drain(..));
        std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect()
    }

    /// Lets the driver run as long as it has something to do, at most so many turns.
    pub(super) fn run(&mut self) -> Poll<Disconnected> {
        let waker = Waker::from(Arc::clone(&self.flag));
        for _ in 0..100_000 {
            self.flag.0.store(false, Ordering::SeqCst);
            let polled = self.driver.poll(&mut Context::from_waker(&waker));
            if polled.is_ready() || !(self.driver.pace.goes_on() || self.flag.0.load(Ordering::SeqCst)) {
                return polled;
            }
        }
        panic!("the driver never rests");
    }

    /// One turn only.
    pub(super) fn turn(&mut self) -> Poll<Disconnected> {
        let waker = Waker::from(Arc::clone(&self.flag));
        self.driver.poll(&mut Context::from_waker(&waker))
    }

    /// The peer sends bytes.
    pub(super) fn send(&self, bytes: &[u8]) {
        self.inward.lock().bytes.extend(bytes);
        wake(&self.inward);
    }

    /// Bytes that the driver has not read.
    pub(super) fn unread(&self) -> usize {
        self.inward.lock().bytes.len()
    }

    /// The peer takes at most so many bytes from now on; gives what was written before.
    pub(super) fn take(&self, bytes: usize) -> usize {
        let mut wire = self.outward.lock();
        wire.room = bytes;
        let before = wire.bytes.len();
        wire.bytes.clear();
        drop(wire);
        wake(&self.outward);
        before
    }

    /// Memory that is held for what was read and not worked in.
    fn held(&self) -> usize {
        self.driver.read.reader.held()
    }

    /// The driver has shut its side.
    pub(super) fn is_shut(&self) -> bool {
        self.outward.lock().ended
    }
}

/// A request with a payload of so many bytes.
pub(super) fn request(bytes: usize) -> Vec<u8> {
    let header = Header::control(Kind::Request, CallId(7), true);
    let frame = Frame::new(header, "a", "b", "f", &vec![1; bytes], &Limits::default()).unwrap();
    frame.as_bytes().to_vec()
}

mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MIB: usize = 1024 * 1024;

    fn budget() -> Arc<Budget> {
        Budget::new(256 * MIB, 1.0, 100, 32 * MIB)
    }

    #[tokio::test(start_paused = true)]
    async fn an_unfinished_frame_must_go_on() {
        let mut pair = Pair::new(&budget(), Level::FOUR);
        pair.send(&request(200_000)[..1000]);
        for _ in 0..59 {
            assert!(pair.run().is_pending());
            advance(SECOND).await;
        }
        assert!(pair.run().is_pending());
        advance(SECOND).await;
        let Poll::Ready(Disconnected::SlowSender { moved: 0, unfinished: 1000, .. }) = pair.run() else {
            panic!("a minute of silence")
        };
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_frame_comes_through_however_long_it_takes() {
        let mut pair = Pair::new(&budget(), Level::FOUR);
        let frame = request(1_000_000);
        for piece in frame.chunks(1500) {
            pair.send(piece);
            assert!(pair.run().is_pending());
            advance(SECOND).await;
        }
        assert_eq!(pair.driver.role.handled, 1);
        assert_eq!((pair.conn.inbound.account().held(), pair.conn.inbound.account().budget().used()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_while_this_process_was_stopped_is_not_the_peers() {
        let mut pair = Pair::new(&budget(), Level::FOUR);
        pair.send(&request(200_000)[..1000]);
        assert!(pair.run().is_pending());
        advance(600 * SECOND).await;
        assert!(pair.run().is_pending());
        advance(60 * SECOND).await;
        assert!(pair.run().is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_is_ended_and_a_steady_one_is_not() {
        for (bytes, lives) in [(1, false), (500, false), (2000, true)] {
            let mut pair = Pair::new(&budget(), Level::FOUR);
            pair.conn.send_parts(Class::Answer, &vec![7; 500_000], None).unwrap();
            let mut ended = false;
            for _ in 0..200 {
                ended = ended || pair.run().is_ready();
                if ended {
                    break;
                }
                pair.take(bytes);
                advance(SECOND).await;
            }
            assert_eq!(ended, !lives, "{bytes} bytes a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_peer_provokes_is_written_before_more_of_it_is_worked_in() {
        let mut pair = Pair::new(&budget(), Level::THREE);
        pair.driver.role.answer = Some(10_000);
        for _ in 0..1000 {
            pair.send(&request(100));
        }
        let mut taken = 0;
        for _ in 0..10_000 {
            taken += pair.take(usize::MAX);
            assert!(pair.turn().is_pending(), "one that reads is never ended");
            assert!(pair.conn.outbox.bytes() <= 64 * 1024 + 20_000, "{} wait", pair.conn.outbox.bytes());
        }
        assert_eq!((pair.driver.role.handled, taken), (1000, 10_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_provokes_and_takes_nothing_is_held_back() {
        for (level, asks_only) in [(Level::FOUR, true), (Level::THREE, true), (Level::FOUR, false)] {
            let mut pair = Pair::new(&Budget::new(16 * MIB, 1.0, 100, MIB), level);
            (pair.driver.role.answer, pair.driver.role.asks_only) = (Some(10_000), asks_only);
            let mut ended = None;
            for _ in 0..50 {
                for _ in 0..1000 {
                    pair.send(&request(100));
                }
                if let Poll::Ready(reason) = pair.run() {
                    ended = Some(reason);
                    break;
                }
                advance(SECOND).await;
            }
            assert!(pair.conn.outbox.bytes() < 16 * MIB, "{}", pair.conn.outbox.bytes());
            match ended {
                None => assert!(level == Level::FOUR && asks_only && pair.unread() > MIB, "it waits"),
                Some(Disconnected::Limit { what, .. }) => assert!(what.contains("refusals"), "{what}"),
                Some(other) => panic!("{other}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_beyond_all_memory_come_one_after_another_from_the_reserve() {
        let budget = Budget::new(16 * MIB, 1.0, 100, 12 * MIB);
        let mut pairs: Vec<_> = (0..8).map(|_| Pair::new(&budget, Level::FOUR)).collect();
        let frame = request(12 * MIB - 100);
        for pair in &mut pairs {
            pair.send(&frame);
            assert!(pair.run().is_pending());
        }
        let held: usize = pairs.iter().map(|pair| pair.conn.inbound.account().held()).sum();
        assert!(held <= 17 * MIB, "{held}");
        // A small call beside them has its own part.
        let mut small = Pair::new(&budget, Level::FOUR);
        small.send(&request(10));
        assert!(small.run().is_pending());
        assert_eq!(small.driver.role.handled, 1);
        for _ in 0..100 {
            advance(Duration::from_millis(50)).await;
            for pair in &mut pairs {
                assert!(pair.run().is_pending());
            }
        }
        assert!(pairs.iter().all(|pair| pair.driver.role.handled == 1));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stalls_with_the_reserve_loses_it_to_the_others() {
        let budget = Budget::new(16 * MIB, 1.0, 100, 12 * MIB);
        let mut stalled = Some(Pair::new(&budget, Level::FOUR));
        let mut pairs: Vec<_> = (1..8).map(|_| Pair::new(&budget, Level::FOUR)).collect();
        let frame = request(12 * MIB - 100);
        // It sends all but a byte and goes silent.
        stalled.as_ref().unwrap().send(&frame[..frame.len() - 1]);
        pairs.iter().for_each(|pair| pair.send(&frame));
        for _ in 0..20 * 60 {
            stalled = stalled.and_then(|mut pair| pair.run().is_pending().then_some(pair));
            assert!(pairs.iter_mut().all(|pair| pair.run().is_pending()));
            advance(Duration::from_millis(50)).await;
        }
        assert!(stalled.is_none());
        assert!(pairs.iter().all(|pair| pair.driver.role.handled == 1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_level_three_is_slowed_down_and_never_stopped() {
        let mut pair = Pair::new(&budget(), Level::THREE);
        pair.driver.role.keeps = true;
        for _ in 0..60 {
            pair.send(&request(MIB));
        }
        assert!(pair.run().is_pending());
        let soft = pair.conn.inbound.account().soft_share();
        assert!(pair.conn.inbound.bytes() >= soft && pair.unread() > 0);
        let mut before = pair.unread();
        while before > 0 {
            advance(Duration::from_millis(500)).await;
            assert!(pair.run().is_pending());
            let now = pair.unread();
            assert_eq!(before - now, before.min(512 * 1024));
            before = now;
        }
        pair.driver.role.kept.clear();
        pair.send(&request(10));
        assert!(pair.run().is_pending());
        assert_eq!((pair.driver.role.handled, pair.unread()), (61, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_peers_are_not_waited_for_when_a_node_stops() {
        for busy in [false, true] {
            let mut pair = Pair::new(&budget(), Level::THREE);
            pair.take(usize::MAX);
            pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
            assert!(pair.run().is_pending());
            advance(if busy { SECOND / 2 } else { 3 * SECOND }).await;
            assert!(pair.run().is_pending());
            pair.conn.drain();
            if !busy {
                assert!(pair.run().is_ready() && pair.is_shut());
                continue;
            }
            assert!(pair.run().is_pending() && !pair.is_shut(), "its last answer settles");
            advance(SECOND / 8).await;
            assert!(pair.run().is_pending() && pair.is_shut(), "it may send its own end");
            advance(2 * SECOND).await;
            assert!(pair.run().is_ready());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_settled_ends_at_once_and_does_so_when_it_has_arrived() {
        for arrives in [true, false] {
            let mut pair = Pair::new(&budget(), Level::THREE);
            pair.take(usize::MAX);
            pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
            pair.tell(6, None);
            pair.conn.settle();
            assert!(pair.run().is_pending() && !pair.conn.has_settled());
            advance(SECOND / 8).await;
            assert!(pair.run().is_pending() && !pair.conn.has_settled(), "it is on its way");
            if arrives {
                pair.tell(0, None);
                advance(SECOND / 8).await;
            } else {
                advance(SECOND).await;
            }
            assert!(pair.run().is_pending() && pair.conn.has_settled() && !pair.is_shut());
            pair.conn.drain();
            assert!(pair.run().is_ready() && pair.is_shut());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_hears_when_there_is_room() {
        let mut pair = Pair::new(&budget(), Level::FOUR);
        pair.conn.send_parts(Class::Answer, &vec![7; MIB], None).unwrap();
        pair.conn.ask_for_room();
        assert!(pair.run().is_pending());
        assert_eq!(pair.driver.role.rooms, 0);
        pair.take(usize::MAX);
        assert!(pair.run().is_pending());
        assert_eq!(pair.driver.role.rooms, 1);
    }

    /// Lets so many seconds pass, and gives why the connection ended and after how many.
    async fn live(pair: &mut Pair, seconds: u64, mut each: impl FnMut(&Pair, u64)) -> Option<(Disconnected, u64)> {
        for second in 0..seconds {
            each(pair, second);
            if let Poll::Ready(reason) = pair.run() {
                return Some((reason, second));
            }
            advance(SECOND).await;
        }
        None
    }

    fn answer() -> Vec<u8> {
        Ping::Answers(*b"12345678").frame().as_bytes().to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_way_ends_a_connection_while_something_is_unacknowledged() {
        for level in [Level::THREE, Level::FOUR] {
            let mut pair = Pair::new(&budget(), level);
            pair.take(usize::MAX);
            pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
            let dies = |pair: &Pair, second| pair.tell(6, Some(Duration::from_secs(second)));
            let (reason, after) = live(&mut pair, 60, dies).await.expect("nobody is there any more");
            assert!(matches!(reason, Disconnected::Unreachable(_)), "{reason}");
            assert!((20..25).contains(&after), "{after}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_and_one_that_hears_from_its_peer_cost_no_look_at_the_way() {
        let mut pair = Pair::new(&budget(), Level::THREE);
        pair.take(usize::MAX);
        assert!(live(&mut pair, 60, |_, _| {}).await.is_none());
        assert_eq!(pair.looks(), 0);
        let talks = |pair: &Pair, _| {
            pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
            pair.send(&request(10));
            pair.take(usize::MAX);
        };
        assert!(live(&mut pair, 60, talks).await.is_none());
        assert_eq!(pair.looks(), 0);
        assert!(live(&mut pair, 60, |_, _| {}).await.is_none());
        assert_eq!((pair.looks(), pair.driver.timers.next()), (1, None), "all is acknowledged");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_keeps_its_window_closed_is_left_as_long_as_its_host_answers() {
        let mut pair = Pair::new(&budget(), Level::THREE);
        pair.take(usize::MAX);
        pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
        pair.tell(6, None);
        assert!(live(&mut pair, 3600, |_, _| {}).await.is_none());
        let (_, after) =
            live(&mut pair, 60, |pair, second| pair.tell(6, Some(Duration::from_secs(second)))).await.unwrap();
        assert!(after < 26, "looked at as long as something is unacknowledged: {after}");
    }

    /// Whether what was sent before lies in buffers on the way, which the system takes at first, or here.
    #[tokio::test(start_paused = true)]
    async fn one_that_holds_this_end_back_lives_and_one_that_stands_still_is_ended() {
        for room in [usize::MAX, 1_000] {
            let stuck = || {
                let pair = Pair::new(&budget(), Level::FOUR).asking();
                pair.take(room);
                pair.conn.send_parts(Class::Answer, &vec![7; 10_000], None).unwrap();
                pair
            };
            let unread = |pair: &Pair| pair.tell(usize::try_from(pair.conn.outbox.bytes_written()).unwrap(), None);
            let holds = |pair: &Pair, second: u64| {
                unread(pair);
                if second.is_multiple_of(5) {
                    pair.send(&answer());
                }
            };
            let mut pair = stuck();
            let ended = live(&mut pair, 50, holds).await;
            assert!(ended.is_none() && !pair.conn.is_stopped(), "{ended:?}");
            let (reason, after) =
                live(&mut stuck(), 59, |pair, _| unread(pair)).await.expect("it gives no sign of life");
            assert!(matches!(reason, Disconnected::Silent(_)) && after < 45, "{reason} after {after}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_this_end_holds_back_hears_that_it_lives() {
        let mut pair = Pair::new(&Budget::new(16 * MIB, 1.0, 100, 12 * MIB), Level::FOUR).asking();
        pair.driver.role.keeps = true;
        pair.take(usize::MAX);
        for _ in 0..20 {
            pair.send(&request(MIB));
        }
        let mut signs = 0;
        let count = |pair: &Pair, _| {
            for frame in pair.frames() {
                assert!(matches!(Ping::read(&frame), Ok(Ping::Answers(_))), "who does not read asks nobody");
                signs += 1;
            }
        };
        assert!(live(&mut pair, 600, count).await.is_none());
        assert!(pair.unread() > 0);
        assert!(signs >= 100, "one in five seconds: {signs}");
        // One that takes nothing is told nothing more.
        pair.take(0);
        assert!(
            live(&mut pair, 600, |_, _| {}).await.is_none_or(|(reason, _)| !matches!(reason, Disconnected::Silent(_)))
        );
        assert!(pair.conn.outbox.bytes() < 100, "{}", pair.conn.outbox.bytes());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_travels_slowly_behind_other_bytes_is_waited_for() {
        let mut pair = Pair::new(&budget(), Level::FOUR).asking();
        pair.take(usize::MAX);
        pair.conn.send_parts(Class::Answer, &vec![7; 4 * MIB], None).unwrap();
        // All of it is in the system's buffers at once, and 20 KiB/s travel.
        let travels = |pair: &Pair, second: u64| {
            let sent = usize::try_from(pair.conn.outbox.bytes_written()).unwrap();
            pair.tell(sent.saturating_sub(20 * 1024 * usize::try_from(second).unwrap()), None);
        };
        let (reason, after) = live(&mut pair, 400, travels).await.expect("it never answers");
        assert!(matches!(reason, Disconnected::Silent(_)) && (200..250).contains(&after), "{reason} after {after}");
    }

    #[tokio::test(start_paused = true)]
    async fn long_turns_come_one_by_one_and_short_ones_between_them() {
        let (budget, line) = (budget(), LongTurns::of(1));
        let pair = || Pair::in_line(&budget, Level::THREE, Some(line.clone()));
        let (mut greedy, mut other, mut small) = (pair(), pair(), pair());
        assert!(small.run().is_pending());
        for _ in 0..10_000 {
            greedy.send(&request(10));
            other.send(&request(10));
        }
        let mut handled = |pair: &mut Pair| {
            assert!(pair.turn().is_pending());
            small.send(&request(10));
            let before = small.driver.role.handled;
            assert!(small.turn().is_pending());
            assert_eq!(small.driver.role.handled, before + 1, "one that asks little waits for no line");
            pair.driver.role.handled
        };
        assert_eq!(handled(&mut greedy), 256);
        assert_eq!(handled(&mut other), 0, "the runtime has not looked for others yet");
        assert_eq!(handled(&mut greedy), 256, "it had its turn, the other had none");
        assert_eq!(handled(&mut other), 256);
        assert_eq!(handled(&mut other), 256);
        assert_eq!(handled(&mut greedy), 512);
        // One that ends leaves the line to the others.
        drop(greedy);
        assert!(other.run().is_pending());
        assert_eq!(other.driver.role.handled, 10_000);
    }

    /// Small frames and large ones, whole and in pieces, from many peers, with memory to spare and with none.
    #[tokio::test(start_paused = true)]
    async fn memory_of_what_was_read_is_counted_as_it_is_held() {
        const UNCOUNTED: usize = 8 * 1024;
        let mut rng = fastrand::Rng::with_seed(11);
        for (limit, bound) in [(256 * MIB, 400 * MIB), (4 * MIB, 8 * MIB)] {
            let budget = Budget::new(limit, 1.0, 100, 3 * MIB);
            let mut pairs: Vec<_> = (0..20).map(|_| (Pair::new(&budget, Level::FOUR), BytesMut::new())).collect();
            for _ in 0..1_000 {
                let (pair, rest) = &mut pairs[rng.usize(..20)];
                while rest.len() < 100_000 {
                    let most = [100, 5_000, 100_000, 2 * MIB][rng.usize(..4)];
                    rest.extend(request(rng.usize(..most)));
                }
                let most = [10, 1_000, 70_000, 100_000][rng.usize(..4)];
                pair.send(&rest.split_to(rng.usize(1..most)));
                assert!(pair.run().is_pending());
                advance(Duration::from_millis(10)).await;
                for (pair, _) in &pairs {
                    let counted = pair.conn.inbound.account().held();
                    let beyond =
                        pair.held().saturating_sub(UNCOUNTED).checked_sub(counted).expect("all was given back");
                    assert!(beyond == 0 || limit < 256 * MIB, "{beyond} of {} are not counted", pair.held());
                }
                let held: usize = pairs.iter().map(|(pair, _)| pair.held()).sum();
                assert!(held < bound, "{held}");
            }
            pairs.iter().for_each(|(pair, rest)| pair.send(rest));
            while pairs.iter().any(|(pair, _)| pair.unread() > 0) {
                pairs.iter_mut().for_each(|(pair, _)| assert!(pair.run().is_pending()));
                advance(Duration::from_millis(50)).await;
            }
            assert!(pairs.iter().all(|(pair, _)| pair.conn.inbound.account().held() == 0));
            assert_eq!(budget.used(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_bytes_of_a_frame_keep_no_large_buffer_when_memory_is_short() {
        let budget = Budget::new(16 * MIB, 1.0, 10_000, MIB);
        // Who comes first owns more.
        let others: Vec<_> = (0..64).map(|_| budget.open()).collect();
        let full = others[0].charge(16 * MIB);
        let mut pairs: Vec<_> = (0..100).map(|_| Pair::new(&budget, Level::FOUR)).collect();
        let small = request(100);
        for _ in 0..5 {
            for pair in &mut pairs {
                let many: Vec<u8> = (0..2_000).flat_map(|_| small.clone()).collect();
                pair.send(&many);
                pair.send(&small[..50]);
                assert!(pair.run().is_pending());
                assert!(pair.held() <= 20 * 1024, "{}", pair.held());
                pair.send(&small[50..]);
                assert!(pair.run().is_pending());
            }
        }
        assert!(pairs.iter().all(|pair| pair.driver.role.handled == 5 * 2_001 && pair.held() <= 8 * 1024));
        drop(full);
    }
}
