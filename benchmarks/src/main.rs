//! What a call costs, beside a raw tokio echo of the same bytes in the same run.
//!
//! `cargo run --release -p daffi-benchmarks` prints the table of `benchmarks/README.md`, with its settings.

mod cpu;
mod daffi_echo;
mod raw_echo;
mod report;
mod scenario;
mod server;

use std::{error::Error, time::Duration};

use scenario::{Runtime, Scenario, Subject, Transport};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How the runs are made; the defaults are what the README shows.
struct Settings {
    repetitions: usize,
    time: Duration,
    runtime: Runtime,
}

const USAGE: &str = "usage: daffi-benchmarks [--repetitions N] [--millis N] [--runtime multi|current]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["serve", subject, transport, runtime, address] = words[..] {
        return server::serve(subject.parse()?, transport.parse()?, runtime.parse()?, address);
    }
    let mut settings = Settings { repetitions: 7, time: Duration::from_millis(500), runtime: Runtime::Multi };
    for pair in words.chunks(2) {
        match *pair {
            ["--repetitions", n] => settings.repetitions = n.parse()?,
            ["--millis", n] => settings.time = Duration::from_millis(n.parse()?),
            ["--runtime", which] => settings.runtime = which.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    settings.runtime.build()?.block_on(run(&settings))
}

async fn run(settings: &Settings) -> Result<()> {
    report::head(settings);
    for transport in [Transport::Tcp, Transport::Unix] {
        let raw = server::Child::start(Subject::Raw, transport, settings.runtime).await?;
        let daffi = server::Child::start(Subject::Daffi, transport, settings.runtime).await?;
        for scenario in Scenario::ALL {
            let (mut of_raw, mut of_daffi) = (Vec::new(), Vec::new());
            // Interleaved, so that a busy moment of the machine meets both.
            for _ in 0..settings.repetitions {
                of_raw.push(raw_echo::measure(&raw, scenario, settings.time).await?);
                of_daffi.push(daffi_echo::measure(&daffi, scenario, settings.time).await?);
            }
            report::line(transport, scenario, &of_raw, &of_daffi);
        }
    }
    Ok(())
}
