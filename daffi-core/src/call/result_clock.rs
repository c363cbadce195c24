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
    /// The time that one result has.
    after: Option<Duration>,
    /// When the next has to be there, once that is known.
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ResultClock {
    /// `until`: when the first has to be there; `None`: its time begins as it is waited for.
    pub(super) const fn new(after: Option<Duration>, until: Option<Instant>) -> Self {
        Self { after, until, sleep: None }
    }

    pub(super) const fn after(&self) -> Option<Duration> {
        self.after
    }

    /// Another time from now on, for the next one, too.
    pub(super) fn set(&mut self, after: Option<Duration>) {
        *self = Self::new(after, after.map(later));
    }

    /// A result came.
    pub(super) const fn restart(&mut self) {
        self.until = None;
    }

    /// Ends with the time that is up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(after) = self.after else { return Poll::Pending };
        let until = *self.until.get_or_insert_with(|| later(after));
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).map(|()| after)
    }
}
