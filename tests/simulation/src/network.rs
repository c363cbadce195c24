//! Connections that can be broken from outside: what a simulated cable, or the keepalive of an
//! operating system, does.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker, ready},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The one that connected.
    Client,
    /// The one that accepted.
    Server,
}

impl End {
    const fn index(self) -> usize {
        self as usize
    }
}

/// All connections of one simulation.
#[derive(Debug, Default)]
pub struct Network {
    pipes: Mutex<BTreeMap<SocketAddr, Weak<Pipe>>>,
    breaks: Mutex<BTreeMap<String, (End, u64)>>,
    shape: Shape,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The largest write, in bytes.
    pub largest_write: usize,
    /// Bytes that may be on their way in one direction before a writer waits. turmoil's own limit
    /// counts writes, and forgets the end of a stream that it has no room for; it is never reached.
    pub window: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { largest_write: usize::MAX, window: Self::LARGEST_WINDOW }
    }
}

impl Shape {
    /// The smallest window: the calls of a simulation fit through it in time, of which none has
    /// more than some windows.
    pub const SMALLEST_WINDOW: usize = 32 * 1024;

    /// The largest window.
    pub const LARGEST_WINDOW: usize = 256 * 1024;
}

/// Some connections, as they stood at one moment.
#[derive(Debug)]
pub struct Connections(Vec<Arc<Pipe>>);

impl Connections {
    /// Breaks them, as one end sees it.
    pub fn break_at(&self, end: End, error: io::ErrorKind) {
        self.each(|state| {
            state.broken[end.index()].get_or_insert(error);
        });
    }

    /// Lets one end read nothing, or read again.
    pub fn freeze(&self, end: End, frozen: bool) {
        self.each(|state| state.frozen[end.index()] = frozen);
    }

    fn each(&self, change: impl Fn(&mut PipeState)) {
        for pipe in &self.0 {
            let mut state = pipe.state.lock();
            change(&mut state);
            state.wake();
        }
    }
}

/// One connection, as both its ends share it.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// The host that connected.
    client: String,
    state: Mutex<PipeState>,
}

#[derive(Debug, Default)]
struct PipeState {
    broken: [Option<io::ErrorKind>; 2],
    frozen: [bool; 2],
    /// Bytes read by each end.
    read: [u64; 2],
    /// Bytes written by each end.
    written: [u64; 2],
    /// The connection breaks when this end has read so many bytes.
    breaks: Option<(End, u64)>,
    readers: [Option<Waker>; 2],
    writers: [Option<Waker>; 2],
}

impl PipeState {
    /// Bytes that this end may still read.
    fn left(&self, end: End) -> usize {
        match self.breaks {
            Some((at, bytes)) if at == end => {
                usize::try_from(bytes.saturating_sub(self.read[end.index()])).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        }
    }

    fn wake(&mut self) {
        for waker in self.readers.iter_mut().chain(&mut self.writers).filter_map(Option::take) {
            waker.wake();
        }
    }
}

impl Network {
    /// A network without connections.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { shape, ..Self::default() }
    }

    /// Bytes that may be on their way in one direction.
    pub(crate) const fn window(&self) -> usize {
        self.shape.window
    }

    /// The next connection that `host` opens breaks, at both ends, when `end` has read `bytes` of
    /// it.
    pub fn break_next(&self, host: &str, end: End, bytes: u64) {
        self.breaks.lock().insert(host.to_owned(), (end, bytes));
    }

    /// Whatever has not broken by now stays.
    pub fn stop_breaking(&self) {
        self.breaks.lock().clear();
        for pipe in self.pipes.lock().values().filter_map(Weak::upgrade) {
            pipe.state.lock().breaks = None;
        }
    }

    /// The connections that `host` opened and that stand now.
    pub fn opened_by(&self, host: &str) -> Connections {
        let pipes = self.pipes.lock();
        Connections(pipes.values().filter_map(Weak::upgrade).filter(|pipe| pipe.client == host).collect())
    }

    /// The connection whose connecting end has this address; whoever comes first makes it.
    pub(crate) fn pipe(&self, address: SocketAddr, client: &str) -> Arc<Pipe> {
        let mut pipes = self.pipes.lock();
        pipes.retain(|_, pipe| pipe.strong_count() > 0);
        if let Some(known) = pipes.get(&address).and_then(Weak::upgrade) {
            return known;
        }
        let breaks = self.breaks.lock().remove(client);
        let state = Mutex::new(PipeState { breaks, ..PipeState::default() });
        let pipe = Arc::new(Pipe { client: client.to_owned(), state });
        pipes.insert(address, Arc::downgrade(&pipe));
        pipe
    }
}

/// One direction of one end.
#[derive(Debug)]
pub(crate) struct Half<T> {
    io: T,
    pipe: Arc<Pipe>,
    end: End,
    network: Arc<Network>,
}

impl<T> Half<T> {
    pub(crate) const fn new(io: T, pipe: Arc<Pipe>, end: End, network: Arc<Network>) -> Self {
        Self { io, pipe, end, network }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Half<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (at, pipe) = (self.end.index(), Arc::clone(&self.pipe));
        let most = {
            let mut state = pipe.state.lock();
            if let Some(error) = state.broken[at] {
                return Poll::Ready(Err(error.into()));
            }
            state.readers[at] = Some(cx.waker().clone());
            if state.frozen[at] {
                return Poll::Pending;
            }
            state.left(self.end)
        };
        let before = buf.filled().len();
        if most < buf.remaining() {
            let mut part = vec![0; most];
            let mut part = ReadBuf::new(&mut part);
            if most > 0 {
                ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
            }
            buf.put_slice(part.filled());
        } else {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        }
        let mut state = pipe.state.lock();
        let read = buf.filled().len() - before;
        state.read[at] += read as u64;
        if read > 0
            && let Some(writer) = state.writers[1 - at].take()
        {
            writer.wake();
        }
        if state.left(self.end) == 0 {
            state.broken = [Some(io::ErrorKind::ConnectionReset); 2];
            state.wake();
            if most == 0 {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Half<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let (at, pipe, shape) = (self.end.index(), Arc::clone(&self.pipe), self.network.shape);
        let most = {
            let mut state = pipe.state.lock();
            if let Some(error) = state.broken[at] {
                return Poll::Ready(Err(error.into()));
            }
            state.writers[at] = Some(cx.waker().clone());
            let travelling = usize::try_from(state.written[at] - state.read[1 - at]).unwrap_or(usize::MAX);
            shape.window.saturating_sub(travelling).min(shape.largest_write).min(buf.len())
        };
        if most == 0 && !buf.is_empty() {
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, &buf[..most]))?;
        pipe.state.lock().written[at] += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
