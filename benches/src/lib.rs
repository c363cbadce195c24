//! What a call and a connection cost, beside anchors that run in the same minute.
//!
//! Every subject runs its ends in processes of their own, all are measured in turn, and what is
//! compared are ratios within one run. The command is described in `benches/README.md`; as a
//! library it lets another crate add subjects.

mod bar;
mod beside;
pub mod cli;
mod counters;
mod end;
mod job;
mod load;
mod measure;
mod report;
mod scenarios;
mod stats;
mod subject;
pub mod subjects;
mod threads;

pub use self::{
    job::{Format, Job, Runtime, Transport, Work},
    load::{Caller, Latencies, Outcome, Over, calls},
    subject::{Client, Part, Subject},
};

/// Any error ends a measurement.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What fails ends a measurement.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// Allocations and reallocations of this process so far.
#[cfg(feature = "count-allocations")]
fn allocations() -> Option<u64> {
    let stats = stats_alloc::INSTRUMENTED_SYSTEM.stats();
    Some((stats.allocations + stats.reallocations) as u64)
}

#[cfg(not(feature = "count-allocations"))]
fn allocations() -> Option<u64> {
    None
}
