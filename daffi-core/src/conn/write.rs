//! The half of a driver that writes what waits.

use std::task::{Context, Poll, Waker};

use bytes::Buf;
use daffi_transport::{Batch, LinkWriter};
use daffi_wire::Level;

use super::{
    Handler,
    driver::Driver,
    shutdown::Shutdown,
    slow_peer::PaceWatch,
    timers::{Timer, now},
};
use crate::error::Disconnected;

/// Bytes that links hold back which do not tell how much they hold: as much as TLS does.
const HELD_BACK: usize = 64 * 1024;

pub(super) struct WriteSide {
    pub(super) writer: Box<dyn LinkWriter>,
    pub(super) batch: Batch,
    /// Bytes that were written since the last flush that ended.
    pub(super) unflushed: usize,
    company: Company,
    watch: PaceWatch,
    /// Something was written since the clock of activity was set.
    wrote: bool,
    /// The peer took nothing the last time.
    stuck: bool,
}

/// Whether other ready tasks have their turn to add to what waits before it is written.
///
/// Where nothing comes of it, the additional turn is a good part of what a lone call costs. So
/// they have it as long as something does, and now and then else.
#[derive(Debug, Default)]
struct Company {
    /// What waited when the others got their turn.
    awaited: Option<usize>,
    /// Times in a row in which nothing was added.
    alone: u8,
}

impl Company {
    /// The number of times in a row that others may add nothing before they are seldom asked.
    const PATIENCE: u8 = 4;

    /// From then on they are asked once in this many times.
    const PAUSE: u8 = 16;

    /// Whether others should have a turn before `waiting` bytes are written, which they queued.
    fn is_awaited(&mut self, waiting: usize) -> bool {
        if let Some(before) = self.awaited.take() {
            self.alone = if waiting > before { 0 } else { self.alone.saturating_add(1) };
            return false;
        }
        if self.alone >= Self::PATIENCE {
            self.alone = if self.alone == Self::PATIENCE + Self::PAUSE { Self::PATIENCE - 1 } else { self.alone + 1 };
            return false;
        }
        self.awaited = Some(waiting);
        true
    }
}

impl WriteSide {
    pub(super) fn new(writer: Box<dyn LinkWriter>, watch: PaceWatch) -> Self {
        Self {
            writer,
            batch: Batch::new(),
            unflushed: 0,
            company: Company::default(),
            watch,
            wrote: false,
            stuck: false,
        }
    }

    /// Bytes that were written and lie in the link, which cannot send them on, at the most.
    pub(super) fn held_back_bytes(&mut self) -> usize {
        if self.unflushed == 0 {
            return 0;
        }
        // Nobody runs any more who could be woken.
        match self.writer.poll_flush(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => 0,
            Poll::Ready(Err(_)) | Poll::Pending => self.unflushed.min(self.writer.held_bytes().max(HELD_BACK)),
        }
    }
}

impl<R: Handler> Driver<R> {
    /// Writes what waits. `Ok(true)`: nothing waits any more.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, queued_before: bool) -> Result<bool, Disconnected> {
        let side = &mut self.write;
        if self.shutdown != Shutdown::No {
            return Ok(!side.batch.has_remaining());
        }
        if !side.batch.has_remaining() && side.unflushed == 0 && !self.conn.outbox.is_waiting() {
            return Ok(true);
        }
        if queued_before && !side.batch.has_remaining() && side.company.is_awaited(self.conn.outbox.bytes()) {
            cx.waker().wake_by_ref();
            return Ok(false);
        }
        loop {
            if !side.batch.has_remaining() && !self.conn.outbox.take(&mut side.batch) {
                break;
            }
            match side.writer.poll_write(cx, &mut side.batch) {
                Poll::Ready(written) => {
                    let written = written?;
                    let is_all = self.conn.outbox.on_written(written, &mut side.batch);
                    side.watch.moves(written);
                    side.unflushed += written;
                    side.wrote = true;
                    if std::mem::take(&mut side.stuck) {
                        // The kernel at the other end takes what fits; only its process makes room
                        // for more.
                        self.conn.signs.note_life();
                    }
                    if is_all {
                        break;
                    }
                }
                Poll::Pending => return self.stalls().map(|()| false),
            }
        }
        if side.unflushed > 0 {
            match side.writer.poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return self.stalls().map(|()| false),
            }
            side.unflushed = 0;
        }
        side.watch.rest();
        self.timers.clear(Timer::Write);
        self.note_activity();
        Ok(true)
    }

    /// Notes that the peer has something to take, and takes nothing now.
    pub(super) fn stalls(&mut self) -> Result<(), Disconnected> {
        self.write.stuck = true;
        let outbox = &self.conn.outbox;
        outbox.on_stall(&mut self.write.batch, self.write.writer.held_bytes());
        self.note_activity();
        if !R::SERVES && self.conn.level().at_least(Level::FOUR) {
            // A server may hold its client back for as long as callbacks take, and says meanwhile
            // that it lives: who does not is found by that.
            return Ok(());
        }
        let (outbox, way) = (&self.conn.outbox, &mut self.way);
        let mut taken = || way.taken_bytes(outbox.bytes_written());
        let waited = self.write.watch.wait(outbox.account(), false, now(), Some(&mut taken));
        let at = waited.map_err(|slow| Disconnected::SlowPeer {
            moved: slow.moved,
            within: slow.within,
            waiting: self.conn.outbox.bytes(),
        })?;
        self.timers.set(Timer::Write, at);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of so many writes: whether others had their turn before each.
    fn write_often(company: &mut Company, writes: usize, added: usize) -> Vec<bool> {
        let write = |_| {
            let waits = company.is_awaited(100);
            assert!(!waits || !company.is_awaited(100 + added), "one turn is enough");
            waits
        };
        (0..writes).map(write).collect()
    }

    #[test]
    fn others_have_their_turn_as_long_as_something_comes_of_it() {
        let mut company = Company::default();
        assert!(write_often(&mut company, 100, 1).into_iter().all(|waits| waits));
        let alone = write_often(&mut company, 100, 0);
        assert!(alone[..Company::PATIENCE.into()].iter().all(|waits| *waits));
        let turns = alone.iter().filter(|waits| **waits).count();
        assert!((5..=12).contains(&turns), "now and then: {turns} of 100");
        let found = write_often(&mut company, 100, 1).into_iter().skip_while(|waits| !waits);
        assert!(found.count() >= 100 - usize::from(Company::PAUSE) - 2, "it is found again soon, and then each time");
    }
}
