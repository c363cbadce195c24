//! How quickly a peer is read that must be slowed down and would break if it were not read at all.
//!
//! A node of 3.0.1 breaks its own stream when one `write` moves nothing for a second. Linux wakes a
//! writer that found its buffer full only once about a third of that is free, which is 1.4 MiB of
//! the 4 MiB on loopback and quick networks; and it opens a closed window in large steps, too. So
//! what is read in *every* second must be well above that, also where this process is late: at 1
//! MiB/s a tenth of uploads of 30 MB broke, and at 128 KiB/s most did (measured).

use std::time::{Duration, Instant};

/// Bytes a second for a peer that may still hold more: none of 48 uploads broke whose reader was
/// late by up to 0.6 s each time (measured).
pub(super) const SLOW: usize = 4 * 1024 * 1024;

/// Bytes a second for a peer that waits, or of which more requests wait than it has a share for.
/// Uploads still come through where nothing is late, and one of eight breaks where the reader is
/// late by 0.3 s each time.
pub(super) const CRAWL: usize = 2 * 1024 * 1024;

/// A peer whose frames never came at this rate, in bytes a second, has a slow way and so a small
/// buffer, of which a third is soon free. It is read at an eighth of its own pace, or there would
/// be nothing slow about it, and at 128 KiB/s at least, where a stream of 3.0.1 still holds
/// (measured).
const QUICK: usize = 2 * 1024 * 1024;
const LEAST: usize = 128 * 1024;

/// The rate of what comes is that of so much time at least.
const WINDOW: Duration = Duration::from_millis(500);

/// So often some of it is read.
const PAUSE: Duration = Duration::from_millis(125);

/// A reader that is late reads what it missed, of this time at most.
const MISSED: Duration = Duration::from_secs(1);

/// What may be read of such a peer, and when.
#[derive(Debug, Default)]
pub(super) struct SlowPace {
    /// What may be read of what was allowed last, and when that was.
    left: usize,
    allowed_at: Option<Instant>,
    rate: FrameRate,
}

/// How quickly the frames of a peer come where it is not waited with reading.
#[derive(Debug, Default)]
struct FrameRate {
    since: Option<Instant>,
    bytes: usize,
    /// It was [`QUICK`] once.
    is_quick: bool,
    /// The most in a second, once that is known.
    most: Option<usize>,
}

impl FrameRate {
    fn note(&mut self, bytes: usize, now: Instant) {
        // What comes first belongs to the time before it.
        let Some(since) = self.since else {
            self.since = Some(now);
            return;
        };
        let passed = now.saturating_duration_since(since);
        self.bytes = self.bytes.saturating_add(bytes);
        if passed < WINDOW {
            self.is_quick = self.bytes >= QUICK / 1000 * 500;
            return;
        }
        let millis = usize::try_from(passed.as_millis()).unwrap_or(usize::MAX);
        let rate = self.bytes.saturating_mul(1000) / millis;
        self.is_quick = rate >= QUICK;
        self.most = self.most.max(Some(rate));
        (self.since, self.bytes) = (Some(now), 0);
    }

    /// What comes next is no measure of what came before.
    const fn interrupt(&mut self) {
        (self.since, self.bytes) = (None, 0);
    }

    /// How much of `a_second` such a peer is read.
    fn part_of(&self, a_second: usize) -> usize {
        self.most_if_slow().map_or(a_second, |most| (most / 8).max(LEAST).min(a_second))
    }

    fn most_if_slow(&self) -> Option<usize> {
        self.most.filter(|_| !self.is_quick)
    }
}

impl SlowPace {
    /// The peer is not slowed down.
    pub(super) const fn rest(&mut self) {
        (self.left, self.allowed_at) = (0, None);
    }

    /// Bytes of a frame came that has begun, or end it, as soon as they were there.
    pub(super) fn arrives(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        if !self.rate.is_quick {
            self.rate.note(bytes, now());
        }
    }

    /// Whether the peer is known to have a slow way, and so has time.
    pub(super) fn has_slow_way(&self) -> bool {
        self.rate.most_if_slow().is_some()
    }

    /// No frame has begun, or what comes next was let wait.
    pub(super) const fn interrupt(&mut self) {
        self.rate.interrupt();
    }

    /// How many bytes may be read now, at so many a second at most; or when to look again.
    pub(super) fn allows(&mut self, a_second: usize, now: Instant) -> Result<usize, Instant> {
        if self.left > 0 {
            // It may be of a time when more was allowed.
            self.left = self.left.min(self.rate.part_of(a_second)).max(1);
            return Ok(self.left);
        }
        let passed = match self.allowed_at {
            // Something is free for the write that comes next: it begins without a pause.
            None => PAUSE,
            Some(at) => now.saturating_duration_since(at),
        };
        if passed < PAUSE {
            self.rate.interrupt();
            return Err(now + (PAUSE - passed));
        }
        let millis = usize::try_from(passed.min(MISSED).as_millis()).unwrap_or(usize::MAX);
        self.left = (self.rate.part_of(a_second).saturating_mul(millis) / 1000).max(1);
        self.allowed_at = Some(now);
        Ok(self.left)
    }

    /// So many bytes were read.
    pub(super) const fn takes(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

/// What a peer that cannot wait is owed while the connections of its thread stand in line: there
/// each read is short, and on a busy machine there may be few of them.
///
/// What the system takes in any case breaks nobody: a small frame is owed nothing.
#[derive(Debug, Default)]
pub(super) struct OwedReads {
    since: Option<Instant>,
    read: usize,
    /// What was owed when that was looked at last, and has not been read since.
    left: usize,
}

/// A frame of fewer bytes lies in the buffers of the system as a whole, and its sender waits for
/// nothing.
const OWED_FROM: usize = 1024 * 1024;

impl OwedReads {
    /// No frame has begun, or its bytes come as quickly as they are read.
    pub(super) const fn rest(&mut self) {
        (self.since, self.read, self.left) = (None, 0, 0);
    }

    /// So many bytes were read.
    pub(super) const fn takes(&mut self, bytes: usize) {
        self.read = self.read.saturating_add(bytes);
        self.left = self.left.saturating_sub(bytes);
    }

    /// Bytes of a frame of `whole` bytes that were to be read since this was asked first, at
    /// [`SLOW`], and were not, of a second at most.
    pub(super) fn bytes(&mut self, whole: usize, now: Instant) -> usize {
        if whole < OWED_FROM {
            return 0;
        }
        let Some(since) = self.since else {
            // What was read before there was a line is no part of this.
            (self.since, self.read) = (Some(now), 0);
            return 0;
        };
        let passed = now.saturating_duration_since(since);
        if passed >= PAUSE {
            let millis = usize::try_from(passed.min(MISSED).as_millis()).unwrap_or(usize::MAX);
            let missed = (SLOW.saturating_mul(millis) / 1000).saturating_sub(self.read);
            self.left = self.left.saturating_add(missed).min(SLOW);
            (self.since, self.read) = (Some(now), 0);
        }
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read in a time by one that comes `late` after each pause.
    fn read(late: Duration, within: Duration) -> usize {
        let (mut pace, begun) = (SlowPace::default(), Instant::now());
        let (mut now, mut read) = (begun, 0);
        while now - begun < within {
            match pace.allows(SLOW, now) {
                Ok(bytes) => {
                    read += bytes.min(4096);
                    pace.takes(bytes.min(4096));
                }
                Err(at) => now = at + late,
            }
        }
        read
    }

    #[test]
    fn the_rate_holds_however_late_the_reader_comes() {
        let within = Duration::from_secs(60);
        for late in [0, 1, 100, 300, 600, 800] {
            let all = read(Duration::from_millis(late), within);
            let most = SLOW * 61;
            // The last batch belongs to the time after it.
            assert!((SLOW * 59..=most).contains(&all), "late by {late} ms: {all}");
        }
        assert!(read(Duration::from_secs(9), within) <= SLOW * 8, "it is no more than it can miss");
    }

    /// What a peer is read in a second that sent so many bytes in each tenth of one before.
    fn allow_after(before: &[usize]) -> usize {
        let (mut pace, mut now) = (SlowPace::default(), Instant::now());
        for bytes in before {
            pace.arrives(*bytes, || now);
            now += Duration::from_millis(100);
        }
        pace.allows(SLOW, now).unwrap() * 8
    }

    #[test]
    fn one_with_a_slow_way_is_read_at_a_part_of_its_pace() {
        const KIB: usize = 1024;
        assert_eq!(allow_after(&[]), SLOW, "nothing is known");
        assert_eq!(allow_after(&[KIB]), SLOW, "it has just begun");
        assert_eq!(allow_after(&[KIB; 20]), LEAST);
        let part = allow_after(&[180 * KIB; 20]);
        assert!((LEAST + 1..=300 * KIB).contains(&part), "{part}");
        assert_eq!(allow_after(&[KIB, 1100 * KIB]), SLOW);
        let once: Vec<_> = [KIB, 1100 * KIB].into_iter().chain([KIB; 100]).collect();
        assert_eq!(allow_after(&once), SLOW, "its buffer stays large");
        // What lay unread says nothing, and a pause between two frames neither.
        let (mut pace, now) = (SlowPace::default(), Instant::now());
        for n in 0..100 {
            pace.arrives(10 * KIB, || now + n * 2 * WINDOW);
            pace.interrupt();
        }
        assert_eq!(pace.allows(SLOW, now), Ok(SLOW / 8));
    }

    #[test]
    fn what_was_allowed_before_is_no_more_than_what_is_allowed_now() {
        let (mut pace, now) = (SlowPace::default(), Instant::now());
        assert_eq!(pace.allows(CRAWL, now), Ok(CRAWL / 8));
        pace.takes(1);
        assert_eq!(pace.allows(100, now), Ok(100));
    }

    #[test]
    fn what_was_not_read_in_time_is_owed_once() {
        let (mut owed, now) = (OwedReads::default(), Instant::now());
        let bytes = |owed: &mut OwedReads, now| owed.bytes(OWED_FROM, now);
        owed.takes(9 * SLOW);
        assert_eq!(bytes(&mut owed, now), 0, "there was no line before");
        owed.takes(32 * 1024);
        assert_eq!(bytes(&mut owed, now + PAUSE / 2), 0);
        assert_eq!(bytes(&mut owed, now + PAUSE), SLOW / 8 - 32 * 1024);
        owed.takes(SLOW / 16);
        assert_eq!(bytes(&mut owed, now + PAUSE), SLOW / 16 - 32 * 1024, "it was given in part");
        owed.takes(SLOW);
        assert_eq!(bytes(&mut owed, now + 2 * PAUSE), 0, "it was read fast enough");
        assert_eq!(bytes(&mut owed, now + 2 * PAUSE + 9 * MISSED), SLOW, "it is no more than it can miss");
        assert_eq!(bytes(&mut owed, now + 20 * MISSED), SLOW, "it does not add up");
        assert_eq!(owed.bytes(OWED_FROM - 1, now + 30 * MISSED), 0, "a small one waits for nothing");
    }

    #[test]
    fn the_first_bytes_and_those_after_a_rest_come_at_once() {
        let (mut pace, now) = (SlowPace::default(), Instant::now());
        for _ in 0..2 {
            let first = pace.allows(SLOW, now);
            assert_eq!(first, Ok(SLOW / 8));
            pace.takes(SLOW);
            assert_eq!(pace.allows(SLOW, now), Err(now + PAUSE));
            pace.rest();
        }
    }
}
