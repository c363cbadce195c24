//! What a Router's threads cost at each load: on one thread, on tokio's runtime with several, and
//! as `daffi router` spreads.

mod load;

use std::{collections::BTreeMap, num::NonZeroUsize, process::Stdio, time::Duration};

use daffi::Router;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{Instant, sleep},
};

use self::load::{Load, Running};
use crate::{Result, counters::Used, stats::Spread};

/// How a Router runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Arrangement {
    One,
    Several,
    Spread,
}

const ALL: [Arrangement; 3] = [Arrangement::One, Arrangement::Several, Arrangement::Spread];

impl Arrangement {
    const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Several => "several",
            Self::Spread => "spread",
        }
    }
}

const fn pairs(name: &'static str, pairs: usize, in_flight: usize) -> Load {
    Load { name, callers: pairs, workers: pairs, in_flight }
}

const fn hub(name: &'static str, callers: usize, in_flight: usize) -> Load {
    Load { name, callers, workers: 1, in_flight }
}

/// From one call at a time to all that the machine can do.
const LOADS: [Load; 10] = [
    pairs("1 pair, 1 call", 1, 1),
    pairs("2 pairs, 1 call", 2, 1),
    pairs("4 pairs, 1 call", 4, 1),
    pairs("16 pairs, 1 call", 16, 1),
    hub("1 worker, 16 callers, 1 call", 16, 1),
    pairs("4 pairs, 16 calls", 4, 16),
    hub("1 worker, 16 callers, 16 calls", 16, 16),
    pairs("4 pairs, 64 calls", 4, 64),
    pairs("16 pairs, 64 calls", 16, 64),
    pairs("16 pairs, 512 calls", 16, 512),
];

/// Time in which a load becomes steady, and a Router spreads.
const WARM: Duration = Duration::from_millis(1500);

/// How often in that time it is looked which threads the Router has.
const PLACINGS: u32 = 10;

/// `threads [REPETITIONS] [MILLIS]`, or a Router for it.
///
/// # Errors
/// What makes a measurement impossible.
pub(crate) fn main(args: &[String]) -> Result<()> {
    if let [word, arrangement] = args
        && word == "router"
    {
        let several = arrangement == Arrangement::Several.name();
        let mut builder = if several {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        return builder.enable_all().build()?.block_on(router(arrangement));
    }
    let repetitions = args.first().map_or(Ok(5), |n| n.parse())?;
    let time = Duration::from_millis(args.get(1).map_or(Ok(1000), |n| n.parse())?);
    let only = args.get(2).map(String::as_str);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(repetitions, time, only))
}

/// Runs a Router until standard input ends.
async fn router(arrangement: &str) -> Result<()> {
    let threads = match arrangement {
        "spread" => std::thread::available_parallelism()?,
        _ => NonZeroUsize::MIN,
    };
    let router =
        Router::builder("bench").configure(|config| config.threads = threads).bind("tcp://127.0.0.1:0").await?;
    println!("{}", router.endpoints()[0].address());
    // Not on the runtime, which would have a thread more for it.
    std::thread::spawn(|| {
        let _ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    std::future::pending().await
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    Spread::of(values.map(Some)).map_or(f64::NAN, |spread| spread.median)
}

/// What one run showed.
struct Sample {
    calls: f64,
    /// Microseconds of the Router a call.
    cpu: f64,
    /// Cores that the Router used, and the load's own.
    cores: f64,
    load: f64,
}

async fn measure(repetitions: usize, time: Duration, only: Option<&str>) -> Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    println!("| load | Router on | calls/s | CPU us a call, to one thread | its cores | the load's |");
    println!("|---|---|---|---|---|---|");
    for load in LOADS.into_iter().filter(|load| only.is_none_or(|only| load.name.contains(only))) {
        let mut samples: BTreeMap<Arrangement, Vec<Sample>> = BTreeMap::new();
        for _ in 0..repetitions {
            for arrangement in ALL {
                samples.entry(arrangement).or_default().push(run(load, arrangement, time, cpus).await?);
            }
        }
        for arrangement in ALL {
            let of = |what: fn(&Sample) -> f64| median(samples[&arrangement].iter().map(what));
            let turns = samples[&arrangement].iter().zip(&samples[&Arrangement::One]);
            let ratio = median(turns.map(|(this, one)| this.cpu / one.cpu));
            println!(
                "| {} | {} | {:.0} | {:.2}, {ratio:.2}x | {:.2} | {:.2} |",
                load.name,
                arrangement.name(),
                of(|s| s.calls),
                of(|s| s.cpu),
                of(|s| s.cores),
                of(|s| s.load)
            );
        }
    }
    Ok(())
}

async fn run(load: Load, arrangement: Arrangement, time: Duration, cpus: usize) -> Result<Sample> {
    pin(0, 0..cpus)?;
    let mut child = start(arrangement)?;
    let pid = child.id().ok_or("a router ended at once")?;
    let output = child.stdout.take().ok_or("a router has no standard output")?;
    let address = BufReader::new(output).lines().next_line().await?.ok_or("a router ended")?;
    let running = Running::start(load, &address).await?;
    for _ in 0..PLACINGS {
        place(pid, cpus)?;
        sleep(WARM / PLACINGS).await;
    }
    let read = || (Instant::now(), running.calls(), Used::by(pid).cpu, Used::by(std::process::id()).cpu);
    let before = read();
    sleep(time).await;
    let after = read();
    child.kill().await?;
    let seconds = (after.0 - before.0).as_secs_f64();
    let calls = (after.1 - before.1) as f64;
    if calls == 0.0 {
        return Err(format!("no call was answered: {}", load.name).into());
    }
    let (router, own) = ((after.2 - before.2) as f64, (after.3 - before.3) as f64);
    Ok(Sample {
        calls: calls / seconds,
        cpu: router / 1000.0 / calls,
        cores: router / 1e9 / seconds,
        load: own / 1e9 / seconds,
    })
}

/// Lets a thread run on these CPUs only; 0 is the one that asks.
fn pin(thread: i32, cpus: impl IntoIterator<Item = usize>) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(cpu)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(thread), &set)?)
}

/// Gives each thread on which the Router has connections a CPU, the first one the first, and the
/// load the last. Left to the system on a machine that has other work, all of them share one.
fn place(router: u32, cpus: usize) -> Result<()> {
    let (mut first, mut workers, mut lanes) = (Vec::new(), Vec::new(), Vec::new());
    for task in std::fs::read_dir(format!("/proc/{router}/task"))? {
        let task = task?;
        let thread: i32 = task.file_name().to_string_lossy().parse()?;
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        match name.as_str() {
            _ if u32::try_from(thread)? == router => first.push(thread),
            name if name.starts_with("tokio-") => workers.push(thread),
            name if name.starts_with("daffi-lane") => lanes.push(thread),
            _ => {}
        }
    }
    // The first thread of a runtime with workers only waits.
    let threads = if workers.is_empty() { [first, lanes].concat() } else { workers };
    for (at, thread) in threads.into_iter().enumerate() {
        // It may have ended since.
        let _gone = pin(thread, [at % cpus]);
    }
    pin(0, [cpus - 1])
}

fn start(arrangement: Arrangement) -> Result<Child> {
    Ok(Command::new(std::env::current_exe()?)
        .args(["threads", "router", arrangement.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?)
}
