//! Buffers that are used for one frame and then again.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Buffers kept per thread.
const KEPT: usize = 4;

/// A buffer that grew beyond this is given back to the allocator.
const KEPT_BYTES: usize = 64 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Scratch>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer out of a pool of this thread; it returns to a pool when dropped. It is small:
/// what holds one is moved for each call.
#[derive(Debug)]
pub(crate) struct Scratch(Option<Box<BytesMut>>);

impl Scratch {
    #[inline]
    pub(crate) fn take() -> Self {
        POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Self(Some(Box::default())))
    }

    pub(crate) fn get(&self) -> &BytesMut {
        self.0.as_ref().expect(HELD)
    }

    /// Whether it is better shared than copied.
    pub(crate) fn is_large(&self) -> bool {
        self.get().len() > KEPT_BYTES
    }

    /// Gives what it holds, and is empty.
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        std::mem::take(self.get_mut()).freeze()
    }

    pub(crate) fn get_mut(&mut self) -> &mut BytesMut {
        self.0.as_mut().expect(HELD)
    }
}

const HELD: &str = "the buffer is held until it returns to the pool";

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(mut buffer) = self.0.take() else { return };
        if buffer.capacity() == 0 || buffer.capacity() > KEPT_BYTES {
            return;
        }
        buffer.clear();
        // A thread that is ending has no pool any more.
        let _gone = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(Self(Some(buffer)));
            }
        });
    }
}
