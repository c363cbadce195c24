//! Makes a table of what the micro-benchmarks counted. `scripts/micro` runs both.

mod measured;
mod table;

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
};

use clap::Parser;

use self::{measured::Measured, table::Table};

/// Reads one JSON object a line, as gungraun's `--output-format=json` gives them.
#[derive(Debug, Parser)]
struct Options {
    /// The change in percent from which a step is named below the table.
    #[arg(long, default_value_t = 2.0)]
    limit: f64,
    /// Fail if a step takes more by the limit or above.
    #[arg(long)]
    strict: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match print(&options) {
        Ok(grown) if grown && options.strict => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daffi-micro: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a step takes more now.
fn print(options: &Options) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let mut table = Table::default();
    for line in io::stdin().lock().lines() {
        let measured = Measured::parse(&line?).map_err(io::Error::other)?;
        writeln!(out, "{}", table.add(measured))?;
    }
    if table.is_empty() {
        return Err(io::Error::other("nothing was measured; does a benchmark match the pattern?"));
    }
    write!(out, "{}", table.summary(options.limit))?;
    Ok(table.has_grown(options.limit))
}
