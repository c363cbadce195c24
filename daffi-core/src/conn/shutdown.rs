//! How a connection ends in order.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use daffi_wire::Level;

use super::{
    Handler,
    driver::Driver,
    read::SLOW_BYTES,
    timers::{Timer, now},
};
use crate::error::Disconnected;

/// Between the last answer and the end of the stream, for a peer of 3.0.1: it forgets an answer
/// that its caller has not taken yet when the stream ends. 5 ms were enough where none at all lost
/// 17 of 20 answers; on a machine that has much to do its caller may have to wait for a processor.
/// Longer than this would keep others out of reach: a node that is restarted has to be back before
/// those of 3.0.1 who lost it try again, once, a second later.
const SETTLE: Duration = Duration::from_millis(250);

/// Between a refusal and the end of the stream, and between two looks whether the peer's host has
/// all that was written.
const SETTLE_LOOK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    No,
    /// The write side is being shut.
    Closing,
    /// The write side is shut; reads to the end of the stream.
    Lingering,
}

impl<R: Handler> Driver<R> {
    /// Ends in order: all is written, the write side shut, the stream read to its end, so that no
    /// reply is destroyed by a reset. A peer that was sent nothing of late has nothing to lose, and
    /// is not waited for.
    pub(super) fn wind_up(
        &mut self,
        cx: &mut Context<'_>,
        idle: bool,
        reason: Disconnected,
    ) -> Result<Option<Disconnected>, Disconnected> {
        if self.shutdown == Shutdown::No {
            if !idle || !self.is_settled(&reason) {
                return Ok(None);
            }
            if !R::SERVES {
                // The system counts the end of the stream as well, which is nobody's request.
                self.before_the_end = Some(self.way.unacknowledged_bytes().unwrap_or(0));
            }
            self.shutdown = Shutdown::Closing;
        }
        if self.shutdown == Shutdown::Closing {
            match self.write.writer.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => {
                    let of_late = self.timers.is_set(Timer::Active) || self.settles_until.is_some();
                    let busy = of_late && !self.conn.has_settled();
                    self.timers.set(Timer::Linger, now() + if busy { self.times.linger } else { Duration::ZERO });
                    self.shutdown = Shutdown::Lingering;
                }
                Poll::Ready(Err(_)) => {
                    self.was_reset = true;
                    return Ok(Some(reason));
                }
                Poll::Pending => return self.stalls().map(|()| None),
            }
        }
        loop {
            match self.read.reader.poll_fill(cx, SLOW_BYTES) {
                Poll::Pending if !self.timers.is_due(Timer::Linger, now()) => return Ok(None),
                Poll::Pending | Poll::Ready(Ok(0)) => return Ok(Some(reason)),
                Poll::Ready(Err(_)) => {
                    self.was_reset = true;
                    return Ok(Some(reason));
                }
                Poll::Ready(Ok(_)) => loop {
                    match self.read.reader.next_frame() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => return Ok(Some(reason)),
                    }
                },
            }
            self.count_unfinished(0);
            let account = self.conn.inbound.account();
            if account.held_bytes() > account.share() || self.timers.is_due(Timer::Linger, now()) {
                return Ok(Some(reason));
            }
        }
    }

    /// Whether a node that stops, or refuses a peer, may end the stream now: a peer of 3.0.1 has
    /// had time for what was written last, and its host has it, as far as that is known. So nothing
    /// is left that a reset could destroy.
    pub(super) fn is_settled(&mut self, reason: &Disconnected) -> bool {
        if self.conn.has_settled() {
            return true;
        }
        let settle = match reason {
            Disconnected::Stopped if self.handler.is_open() => SETTLE,
            // The reason why it was not let in is all that it hears.
            Disconnected::Refused(_) => SETTLE_LOOK,
            _ => return true,
        };
        let quiet = self.settles_until.is_none() && !self.timers.is_set(Timer::Active);
        if self.conn.level().at_least(Level::FOUR) || quiet {
            return true;
        }
        let now = now();
        let settles_until = *self.settles_until.get_or_insert_with(|| {
            self.timers.set(Timer::Settle, now + settle);
            now + settle + self.times.linger
        });
        if self.timers.is_set(Timer::Settle) && !self.timers.is_due(Timer::Settle, now) {
            return false;
        }
        if self.way.unacknowledged_bytes().is_some_and(|bytes| bytes > 0) && now < settles_until {
            self.timers.set(Timer::Settle, now + SETTLE_LOOK);
            return false;
        }
        true
    }
}
