//! How long the next of several results may take.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use crate::deadline::{later, on_runtime};

/// The time of the next result. That of the first of a call counts from the call, that of a further
/// one from when it is waited for: a reader may take its time with the one before.
#[derive(Debug)]
pub(super) struct ResultClock {
    /// That of one result.
    each: Option<Duration>,
    /// When the next has to be there, and the time that it had, once that is known.
    next: Option<(Instant, Duration)>,
    /// That of the call, by which its receiver may find that it comes too late.
    of_call: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ResultClock {
    /// `first`: when the first has to be there, and the time that it has; `None`: its time begins
    /// as it is waited for. The first may have less time than `each`, where whoever waits for the
    /// call gives it less. `of_call`: the time that travels with the call.
    pub(super) const fn new(
        each: Option<Duration>,
        first: Option<(Instant, Duration)>,
        of_call: Option<Duration>,
    ) -> Self {
        Self { each, next: first, of_call, sleep: None }
    }

    /// The time that the next has, or that the call had.
    pub(super) fn time(&self) -> Option<Duration> {
        self.next.map(|(_, time)| time).or(self.each).or(self.of_call)
    }

    /// Another time from now on, for the next one, too.
    pub(super) fn set(&mut self, each: Option<Duration>) {
        *self = Self::new(each, each.map(|each| (later(each), each)), self.of_call);
    }

    /// A result came.
    pub(super) const fn restart(&mut self) {
        self.next = None;
    }

    /// Ends with the time that is up.
    ///
    /// `runtime`: whose timers it takes where none are at hand.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, runtime: &Handle) -> Poll<Duration> {
        if self.next.is_none() {
            self.next = self.each.map(|each| (later(each), each));
        }
        let Some((until, time)) = self.next else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| on_runtime(runtime, || Box::pin(sleep_until(until))));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).map(|()| time)
    }
}
