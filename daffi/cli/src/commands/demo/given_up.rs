//! How many callbacks saw that nobody waits for them any more.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use daffi::Context;

/// Counts callbacks that were given up while they ran.
#[derive(Clone, Debug, Default)]
pub(super) struct GivenUp(Arc<AtomicU64>);

impl GivenUp {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Watches one run of a callback until it is finished or dropped.
    pub(super) fn watch(&self, context: Context) -> Watched {
        Watched { context, given_up: self.clone(), is_finished: false }
    }
}

/// A run of a callback. It counts as given up when it is dropped unfinished, and nobody waits for
/// it.
pub(super) struct Watched {
    context: Context,
    given_up: GivenUp,
    is_finished: bool,
}

impl Watched {
    pub(super) fn finish(mut self) {
        self.is_finished = true;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.is_finished && self.context.is_cancelled() {
            self.given_up.0.fetch_add(1, Relaxed);
        }
    }
}
