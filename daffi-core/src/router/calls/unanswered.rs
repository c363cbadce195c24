//! Calls that a receiver of level 3 leaves without an answer.
//!
//! A node of this project is asked by PING whether it lives. One of daffi 3.0.1 cannot be: its
//! process may be stopped for good, and its connection stands. So an operator may bound how long a
//! call to such a node stays open. All such calls of a Router have one timer: each caller keeps
//! them in the order in which they were made, and callers are looked at when their first is due.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use daffi_wire::{CallId, Shown};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{sleep, sleep_until},
};

use crate::{
    deadline::bound,
    refusal::Refusal,
    router::{Peer, RouterShared, stats::counted::now},
    session::{CallNote, OpenCalls, Unanswered},
};

/// Calls and callers that are looked at without a pause.
const STEPS: usize = 256;

/// The pause between two looks, so that thousands of callers do not wake the timer thousands of
/// times.
const PAUSE: Duration = Duration::from_millis(50);

/// How long calls to receivers of level 3 may be open.
#[derive(Debug)]
pub(crate) struct CallLimit {
    limit: Duration,
    /// Members with such calls, by the time at which their first is due and by connection. A member
    /// stands here once.
    callers: Mutex<BTreeMap<(Instant, u64), Weak<Peer>>>,
    /// There is a caller, and there was none.
    begun: Notify,
}

impl CallLimit {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit: bound(limit), callers: Mutex::default(), begun: Notify::new() }
    }

    /// A call of `caller` to a receiver of level 3.
    pub(crate) fn open(
        &self,
        calls: &mut OpenCalls,
        caller: &Arc<Peer>,
        (id, note): (CallId, CallNote),
        receiver: &Peer,
    ) -> Option<CallId> {
        let now = now();
        let number = calls.open_in_line(id, (receiver.asked_for(), &receiver.name), note, now)?;
        self.look_at(calls, caller, now);
        Some(number)
    }

    /// Has `caller` looked at when the call is due that was made then, unless it is looked at
    /// anyway.
    fn look_at(&self, calls: &mut OpenCalls, caller: &Arc<Peer>, since: Instant) {
        if calls.look().is_some() {
            return;
        }
        let due = since + self.limit;
        *calls.look() = Some(due);
        let mut callers = self.callers.lock();
        if callers.is_empty() {
            self.begun.notify_one();
        }
        callers.insert((due, caller.id()), Arc::downgrade(caller));
    }

    /// Ends calls of a member that is looked at, as many as there are `steps` for.
    pub(crate) fn take(
        &self,
        calls: &mut OpenCalls,
        caller: &Arc<Peer>,
        now: Instant,
        steps: &mut usize,
    ) -> Vec<Unanswered> {
        *calls.look() = None;
        let ended = now
            .checked_sub(self.limit)
            .map(|since| std::iter::from_fn(|| calls.take_unanswered(since, steps)).collect());
        if let Some(since) = calls.waits_since() {
            self.look_at(calls, caller, since);
        }
        ended.unwrap_or_default()
    }

    /// The connection of that member ended.
    pub(crate) fn forget(&self, calls: &mut OpenCalls, caller: u64) {
        if let Some(due) = calls.look().take() {
            self.callers.lock().remove(&(due, caller));
        }
    }

    /// A member of which a call is due.
    fn next_due(&self, now: Instant) -> Option<Arc<Peer>> {
        let mut callers = self.callers.lock();
        loop {
            let first = callers.first_entry().filter(|first| first.key().0 <= now)?;
            // A caller that has gone has no open calls.
            if let Some(caller) = first.remove().upgrade() {
                return Some(caller);
            }
        }
    }

    /// Waits until a call is due.
    async fn due(&self) {
        loop {
            let first = self.callers.lock().keys().next().map(|first| first.0);
            match first {
                Some(first) => return sleep_until(first.into()).await,
                None => self.begun.notified().await,
            }
        }
    }
}

/// Ends the calls of all members that receivers of level 3 leave without an answer.
pub(crate) async fn end_unanswered(shared: Arc<RouterShared>) {
    let Some(limit) = &shared.call_limit else { return };
    loop {
        tokio::select! {
            () = shared.server.life.cut.cancelled() => return,
            () = limit.due() => {}
        }
        if shared.end_due(limit) {
            // There are more callers, and others wait for this thread.
            yield_now().await;
        } else {
            sleep(PAUSE).await;
        }
    }
}

impl RouterShared {
    /// Ends some calls that are due. Whether there may be more.
    fn end_due(&self, limit: &CallLimit) -> bool {
        let (now, mut steps) = (now(), STEPS);
        while steps > 0 {
            steps -= 1;
            let Some(caller) = limit.next_due(now) else { return false };
            let _promise = caller.conn.promise_to_queue();
            for call in caller.take_unanswered(limit, now, &mut steps) {
                self.end_unanswered_call(limit, &caller, &call, now);
            }
        }
        true
    }

    fn end_unanswered_call(&self, limit: &CallLimit, caller: &Peer, call: &Unanswered, now: Instant) {
        let open = now.saturating_duration_since(call.since);
        let error = Refusal::Unanswered.error(format!(
            "{} has not answered for {open:.3?}, and the router {} ends calls to nodes of daffi 3.0.1 after {:?} \
             (level3_call_limit); it may have run, and an answer that still comes is dropped",
            call.receiver, self.server.name, limit.limit
        ));
        self.counters.unanswered_calls.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(caller = %Shown::name(&caller.name), receiver = %Shown::name(&call.receiver), ?open, "a call was not answered in time");
        self.refuse_call(caller, call.id, &call.receiver, "", &error);
    }
}
