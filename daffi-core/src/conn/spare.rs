//! Memory of batches that were written, for the next ones on this thread: a connection on which
//! nothing waits keeps none.

use std::cell::RefCell;

use daffi_transport::Batch;
use parking_lot::Mutex;

/// Batches kept per thread, and by the process beside them, of at most 128 KiB each.
const KEPT: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Batch>> = const { RefCell::new(Vec::new()) };
}

/// What threads have too many of: one that runs plain functions begins batches that the thread of a
/// connection writes.
static OF_ALL: Mutex<Vec<Batch>> = Mutex::new(Vec::new());

/// An empty batch, with the room that it had before.
pub(super) fn take() -> Batch {
    // A thread that is ending keeps none.
    let own = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    own.or_else(|| OF_ALL.lock().pop()).unwrap_or_default()
}

/// Keeps the memory of an empty batch.
pub(super) fn give(batch: &mut Batch) {
    debug_assert!(batch.frames() == 0, "only an empty batch is spare");
    if !batch.has_room() {
        return;
    }
    let batch = std::mem::take(batch);
    let _gone = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < KEPT {
            return spare.push(batch);
        }
        let mut of_all = OF_ALL.lock();
        if of_all.len() < KEPT {
            of_all.push(batch);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn used_batch() -> Batch {
        let mut batch = Batch::new();
        batch.push(b"frame", None);
        let _frame = batch.next_frame();
        batch
    }

    #[test]
    fn what_a_thread_has_too_many_of_serves_others() {
        thread::spawn(|| (0..100).for_each(|_| give(&mut used_batch()))).join().unwrap();
        assert_eq!(SPARE.with(|spare| spare.borrow().len()), 0, "none of this thread's own");
        assert!(take().has_room() && OF_ALL.lock().len() <= KEPT);
    }
}
