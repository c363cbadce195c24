//! A driver that a test moves by hand: the other end of its connection is two queues of bytes, and
//! time stands still until the test lets it pass.

mod bodies;
mod flow;
mod life;
mod memory;

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

use super::{Alive, Budget, Class, Conn, Driver, Handler, LongTurns, Ticket, Turn};
use crate::{config::NodeConfig, error::Disconnected};

/// One direction: bytes on their way.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Bytes that a writer may put in before it waits.
    room: usize,
    ended: bool,
    waker: Option<Waker>,
}

type SharedPipe = Arc<Mutex<Pipe>>;

fn wake(wire: &Mutex<Pipe>) {
    if let Some(waker) = wire.lock().waker.take() {
        waker.wake();
    }
}

struct ReadEnd(SharedPipe);

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

struct WriteEnd(SharedPipe);

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
pub(super) struct TestHandler {
    conn: Arc<Conn>,
    /// Bytes of the answer to each frame.
    pub(super) answer: Option<usize>,
    /// Keeps each request as if its callback ran for ever.
    pub(super) keeps: bool,
    pub(super) asks_only: bool,
    pub(super) handled: usize,
    pub(super) kept: Vec<Ticket>,
    pub(super) rooms: usize,
    /// It says so last of all.
    pub(super) farewell: Option<Frame>,
    /// The handshake is done.
    pub(super) open: bool,
    alive: Alive,
}

impl Handler for TestHandler {
    const SERVES: bool = true;

    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        self.handled += 1;
        self.open |= frame.kind() == Kind::Handshake;
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
        self.open
    }

    fn farewell(&self) -> Option<Frame> {
        self.farewell.clone()
    }

    fn on_end(&mut self, _: &Disconnected) {}

    fn may_stop_reading(&self) -> bool {
        self.asks_only
    }

    fn unbounded_bytes(&self) -> usize {
        self.conn.inbound.bytes()
    }
}

/// A driver, and the other end of its connection.
pub(super) struct Pair {
    pub(super) conn: Arc<Conn>,
    pub(super) driver: Driver<TestHandler>,
    inward: SharedPipe,
    outward: SharedPipe,
    path: TestPath,
    flag: Arc<Flag>,
}

impl Pair {
    pub(super) fn new(budget: &Arc<Budget>, level: Level) -> Self {
        Self::in_line(budget, level, None)
    }

    /// One of several connections that give way to each other.
    pub(super) fn in_line(budget: &Arc<Budget>, level: Level, line: Option<LongTurns>) -> Self {
        let (inward, outward) = (SharedPipe::default(), SharedPipe::default());
        let (reader, writer) = (ReadEnd(Arc::clone(&inward)), WriteEnd(Arc::clone(&outward)));
        let peer = PeerInfo::new("mem", "pair");
        let conn = Conn::new(peer.clone(), budget);
        conn.set_level(level);
        let handler = TestHandler {
            conn: Arc::clone(&conn),
            answer: None,
            keeps: false,
            asks_only: true,
            handled: 0,
            kept: Vec::new(),
            rooms: 0,
            farewell: None,
            open: true,
            alive: Alive::default(),
        };
        let path = TestPath::default();
        let (none, links) = (BytesMut::new(), LinkConfig::default());
        let mut link = Link::from_stream(reader, writer, &links, peer, none, Bytes::new()).with_path(path.clone());
        link.reader.set_level(level);
        let config = NodeConfig::server();
        let driver = Driver::new(link, Arc::clone(&conn), handler, &config, config.handshake_timeout, line);
        Self { conn, driver, inward, outward, path, flag: Arc::default() }
    }

    /// The driver asks whether the peer lives, as it does after a handshake of level 4.
    fn asking(mut self) -> Self {
        self.driver.handler.alive.begin(&self.conn);
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

    /// One turn only. Gives whether nothing lets the driver run again at once.
    fn rests(&mut self) -> bool {
        self.flag.0.store(false, Ordering::SeqCst);
        self.turn().is_pending() && !self.driver.pace.goes_on() && !self.flag.0.load(Ordering::SeqCst)
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

    /// Memory that is held for what was read and not handled.
    fn held_bytes(&self) -> usize {
        self.driver.read.reader.held_bytes()
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

const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1024 * 1024;

fn budget() -> Arc<Budget> {
    Budget::new(256 * MIB, 1.0, 100, 32 * MIB)
}
