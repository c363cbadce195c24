//! Points in time, how far away they are, and times that no clock overflows by.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    time::{Instant, error::Elapsed, timeout_at},
};

/// A node that looks at a clock so much later than it meant to was stopped or suspended itself: the
/// silence may be its own.
pub(crate) const LATE: Duration = Duration::from_secs(2);

/// Thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A time that a user set, as far as clocks go: one beyond is thirty years.
pub(crate) fn bound(time: Duration) -> Duration {
    time.min(FAR)
}

/// The moment `after` from now. A time beyond all clocks counts as thirty years.
pub(crate) fn later(after: Duration) -> Instant {
    Instant::now() + bound(after)
}

/// A time in milliseconds, rounded up, as it travels with a call.
pub(crate) fn in_ms(left: Duration) -> u32 {
    u32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// What the future gives within this time, which begins anew when this process itself comes late to
/// look: what it waits for may have come meanwhile, or be a few steps away.
pub(crate) async fn in_time<T>(within: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    loop {
        let until = later(within);
        match timeout_at(until, &mut future).await {
            Err(_) if until.elapsed() > LATE => {}
            ended => return ended,
        }
    }
}

/// Does what needs tokio's timers: on the runtime that polls, or on `runtime` where an executor of
/// another library does.
pub(crate) fn on_runtime<T>(runtime: &Handle, work: impl FnOnce() -> T) -> T {
    let _entered = Handle::try_current().is_err().then(|| runtime.enter());
    work()
}

pin_project! {
    /// A future that needs tokio's timers, and may be polled without them.
    pub(crate) struct OnRuntime<F> {
        runtime: Handle,
        #[pin]
        future: F,
    }
}

impl<F> OnRuntime<F> {
    pub(crate) fn new(runtime: &Handle, future: F) -> Self {
        Self { runtime: runtime.clone(), future }
    }
}

impl<F: Future> Future for OnRuntime<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        on_runtime(this.runtime, || this.future.poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::Notify,
        time::{advance, sleep},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_time_of_a_process_that_runs_counts() {
        let within = Duration::from_secs(10);
        let begun = Instant::now();
        assert!(in_time(within, std::future::pending::<()>()).await.is_err());
        assert_eq!(begun.elapsed(), within);
        // What it waits for takes one more step after the process was stopped.
        let step = Notify::new();
        let waits = in_time(within, async {
            step.notified().await;
            sleep(Duration::from_secs(1)).await;
        });
        let mut waits = pin!(waits);
        assert!(futures::poll!(waits.as_mut()).is_pending());
        advance(Duration::from_secs(600)).await;
        step.notify_one();
        assert!(waits.await.is_ok());
    }
}
