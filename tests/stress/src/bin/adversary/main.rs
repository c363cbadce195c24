//! Does what hostile and broken peers do to a node, beside an honest caller, and says what the
//! caller saw.
//!
//! `adversary HOST:PORT --callback add` tries each attack for a while. The node is a Service, or a
//! Router with a worker, of your own: this is made to find out what a deployment stands, and
//! whoever runs it answers for it. The exit code is 1 when a call of the honest caller failed, or
//! its rate fell below half.
//!
//! What is measured is the node, so the attack runs in a process of its own, which gives way
//! (`nice`) to the honest caller wherever both want the same CPU. Keep it off the node's: `taskset
//! -c 0 daffi router ..`, `taskset -c 1 adversary ..`.

mod attack;
mod flood;
mod honest;
mod wire;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use daffi::{BoxError, Client};

use self::{
    attack::{Attack, Target},
    flood::Flood,
    honest::{Process, Seen},
};

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
    /// The process of the node, whose resident memory and CPU time are shown (Linux).
    #[arg(long)]
    pid: Option<u32>,
    /// This is the process that attacks, and this the receiver of its requests.
    #[arg(long, hide = true)]
    receiver: Option<String>,
}

fn main() -> Result<ExitCode, BoxError> {
    let options = Options::parse();
    if let Some(receiver) = &options.receiver {
        let (address, callback) = (options.address.clone(), options.callback.clone());
        let target = Target { address, receiver: receiver.clone(), callback };
        flood::attack(options.attacks[0], &target, options.connections)?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(try_all(options))
}

async fn try_all(options: Options) -> Result<ExitCode, BoxError> {
    let attacks = if options.attacks.is_empty() { Attack::value_variants() } else { &options.attacks };
    let client = Client::builder("honest").connect(&format!("tcp://{}", options.address)).await?;
    let receiver = honest::find(&client, &options.callback).await?;
    let target = Target { address: options.address, receiver, callback: options.callback };
    println!(
        "{:<14} {:>8} {:>8} {:>6} {:>9} {:>9} {:>6} {:>6} {:>5} {:>6} {:>8} {:>6}",
        "attack", "calls/s", "before", "ratio", "p99", "worst", "errors", "ended", "MiB", "CPU %", "us/call", "its %"
    );
    let mut well = true;
    for attack in attacks {
        let calm = Duration::from_secs(1);
        let before = honest::call(&client, &target, calm, options.pid.map(Process)).await;
        let mut flood = Flood::start(*attack, &target, options.connections);
        let time = Duration::from_secs(options.seconds);
        let during = honest::call(&client, &target, time, options.pid.map(Process)).await;
        let cpu = flood.cpu();
        well &= report(*attack, &before, &during, &flood.end(), cpu);
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says how the honest caller was served during the attack, and whether that was well.
/// `cpu`: what the adversary took.
fn report(attack: Attack, before: &Seen, during: &Seen, ended: &str, cpu: Duration) -> bool {
    let (ratio, percent) =
        (during.per_second / before.per_second, |cpu: Duration| cpu.as_secs_f64() * 100.0 / during.time.as_secs_f64());
    println!(
        "{:<14} {:>8.0} {:>8.0} {:>6.2} {:>9} {:>9} {:>6} {:>6} {:>5} {:>6.0} {:>8.1} {:>6.0}",
        attack.name(),
        during.per_second,
        before.per_second,
        ratio,
        format!("{:.1?}", during.p99),
        format!("{:.1?}", during.worst),
        during.errors.len() + before.errors.len(),
        ended,
        during.peak / (1024 * 1024),
        percent(during.cpu),
        during.cpu_per_call() * 1e6,
        percent(cpu),
    );
    if let Some(first) = before.errors.first().or(during.errors.first()) {
        println!("    first error: {first}");
    }
    before.errors.is_empty() && during.errors.is_empty() && ratio >= 0.5
}
