//! How much is read at once, and how a read buffer grows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// First size of the room offered to one read; it doubles while reads fill it, up to [`MOST`].
const FIRST: usize = 8 * 1024;

/// Largest room offered to one read.
pub(crate) const MOST: usize = 256 * 1024;

/// Room for something unfinished, beyond what arrived of it: so many times that.
pub(crate) const GROWTH: usize = 4;

/// Bytes read from a stream and not worked in, for links of any byte stream.
///
/// It grows with what arrives, never on the word of a length that a peer announces.
#[derive(Debug)]
pub struct ReadBuffer {
    /// What was read; take whole things from its front, and say so with [`took`](Self::took).
    pub bytes: BytesMut,
    room: usize,
}

impl ReadBuffer {
    /// A buffer that begins with what was `received` already.
    #[must_use]
    pub const fn new(received: BytesMut) -> Self {
        Self { bytes: received, room: FIRST }
    }

    /// Reads once, at most `limit` bytes. `missing` is what the thing at the front still lacks, if that is known: room is
    /// made for it, as far as what arrived of it warrants. `Ok(0)`: the stream ended.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_read(
        &mut self,
        io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        missing: usize,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let most = self.bytes.len().saturating_mul(GROWTH).max(MOST);
        let wanted = missing.clamp(self.room, most);
        if self.bytes.capacity() - self.bytes.len() < wanted.min(self.room) {
            self.bytes.reserve(wanted);
        }
        let room = (self.bytes.capacity() - self.bytes.len()).min(limit.max(1));
        let read = ready!(poll_read_buf(io, cx, &mut (&mut self.bytes).limit(room)))?;
        if read == room && room < limit {
            self.room = (self.room * 2).min(MOST);
        } else if 0 < read && read < self.room / 4 {
            self.room = (self.room / 2).max(FIRST);
        }
        Poll::Ready(Ok(read))
    }

    /// Takes all that was read out, because what has begun goes on in memory of its own. What comes behind it may be as
    /// large, and its first bytes need little room here.
    #[must_use]
    pub(crate) fn take_all(&mut self) -> BytesMut {
        self.room = FIRST;
        std::mem::take(&mut self.bytes)
    }

    /// Something of `size` bytes was taken out without copying. Large things keep the memory for themselves: small ones
    /// behind them must not keep it alive.
    pub fn took(&mut self, size: usize) {
        if size > MOST {
            self.bytes = BytesMut::from(&self.bytes[..]);
        }
    }
}
