//! What nodes count: plain atomics that calls add to, and snapshots of them.

mod busiest;
mod classes;
mod counts;
mod durations;
mod json;
mod runs;

pub(crate) use self::{
    busiest::{cut_name, keep_heaviest},
    counts::CallCounts,
    json::seconds,
    runs::RunCounts,
};
pub use self::{
    counts::CallbackStats,
    durations::{Durations, TimeBucket},
};

/// Callbacks that are counted each for itself where peers choose their names. What is beyond them
/// is counted together, as [`OTHER`].
pub(crate) const MOST_CALLBACKS: usize = 1000;

/// The callback that a Router answers by itself: what it counted, as JSON.
pub(crate) const STATS: &str = "daffi.stats";

/// The name of what is not counted for itself.
pub(crate) const OTHER: &str = "other";
