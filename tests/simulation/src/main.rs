//! Runs simulations, and says what did not hold.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use clap::Parser;
use daffi_simulation::{Report, Simulation, Topology, Weather};

/// Runs nodes of daffi on a network that fails on purpose, in simulated time.
#[derive(Parser)]
struct Arguments {
    /// Seeds to run, each in every topology and weather chosen.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This seed only, with all that happens.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Only this topology.
    #[arg(long)]
    topology: Option<Topology>,
    /// Only this weather.
    #[arg(long)]
    weather: Option<Weather>,
    /// Simulations that run at once; each takes one thread.
    #[arg(long, default_value_t = thread::available_parallelism().map_or(1, Into::into))]
    threads: usize,
    /// Runs everything twice and counts what came out differently.
    #[arg(long)]
    twice: bool,
}

/// What came of all runs of one kind.
#[derive(Default)]
struct Sums {
    runs: u64,
    calls: usize,
    answered: usize,
    failed: u64,
    unrepeatable: u64,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let arguments = Arguments::parse();
    let topologies = arguments.topology.map_or_else(|| Topology::ALL.to_vec(), |one| vec![one]);
    let weathers = arguments.weather.map_or_else(|| Weather::ALL.to_vec(), |one| vec![one]);
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let kinds: Vec<_> = topologies.iter().flat_map(|t| weathers.iter().map(move |w| (*t, *w))).collect();
    let (next, sums) = (AtomicU64::new(0), Mutex::new(BTreeMap::<_, Sums>::new()));
    let (begun, bad) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    let (Ok(kind), round) = (usize::try_from(number % kinds.len() as u64), number / kinds.len() as u64)
                    else {
                        return;
                    };
                    if round >= seeds {
                        return;
                    }
                    let (topology, weather) = kinds[kind];
                    let simulation = Simulation { topology, weather, seed: from + round };
                    let report = simulation.run();
                    let same = !arguments.twice || simulation.run().digest == report.digest;
                    if arguments.seed.is_some() {
                        report.log.iter().for_each(|line| println!("{line}"));
                    }
                    if !report.violations.is_empty() {
                        bad.fetch_add(1, Relaxed);
                        tell(simulation, &report);
                    }
                    let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                    let sum = sums.entry((topology, weather)).or_default();
                    sum.runs += 1;
                    sum.calls += report.calls;
                    sum.answered += report.answered;
                    sum.failed += u64::from(!report.violations.is_empty());
                    sum.unrepeatable += u64::from(!same);
                }
            });
        }
    });
    for ((topology, weather), sum) in sums.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let Sums { runs, calls, answered, failed, unrepeatable } = sum;
        println!(
            "{:9} {:14} {runs} runs, {calls} calls, {answered} answered, {failed} failed{}",
            format!("{topology:?}"),
            format!("{weather:?}"),
            if arguments.twice {
                format!(", {unrepeatable} came out differently a second time")
            } else {
                String::new()
            }
        );
    }
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    if bad.into_inner() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(simulation: Simulation, report: &Report) {
    let Simulation { topology, weather, seed } = simulation;
    let mut text = format!(
        "FAILED: --topology {} --weather {} --seed {seed}\n",
        kebab(&format!("{topology:?}")),
        kebab(&format!("{weather:?}"))
    );
    for violation in &report.violations {
        text.push_str("  ");
        text.push_str(violation);
        text.push('\n');
    }
    print!("{text}");
}

fn kebab(camel: &str) -> String {
    let mut out = String::new();
    for c in camel.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}
