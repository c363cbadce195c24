//! What a Router counts of one member.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::counted::now;
use crate::stats::seconds;

/// What one member sent and answered. Only its own connection adds to most of it, so that adding
/// costs no more than in a plain number.
#[derive(Debug)]
pub(crate) struct Traffic {
    since: Instant,
    /// Requests of it, with and without an answer.
    requests: AtomicU64,
    /// Calls that it answered, how many of them with an error, and how long those took from the
    /// Router and back that were timed.
    answers: AtomicU64,
    errors: AtomicU64,
    timed: AtomicU64,
    nanos: AtomicU64,
    /// Calls of it that the Router refused, from whichever thread.
    refused: AtomicU64,
    /// How often its name passed to a newer connection, up to this one, each time from one that had
    /// not kept it for [`LONG_KEPT`].
    takeovers: AtomicU64,
}

/// What was counted of one member of a Router so far, and how things stand with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemberStats {
    /// Its name.
    pub name: String,
    /// The level that it speaks: 3 is daffi 3.0.1.
    pub level: u8,
    /// Where it connected from.
    pub address: String,
    /// How long it has been connected.
    #[serde(serialize_with = "seconds")]
    pub age: Duration,
    /// It gives no sign of life although it was asked for one: its process may be stopped.
    pub is_stopped: bool,
    /// It is held back: read slowly or not at all, because too much is held of what it sent, or it
    /// does not take what waits for it.
    pub is_held_back: bool,
    /// How many callbacks it exposes.
    pub callbacks: usize,
    /// The first of them, at most 50 and 2 KiB of names.
    pub some_callbacks: Vec<String>,
    /// Requests that it made, with an answer and without.
    pub requests: u64,
    /// Calls that it made and that are open now.
    pub open_calls: usize,
    /// Calls of it that the Router answered with an error.
    pub refused_calls: u64,
    /// Calls that it answered.
    pub answers: u64,
    /// Calls that it answered with an error.
    pub errors: u64,
    /// Answered calls that were timed: all, unless there are many.
    pub timed_answers: u64,
    /// How long the timed ones took together, from the Router to it and back.
    #[serde(serialize_with = "seconds")]
    pub answering: Duration,
    /// Calls that it may still answer, those included that their callers gave up.
    pub asked: usize,
    /// Bytes that wait to be sent to it.
    pub queued_bytes: usize,
    /// Bytes that are held of what it sent.
    pub held_bytes: usize,
    /// Nowait requests of it that wait for their receiver.
    pub held_requests: usize,
    /// How often this name passed to a newer connection while the older one was there, each time
    /// within a minute: two nodes that have one name take it from each other. 0 once it was kept
    /// for a minute.
    pub takeovers: u64,
}

/// Whoever has kept a name for so long has it in peace. Nodes of one name come again within 30 s.
const LONG_KEPT: Duration = Duration::from_secs(60);

impl MemberStats {
    /// The ways in which members are weighed where not all are told of.
    pub(crate) const WAYS: [fn(&Self) -> u64; 9] = [
        |node| if node.is_stopped { 1 + node.asked as u64 } else { 0 },
        // A name passes on once when its node connects anew before the Router found it gone.
        |node| if node.takeovers >= 2 { node.takeovers } else { 0 },
        |node| node.asked as u64,
        |node| node.open_calls as u64,
        |node| (node.queued_bytes + node.held_bytes) as u64,
        |node| node.held_requests as u64,
        |node| node.refused_calls,
        |node| {
            let nanos = u64::try_from(node.answering.as_nanos()).unwrap_or(u64::MAX);
            nanos.checked_div(node.timed_answers).unwrap_or(0)
        },
        |node| node.answers.saturating_add(node.requests),
    ];
}

impl Traffic {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            since: now(),
            requests: zero(),
            answers: zero(),
            errors: zero(),
            timed: zero(),
            nanos: zero(),
            refused: zero(),
            takeovers: zero(),
        }
    }

    /// The member made a request. Called by its own connection alone.
    #[inline]
    pub(crate) fn note_request(&self) {
        add(&self.requests, 1);
    }

    /// The member answered a call. Called by its own connection alone.
    #[inline]
    pub(crate) fn note_answer(&self, nanos: Option<u64>, is_error: bool) {
        add(&self.answers, 1);
        if let Some(nanos) = nanos {
            add(&self.timed, 1);
            add(&self.nanos, nanos);
        }
        if is_error {
            add(&self.errors, 1);
        }
    }

    pub(crate) fn note_refusal(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// The member took the name of `older`.
    pub(crate) fn take_over(&self, older: &Self) {
        self.takeovers.store(older.recent_takeovers() + 1, Relaxed);
    }

    fn age(&self) -> Duration {
        now().saturating_duration_since(self.since)
    }

    fn recent_takeovers(&self) -> u64 {
        if self.age() < LONG_KEPT { self.takeovers.load(Relaxed) } else { 0 }
    }

    /// What is counted here; the rest is for others to fill in.
    pub(crate) fn tell(&self) -> MemberStats {
        MemberStats {
            age: self.age(),
            requests: self.requests.load(Relaxed),
            answers: self.answers.load(Relaxed),
            errors: self.errors.load(Relaxed),
            timed_answers: self.timed.load(Relaxed),
            answering: Duration::from_nanos(self.nanos.load(Relaxed)),
            refused_calls: self.refused.load(Relaxed),
            takeovers: self.recent_takeovers(),
            ..MemberStats::default()
        }
    }
}

/// Adds to what one thread at a time adds to.
#[inline]
fn add(to: &AtomicU64, more: u64) {
    to.store(to.load(Relaxed).wrapping_add(more), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_that_was_kept_for_long_is_not_fought_over() {
        let (first, second) = (Traffic::new(), Traffic::new());
        second.take_over(&first);
        assert_eq!(second.tell().takeovers, 1);
        let third = Traffic::new();
        third.take_over(&second);
        assert_eq!(third.tell().takeovers, 2);
        tokio::time::advance(LONG_KEPT).await;
        assert_eq!(third.tell().takeovers, 0);
        let fourth = Traffic::new();
        fourth.take_over(&third);
        assert_eq!(fourth.tell().takeovers, 1, "an old fight does not count");
    }
}
