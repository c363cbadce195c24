//! What a connection ended with that was queued for its peer and not sent, and of which nobody else
//! hears that.

use std::{
    ops::{AddAssign, Sub},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Buf;
use daffi_transport::Batch;
use daffi_wire::{Header, Kind};

use super::Conn;

/// Requests that nobody answers and that were not sent. Whoever waits for an answer hears by itself
/// that there will be none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftUnsent {
    pub(crate) requests: u64,
    /// Bytes of them that are left, and bytes that left this process and did not arrive at the
    /// peer's host.
    pub(crate) bytes: u64,
}

impl LeftUnsent {
    /// What of these frames was to be sent and has no answer. One of which a part has left counts
    /// whatever it is, because what says that has left.
    pub(super) fn of(mut batch: Batch) -> Self {
        let mut unsent = Self::default();
        while let Some(length) = batch.frame_len() {
            if batch.has_begun() || is_unanswered(batch.chunk()) {
                unsent += Self { requests: 1, bytes: length as u64 };
            }
            batch.advance(length);
        }
        unsent
    }

    /// Bytes that left this process, and of which the peer's host has said nothing.
    pub(super) const fn on_the_way(bytes: usize) -> Self {
        Self { requests: 0, bytes: bytes as u64 }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What is left of a body that is sent part by part, counted with that of others.
#[derive(Debug)]
pub(crate) struct RestLeft<'a> {
    of_all: &'a AtomicUsize,
    bytes: usize,
}

impl RestLeft<'_> {
    /// So much of it was queued.
    pub(crate) fn note_sent(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.of_all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for RestLeft<'_> {
    fn drop(&mut self) {
        self.of_all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Conn {
    /// Counts the rest of a body as long as it is to be sent. Relaxed: the count is only told.
    pub(crate) fn count_rest(&self, bytes: usize) -> RestLeft<'_> {
        self.rests.fetch_add(bytes, Ordering::Relaxed);
        RestLeft { of_all: &self.rests, bytes }
    }

    /// Bytes that wait to be sent: in the queue, and of bodies of which the peer takes no more now.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.outbox.bytes() + self.rests.load(Ordering::Relaxed)
    }
}

/// Whether a frame that begins so is a request that wants no answer. A head is one piece.
fn is_unanswered(head: &[u8]) -> bool {
    Header::kind_of(head) == Some(Kind::Request) && !Header::wants_reply_of(head)
}

impl AddAssign for LeftUnsent {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
    }
}

impl Sub for LeftUnsent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { requests: self.requests.saturating_sub(before.requests), bytes: self.bytes.saturating_sub(before.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::{CallId, FormatId, Frame, Limits};

    use super::*;

    fn frame(kind: Kind, wants_reply: bool, bytes: usize) -> Frame {
        let header = Header::new(kind, CallId(1), FormatId::OPAQUE, false, wants_reply);
        Frame::new(header, "c", "w", "f", &vec![7; bytes], &Limits::default()).unwrap()
    }

    #[test]
    fn requests_that_nobody_answers_are_counted_and_one_that_has_begun_is() {
        let frames = [
            frame(Kind::Request, true, 20_000),
            frame(Kind::Request, false, 20_000),
            frame(Kind::Response, false, 10),
            frame(Kind::Request, false, 10),
        ];
        let batch = || {
            let mut batch = Batch::new();
            frames.iter().for_each(|frame| batch.push_frame(frame.as_bytes()));
            batch
        };
        let length = |at: usize| frames[at].as_bytes().len() as u64;
        let nowait = LeftUnsent { requests: 2, bytes: length(1) + length(3) };
        assert_eq!(LeftUnsent::of(batch()), nowait);
        let mut begun = batch();
        begun.advance(1);
        assert_eq!(LeftUnsent::of(begun), LeftUnsent { requests: 3, bytes: nowait.bytes + length(0) - 1 });
        let mut sent = batch();
        sent.advance(usize::try_from(length(0) + length(1)).unwrap());
        assert_eq!(LeftUnsent::of(sent), LeftUnsent { requests: 1, bytes: length(3) });
        assert!(LeftUnsent::of(Batch::new()).is_empty());
    }
}
