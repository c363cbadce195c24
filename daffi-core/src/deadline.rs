//! Points in time that are so far away from now.

use std::time::Duration;

use tokio::time::Instant;

/// `after` from now; a time beyond all clocks is thirty years.
pub(crate) fn later(after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    Instant::now() + after.min(FAR)
}
