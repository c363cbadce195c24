//! Runs a router with Rust and Python workers and callers, kills processes at random, and says
//! whether every call ended.
//!
//! The first half of the time only workers and callers are killed, so that what the router holds
//! can be compared over it; in the second half the router is killed, too. Only processes that this
//! program started are killed.

mod calls;
mod node;
mod python;

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, Subcommand};
use daffi::BoxError;
use daffi_stress::own_usage;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    calls::{Tally, make_calls},
    node::{Kept, Kind},
    python::{PythonTally, call_from_python, keep_python_worker},
};

/// Runs a network, kills parts of it at random, and says whether every call ended.
#[derive(Parser)]
struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Rust workers.
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Python workers.
    #[arg(long, default_value_t = 2)]
    python_workers: usize,
    /// Rust callers that are killed now and then, beside four in this process that are not.
    #[arg(long, default_value_t = 1)]
    callers: usize,
    /// Python callers.
    #[arg(long, default_value_t = 1)]
    python_callers: usize,
    /// Seconds between two kills, on average.
    #[arg(long, default_value_t = 2.0)]
    kill_every: f64,
    /// The same seed draws the same kills.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    node: Option<NodeCommand>,
}

/// What this program is in a process of its own.
#[derive(Clone, Subcommand)]
enum NodeCommand {
    /// A node of the network; this program starts them itself.
    #[command(hide = true)]
    Node { kind: Kind, endpoint: String, name: String },
}

/// Callers in this process.
const OWN_CALLERS: usize = 4;

/// Until everybody has connected and buffers have their size.
const WARM_UP: Duration = Duration::from_secs(10);

/// Every call without a timeout ends with its receiver or its connection: nothing is killed any
/// more by then.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match arguments.node.clone() {
            Some(NodeCommand::Node { kind, endpoint, name }) => node::run(kind, &endpoint, &name).await.map(|()| true),
            None => soak(&arguments).await,
        }
    });
    runtime.shutdown_background();
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(arguments: &Arguments) -> Result<bool, BoxError> {
    let time = Duration::try_from_secs_f64(arguments.minutes * 60.0)?.max(WARM_UP * 3);
    let begun = Instant::now();
    let (tally, python) = (Arc::new(Tally::default()), Arc::new(PythonTally::default()));
    let (over, stop) = watch::channel(false);

    // Port 0 once; the routers that follow take the same port.
    let router = Kept::start(Kind::Router, "tcp://127.0.0.1:0", "router").await?;
    let endpoint = router.first_line();
    println!("router at {endpoint}, process {}", std::process::id());
    let mut kept = Vec::new();
    for (kind, word, count) in
        [(Kind::Worker, "worker", arguments.workers), (Kind::Caller, "killed-caller", arguments.callers)]
    {
        for number in 0..count {
            kept.push(Kept::start(kind, &endpoint, &format!("{word}-{number}")).await?);
        }
    }
    let python_workers: Vec<_> = (0..arguments.python_workers)
        .map(|n| keep_python_worker(endpoint.clone(), format!("python-worker-{n}"), stop.clone()))
        .collect();
    let mut calling = Vec::new();
    for number in 0..OWN_CALLERS {
        calling.push(tokio::spawn(make_calls(
            endpoint.clone(),
            format!("caller-{number}"),
            Arc::clone(&tally),
            stop.clone(),
        )));
    }
    for number in 0..arguments.python_callers {
        let (endpoint, python, stop) = (endpoint.clone(), Arc::clone(&python), stop.clone());
        calling.push(tokio::spawn(call_from_python(endpoint, format!("python-caller-{number}"), python, stop)));
    }

    sleep_until(begun + WARM_UP).await;
    let (own, router_first) = (own_usage(), router.usage());
    let mut rng = fastrand::Rng::with_seed(arguments.seed);
    let (mut kills, mut router_kills) = (0u32, 0u32);
    let mut router_half = None;
    while begun.elapsed() < time {
        sleep(Duration::from_secs_f64(arguments.kill_every * 2.0 * rng.f64())).await;
        let second_half = begun.elapsed() > (time + WARM_UP) / 2;
        if second_half && router_half.is_none() {
            router_half = Some(router.usage());
        }
        match rng.usize(..kept.len() + python_workers.len() + 1) {
            n if n < kept.len() => kept[n].kill_and_restart().await?,
            n if n < kept.len() + python_workers.len() => {
                python_workers[n - kept.len()].send_replace(());
            }
            _ if second_half => {
                router.kill_and_restart().await?;
                router_kills += 1;
            }
            _ => continue,
        }
        kills += 1;
    }

    println!("nothing is killed or called any more; waiting for open calls");
    over.send_replace(true);
    let all = async {
        for calls in calling {
            let _panicked_or_done = calls.await;
        }
    };
    let _late = tokio::time::timeout(PATIENCE + python::PATIENCE, all).await;
    let own_last = own_usage();

    let mib = |bytes: usize| bytes as f64 / 1_048_576.0;
    let line = |who: &str, first: (usize, usize), last: (usize, usize)| {
        println!(
            "{who}: {:.1} MiB resident and {} descriptors after {WARM_UP:?}, {:.1} MiB and {} at the end",
            mib(first.0),
            first.1,
            mib(last.0),
            last.1
        );
    };
    println!(
        "{:.1} minutes, {kills} kills, {router_kills} of them of the router",
        begun.elapsed().as_secs_f64() / 60.0
    );
    println!("{tally}");
    println!("{python}");
    if let Some(half) = router_half {
        line("router, before it was killed itself", router_first, half);
    }
    line("four callers and this program", own, own_last);
    Ok(tally.is_good() && python.is_good())
}
