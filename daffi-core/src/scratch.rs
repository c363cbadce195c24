//! Buffers that are used for one frame and then again.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Buffers kept per thread.
const KEPT: usize = 4;

/// A buffer that grew beyond this is given back to the allocator.
const KEPT_BYTES: usize = 64 * 1024;

thread_local! {
    static POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer out of a pool of this thread; it returns to a pool when dropped.
#[derive(Debug, Default)]
pub(crate) struct Scratch(BytesMut);

impl Scratch {
    pub(crate) fn take() -> Self {
        Self(POOL.with_borrow_mut(Vec::pop).unwrap_or_default())
    }

    pub(crate) fn get(&self) -> &BytesMut {
        &self.0
    }

    /// Whether it is better shared than copied.
    pub(crate) fn is_large(&self) -> bool {
        self.0.len() > KEPT_BYTES
    }

    pub(crate) fn into_bytes(mut self) -> Bytes {
        std::mem::take(&mut self.0).freeze()
    }

    pub(crate) fn get_mut(&mut self) -> &mut BytesMut {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.capacity() == 0 || self.0.capacity() > KEPT_BYTES {
            return;
        }
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        // A thread that is ending has no pool any more.
        let _gone = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(buffer);
            }
        });
    }
}
