//! When what happens, in simulated time since the start.

use std::time::Duration;

use tokio::time::sleep;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The first call.
pub(crate) const CALLS_FROM: Duration = ms(200);

/// The last call, and the last fault.
pub(crate) const CALLS_UNTIL: Duration = ms(4_000);

/// No new fault from here on: the last began before [`CALLS_UNTIL`] and took [`LONGEST_FAULT`] at
/// most.
pub(crate) const CALM: Duration = ms(7_000);

/// All faults are over and all dead connections noticed; what is asked now must be answered.
pub(crate) const PROBE: Duration = ms(9_000);

/// Whoever could not be reached by then never will be.
pub(crate) const COMPARE: Duration = ms(10_500);

/// The first nodes stop.
pub(crate) const STOP: Duration = ms(10_600);

/// The others stop.
pub(crate) const STOP_LATER: Duration = ms(12_000);

/// Every host has ended.
pub(crate) const END: Duration = ms(18_000);

/// How long an end of a silent connection takes to notice. Operating systems take longer; nothing
/// here depends on it.
pub(crate) const KEEPALIVE: Duration = ms(1_500);

/// The longest fault.
pub(crate) const LONGEST_FAULT: u64 = 3_000;

/// Since the start, across crashes.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// Waits for a point of time. Cancel safe.
pub(crate) async fn until(time: Duration) {
    sleep(time.saturating_sub(now())).await;
}
