//! How long the next of several results may take.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::deadline::later;

/// The time of the next result. That of the first of a call counts from the call, that of a further
/// one from when it is waited for: a reader may take its time with the one before.
#[derive(Debug)]
pub(super) struct ResultClock {
    /// That of one result.
    each: Option<Duration>,
    /// When the next has to be there, and the time that it had, once that is known.
    next: Option<(Instant, Duration)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ResultClock {
    /// `first`: when the first has to be there, and the time that it has; `None`: its time begins
    /// as it is waited for. The first may have less time than `each`, where whoever waits for the
    /// call gives it less.
    pub(super) const fn new(each: Option<Duration>, first: Option<(Instant, Duration)>) -> Self {
        Self { each, next: first, sleep: None }
    }

    /// The time that the next has.
    pub(super) fn time(&self) -> Option<Duration> {
        self.next.map(|(_, time)| time).or(self.each)
    }

    /// Another time from now on, for the next one, too.
    pub(super) fn set(&mut self, each: Option<Duration>) {
        *self = Self::new(each, each.map(|each| (later(each), each)));
    }

    /// A result came.
    pub(super) const fn restart(&mut self) {
        self.next = None;
    }

    /// Ends with the time that is up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        if self.next.is_none() {
            self.next = self.each.map(|each| (later(each), each));
        }
        let Some((until, time)) = self.next else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).map(|()| time)
    }
}
