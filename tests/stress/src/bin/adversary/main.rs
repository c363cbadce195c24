//! Does what hostile and broken peers do to a node, beside an honest caller, and says what the caller saw.
//!
//! `adversary HOST:PORT --callback add` tries each attack for a while. The node is a Service, or a Router with a worker, of
//! your own: this is made to find out what a deployment stands, and whoever runs it answers for it. The exit code is 1 when a
//! call of the honest caller failed, or its rate fell below half.

mod attack;
mod honest;
mod wire;

use std::{
    fs,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use clap::{Parser, ValueEnum};
use daffi::{BoxError, Client};
use tokio::time::sleep;

use self::attack::{Attack, Target};

/// Attacks a node of your own, and says what an honest caller beside it saw.
#[derive(Debug, Parser)]
struct Options {
    /// Where the node listens, as HOST:PORT.
    address: String,
    /// What to do; each in turn when left out.
    #[arg(value_enum)]
    attacks: Vec<Attack>,
    /// A callback that a Service, or a worker behind a Router, exposes; called without arguments.
    #[arg(long, default_value = "add")]
    callback: String,
    /// Connections of the adversary.
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// How long each attack takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The process of the node, whose resident memory is shown (Linux).
    #[arg(long)]
    pid: Option<u32>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let options = Options::parse();
    let attacks = if options.attacks.is_empty() { Attack::value_variants() } else { &options.attacks };
    let client = Client::builder("honest").connect(&format!("tcp://{}", options.address)).await?;
    let receiver = honest::find(&client, &options.callback).await?;
    let target = Target { address: options.address.clone(), receiver, callback: options.callback.clone() };
    println!(
        "{:<14} {:>9} {:>9} {:>6} {:>9} {:>9} {:>6} {:>6} {:>8}",
        "attack", "calls/s", "before", "ratio", "p99", "worst", "errors", "ended", "MiB"
    );
    let mut well = true;
    for attack in attacks {
        well &= try_one(*attack, &target, &client, &options).await;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the honest caller was served well during the attack.
async fn try_one(attack: Attack, target: &Target, client: &Client, options: &Options) -> bool {
    let calm = Duration::from_secs(1);
    let before = honest::call(client, &target.receiver, &target.callback, calm).await;
    let ended = Arc::new(AtomicUsize::new(0));
    let adversaries: Vec<_> = (0..options.connections)
        .map(|number| {
            let (target, ended) = (target.clone(), Arc::clone(&ended));
            tokio::spawn(async move {
                let me = format!("adversary-{number}");
                loop {
                    // How it ended is the node's decision; it is counted, and tried again.
                    let _ended_by_the_node = attack.run(&target, &me).await;
                    ended.fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    let peak = Arc::new(AtomicUsize::new(0));
    let watching = tokio::spawn(watch(options.pid, Arc::clone(&peak)));
    let time = Duration::from_secs(options.seconds);
    let during = honest::call(client, &target.receiver, &target.callback, time).await;
    adversaries.iter().for_each(tokio::task::JoinHandle::abort);
    watching.abort();
    let ratio = during.per_second / before.per_second;
    println!(
        "{:<14} {:>9.0} {:>9.0} {:>6.2} {:>9} {:>9} {:>6} {:>6} {:>8}",
        attack.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()),
        during.per_second,
        before.per_second,
        ratio,
        format!("{:.1?}", during.p99),
        format!("{:.1?}", during.worst),
        during.errors.len() + before.errors.len(),
        ended.load(Relaxed),
        peak.load(Relaxed) / (1024 * 1024)
    );
    if let Some(first) = before.errors.first().or(during.errors.first()) {
        println!("    first error: {first}");
    }
    before.errors.is_empty() && during.errors.is_empty() && ratio >= 0.5
}

/// Keeps the most that the process had resident.
async fn watch(pid: Option<u32>, peak: Arc<AtomicUsize>) {
    let Some(pid) = pid else { return };
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.trim().strip_suffix(" kB")).and_then(|kb| kb.trim().parse::<usize>().ok());
        peak.fetch_max(kib.unwrap_or(0) * 1024, Relaxed);
        sleep(Duration::from_millis(50)).await;
    }
}
