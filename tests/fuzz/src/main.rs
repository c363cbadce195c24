//! Runs targets for as long as one likes.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use daffi_fuzz::{TARGETS, Target};

/// Feeds hostile input to what reads a peer's bytes.
#[derive(Parser)]
struct Arguments {
    /// Targets; all when left out.
    targets: Vec<String>,
    /// For each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same seed makes the same inputs. Default: of the clock, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Targets that run at once.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Runs this one input, in hexadecimal, instead.
    #[arg(long, value_parser = unhex)]
    input: Option<Hex>,
}

#[derive(Clone)]
struct Hex(Vec<u8>);

fn unhex(text: &str) -> Result<Hex, String> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    if digits.len() != text.len() || digits.len() % 2 == 1 {
        return Err("pairs of hexadecimal digits are needed".into());
    }
    Ok(Hex(digits.chunks(2).filter_map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut chosen: Vec<Target> = Vec::new();
    for name in &arguments.targets {
        let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
            eprintln!("there is no target {name}; there are:");
            TARGETS.iter().for_each(|target| eprintln!("  {:8} {}", target.name, target.about));
            return ExitCode::from(2);
        };
        chosen.push(*target);
    }
    if chosen.is_empty() {
        chosen = TARGETS.to_vec();
    }
    if let Some(Hex(input)) = &arguments.input {
        return chosen.iter().fold(ExitCode::SUCCESS, |code, target| match target.check(input) {
            Ok(_) => code,
            Err(what) => {
                println!("{}: {what}", target.name);
                ExitCode::FAILURE
            }
        });
    }
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = arguments.seed.unwrap_or_else(now);
    println!("--seed {seed}");
    let mut code = ExitCode::SUCCESS;
    for targets in chosen.chunks(arguments.threads.max(1)) {
        let time = Duration::from_secs(arguments.seconds);
        let outcomes = thread::scope(|scope| {
            let running: Vec<_> =
                targets.iter().map(|target| scope.spawn(move || target.drive(seed, time, u64::MAX))).collect();
            running.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        for (target, outcome) in targets.iter().zip(outcomes) {
            let Ok(outcome) = outcome else {
                println!("{:8} the driver itself panicked", target.name);
                code = ExitCode::FAILURE;
                continue;
            };
            println!("{:8} {} executions, {} inputs did something new", target.name, outcome.executions, outcome.kept);
            if let Some(finding) = outcome.finding {
                let hex: String = finding.input.iter().map(|byte| format!("{byte:02x}")).collect();
                println!("  FOUND: {}\n  run it again: {} --input {hex}", finding.what, target.name);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
