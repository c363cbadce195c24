//! Points in time, how far away they are, and times that no clock overflows by.

use std::time::Duration;

use tokio::time::Instant;

/// Thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A time that a user set, as far as clocks go: one beyond is thirty years.
pub(crate) fn bounded(time: Duration) -> Duration {
    time.min(FAR)
}

/// `after` from now; a time beyond all clocks is thirty years.
pub(crate) fn later(after: Duration) -> Instant {
    Instant::now() + bounded(after)
}

/// How long it is until then, in milliseconds and rounded up, as it travels with a call.
pub(crate) fn time_left_ms(deadline: Instant) -> u32 {
    let left = deadline.saturating_duration_since(Instant::now());
    u32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}
