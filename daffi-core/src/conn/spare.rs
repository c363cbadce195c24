//! Memory of batches that were written, for the next ones on this thread: a connection on which
//! nothing waits keeps none.

use std::cell::RefCell;

use daffi_transport::Batch;

/// Batches kept per thread, of at most 128 KiB each.
const KEPT: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Batch>> = const { RefCell::new(Vec::new()) };
}

/// An empty batch, with the room that it had before.
pub(super) fn take() -> Batch {
    // A thread that is ending keeps none.
    SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Keeps the memory of an empty batch.
pub(super) fn give(batch: Batch) {
    if !batch.has_room() {
        return;
    }
    let _gone = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < KEPT {
            spare.push(batch);
        }
    });
}
