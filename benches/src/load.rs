//! Keeps calls in flight and notes how long some of them take.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::{task::JoinHandle, time::sleep};

use crate::Result;

/// With several calls in flight one of so many is timed: reading the clock costs as much as a small
/// call's share of work.
const TIMED: u64 = 16;

/// What one run of a client gave.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Calls that were answered, or sent when none is.
    pub calls: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// Half of the calls took at most so many microseconds; none where single calls can't be told
    /// apart.
    pub p50: Option<f64>,
    /// All but one of a hundred calls took at most so many microseconds.
    pub p99: Option<f64>,
}

/// Longer latencies count as this one.
const LONGEST: Duration = Duration::from_secs(60);

/// Latencies of single calls in nanoseconds.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new() -> Self {
        let most = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        Self(Histogram::new_with_max(most, 3).expect("three digits up to a minute are among what a histogram can hold"))
    }

    /// Notes one.
    pub fn note(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The outcome of so many calls since then.
    #[must_use]
    pub fn outcome(&self, calls: u64, begun: Instant) -> Outcome {
        let at = |share| (!self.0.is_empty()).then(|| self.0.value_at_quantile(share) as f64 / 1e3);
        Outcome { calls, seconds: begun.elapsed().as_secs_f64(), p50: at(0.5), p99: at(0.99) }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// Set when the time is over. Asking costs no system call.
#[derive(Clone, Debug)]
pub struct Over(Arc<AtomicBool>);

impl Over {
    /// Set after that time.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        let over = Self(Arc::default());
        let setter = over.clone();
        tokio::spawn(async move {
            sleep(time).await;
            setter.0.store(true, Relaxed);
        });
        over
    }

    /// Whether the time is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Makes calls, one after another.
pub trait Caller: Send + Sync + 'static {
    /// Makes one call and checks its answer.
    fn call(&self) -> impl Future<Output = Result<()>> + Send;
}

/// Keeps one call of each caller open, in a task of its own, until the time is over.
///
/// # Errors
/// Of the first call that fails.
pub async fn calls<C: Caller>(callers: impl IntoIterator<Item = C>, time: Duration) -> Result<Outcome> {
    let callers: Vec<C> = callers.into_iter().collect();
    let (begun, over) = (Instant::now(), Over::after(time));
    let timed = if callers.len() == 1 { 1 } else { TIMED };
    let tasks = callers.into_iter().map(|caller| {
        let over = over.clone();
        tokio::spawn(async move {
            let (mut calls, mut latencies) = (0, Vec::new());
            while !over.is_over() {
                if calls % timed == 0 {
                    let sent = Instant::now();
                    caller.call().await?;
                    latencies.push(sent.elapsed());
                } else {
                    caller.call().await?;
                }
                calls += 1;
            }
            Ok::<_, crate::Error>((calls, latencies))
        })
    });
    let tasks: Vec<JoinHandle<_>> = tasks.collect();
    let (mut calls, mut all) = (0, Latencies::new());
    for task in try_join_all(tasks).await? {
        let (of_task, latencies) = task?;
        calls += of_task;
        latencies.into_iter().for_each(|took| all.note(took));
    }
    Ok(all.outcome(calls, begun))
}
