//! Items on their way into DATA.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::{coop, yield_now},
    time::Instant,
};

use super::{
    Outflow, Stopped,
    pack::{Filled, PACK_BYTES, Pack},
};

/// What a pump holds, at most, beside an item that is larger.
pub(crate) const PUMP_COST: usize = 2 * PACK_BYTES;

/// Once a source took so long for items that were ready, others run before it is asked for more:
/// the driver of its connection has what it gave to write.
const LONG: Duration = Duration::from_millis(1);

/// Why not all items were sent.
#[derive(Debug)]
pub(crate) enum PumpError<E> {
    /// Their source failed. What it gave before was sent.
    Source(E),
    /// Nobody takes them any more.
    Stopped,
}

impl<E> From<Stopped> for PumpError<E> {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// What a source took of its thread since others could run there.
#[derive(Debug, Default)]
pub(crate) struct Stint(Duration);

impl Stint {
    /// Counts the time that `work` takes.
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(begun.elapsed());
        done
    }

    fn add(&mut self, time: Duration) {
        self.0 = self.0.saturating_add(time);
    }

    /// Others run from here on.
    const fn end(&mut self) {
        self.0 = Duration::ZERO;
    }

    /// Lets others run if it was long.
    pub(crate) async fn give_way(&mut self) {
        if self.0 >= LONG {
            self.end();
            yield_now().await;
        }
    }
}

/// Sends all items that `fill` puts into a pack, as far as the other end takes them. Items that are
/// ready travel together, and none waits for one that is not.
pub(crate) async fn pump<E>(
    outflow: &Outflow,
    mut fill: impl FnMut(&mut Context<'_>, &mut Pack) -> Filled<E>,
) -> Result<(), PumpError<E>> {
    let (mut pack, mut stint) = (Pack::default(), Stint::default());
    loop {
        let filled = poll_fn(|cx| match fill(cx, &mut pack) {
            Filled::Waits if pack.is_empty() => {
                stint.end();
                Poll::Pending
            }
            filled => Poll::Ready(filled),
        });
        let filled = filled.await;
        stint.add(pack.took());
        if !pack.packed_bytes().is_empty() {
            outflow.send_packed(pack.packed_bytes()).await?;
            // A source that always has more lets others run all the same.
            coop::consume_budget().await;
        }
        if let Some(item) = pack.large() {
            outflow.send_item(item).await?;
        }
        pack.next();
        stint.give_way().await;
        match filled {
            Filled::Enough | Filled::Waits => {}
            Filled::All => return Ok(()),
            Filled::Failed(error) => return Err(PumpError::Source(error)),
        }
    }
}
