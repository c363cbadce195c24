//! Small items on their way into one frame.

use std::{task::Poll, time::Duration};

use bytes::{BufMut, BytesMut};
use daffi_wire::PackedItems;
use tokio::time::Instant;

/// Small items that are ready travel together, each with its length, in at most so many bytes. A
/// sender waits for no more of its window than this, which its reader tells it of in any case.
pub(super) const PACK_BYTES: usize = 16 * 1024;

/// What a source gave in this time travels together. A source that always has more but takes long
/// for each holds none of them back for longer, and lets others run.
const PACK_TIME: Duration = Duration::from_micros(100);

/// The clock is read after so many items, and before that whenever they have doubled: reading it
/// costs as much as a small item.
const ITEMS_PER_LOOK: u32 = 32;

/// What a source wrote when it was asked for an item.
type PolledItem<E> = Poll<Option<Result<(), E>>>;

/// Why no further items are put into a [`Pack`].
#[derive(Debug)]
pub(crate) enum Filled<E> {
    /// It has enough, and its source may have more.
    Enough,
    /// The source has none at the moment, and wakes the task when it has.
    Waits,
    /// These were all.
    All,
    /// The source failed.
    Failed(E),
}

/// Items that are ready, written where they travel: small ones, each behind its length, and behind
/// them at most one for which there was no room.
#[derive(Debug, Default)]
pub(crate) struct Pack {
    bytes: BytesMut,
    /// Bytes of the small ones that are whole, at most [`PACK_BYTES`]. What stands behind them is
    /// the one without room, or was begun by a source that failed.
    packed: usize,
    over: Option<Over>,
    /// How long the last filling took.
    took: Duration,
}

/// What an item is for which a [`Pack`] had no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// It is the first in the next one.
    Small,
    /// It travels alone.
    Large,
}

impl Pack {
    /// Puts in what `next` writes to the end of a buffer, item by item, until that is enough for a
    /// frame, took long, or there is no more.
    pub(crate) fn fill<E>(&mut self, next: impl FnMut(&mut BytesMut) -> PolledItem<E>) -> Filled<E> {
        let begun = Instant::now();
        let filled = self.fill_since(begun, next);
        self.took = begun.elapsed();
        filled
    }

    /// How long the last [`fill`](Self::fill) took.
    pub(crate) const fn took(&self) -> Duration {
        self.took
    }

    fn fill_since<E>(&mut self, begun: Instant, mut next: impl FnMut(&mut BytesMut) -> PolledItem<E>) -> Filled<E> {
        let mut items = 0_u32;
        while self.packed < PACK_BYTES {
            // In the place of its length, which is not known yet.
            self.bytes.put_u8(0);
            match next(&mut self.bytes) {
                Poll::Ready(Some(Ok(()))) => {}
                Poll::Ready(Some(Err(error))) => return Filled::Failed(error),
                Poll::Ready(None) => return Filled::All,
                Poll::Pending => {
                    self.bytes.truncate(self.packed);
                    return Filled::Waits;
                }
            }
            let cost = PackedItems::cost(self.bytes.len() - self.packed - 1);
            if self.packed + cost > PACK_BYTES {
                self.over = Some(if cost > PACK_BYTES { Over::Large } else { Over::Small });
                break;
            }
            self.take_in();
            items += 1;
            let looks = items.is_multiple_of(ITEMS_PER_LOOK) || items < ITEMS_PER_LOOK && items.is_power_of_two();
            if looks && begun.elapsed() >= PACK_TIME {
                break;
            }
        }
        Filled::Enough
    }

    /// The item behind the others is one of them.
    fn take_in(&mut self) {
        PackedItems::put_length(&mut self.bytes, self.packed);
        self.packed = self.bytes.len();
    }

    /// The small items, each behind its length.
    pub(super) fn packed_bytes(&self) -> &[u8] {
        &self.bytes[..self.packed]
    }

    /// The item behind them that travels alone.
    pub(super) fn large(&self) -> Option<&[u8]> {
        (self.over == Some(Over::Large)).then(|| &self.bytes[self.packed + 1..])
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.packed == 0 && self.over.is_none()
    }

    /// Begins the next frame, with the small item for which this one had no room.
    pub(super) fn next(&mut self) {
        let sent = std::mem::take(&mut self.packed);
        if self.over.take() == Some(Over::Small) {
            self.bytes.copy_within(sent.., 0);
            self.bytes.truncate(self.bytes.len() - sent);
            self.take_in();
        } else {
            self.bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a source does when it is asked for an item.
    type Step = Poll<Option<Result<Vec<u8>, &'static str>>>;

    fn fill(pack: &mut Pack, steps: impl IntoIterator<Item = Step>) -> Filled<&'static str> {
        let mut steps = steps.into_iter();
        pack.fill(|out| {
            steps.next().expect("it is asked no more once it gave no item").map(|next| {
                next.map(|item| {
                    // What it wrote before it failed is of no item.
                    out.put_slice(b"half");
                    let item = item?;
                    out.truncate(out.len() - 4);
                    out.put_slice(&item);
                    Ok(())
                })
            })
        })
    }

    fn items(pack: &Pack) -> Vec<Vec<u8>> {
        let all = PackedItems::new(bytes::Bytes::copy_from_slice(pack.packed_bytes()));
        all.map(|item| item.unwrap().to_vec()).collect()
    }

    fn item(bytes: usize) -> Step {
        Poll::Ready(Some(Ok(vec![7; bytes])))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_is_there_and_no_more() {
        let mut pack = Pack::default();
        assert!(matches!(fill(&mut pack, [item(1), item(0), item(200), Poll::Pending]), Filled::Waits));
        assert_eq!((items(&pack), pack.large()), (vec![vec![7], vec![], vec![7; 200]], None));
        pack.next();
        assert!(matches!(fill(&mut pack, [Poll::Pending]), Filled::Waits));
        assert!(pack.is_empty());
        assert!(matches!(fill(&mut pack, [item(3), Poll::Ready(Some(Err("broken")))]), Filled::Failed("broken")));
        assert_eq!(items(&pack), [[7; 3]], "what came before is sent");
        pack.next();
        assert!(matches!(fill(&mut pack, [item(3), Poll::Ready(None)]), Filled::All));
        assert_eq!(items(&pack), [[7; 3]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_is_enough_and_a_large_item_travels_alone() {
        let mut pack = Pack::default();
        assert!(matches!(fill(&mut pack, std::iter::repeat_with(|| item(1_000))), Filled::Enough));
        assert_eq!((items(&pack).len(), pack.large()), (PACK_BYTES / 1_002, None));
        pack.next();
        assert_eq!(items(&pack), [[7; 1_000]], "the one without room is the first of the next");
        pack.next();
        assert!(matches!(fill(&mut pack, [item(5), item(PACK_BYTES)]), Filled::Enough));
        assert_eq!((items(&pack), pack.large()), (vec![vec![7; 5]], Some(&[7; PACK_BYTES][..])));
        pack.next();
        assert!(pack.is_empty());
    }

    /// The window that a sender waits for is known to come for so much, and for no more.
    #[tokio::test(start_paused = true)]
    async fn no_frame_of_small_items_is_larger_than_it_may_be() {
        let mut pack = Pack::default();
        let mut random = fastrand::Rng::with_seed(3);
        for most in [2, 200, 6_000, 9_000, PACK_BYTES + 20] {
            let sizes: Vec<_> = (0..400).map(|_| random.usize(most * 9 / 10..most)).collect();
            let (mut steps, mut came) = (sizes.iter().map(|size| item(*size)).peekable(), Vec::new());
            while steps.peek().is_some() || !pack.is_empty() {
                fill(&mut pack, steps.by_ref().chain([Poll::Pending]));
                assert!(pack.packed_bytes().len() <= PACK_BYTES, "{}", pack.packed_bytes().len());
                assert!(pack.large().is_none_or(|item| item.len() > PACK_BYTES - 3));
                came.extend(items(&pack).iter().map(Vec::len));
                came.extend(pack.large().map(<[u8]>::len));
                pack.next();
            }
            assert_eq!(came, sizes);
        }
    }

    /// A source that is always ready, and takes its time.
    #[tokio::test(start_paused = true)]
    async fn an_item_waits_for_none_that_takes_long() {
        let mut pack = Pack::default();
        for (takes, come) in [(PACK_TIME, 1), (PACK_TIME / 2, 2), (PACK_TIME / 50, 64)] {
            pack.next();
            let filled: Filled<()> = pack.fill(|out| {
                out.put_u8(7);
                let passes = tokio::time::advance(takes);
                // The clock stands, and goes on at once when it is told to.
                futures::FutureExt::now_or_never(passes);
                Poll::Ready(Some(Ok(())))
            });
            assert!(matches!(filled, Filled::Enough));
            assert_eq!(items(&pack).len(), come);
        }
    }
}
