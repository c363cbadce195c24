//! The clocks of one connection: one table of deadlines, and the one timer that wakes its driver
//! for them.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::{
    task::unconstrained,
    time::{Sleep, sleep_until},
};

/// The time as the runtime has it, which tests may stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The handshake must be done.
    Handshake,
    /// An unfinished frame must have gone on.
    Read,
    /// The peer must have taken of what waits.
    Write,
    /// Reading goes on.
    Pause,
    /// The stream may be ended.
    Settle,
    /// The peer must have ended its stream too.
    Linger,
    /// The peer may not have seen all that was written.
    Active,
    /// The way to the peer is to be looked at.
    Way,
    /// The time of the handler.
    Handler,
}

impl Timer {
    const COUNT: usize = Self::Handler as usize + 1;
}

/// Deadlines by what they are for.
#[derive(Debug, Default)]
pub(super) struct Timers {
    all: [Option<Instant>; Timer::COUNT],
    /// One was set or cleared since the earliest was asked for.
    changed: bool,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.changed |= self.all[timer as usize] != Some(at);
        self.all[timer as usize] = Some(at);
    }

    pub(super) const fn clear(&mut self, timer: Timer) {
        if self.is_set(timer) {
            self.all[timer as usize] = None;
            self.changed = true;
        }
    }

    pub(super) const fn is_set(&self, timer: Timer) -> bool {
        self.all[timer as usize].is_some()
    }

    /// When it comes, if it is set.
    pub(super) const fn at(&self, timer: Timer) -> Option<Instant> {
        self.all[timer as usize]
    }

    /// Whether it was set and its time has come; then it is cleared.
    pub(super) fn is_due(&mut self, timer: Timer, now: Instant) -> bool {
        let due = self.all[timer as usize].is_some_and(|at| at <= now);
        if due {
            self.clear(timer);
        }
        due
    }

    /// Forgets the deadlines that only let a turn be taken, if they had come at `begun`, when this
    /// turn began: nobody may have looked at them, because the connection is not read any more, or
    /// not written to. Left there, they would wake the driver without end.
    pub(super) fn forget_seen(&mut self, begun: Instant) {
        for timer in [Timer::Read, Timer::Write, Timer::Pause, Timer::Settle] {
            self.is_due(timer, begun);
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.all.iter().flatten().min().copied()
    }

    /// Whether it may be another than when this was asked last.
    pub(super) const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.changed, false)
    }
}

/// Wakes a driver at the earliest of its deadlines.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The waker of the task to wake.
    waker: Option<Waker>,
}

impl Alarm {
    /// Whether it woke the driver, and was not set again since.
    pub(super) fn rang(&self) -> bool {
        self.sleep.as_ref().is_some_and(|sleep| sleep.is_elapsed())
    }

    /// Whether it is this task that it wakes.
    pub(super) fn is_set_for(&self, cx: &Context<'_>) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// Asks to be woken at `next`, or earlier; `Ready` says that it is time already.
    pub(super) fn poll(&mut self, next: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(next) = next.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        let is_set_for_task = self.is_set_for(cx);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if sleep.deadline() > next || sleep.is_elapsed() {
            sleep.as_mut().reset(next);
        } else if is_set_for_task {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        // A task that has used up its budget would be told to come again, and the timer not know
        // its waker, which is not offered again.
        pin!(unconstrained(sleep.as_mut())).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::coop;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_earliest_deadline_is_next() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        assert_eq!(timers.next(), None);
        timers.set(Timer::Handler, now + 3 * SECOND);
        timers.set(Timer::Pause, now + SECOND);
        assert_eq!(timers.next(), Some(now + SECOND));
        assert!(!timers.is_due(Timer::Pause, now) && timers.is_set(Timer::Pause));
        assert!(timers.is_due(Timer::Pause, now + SECOND) && !timers.is_set(Timer::Pause));
        assert!(!timers.is_due(Timer::Pause, now + SECOND));
        timers.set(Timer::Read, now + SECOND);
        timers.set(Timer::Write, now + 2 * SECOND);
        timers.forget_seen(now + SECOND);
        assert!(!timers.is_set(Timer::Read) && timers.is_set(Timer::Write) && timers.is_set(Timer::Handler));
        timers.clear(Timer::Write);
        timers.clear(Timer::Handler);
        assert_eq!(timers.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_alarm_wakes_for_an_earlier_deadline_too() {
        let (mut alarm, begun) = (Alarm::default(), now());
        let (later, earlier) = (begun + 60 * SECOND, begun + SECOND);
        let wait = |alarm: &mut Alarm, at, cx: &mut Context<'_>| alarm.poll(Some(at), cx);
        std::future::poll_fn(|cx| {
            assert!(wait(&mut alarm, later, cx).is_pending());
            assert!(wait(&mut alarm, later, cx).is_pending());
            wait(&mut alarm, earlier, cx)
        })
        .await;
        assert!(now() >= earlier && now() < later);
        std::future::poll_fn(|cx| alarm.poll(Some(later), cx)).await;
        assert!(now() >= later);
        assert!(futures::poll!(std::future::poll_fn(|cx| alarm.poll(None, cx))).is_pending());
    }

    /// As a turn of many reads leaves it, which is the last one for a while.
    #[tokio::test(start_paused = true)]
    async fn the_alarm_wakes_a_task_that_had_used_up_its_budget() {
        let (mut alarm, at) = (Alarm::default(), now() + SECOND);
        for at in [at, at + SECOND] {
            let rings = std::future::poll_fn(|cx| {
                if now() < at {
                    while coop::has_budget_remaining() {
                        let _used = pin!(coop::consume_budget()).poll(cx);
                    }
                }
                alarm.poll(Some(at), cx)
            });
            tokio::time::timeout_at((at + SECOND).into(), rings).await.unwrap();
        }
    }
}
