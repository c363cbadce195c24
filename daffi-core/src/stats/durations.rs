//! How long things took, in buckets that grow with the time.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Two buckets for each doubling of the time, from a microsecond to two minutes: what is told of a
/// bucket is off by a quarter at most.
const BUCKETS: usize = 54;

/// The first bucket ends at this power of two, in nanoseconds.
const FIRST: u32 = 10;

/// Counts times. Half a kilobyte, whatever comes.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], nanos: AtomicU64::new(0) }
    }
}

impl Histogram {
    #[inline]
    pub(crate) fn note(&self, nanos: u64) {
        self.buckets[bucket(nanos)].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    /// Begins anew. What is noted meanwhile may be lost.
    pub(super) fn reset(&self) {
        self.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
        self.nanos.store(0, Relaxed);
    }

    pub(super) fn snapshot(&self) -> Durations {
        let buckets = self.buckets.iter().enumerate().filter_map(|(at, bucket)| {
            let count = bucket.load(Relaxed);
            (count > 0).then(|| TimeBucket { up_to: end_of(at), count })
        });
        Durations { buckets: buckets.collect(), total: Duration::from_nanos(self.nanos.load(Relaxed)) }
    }
}

/// The bucket of a time.
#[inline]
const fn bucket(nanos: u64) -> usize {
    if nanos < 1 << FIRST {
        return 0;
    }
    let power = nanos.ilog2();
    let upper_half = (nanos >> (power - 1)) & 1;
    let at = 1 + 2 * (power - FIRST) as usize + upper_half as usize;
    if at < BUCKETS { at } else { BUCKETS - 1 }
}

/// Where a bucket ends: times in it are shorter. The last one has no end.
const fn end_of(at: usize) -> Duration {
    if at == 0 {
        return Duration::from_nanos(1 << FIRST);
    }
    if at == BUCKETS - 1 {
        return Duration::MAX;
    }
    let power = FIRST as usize + (at - 1) / 2;
    Duration::from_nanos(if at % 2 == 1 { 3 << (power - 1) } else { 2 << power })
}

/// How long some things took, in all and spread over buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    buckets: Vec<TimeBucket>,
    total: Duration,
}

/// Times of about the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeBucket {
    /// They were shorter than this, and not shorter than two thirds of it; those of the first
    /// bucket may be. [`Duration::MAX`] for what took longer than two minutes.
    pub up_to: Duration,
    /// How many there are.
    pub count: u64,
}

impl TimeBucket {
    /// Its end in seconds; `None`: it has none.
    pub(super) fn end_seconds(&self) -> Option<f64> {
        (self.up_to != Duration::MAX).then_some(self.up_to.as_secs_f64())
    }
}

impl Durations {
    /// How many were timed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }

    /// All of their time.
    #[must_use]
    pub const fn total(&self) -> Duration {
        self.total
    }

    /// The buckets that are not empty, the shortest first.
    #[must_use]
    pub fn buckets(&self) -> &[TimeBucket] {
        &self.buckets
    }

    /// What so many of them, 0.99 for one, did not exceed, to half as much again. `None`: nothing
    /// was timed.
    ///
    /// ```
    /// assert_eq!(daffi_core::Durations::default().quantile(0.5), None);
    /// ```
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = self.count() as f64 * part.clamp(0.0, 1.0);
        let mut seen = 0;
        let found = self.buckets.iter().find(|bucket| {
            seen += bucket.count;
            seen as f64 >= wanted
        });
        found.or(self.buckets.last()).map(|bucket| bucket.up_to)
    }

    /// Adds those of another.
    pub(crate) fn add(&mut self, other: &Self) {
        self.total += other.total;
        for bucket in &other.buckets {
            match self.buckets.binary_search_by_key(&bucket.up_to, |known| known.up_to) {
                Ok(at) => self.buckets[at].count += bucket.count,
                Err(at) => self.buckets.insert(at, *bucket),
            }
        }
    }

    /// What was added since `earlier`, a snapshot of the same counts. What began anew since then is
    /// given whole.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: &TimeBucket| earlier.buckets.iter().find(|b| b.up_to == bucket.up_to);
        let is_newer = self.total < earlier.total;
        if is_newer {
            return self.clone();
        }
        let added = self.buckets.iter().filter_map(|bucket| {
            let count = bucket.count.saturating_sub(before(bucket).map_or(0, |b| b.count));
            (count > 0).then_some(TimeBucket { count, ..*bucket })
        });
        Self { buckets: added.collect(), total: self.total - earlier.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_the_bucket_that_says_so() {
        let mut nanos = 1;
        while nanos < 200_000_000_000 {
            for around in [nanos - 1, nanos, nanos + 1] {
                let at = bucket(around);
                assert!(Duration::from_nanos(around) < end_of(at), "{around} in {at}");
                assert!(at == 0 || Duration::from_nanos(around) >= end_of(at - 1), "{around} in {at}");
            }
            nanos = nanos * 5 / 4 + 1;
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
        assert!((1..BUCKETS - 1).all(|at| end_of(at - 1) * 2 >= end_of(at)));
    }

    #[test]
    fn quantiles_are_those_of_what_was_noted() {
        let histogram = Histogram::default();
        (0..98).for_each(|_| histogram.note(1_000_000));
        let before = histogram.snapshot();
        (0..2).for_each(|_| histogram.note(500_000_000));
        let all = histogram.snapshot();
        assert_eq!((all.count(), all.total()), (100, Duration::from_millis(1098)));
        let near = |part, wanted: u64| {
            let told = all.quantile(part).unwrap();
            let wanted = Duration::from_millis(wanted);
            assert!(told >= wanted && told <= wanted * 3 / 2, "{told:?} for {wanted:?}");
        };
        near(0.5, 1);
        near(0.98, 1);
        near(0.99, 500);
        let added = all.since(&before);
        assert_eq!((added.count(), added.total()), (2, Duration::from_secs(1)));
        assert_eq!(before.since(&all), before, "it began anew");
    }
}
