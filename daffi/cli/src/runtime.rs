//! What a command runs on, and what is wrong where there is none to be had.

use std::{
    io,
    num::NonZeroUsize,
    thread::{self, available_parallelism},
};

use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, lack};

/// Pipes, of two files each, that a runtime, its signals and one connection take.
const PIPES: usize = 4;

/// On this thread alone, or on as many as there are cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    All,
}

/// The runtime panics where the system has no files or threads for it, so they are looked for
/// before.
pub(crate) fn runtime(threads: Threads) -> Result<Runtime, Failure> {
    let workers = available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder = match threads {
        Threads::One => Builder::new_current_thread(),
        Threads::All => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_all();
    let built = room_for_files().and_then(|()| match threads {
        Threads::One => builder.build(),
        Threads::All => room_for_threads(workers).and_then(|()| builder.build()),
    });
    built.map_err(|error| Failure::Failed(format!("the command cannot be started: {error}{}", lack(&error))))
}

fn room_for_files() -> io::Result<()> {
    (0..PIPES).map(|_| io::pipe()).collect::<Result<Vec<_>, _>>().map(drop)
}

fn room_for_threads(count: usize) -> io::Result<()> {
    let waiting: Vec<_> = (0..count).map(|_| thread::Builder::new().spawn(thread::park)).collect();
    waiting.into_iter().try_for_each(|thread| {
        let thread = thread?;
        thread.thread().unpark();
        let _nothing_fails_in_it = thread.join();
        Ok(())
    })
}
