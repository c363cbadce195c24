//! Frames that are ready to leave, written in as few system calls as possible.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

use crate::OWN_FROM;

/// Payloads of at least this size are sent from where they are; smaller ones are copied next to
/// their header.
///
/// A copy of 4 KiB costs less than one more slice of a vectored write and one more reference count.
pub const SHARE_FROM: usize = 4096;

/// Memory that an empty batch keeps for the next frames, in bytes.
const KEPT: usize = 128 * 1024;

/// Memory that small frames which wait may keep beside twice their size, in bytes.
const SLACK: usize = 1024;

/// Frames that are ready to leave, in order.
///
/// Byte streams see it as a [`Buf`]; message transports take whole frames with
/// [`next_frame`](Self::next_frame).
#[derive(Debug, Default)]
pub struct Batch {
    /// Small frames and the heads of large ones, one after another.
    small: BytesMut,
    /// Bytes of `small` that already left.
    sent: usize,
    /// Shared payloads, and where in `small` they belong.
    large: VecDeque<(usize, Bytes)>,
    /// How many of `large`, from the front, own their memory.
    compact: usize,
    /// Bytes of memory in `large`.
    shared: usize,
    /// Bytes of the first of `large` that already left; its memory is held to the end.
    left: usize,
    /// Length of each frame that has not left wholly; the first may have begun to.
    frames: VecDeque<usize>,
    /// A part of the first of `frames` has left.
    begun: bool,
    remaining: usize,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a frame. `head` is copied; `payload` is copied when it is small and shared when it is
    /// large.
    pub fn push(&mut self, head: &[u8], payload: Option<Bytes>) {
        let mut length = head.len();
        self.small.extend_from_slice(head);
        match payload {
            Some(payload) if payload.len() >= SHARE_FROM => {
                length += payload.len();
                self.shared += payload.len();
                self.large.push_back((self.small.len(), payload));
            }
            Some(payload) => {
                length += payload.len();
                self.small.extend_from_slice(&payload);
            }
            None => {}
        }
        self.frames.push_back(length);
        self.remaining += length;
    }

    /// Adds a frame that is whole already.
    pub fn push_frame(&mut self, frame: &Bytes) {
        if frame.len() >= SHARE_FROM {
            self.push(&[], Some(frame.clone()));
        } else {
            self.push(frame, None);
        }
    }

    /// Takes over all frames of `other`, behind its own, and leaves it empty.
    pub fn append(&mut self, other: &mut Self) {
        if self.remaining == 0 {
            return std::mem::swap(self, other);
        }
        let at = self.small.len();
        self.small.extend_from_slice(&other.small[other.sent..]);
        if self.compact == self.large.len() {
            self.compact += other.compact;
        }
        self.shared += other.shared - other.left;
        self.large.extend(other.large.drain(..).map(|(behind, payload)| (at + behind - other.sent, payload)));
        self.frames.extend(other.frames.drain(..));
        self.remaining += other.remaining;
        other.clear();
    }

    /// Empties it. The memory of one large moment is not kept.
    fn clear(&mut self) {
        if self.own() > KEPT {
            *self = Self::default();
            return;
        }
        self.small.clear();
        self.frames.clear();
        self.large.clear();
        (self.sent, self.compact, self.shared, self.left, self.remaining) = (0, 0, 0, 0, 0);
        self.begun = false;
    }

    /// Bytes of memory of the batch itself.
    fn own(&self) -> usize {
        self.small.capacity()
            + self.frames.capacity() * size_of::<usize>()
            + self.large.capacity() * size_of::<(usize, Bytes)>()
    }

    /// Bytes of memory that are held for what waits here: the capacity of buffers, and the shared
    /// payloads.
    ///
    /// A shared payload may be part of a larger read buffer, until [`compact`](Self::compact) is
    /// called.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.own() + self.shared
    }

    /// Call this when what is here has to wait. Shared payloads of up to [`OWN_FROM`] bytes are
    /// copied, each once, so that they keep no read buffers alive; larger ones own about what they
    /// need. Small frames keep no more than about twice their size.
    pub fn compact(&mut self) {
        let waits = self.small.len() - self.sent;
        if self.small.capacity() > 2 * waits + SLACK {
            self.small = BytesMut::from(&self.small[self.sent..]);
            self.large.iter_mut().for_each(|(at, _)| *at -= self.sent);
            self.sent = 0;
            self.large.shrink_to_fit();
            self.frames.shrink_to_fit();
        }
        for (_, payload) in self.large.iter_mut().skip(self.compact) {
            if payload.len() <= OWN_FROM {
                *payload = Bytes::copy_from_slice(payload);
            }
        }
        self.compact = self.large.len();
    }

    /// Whether small frames find room without an allocation.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.small.capacity() > self.small.len()
    }

    /// Frames that have not left wholly.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of the first frame that have not left: the whole frame, for transports whose messages
    /// are frames and that take just so many out.
    #[must_use]
    pub fn frame_len(&self) -> Option<usize> {
        self.frames.front().copied()
    }

    /// Whether a part of the first frame has left, and the rest has not.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Takes the first frame out whole, for transports whose messages are frames.
    ///
    /// It must not be mixed with [`Buf::advance`]: a frame that has begun to leave is not whole any
    /// more.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        let length = *self.frames.front()?;
        let frame = if self.chunk().len() >= length {
            Bytes::copy_from_slice(&self.chunk()[..length])
        } else {
            let mut whole = BytesMut::with_capacity(length);
            let mut rest = length;
            for slice in self.slices() {
                let take = rest.min(slice.len());
                whole.extend_from_slice(&slice[..take]);
                rest -= take;
            }
            whole.freeze()
        };
        self.advance(length);
        Some(frame)
    }

    /// All that has not left, if it lies in one piece.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        self.large.is_empty().then(|| &self.small[self.sent..])
    }

    /// The unsent parts in order.
    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = self.sent;
        let mut large = self.large.iter();
        let mut pending: Option<&Bytes> = None;
        std::iter::from_fn(move || {
            if let Some(bytes) = pending.take() {
                return Some(&bytes[..]);
            }
            let (end, next) = match large.next() {
                Some((end, bytes)) => (*end, Some(bytes)),
                None if at < self.small.len() => (self.small.len(), None),
                None => return None,
            };
            let before = &self.small[at..end];
            at = end;
            pending = next;
            Some(before)
        })
        .filter(|slice| !slice.is_empty())
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.slices().next().unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for (slot, slice) in dst.iter_mut().zip(self.slices()) {
            *slot = IoSlice::new(slice);
            used += 1;
        }
        used
    }

    /// # Panics
    /// When `count` is more than [`remaining`](Self::remaining), as `Buf` asks for.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "cannot advance a batch of {} bytes by {count}", self.remaining);
        self.remaining -= count;
        let mut gone = count;
        while let Some(first) = self.frames.front_mut() {
            if *first > gone {
                *first -= gone;
                self.begun |= gone > 0;
                break;
            }
            gone -= *first;
            self.begun = false;
            self.frames.pop_front();
        }
        while count > 0 {
            let end = self.large.front().map_or(self.small.len(), |(end, _)| *end);
            let here = (end - self.sent).min(count);
            self.sent += here;
            count -= here;
            if self.sent == end
                && let Some((_, bytes)) = self.large.front_mut()
            {
                let here = bytes.len().min(count);
                bytes.advance(here);
                count -= here;
                self.left += here;
                if bytes.is_empty() {
                    self.large.pop_front();
                    self.shared -= std::mem::take(&mut self.left);
                    self.compact = self.compact.saturating_sub(1);
                }
            }
        }
        if self.remaining == 0 {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Batch, Vec<u8>, Vec<Vec<u8>>) {
        let mut batch = Batch::new();
        let big = Bytes::from(vec![7u8; SHARE_FROM]);
        batch.push(b"one", None);
        batch.push(b"two", Some(Bytes::from_static(b"payload")));
        batch.push(b"three", Some(big.clone()));
        batch.push_frame(&big);
        batch.push(b"five", None);
        let frames = vec![
            b"one".to_vec(),
            b"twopayload".to_vec(),
            [b"three", &big[..]].concat(),
            big.to_vec(),
            b"five".to_vec(),
        ];
        (batch, frames.concat(), frames)
    }

    #[test]
    fn any_way_of_advancing_gives_the_same_bytes() {
        for step in [1, 2, 3, 5, 100, 4096, 5000] {
            let (mut batch, expected, _) = sample();
            let mut seen = Vec::new();
            while batch.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 16];
                let used = batch.chunks_vectored(&mut slices);
                let all: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
                assert_eq!(all.len(), batch.remaining());
                let take = step.min(all.len());
                seen.extend_from_slice(&all[..take]);
                batch.advance(take);
                let ends = [3, 13, 13 + 5 + SHARE_FROM, 13 + 5 + 2 * SHARE_FROM, expected.len()];
                assert_eq!(batch.has_begun(), !ends.contains(&seen.len()), "{} left", seen.len());
            }
            assert_eq!(seen, expected);
            assert_eq!((batch.frames(), batch.small.len()), (0, 0));
        }
    }

    #[test]
    fn batches_are_joined_wherever_they_are() {
        let whole = sample().1.len();
        for (ours, theirs) in [(0, 0), (whole, 0), (5, 0), (5000, 4), (4, whole), (whole, whole), (11, 5000)] {
            let ((mut first, bytes, _), (mut second, _, frames)) = (sample(), sample());
            first.advance(ours);
            second.advance(theirs);
            let left = (first.frames() + second.frames(), [&bytes[ours..], &bytes[theirs..]].concat());
            first.append(&mut second);
            assert_eq!((second.remaining(), second.frames()), (0, 0));
            assert_eq!((first.frames(), first.remaining()), (left.0, left.1.len()));
            assert_eq!(first.copy_to_bytes(left.1.len()), left.1);
            assert!(!first.has_remaining() && first.frames() == 0);
            // Both are as good as new.
            for batch in [&mut first, &mut second] {
                batch.append(&mut sample().0);
                assert_eq!(batch.next_frame().unwrap(), frames[0]);
            }
        }
    }

    #[test]
    fn what_waits_can_be_made_to_own_its_memory() {
        let read = Bytes::from(vec![7; 10 * OWN_FROM]);
        let sizes = [SHARE_FROM, OWN_FROM, OWN_FROM + 1];
        let mut batch = Batch::new();
        let mut frames = Vec::new();
        for size in sizes.into_iter().chain(sizes) {
            batch.push(b"head", Some(read.slice(..size)));
            batch.compact();
            frames.push([b"head", &read[..size]].concat());
        }
        let is_shared =
            |batch: &Batch| batch.large.iter().map(|(_, p)| p.as_ptr() == read.as_ptr()).collect::<Vec<_>>();
        assert_eq!(is_shared(&batch), [false, false, true, false, false, true]);
        assert!(
            batch.held_bytes() >= batch.remaining() && batch.held_bytes() < batch.remaining() + 4096,
            "{}",
            batch.held_bytes()
        );

        let mut other = Batch::new();
        other.push(&[], Some(read.slice(..SHARE_FROM)));
        other.append(&mut batch);
        assert_eq!((other.compact, other.shared), (0, SHARE_FROM + 2 * sizes.iter().sum::<usize>()));
        other.compact();
        assert_eq!(other.next_frame().unwrap(), read[..SHARE_FROM]);
        for frame in frames {
            assert_eq!(other.next_frame().unwrap(), frame);
        }
        assert_eq!((other.compact, other.shared), (0, 0));
    }

    #[test]
    fn few_small_frames_that_wait_keep_no_large_buffer() {
        let many = || {
            let mut batch = Batch::new();
            for number in 0..2_000u32 {
                batch.push(&[7; 96], Some(Bytes::copy_from_slice(&number.to_le_bytes())));
                if number % 100 == 0 {
                    batch.push_frame(&Bytes::from(vec![7; SHARE_FROM]));
                }
            }
            batch
        };
        let whole = many().copy_to_bytes(many().remaining());
        for sent in [0, 4_000, 150_000, 200_000, whole.len() - 50] {
            let mut batch = many();
            batch.advance(sent);
            batch.compact();
            let waits = batch.remaining();
            assert!(batch.held_bytes() < 2 * waits + SLACK + SHARE_FROM, "{} for {waits}", batch.held_bytes());
            assert!(batch.copy_to_bytes(waits) == whole[sent..]);
        }
    }

    #[test]
    fn whole_frames_come_out_in_order() {
        let (mut batch, _, frames) = sample();
        for frame in frames {
            assert_eq!(batch.next_frame().unwrap(), frame);
        }
        assert_eq!(batch.next_frame(), None);
        assert_eq!(batch.remaining(), 0);
    }
}
