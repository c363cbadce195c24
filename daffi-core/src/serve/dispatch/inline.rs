//! Callbacks that promise to be quick, run where their request was read.

use std::{
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use daffi_transport::BoxFuture;

use super::super::{
    callback::{Callback, Run},
    reply::Reply,
    request::Request,
    span::{run_async, run_plain},
};
use crate::conn::{Clock, TimedRun};

/// For arguments of this size or more the time that reading them takes is not counted as the
/// callback's.
const LARGE: usize = 16 * 1024;

/// How far a callback came where its request was read.
pub(crate) enum Ran {
    Done(Reply),
    /// The callback waits for something, and goes on as a task of its own.
    Waits(BoxFuture<'static, Reply>),
}

/// Runs a callback that has begun, an async one up to where it first waits.
pub(crate) fn run(callback: &Arc<Callback>, request: Request, clock: &mut Clock) -> Ran {
    match &callback.run {
        Run::Plain(run) => {
            let mut timed = Timed { callback, begun: clock.begin(), clock, returned: false };
            let reply = run_plain(run, request);
            timed.returned = true;
            Ran::Done(reply)
        }
        Run::Async(run) => {
            let large = request.body.bytes.len() >= LARGE;
            let mut future = run_async(run, request);
            if large {
                // Reading the arguments took its time.
                clock.interrupt();
            }
            let begun = clock.begin();
            let polled = future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
            if let Some(time) = clock.end(begun) {
                callback.note_on_reader(time, polled.is_ready());
            }
            match polled {
                Poll::Ready(reply) => Ran::Done(reply),
                Poll::Pending => Ran::Waits(future),
            }
        }
    }
}

/// Notes how long a plain function took, or that it panicked: what blocks in tokio's own terms
/// panics on a reader.
struct Timed<'a> {
    callback: &'a Callback,
    clock: &'a mut Clock,
    begun: TimedRun,
    returned: bool,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.callback.pace.distrust();
        } else if let Some(time) = self.clock.end(self.begun) {
            self.callback.note_on_reader(time, true);
        }
    }
}
