//! Items on their way into DATA.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::BytesMut;
use daffi_wire::PackedItems;
use tokio::task::coop;

use super::{Outflow, Stopped};

/// Small items that are ready travel together, in frames of about this size.
pub(super) const PACK_BYTES: usize = 16 * 1024;

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

/// What a source wrote when it was asked for an item.
pub(crate) type PolledItem<E> = Poll<Option<Result<(), E>>>;

/// Sends all items that `next` writes, as far as the other end takes them. Items that are ready
/// travel together, and none waits for one that is not.
pub(crate) async fn pump<E>(
    outflow: &Outflow,
    mut next: impl FnMut(&mut Context<'_>, &mut BytesMut) -> PolledItem<E>,
) -> Result<(), PumpError<E>> {
    let (mut item, mut pack) = (BytesMut::new(), BytesMut::new());
    loop {
        item.clear();
        let polled = poll_fn(|cx| match next(cx, &mut item) {
            Poll::Pending if !pack.is_empty() => Poll::Ready(Poll::Pending),
            polled => polled.map(Poll::Ready),
        })
        .await;
        let came = matches!(polled, Poll::Ready(Some(Ok(()))));
        let is_small = came && item.len() < PACK_BYTES;
        if is_small {
            PackedItems::put(&mut pack, &item);
        }
        if !pack.is_empty() && (!is_small || pack.len() >= PACK_BYTES) {
            outflow.send_packed(&pack).await?;
            pack.clear();
            // A source that always has more lets others run all the same.
            coop::consume_budget().await;
        }
        match polled {
            Poll::Ready(Some(Ok(()))) if !is_small => outflow.send_item(&item).await?,
            Poll::Ready(Some(Ok(()))) | Poll::Pending => {}
            Poll::Ready(Some(Err(error))) => return Err(PumpError::Source(error)),
            Poll::Ready(None) => return Ok(()),
        }
    }
}
