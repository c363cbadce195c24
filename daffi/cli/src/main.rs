//! The `daffi` command: a router, and a tool that calls, watches and measures a running network.

mod cli;
mod commands;
mod connection;
mod failure;
mod input;
mod invocation;
mod logging;
mod output;
mod quantity;
mod server;
mod value;

use std::process::ExitCode;

use clap::Parser;

use crate::{cli::Cli, failure::Failure};

fn main() -> ExitCode {
    let Cli { command, logging } = Cli::parse();
    logging.start(command.log_level());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Failed(format!("the runtime cannot be started: {error}")).report(),
    };
    let ended = runtime.block_on(commands::run(command));
    // A read of stdin that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
