//! How much is read at once, and how a read buffer grows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use crate::{LargeBuffer, OWN_FROM};

/// First size of the room offered to one read; it doubles while reads fill it, up to [`MOST`]. A
/// buffer in which nothing waits keeps no more than this.
pub(crate) const FIRST: usize = 8 * 1024;

/// Largest room offered to one read of what is not [`LargeBuffer`].
pub(crate) const MOST: usize = 64 * 1024;

/// Room for something large and unfinished is so many times what arrived of it.
pub(crate) const GROWTH: usize = 4;

/// Bytes read from a stream and not taken as whole things, for links of any byte stream.
///
/// It grows with what arrives, never on the word of a length that a peer announces. Things of up to
/// [`OWN_FROM`] bytes are cut out of one shared buffer; a larger one gets memory of its own
/// ([`expect`](Self::expect)).
#[derive(Debug)]
pub struct ReadBuffer {
    /// What was read; take whole things from its front. Empty while something large is read.
    pub bytes: BytesMut,
    /// Bytes of memory that `bytes` is a part of.
    chunk: usize,
    room: usize,
    large: Option<LargeBuffer>,
}

impl ReadBuffer {
    /// A buffer that begins with what was `received` already.
    #[must_use]
    pub fn new(received: BytesMut) -> Self {
        Self { chunk: received.capacity(), bytes: received, room: FIRST, large: None }
    }

    /// Says that the thing at the front has `whole` bytes and is not complete. If it is large, it
    /// moves to memory of its own, from which [`take_large`](Self::take_large) gives it.
    pub fn expect(&mut self, whole: usize) {
        if self.large.is_none() && whole > OWN_FROM && self.bytes.len() < whole {
            self.large = Some(LargeBuffer::begin(&self.bytes, whole));
            // What comes behind it may be as large, and its first bytes need little room here.
            self.release();
        }
    }

    /// Whether something large is being read, or waits to be taken.
    #[must_use]
    pub const fn is_large(&self) -> bool {
        self.large.is_some()
    }

    /// The large thing, if it is complete.
    pub fn take_large(&mut self) -> Option<LargeBuffer> {
        self.large.take_if(|large| large.missing_bytes() == 0)
    }

    /// Reads once, at most `limit` bytes. `missing` is what the thing at the front still lacks, if
    /// that is known: no more than [`OWN_FROM`], unless it was [expected](Self::expect). `Ok(0)`:
    /// the stream ended.
    ///
    /// # Errors
    /// The errors of the stream.
    pub fn poll_read(
        &mut self,
        io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        missing: usize,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        if let Some(large) = &mut self.large {
            return large.poll_read(io, cx, limit);
        }
        if let Some(wanted) = self.shortage(missing)
            && !self.bytes.try_reclaim(wanted)
        {
            let mut fresh = BytesMut::with_capacity(self.bytes.len() + wanted);
            fresh.extend_from_slice(&self.bytes);
            (self.chunk, self.bytes) = (fresh.capacity(), fresh);
        }
        let room = (self.bytes.capacity() - self.bytes.len()).min(limit.max(1));
        let Poll::Ready(read) = poll_read_buf(io, cx, &mut (&mut self.bytes).limit(room)) else {
            if self.bytes.is_empty() && self.chunk > FIRST {
                self.release();
            }
            return Poll::Pending;
        };
        let read = read?;
        if read == room && room < limit {
            self.room = (self.room * 2).min(MOST);
        } else if 0 < read && read < self.room / 4 {
            self.room = (self.room / 2).max(FIRST);
        }
        Poll::Ready(Ok(read))
    }

    /// Room to be made before the next read, if there is too little.
    fn shortage(&self, missing: usize) -> Option<usize> {
        let wanted = missing.clamp(self.room, MOST);
        (self.bytes.capacity() - self.bytes.len() < wanted.min(self.room)).then_some(wanted)
    }

    fn release(&mut self) {
        (self.bytes, self.chunk, self.room) = (BytesMut::new(), 0, FIRST);
    }

    /// Call this when what was read has to wait: what is left of it moves to memory of its size, so
    /// that a few bytes keep no large buffer. What is [large](Self::is_large) has such memory
    /// already.
    pub fn compact(&mut self) {
        if self.bytes.is_empty() {
            self.release();
        } else if self.chunk > self.bytes.len() + 2 * FIRST {
            // This has the room of the next read, too.
            let mut fresh = BytesMut::with_capacity(self.bytes.len() + FIRST);
            fresh.extend_from_slice(&self.bytes);
            (self.chunk, self.bytes, self.room) = (fresh.capacity(), fresh, FIRST);
        }
    }

    /// Forgets all that was read.
    pub fn clear(&mut self) {
        self.large = None;
        self.bytes.clear();
    }

    /// Bytes that were read and not taken.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.bytes.len() + self.large.as_ref().map_or(0, |large| large.len())
    }

    /// Bytes of memory that are held, those of things that were cut out of the same memory
    /// included.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.chunk + self.large.as_ref().map_or(0, LargeBuffer::held_bytes)
    }

    /// Bytes by which the next read may raise [`held_bytes`](Self::held_bytes).
    #[must_use]
    pub fn growth(&self, missing: usize) -> usize {
        match &self.large {
            Some(large) => large.growth(),
            None => self.shortage(missing).map_or(0, |wanted| (self.bytes.len() + wanted).saturating_sub(self.chunk)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut ReadBuffer, mut from: &[u8], missing: usize) -> usize {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (held, growth) = (buffer.held_bytes(), buffer.growth(missing));
        let Poll::Ready(Ok(read)) = buffer.poll_read(Pin::new(&mut from), &mut cx, missing, usize::MAX) else {
            panic!()
        };
        assert!(buffer.held_bytes() <= held + growth, "{held} + {growth} < {}", buffer.held_bytes());
        read
    }

    #[test]
    fn the_beginning_of_a_thing_that_has_to_wait_keeps_no_large_buffer() {
        let source = vec![7; 1024 * 1024];
        let mut buffer = ReadBuffer::new(BytesMut::new());
        while buffer.held_bytes() < MOST {
            read(&mut buffer, &source, 100);
        }
        let taken = buffer.bytes.split_to(buffer.bytes.len() - 100);
        buffer.compact();
        assert_eq!((buffer.held_bytes(), buffer.growth(50), &buffer.bytes[..]), (100 + FIRST, 0, &source[..100]));
        assert!(read(&mut buffer, &source, 50) > 0 && taken == source[..taken.len()]);
        buffer.bytes.clear();
        buffer.compact();
        assert_eq!(buffer.held_bytes(), 0);
    }

    #[test]
    fn small_things_are_cut_out_of_little_memory() {
        let source = vec![7; 1024 * 1024];
        let mut buffer = ReadBuffer::new(BytesMut::new());
        let mut kept = Vec::new();
        for _ in 0..100 {
            assert!(read(&mut buffer, &source, 100) > 0);
            assert!(buffer.held_bytes() <= 2 * MOST, "{}", buffer.held_bytes());
            while buffer.bytes.len() >= 1000 {
                kept.push(buffer.bytes.split_to(1000).freeze());
            }
        }
        assert!(kept.iter().all(|thing| thing == &source[..1000]));
    }
}
