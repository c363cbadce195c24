//! What was measured, for people and as JSON.

use std::time::Duration;

use daffi::Shown;
use serde::Serialize;

use super::callers::Measured;
use crate::{
    quantity::{Size, brief, rounded},
    tally::Tally,
};

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    calls: u64,
    seconds: f64,
    calls_per_second: f64,
    connections: usize,
    in_flight: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Results>,
    failed: u64,
    errors: &'a Tally,
    /// The times of calls that succeeded, in microseconds. `null`: none did.
    latency_us: Option<Latency>,
}

/// Results that were taken one by one.
#[derive(Clone, Copy, Serialize)]
struct Results {
    taken: u64,
    per_second: f64,
    /// Of the processors that this process used.
    cpu_seconds: f64,
    per_cpu_second: f64,
}

#[derive(Serialize)]
struct Latency {
    min: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    max: f64,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        measured: &'a Measured,
        connections: usize,
        in_flight: usize,
        rate: Option<f64>,
        payload: Option<Size>,
        one_by_one: bool,
    ) -> Self {
        let latencies = &measured.latencies;
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |percentile| micros(latencies.value_at_percentile(percentile));
        // A run that is cut off during the warm-up has measured for no time.
        let seconds = measured.elapsed.as_secs_f64();
        let per = |count: u64, seconds: f64| if seconds > 0.0 { rounded(count as f64 / seconds, 3) } else { 0.0 };
        let results = || {
            let (taken, cpu_seconds) = (measured.results, measured.cpu.as_secs_f64());
            Results {
                taken,
                per_second: per(taken, seconds),
                cpu_seconds: rounded(cpu_seconds, 6),
                per_cpu_second: per(taken, cpu_seconds),
            }
        };
        Self {
            calls: measured.calls(),
            seconds: rounded(seconds, 6),
            calls_per_second: per(measured.calls(), seconds),
            results: one_by_one.then(results),
            connections,
            in_flight,
            rate,
            payload_bytes: payload.map(|size| size.0),
            failed: measured.failed_count(),
            errors: &measured.errors,
            latency_us: (!latencies.is_empty()).then(|| Latency {
                min: micros(latencies.min()),
                p50: at(50.0),
                p90: at(90.0),
                p99: at(99.0),
                p99_9: at(99.9),
                max: micros(latencies.max()),
            }),
        }
    }
}

/// The report for people: a line for each figure.
pub(super) fn readable(report: &Report<'_>) -> String {
    let time = |of: fn(&Latency) -> f64| {
        report.latency_us.as_ref().map(|latency| brief(Duration::from_secs_f64(of(latency) / 1e6)))
    };
    let rows = [
        ("calls", Some(format!("{} in {}", report.calls, brief(Duration::from_secs_f64(report.seconds))))),
        ("rate", Some(format!("{:.0} calls/s", report.calls_per_second))),
        ("wanted", report.rate.map(|rate| format!("{rate} calls/s"))),
        ("on", Some(report.connections).filter(|on| *on > 1).map(|on| format!("{on} connections"))),
        ("in flight", Some(report.in_flight.to_string())),
        ("payload", report.payload_bytes.map(|size| Size(size).to_string())),
        ("results", report.results.map(|results| format!("{:.0}/s", results.per_second))),
        ("cpu", report.results.map(|results| format!("{:.0} results/s of a core here", results.per_cpu_second))),
        ("fastest", time(|latency| latency.min)),
        ("p50", time(|latency| latency.p50)),
        ("p90", time(|latency| latency.p90)),
        ("p99", time(|latency| latency.p99)),
        ("p99.9", time(|latency| latency.p99_9)),
        ("slowest", time(|latency| latency.max)),
        ("failed", Some(report.failed).filter(|failed| *failed > 0).map(|failed| failed.to_string())),
    ];
    let lines = rows.into_iter().filter_map(|(name, value)| Some(format!("{name:<9}  {}", value?)));
    let errors = report.errors.iter().map(|(class, count)| format!("  {count} {}", Shown::new(class)));
    lines.chain(errors).collect::<Vec<_>>().join("\n")
}
