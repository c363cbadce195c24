//! What a connection ended with that was queued for its peer and did not arrive, and of which
//! nobody else hears that.

use std::{
    collections::VecDeque,
    ops::{AddAssign, Sub},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Buf;
use daffi_transport::Batch;
use daffi_wire::{Header, Kind};

use super::{Conn, Handler, driver::Driver, outbox::Remains, shutdown::Shutdown};

/// Requests that nobody answers and that did not arrive, wholly or in part. Whoever waits for an
/// answer hears by itself that there will be none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftUnsent {
    pub(crate) requests: u64,
    /// Bytes of them that are left, or left this process and did not arrive at the peer's host.
    pub(crate) bytes: u64,
}

impl LeftUnsent {
    /// What of these frames was to be sent and has no answer, but for one of which a part has left:
    /// what says what it is has left, so [`NowaitRuns`] knows that.
    fn of(mut batch: Batch) -> Self {
        let mut unsent = Self::default();
        while let Some(length) = batch.frame_len() {
            if !batch.has_begun() && is_unanswered(batch.chunk()) {
                unsent += Self { requests: 1, bytes: length as u64 };
            }
            batch.advance(length);
        }
        unsent
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Runs of requests that are known at a time. Where there are so many changes of size, or frames
/// between them, each two neighbours become one of their mean size: all requests are still counted,
/// and where each of them lies is nearly so.
const MOST_RUNS: usize = 128;

/// Where in the stream of a connection those requests of this node lie that nobody answers.
#[derive(Debug, Default)]
pub(super) struct NowaitRuns(VecDeque<NowaitRun>);

/// Requests of one size, one behind the other.
#[derive(Debug)]
struct NowaitRun {
    begin: u64,
    size: u64,
    requests: u64,
}

impl NowaitRun {
    const fn end(&self) -> u64 {
        self.begin + self.requests * self.size
    }
}

impl NowaitRuns {
    /// One of so many bytes was queued that begins there.
    pub(super) fn note(&mut self, begin: u64, size: usize) {
        let size = size as u64;
        match self.0.back_mut() {
            Some(last) if last.size == size && last.end() == begin => last.requests += 1,
            _ => {
                if self.0.len() == MOST_RUNS {
                    self.merge_neighbours();
                }
                self.0.push_back(NowaitRun { begin, size, requests: 1 });
            }
        }
    }

    /// All before this place has arrived.
    pub(super) fn forget_before(&mut self, place: u64) {
        while self.0.front().is_some_and(|first| first.end() <= place) {
            self.0.pop_front();
        }
    }

    fn merge_neighbours(&mut self) {
        let mut merged = VecDeque::with_capacity(MOST_RUNS);
        while let Some(mut run) = self.0.pop_front() {
            if let Some(next) = self.0.pop_front() {
                let bytes = run.requests * run.size + next.requests * next.size;
                run.requests += next.requests;
                run.size = bytes / run.requests;
            }
            merged.push_back(run);
        }
        self.0 = merged;
    }

    /// Where the last of them ends.
    pub(super) fn end(&self) -> u64 {
        self.0.back().map_or(0, NowaitRun::end)
    }

    /// What of them lies between these places, the second of which is the end of a frame.
    fn within(&self, from: u64, until: u64) -> LeftUnsent {
        let mut within = LeftUnsent::default();
        for run in &self.0 {
            let begun_before = |place: u64| place.saturating_sub(run.begin);
            let arrived = (begun_before(from) / run.size).min(run.requests);
            let queued = begun_before(until).div_ceil(run.size).min(run.requests);
            within += LeftUnsent {
                requests: queued.saturating_sub(arrived),
                bytes: run.end().min(until).saturating_sub(run.begin.max(from)),
            };
        }
        within
    }
}

impl<R: Handler> Driver<R> {
    /// What of this node's requests that nobody answers did not arrive, now that it has ended.
    pub(super) fn left_unsent(&mut self, remains: Remains) -> LeftUnsent {
        let Remains { batch, unanswered, taken_until, .. } = remains;
        let taken = std::mem::take(&mut self.write.batch);
        let written = taken_until.saturating_sub(taken.remaining() as u64);
        let begun = taken.frame_len().filter(|_| taken.has_begun()).unwrap_or(0);
        let mut left = LeftUnsent::of(taken);
        left += LeftUnsent::of(batch);
        if unanswered.end() > self.way.arrived {
            let arrived = written.saturating_sub(self.lost_bytes() as u64);
            left += unanswered.within(arrived.max(self.way.arrived), written + begun as u64);
        }
        left
    }

    /// Bytes that were written and did not arrive at the peer's host, as far as that is known.
    fn lost_bytes(&mut self) -> usize {
        // The end of the stream counts as one, and is nobody's request.
        let of_end = usize::from(matches!(self.shutdown, Shutdown::Lingering));
        let now = self.way.unacknowledged_bytes().map(|bytes| bytes.saturating_sub(of_end));
        let on_the_way = match (self.before_the_end, now) {
            (Some(before), Some(now)) => before.min(now),
            // The system has forgotten it all.
            (Some(before), None) if self.was_reset => before,
            (_, now) => now.unwrap_or(0),
        };
        on_the_way + self.write.held_back_bytes()
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
    fn requests_that_nobody_answers_are_counted_where_they_are_whole() {
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
        assert_eq!(LeftUnsent::of(begun), nowait);
        let mut begun = batch();
        begun.advance(usize::try_from(length(0) + 1).unwrap());
        assert_eq!(LeftUnsent::of(begun), LeftUnsent { requests: 1, bytes: length(3) });
        let mut sent = batch();
        sent.advance(usize::try_from(length(0) + length(1)).unwrap());
        assert_eq!(LeftUnsent::of(sent), LeftUnsent { requests: 1, bytes: length(3) });
        assert!(LeftUnsent::of(Batch::new()).is_empty());
    }

    #[test]
    fn what_is_known_of_the_stream_tells_them_from_what_lies_between() {
        let mut unanswered = NowaitRuns::default();
        // What is answered lies before 100, between 430 and 1000, and behind 1070.
        [(100, 100), (200, 100), (300, 100), (400, 30), (1000, 70)]
            .iter()
            .for_each(|(at, size)| unanswered.note(*at, *size));
        let within = |from, until| {
            let LeftUnsent { requests, bytes } = unanswered.within(from, until);
            (requests, bytes)
        };
        assert_eq!((unanswered.0.len(), unanswered.end()), (3, 1070));
        assert_eq!(within(0, 2000), (5, 400));
        assert_eq!((within(0, 100), within(430, 1000), within(1070, 2000)), ((0, 0), (0, 0), (0, 0)));
        assert_eq!((within(1069, 2000), within(1070, 1070)), ((1, 1), (0, 0)));
        // One of which a part has arrived, and one that has begun to be written and is behind it.
        assert_eq!((within(299, 2000), within(300, 2000), within(301, 2000)), ((4, 201), (3, 200), (3, 199)));
        assert_eq!((within(250, 300), within(150, 400), within(50, 200)), ((1, 50), (3, 250), (1, 100)));
    }

    #[test]
    fn what_is_known_has_a_bound_and_no_request_is_forgotten_that_has_not_arrived() {
        let mut unanswered = NowaitRuns::default();
        let (mut at, mut places, count) = (0, Vec::new(), 100 * MOST_RUNS);
        for n in 0..count {
            let size = 1_000 + n * 37 % 101;
            unanswered.note(at, size);
            places.push(at);
            at += size as u64;
            assert!(unanswered.0.len() <= MOST_RUNS);
        }
        let end = unanswered.end();
        assert_eq!((end, unanswered.within(0, at).requests), (at, count as u64));
        assert_eq!(unanswered.within(at - 1, at), LeftUnsent { requests: 1, bytes: 1 });
        for arrived in [count / 4, count / 2, count - MOST_RUNS] {
            let left = unanswered.within(places[arrived], at).requests;
            let true_count = (count - arrived) as u64;
            assert!(left.abs_diff(true_count) <= true_count / 50 + 2, "{left} of {true_count}");
        }
        unanswered.forget_before(at);
        assert_eq!((unanswered.0.len(), unanswered.within(0, at)), (0, LeftUnsent::default()));
    }
}
