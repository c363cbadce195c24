//! Tables and JSON.

use crate::{
    Work,
    end::CLIENT,
    measure::{Measured, Sample},
    stats::Spread,
    subjects::ROUTER,
};

impl Measured {
    pub(crate) fn spread(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().map(of))
    }

    /// The ratio to `other` in each repetition.
    pub(crate) fn ratio(&self, other: &Self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        let pairs = self.samples.iter().zip(&other.samples);
        Spread::of(pairs.map(|(a, b)| of(a).zip(of(b)).map(|(a, b)| a / b)))
    }
}

/// The columns of [`row`].
pub(crate) const HEAD: &str = "\
| scenario | who | calls/s | p50 us | p99 us | CPU us/call | of it client / router | CPU ratio to the first | syscalls | allocations | faults | waits |
|---|---|---|---|---|---|---|---|---|---|---|---|";

/// One subject's line of a scenario; `first` is what it is compared with.
pub(crate) fn row(name: &str, measured: &Measured, first: &Measured) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
    let median = |of: &dyn Fn(&Sample) -> Option<f64>| number(measured.spread(of).map(|s| s.median));
    if let Some(resident) = measured.spread(|s| s.resident) {
        let kib = |bytes: f64| short(bytes / 1024.0);
        let (most, least) = (kib(resident.most), kib(resident.least));
        return format!("| {name} | {} | {} KiB each ({least}..{most}) |", measured.job.subject, kib(resident.median));
    }
    let ratio = measured.ratio(first, |s| Some(s.cpu));
    let client = median(&|s| s.cpu_of(CLIENT));
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        measured.job.subject,
        median(&|s| Some(s.rate)),
        median(&|s| s.p50),
        median(&|s| s.p99),
        spread(measured.spread(|s| Some(s.cpu))),
        match median(&|s| s.cpu_of(ROUTER)) {
            router if router == "-" => client,
            router => format!("{client} / {router}"),
        },
        spread(ratio),
        number(measured.counts.syscalls),
        number(measured.counts.allocations),
        median(&|s| Some(s.faults)),
        median(&|s| Some(s.waits)),
    )
}

/// A median with its spread.
pub(crate) fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".to_owned(), |s| format!("{} ({}..{})", short(s.median), short(s.least), short(s.most)))
}

/// Three digits that say something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.0} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How the runs were made.
pub(crate) fn settings(measured: &Measured, time: std::time::Duration) -> String {
    let job = &measured.job;
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let place = match job.cpu {
        Some(cpu) => format!("all on CPU {cpu} of {cpus}"),
        None => format!("on any of {cpus} CPUs"),
    };
    let build = if cfg!(debug_assertions) { "DEBUG" } else { "release" };
    let what = if matches!(job.work, Work::Add { .. }) { "typed" } else { "OPAQUE bytes" };
    format!(
        "{}, {place}, {} tokio runtime per process, {what}, workers=1, medians of {} interleaved runs of {time:?}, {build} build",
        job.transport,
        job.runtime,
        measured.samples.len(),
    )
}
