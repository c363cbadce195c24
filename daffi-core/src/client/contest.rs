//! Whose doing it is that a connection loses this node's name.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::deadline::later;

/// For how long what was sent of a HANDSHAKE may be on its way, or wait at a server that is slow.
/// Servers of this project give a connection 10 s to say it, unless they are set otherwise.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// HANDSHAKEs of this node that may yet take its name from a connection: those that were said while
/// it stands, or given up before it. One eviction counts as the doing of each, until its time is
/// over. One by another node of this name that comes beyond that is what it seems to be.
#[derive(Debug, Default)]
pub(super) struct Contest(Mutex<VecDeque<Instant>>);

impl Contest {
    /// Such a HANDSHAKE was said, or given up.
    pub(super) fn begin(&self) {
        let ends = &mut *self.0.lock();
        forget_past(ends);
        // They are given up one after another, so that there are few.
        ends.push_back(later(ON_ITS_WAY));
    }

    /// One of them has arrived, or was refused.
    pub(super) fn end_one(&self) {
        let ends = &mut *self.0.lock();
        forget_past(ends);
        ends.pop_front();
    }

    /// What was said before has no effect.
    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }

    pub(super) fn goes_on(&self) -> bool {
        let ends = &mut *self.0.lock();
        forget_past(ends);
        !ends.is_empty()
    }

    /// What the connection that is made next goes on with.
    pub(super) fn of_next(&self) -> Self {
        Self(Mutex::new(self.0.lock().clone()))
    }
}

fn forget_past(ends: &mut VecDeque<Instant>) {
    let now = Instant::now();
    ends.retain(|end| *end > now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_for_a_while_or_until_each_has_ended() {
        let contest = Contest::default();
        assert!(!contest.goes_on());
        contest.begin();
        contest.begin();
        let next = contest.of_next();
        contest.end_one();
        assert!(contest.goes_on());
        contest.end_one();
        assert!(!contest.goes_on() && next.goes_on());
        tokio::time::sleep(ON_ITS_WAY / 2).await;
        next.begin();
        tokio::time::sleep(ON_ITS_WAY / 2).await;
        assert!(next.goes_on());
        next.end_one();
        assert!(!next.goes_on(), "the first two are past");
    }
}
