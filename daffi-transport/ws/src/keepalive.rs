//! Finding out that a peer is gone.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

use crate::sink::Sink;

/// When a silent peer is pinged, and when it is given up.
///
/// Anything that comes from the peer is a sign of life, a pong or a part of a long message. Time in
/// which the node does not read from the peer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence after which the peer is pinged. Default: 20 seconds, less than what proxies allow.
    pub interval: Duration,
    /// Further silence after which the connection is ended, from when the ping could be sent.
    /// Default: 20 seconds.
    pub patience: Duration,
}

impl Keepalive {
    /// No pings: a peer that is silent is never given up for it.
    #[must_use]
    pub const fn off() -> Self {
        Self { interval: Duration::MAX, patience: Duration::MAX }
    }

    /// Whether a connection could live with these times.
    ///
    /// # Errors
    /// [`KeepaliveError`] for a time of 0: without an `interval` the peer would be pinged all the
    /// time, and without `patience` each quiet connection be ended before a pong can come.
    pub const fn check(self) -> Result<Self, KeepaliveError> {
        match self {
            Self { interval: Duration::ZERO, .. } => Err(KeepaliveError { field: "interval" }),
            Self { patience: Duration::ZERO, .. } => Err(KeepaliveError { field: "patience" }),
            times => Ok(times),
        }
    }
}

/// A time of a [`Keepalive`] that is over at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "the {field} of the keepalive of WebSockets is 0s, and would be over at once: choose a longer time, or Keepalive::off() \
     for no pings"
)]
pub struct KeepaliveError {
    /// The field of [`Keepalive`].
    pub field: &'static str,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(20), patience: Duration::from_secs(20) }
    }
}

/// Thirty years, beyond which clocks overflow.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The keepalive of one link.
pub(crate) struct PingPulse {
    times: Keepalive,
    heard: Instant,
    asked: Asked,
    next: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    /// The ping waits behind what the peer has not taken.
    Queued,
    Sent,
}

impl PingPulse {
    pub(crate) fn new(Keepalive { interval, patience }: Keepalive) -> Self {
        let times = Keepalive { interval: interval.min(FAR), patience: patience.min(FAR) };
        Self { times, heard: Instant::now(), asked: Asked::No, next: Box::pin(sleep(times.interval)) }
    }

    /// Something came from the peer.
    pub(crate) fn on_heard(&mut self) {
        self.heard = Instant::now();
        self.asked = Asked::No;
    }

    /// Is called when nothing can be read. Ready: the peer is silent for this long although it was
    /// pinged.
    pub(crate) fn poll_silence(&mut self, cx: &mut Context<'_>, sink: &mut Sink) -> Poll<io::Result<Duration>> {
        loop {
            ready!(self.next.as_mut().poll(cx));
            let now = Instant::now();
            let due = self.heard + self.times.interval;
            if self.asked == Asked::No && now < due {
                self.next.as_mut().reset(due);
                continue;
            }
            match self.asked {
                Asked::Sent => return Poll::Ready(Ok(now - self.heard)),
                Asked::Queued => {}
                Asked::No => {
                    sink.ping();
                    sink.see_to_controls(cx)?;
                }
            }
            self.asked = if sink.holds_ping() { Asked::Queued } else { Asked::Sent };
            self.next.as_mut().reset(now + self.times.patience);
        }
    }
}
