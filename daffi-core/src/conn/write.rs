//! The half of a driver that writes what waits.

use std::task::{Context, Poll};

use bytes::Buf;
use daffi_transport::{Batch, LinkWriter};

use super::{
    Handler,
    driver::Driver,
    shutdown::Shutdown,
    slow_peer::Watch,
    timers::{Timer, now},
};
use crate::error::Disconnected;

pub(super) struct WriteSide {
    pub(super) writer: Box<dyn LinkWriter>,
    pub(super) batch: Batch,
    unflushed: bool,
    /// Other tasks that were ready have run and could add to what waits.
    yielded: bool,
    watch: Watch,
    /// Something was written since the clock of activity was set.
    wrote: bool,
    /// The peer took nothing the last time.
    stuck: bool,
}

impl WriteSide {
    pub(super) fn new(writer: Box<dyn LinkWriter>, watch: Watch) -> Self {
        Self { writer, batch: Batch::new(), unflushed: false, yielded: false, watch, wrote: false, stuck: false }
    }
}

impl<R: Handler> Driver<R> {
    /// Writes what waits. `Ok(true)`: nothing waits any more.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, queued_before: bool) -> Result<bool, Disconnected> {
        let side = &mut self.write;
        if self.shutdown != Shutdown::No {
            return Ok(!side.batch.has_remaining());
        }
        if queued_before && !side.batch.has_remaining() && !std::mem::replace(&mut side.yielded, true) {
            cx.waker().wake_by_ref();
            return Ok(false);
        }
        side.yielded = false;
        loop {
            if !side.batch.has_remaining() {
                self.conn.outbox.take(&mut side.batch);
                if !side.batch.has_remaining() {
                    break;
                }
            }
            match side.writer.poll_write(cx, &mut side.batch) {
                Poll::Ready(written) => {
                    let written = written?;
                    self.conn.outbox.on_written(written);
                    side.watch.moves(written);
                    side.unflushed = true;
                    side.wrote = true;
                    if std::mem::take(&mut side.stuck) {
                        // The kernel at the other end takes what fits; only its process makes room
                        // for more.
                        self.conn.signs.note_life();
                    }
                }
                Poll::Pending => return self.stalls().map(|()| false),
            }
        }
        if side.unflushed {
            match side.writer.poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return self.stalls().map(|()| false),
            }
            side.unflushed = false;
        }
        side.watch.rest();
        self.timers.clear(Timer::Write);
        self.note_activity();
        Ok(true)
    }

    /// Notes that the peer has something to take, and takes nothing now.
    pub(super) fn stalls(&mut self) -> Result<(), Disconnected> {
        self.write.stuck = true;
        self.conn.outbox.on_stall(&mut self.write.batch, self.write.writer.held_bytes());
        let at = self.write.watch.wait(self.conn.outbox.account(), false, now()).map_err(|slow| {
            Disconnected::SlowPeer { moved: slow.moved, within: slow.within, waiting: self.conn.outbox.bytes() }
        })?;
        self.timers.set(Timer::Write, at);
        self.note_activity();
        Ok(())
    }

    /// Notes that something was written, which the peer may not have seen for a while.
    pub(super) fn note_activity(&mut self) {
        if !self.write.wrote {
            return;
        }
        self.await_acknowledgement();
        if !self.timers.is_set(Timer::Active) {
            self.write.wrote = false;
            self.timers.set(Timer::Active, now() + self.times.linger);
        }
    }
}
