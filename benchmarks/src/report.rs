//! The table.

use std::time::Duration;

use crate::{
    Settings,
    scenario::{Sample, Scenario, Transport},
};

pub(crate) fn head(settings: &Settings) {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "settings: {cpus} CPUs, client and server in separate processes, {} tokio runtime each, \
         median of {} interleaved runs of {:?}, OPAQUE bytes, workers=1, {} build",
        settings.runtime,
        settings.repetitions,
        settings.time,
        if cfg!(debug_assertions) { "DEBUG" } else { "release" },
    );
    println!("CPU is client and server together; raw is a tokio echo of the same bytes, batched by hand\n");
    println!(
        "| transport | in flight | payload | raw calls/s | daffi calls/s | rate | raw CPU us/call | daffi CPU us/call | CPU | daffi p50 us | daffi p99 us |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
}

pub(crate) fn line(transport: Transport, scenario: Scenario, raw: &[Sample], daffi: &[Sample]) {
    let rate = |s: &Sample| s.calls as f64 / s.time.as_secs_f64();
    let cpu = |s: &Sample| s.cpu.as_secs_f64() * 1e6 / s.calls.max(1) as f64;
    let (raw_rate, daffi_rate) = (median(raw.iter().map(rate)), median(daffi.iter().map(rate)));
    let (raw_cpu, daffi_cpu) = (median(raw.iter().map(cpu)), median(daffi.iter().map(cpu)));
    let at = |share: f64| median(daffi.iter().map(|s| quantile(&s.latencies, share).as_secs_f64() * 1e6));
    println!(
        "| {transport} | {} | {} | {raw_rate:.0} | {daffi_rate:.0} | {:.2} | {raw_cpu:.2} | {daffi_cpu:.2} | {:.2} | {:.0} | {:.0} |",
        scenario.in_flight,
        size(scenario.payload),
        daffi_rate / raw_rate,
        daffi_cpu / raw_cpu,
        at(0.5),
        at(0.99),
    );
}

fn size(bytes: usize) -> String {
    if bytes >= 1024 * 1024 { format!("{} MiB", bytes / (1024 * 1024)) } else { format!("{bytes} B") }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn quantile(latencies: &[Duration], share: f64) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is a length")]
    let at = (last as f64 * share) as usize;
    sorted.get(at).copied().unwrap_or_default()
}
