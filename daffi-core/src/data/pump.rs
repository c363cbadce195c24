//! Items on their way into DATA.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::task::coop;

use super::{
    Outflow, Stopped,
    pack::{Filled, PACK_BYTES, Pack},
};

/// What a pump holds, at most, beside an item that is larger.
pub(crate) const PUMP_COST: usize = 2 * PACK_BYTES;

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

/// Sends all items that `fill` puts into a pack, as far as the other end takes them. Items that are
/// ready travel together, and none waits for one that is not.
pub(crate) async fn pump<E>(
    outflow: &Outflow,
    mut fill: impl FnMut(&mut Context<'_>, &mut Pack) -> Filled<E>,
) -> Result<(), PumpError<E>> {
    let mut pack = Pack::default();
    loop {
        let filled = poll_fn(|cx| match fill(cx, &mut pack) {
            Filled::Waits if pack.is_empty() => Poll::Pending,
            filled => Poll::Ready(filled),
        });
        let filled = filled.await;
        if !pack.packed_bytes().is_empty() {
            outflow.send_packed(pack.packed_bytes()).await?;
            // A source that always has more lets others run all the same.
            coop::consume_budget().await;
        }
        if let Some(item) = pack.large() {
            outflow.send_item(item).await?;
        }
        pack.next();
        match filled {
            Filled::Enough | Filled::Waits => {}
            Filled::All => return Ok(()),
            Filled::Failed(error) => return Err(PumpError::Source(error)),
        }
    }
}
