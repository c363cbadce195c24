//! Memory of large frames, used over and over: fresh pages cost more than the protocol.

use std::{
    io,
    ops::Deref,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use crate::read_buffer::{GROWTH, MOST};

/// What a process keeps of such memory while no frame uses it, in bytes: at most one frame of the largest size.
pub const POOL_BYTES: usize = 32 * 1024 * 1024;

/// Frames above this size get memory of their own.
pub(crate) const LARGE_FROM: usize = MOST;

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), bytes: 0 });

#[derive(Debug)]
struct Pool {
    free: Vec<BytesMut>,
    bytes: usize,
}

impl Pool {
    /// The smallest that is large enough, else the largest.
    fn take(&mut self, bytes: usize) -> Option<BytesMut> {
        let fits = |buffer: &BytesMut| (buffer.capacity() < bytes, buffer.capacity().abs_diff(bytes));
        let (at, _) = self.free.iter().enumerate().min_by_key(|(_, buffer)| fits(buffer))?;
        let buffer = self.free.swap_remove(at);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// `false`: it would be too much.
    fn put(&mut self, mut buffer: BytesMut) -> bool {
        let bytes = self.bytes + buffer.capacity();
        if buffer.capacity() == 0 || bytes > POOL_BYTES {
            return false;
        }
        buffer.clear();
        self.bytes = bytes;
        self.free.push(buffer);
        true
    }
}

/// The bytes of one large frame, which grow as they arrive. Its memory returns to the pool when the last handle to the
/// frame is dropped.
#[derive(Debug, Default)]
pub(crate) struct Large(BytesMut);

impl Large {
    /// Memory for a frame of `bytes` that has `begun`, with as much room as happens to be there.
    pub(crate) fn holding(begun: &[u8], bytes: usize) -> Self {
        let mut large = Self(POOL.lock().unwrap_or_else(PoisonError::into_inner).take(bytes).unwrap_or_default());
        large.0.extend_from_slice(begun);
        large
    }

    /// Reads once, at most `limit` bytes and none beyond the `missing` ones. `Ok(0)`: the stream ended.
    pub(crate) fn poll_read(
        &mut self,
        io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        missing: usize,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let buffer = &mut self.0;
        if buffer.capacity() - buffer.len() < missing.min(MOST) {
            // Enough for the rest, so that little is copied while it grows, but on the word of what arrived only.
            buffer.reserve(missing.min(buffer.len().saturating_mul(GROWTH).max(MOST)));
        }
        let room = (buffer.capacity() - buffer.len()).min(missing).min(limit.max(1));
        poll_read_buf(io, cx, &mut buffer.limit(room))
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        POOL.lock().unwrap_or_else(PoisonError::into_inner).put(buffer);
    }
}

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Large {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn the_pool_is_bounded_and_gives_what_fits_best() {
        let mut pool = Pool { free: Vec::new(), bytes: 0 };
        for mib in [2, 20, 4] {
            assert!(pool.put(BytesMut::with_capacity(mib * MIB)));
        }
        assert!(!pool.put(BytesMut::with_capacity(7 * MIB)), "26 and 7 are more than 32");
        assert!(!pool.put(BytesMut::new()));
        let sizes = [3 * MIB, 5 * MIB, 3 * MIB].map(|bytes| pool.take(bytes).map(|b| b.capacity() / MIB));
        assert_eq!(sizes, [Some(4), Some(20), Some(2)]);
        assert_eq!((pool.take(1).map(|b| b.capacity()), pool.bytes), (None, 0));
    }
}
