//! Points in time, how far away they are, and times that no clock overflows by.

use std::time::Duration;

use tokio::time::Instant;

/// Thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A time that a user set, as far as clocks go: one beyond is thirty years.
pub(crate) fn bounded(time: Duration) -> Duration {
    time.min(FAR)
}

/// The moment `after` from now. A time beyond all clocks counts as thirty years.
pub(crate) fn later(after: Duration) -> Instant {
    Instant::now() + bounded(after)
}

/// A time in milliseconds, rounded up, as it travels with a call.
pub(crate) fn in_ms(left: Duration) -> u32 {
    u32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}
