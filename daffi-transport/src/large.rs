//! Memory of large things, used over and over: fresh pages cost more than the protocol.

use std::{
    collections::VecDeque,
    io,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use crate::read_buffer::{GROWTH, MOST};

/// What a process keeps of the memory of large frames beside what its links say they
/// [hold](crate::LinkReader::held_bytes), in bytes: that which no frame uses, and that which was
/// given to a frame before its bytes arrived.
pub const POOL_BYTES: usize = 32 * 1024 * 1024;

/// Frames of more than this many bytes have memory of their own, at most a quarter more than they
/// need; smaller ones are parts of a read buffer, which they keep alive: see [`keep`](crate::keep).
pub const OWN_FROM: usize = MOST;

static POOL: Mutex<BufferPool> = Mutex::new(BufferPool::new());

fn pool<T>(with: impl FnOnce(&mut BufferPool) -> T) -> T {
    with(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner))
}

#[derive(Debug)]
struct BufferPool {
    /// Memory that no thing uses. What was given back last is at the end.
    free: VecDeque<Vec<u8>>,
    /// Bytes in `free`.
    bytes: usize,
    /// Bytes that were lent to frames which have not arrived.
    lent: usize,
}

impl BufferPool {
    const fn new() -> Self {
        Self { free: VecDeque::new(), bytes: 0, lent: 0 }
    }

    /// Lends the smallest that is large enough, and at most a quarter larger than it has to be.
    fn lend(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let fits = bytes..=bytes + bytes / 4;
        let fitting = self.free.iter().enumerate().filter(|(_, buffer)| fits.contains(&buffer.capacity()));
        let (at, _) = fitting.min_by_key(|(_, buffer)| buffer.capacity())?;
        let buffer = self.free.remove(at)?;
        self.bytes -= buffer.capacity();
        self.lent += buffer.capacity();
        Some(buffer)
    }

    /// Takes memory back, in place of what was not used for the longest time. Gives what is to be
    /// freed.
    fn put(&mut self, mut buffer: Vec<u8>) -> Vec<Vec<u8>> {
        let (size, room) = (buffer.capacity(), POOL_BYTES - self.lent.min(POOL_BYTES));
        if size == 0 || size > room {
            return vec![buffer];
        }
        let mut surplus = Vec::new();
        while self.bytes + size > room
            && let Some(oldest) = self.free.pop_front()
        {
            self.bytes -= oldest.capacity();
            surplus.push(oldest);
        }
        buffer.clear();
        self.bytes += size;
        self.free.push_back(buffer);
        surplus
    }
}

/// The bytes of one large thing, which grow as they arrive. Its memory returns to the pool when the
/// last handle to it is dropped.
#[derive(Debug, Default)]
pub struct LargeBuffer {
    bytes: Vec<u8>,
    /// Length of the whole thing.
    whole: usize,
    /// Bytes of memory that it may use: what has arrived of it warrants that many, whatever happens
    /// to be there.
    granted: usize,
    /// Bytes of memory that are on loan.
    lent: usize,
}

/// Memory for what is about to arrive, however little is to be read.
const LEAST: usize = 16 * 1024;

/// Bytes of memory that `arrived` bytes of something warrant.
const fn warrant(arrived: usize) -> usize {
    let ahead = arrived.saturating_mul(GROWTH);
    arrived.saturating_add(if ahead > MOST { ahead } else { MOST })
}

impl LargeBuffer {
    /// Memory for a thing of `whole` bytes that has `begun`.
    pub(crate) fn begin(begun: &[u8], whole: usize) -> Self {
        let bytes = pool(|pool| pool.lend(whole)).unwrap_or_default();
        let mut large = Self { lent: bytes.capacity(), bytes, whole, granted: 0 };
        large.grant(begun.len(), MOST);
        large.bytes.extend_from_slice(begun);
        large
    }

    /// Lets it use as much memory as what has arrived warrants, and at most so much `ahead` of it.
    fn grant(&mut self, arrived: usize, ahead: usize) {
        self.granted = self.whole.min(warrant(arrived)).min(arrived.saturating_add(ahead));
        if self.bytes.capacity() < self.granted {
            // This reserves no more than that, so that a thing which is kept owns about what it
            // needs.
            self.bytes.reserve_exact(self.granted - self.bytes.len());
        }
    }

    /// Bytes still to come.
    pub(crate) fn missing_bytes(&self) -> usize {
        self.whole - self.bytes.len()
    }

    /// Bytes of memory that it uses.
    pub(crate) fn held_bytes(&self) -> usize {
        if self.lent > 0 { self.granted } else { self.bytes.capacity() }
    }

    /// Bytes by which the next read may raise [`held_bytes`](Self::held_bytes).
    pub(crate) fn growth(&self) -> usize {
        if self.is_short() { self.whole.min(warrant(self.bytes.len())).saturating_sub(self.held_bytes()) } else { 0 }
    }

    /// Whether the next read needs more memory.
    fn is_short(&self) -> bool {
        self.granted - self.bytes.len() < self.missing_bytes().min(MOST)
    }

    /// Reads once, at most `limit` bytes and none beyond the missing ones. `Ok(0)`: the stream
    /// ended.
    pub(crate) fn poll_read(
        &mut self,
        io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        if self.is_short() {
            self.grant(self.bytes.len(), limit.saturating_mul(GROWTH).max(LEAST));
        }
        let room = (self.granted - self.bytes.len()).min(limit.max(1));
        let read = ready!(poll_read_buf(io, cx, &mut (&mut self.bytes).limit(room)))?;
        if self.missing_bytes() == 0 {
            self.end_loan();
        }
        Poll::Ready(Ok(read))
    }

    /// What was lent belongs to the thing now, which counts for itself.
    fn end_loan(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        if lent > 0 {
            pool(|pool| pool.lent -= lent);
        }
    }

    /// The whole thing.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Drop for LargeBuffer {
    fn drop(&mut self) {
        self.end_loan();
        let buffer = std::mem::take(&mut self.bytes);
        // This is freed without the lock.
        drop(pool(|pool| pool.put(buffer)));
    }
}

impl AsRef<[u8]> for LargeBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for LargeBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for LargeBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn the_pool_lends_what_fits_and_forgets_what_is_not_used() {
        let mut pool = BufferPool::new();
        for mib in [2, 20, 4] {
            assert!(pool.put(Vec::with_capacity(mib * MIB)).is_empty());
        }
        let mut lend = |bytes| pool.lend(bytes).map(|buffer| buffer.capacity() / MIB);
        assert_eq!([lend(3 * MIB), lend(15 * MIB), lend(16 * MIB)], [None, None, Some(20)]);
        assert_eq!([lend(4 * MIB), lend(4 * MIB), lend(1)], [Some(4), None, None]);
        assert_eq!((pool.bytes, pool.lent), (2 * MIB, 24 * MIB));
        // What is lent takes its place.
        assert_eq!(pool.put(Vec::with_capacity(9 * MIB)).len(), 1);
        assert!(pool.put(Vec::with_capacity(6 * MIB)).is_empty());
        let surplus = pool.put(Vec::with_capacity(5 * MIB));
        assert_eq!(surplus.iter().map(|buffer| buffer.capacity() / MIB).collect::<Vec<_>>(), [2, 6]);
        assert_eq!(pool.bytes, 5 * MIB);
    }

    #[test]
    fn memory_follows_what_arrives() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let whole = 9 * MIB;
        let sent = vec![7; whole];
        let mut large = LargeBuffer::begin(&sent[..9], whole);
        let mut rest = &sent[9..];
        while large.missing_bytes() > 0 {
            let (held, growth, had) = (large.held_bytes(), large.growth(), large.len());
            let Poll::Ready(Ok(read)) = large.poll_read(Pin::new(&mut rest), &mut cx, 10_000) else { panic!() };
            assert!((1..=10_000).contains(&read));
            assert!(large.held_bytes() <= held + growth, "{held} + {growth} < {}", large.held_bytes());
            assert!(large.held_bytes() <= warrant(had).min(whole), "{} for {had}", large.held_bytes());
            assert!(
                large.held_bytes() <= had + 4 * 10_000 + MOST,
                "who reads little takes little: {} for {had}",
                large.held_bytes()
            );
        }
        assert_eq!((large.held_bytes(), large.growth()), (whole, 0));
        assert!(large.into_bytes() == sent);
    }
}
