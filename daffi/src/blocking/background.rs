//! The thread that a blocking client runs on.

use std::{future::Future, io, sync::Arc, thread};

use daffi_core::CallError;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// A runtime on a thread of its own, which ends with this.
#[derive(Debug)]
pub(super) struct Background {
    handle: Handle,
    thread: thread::ThreadId,
    _until_dropped: oneshot::Sender<()>,
}

/// The error of a call that would wait for itself.
#[derive(Debug, thiserror::Error)]
#[error(
    "a blocking call on the blocking client's own thread would wait for itself: in a callback call on with \
     `ctx.node()?` and await it"
)]
struct OwnThread;

/// Pipes, of two files each, that a runtime takes with its signals.
const PIPES: usize = 3;

impl Background {
    pub(super) fn start() -> io::Result<Arc<Self>> {
        // A runtime that gets no files for its signals panics, so they are looked for before.
        (0..PIPES).map(|_| io::pipe()).collect::<Result<Vec<_>, _>>()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (until_dropped, dropped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("daffi-blocking".into()).spawn(move || {
            // This ends when the sender is dropped, for nobody sends.
            let _ends = runtime.block_on(dropped);
            // A plain callback that blocks for ever must not keep the thread.
            runtime.shutdown_background();
        })?;
        Ok(Arc::new(Self { handle, thread: thread.thread().id(), _until_dropped: until_dropped }))
    }

    /// Blocks this thread until the future is done. Timers and tasks of the future run on the
    /// background's thread, so this thread may be any, one of another runtime, too.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = self.handle.enter();
        pollster::block_on(future)
    }

    /// Does what [`block_on`](Self::block_on) does, unless this is the background's own thread.
    pub(super) fn run<F: Future>(&self, future: F) -> Result<F::Output, CallError> {
        if thread::current().id() == self.thread {
            return Err(CallError::Layer(Arc::new(OwnThread)));
        }
        Ok(self.block_on(future))
    }
}
