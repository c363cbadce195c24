//! The `daffi` command: a router, and a tool that calls, watches and measures a running network.
//!
//! The command is the binary `daffi` of this package, and [`run`] is what it does: other packages
//! bring the same command along by it, as the Python package `daffi-rs` does.

#![allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    reason = "comments of options are their help in a terminal, which is no Markdown"
)]

mod address;
mod admin;
mod cli;
mod commands;
mod connection;
mod contexts;
mod descriptors;
mod escaped;
mod failure;
mod headers;
mod input;
mod interrupts;
mod invocation;
mod json;
mod logging;
mod lossy;
mod meant;
mod names;
mod negative;
mod output;
mod python;
mod quantity;
mod runtime;
mod seldom;
mod server;
mod settings;
mod signals;
mod suggestion;
mod supervisor;
mod table;
mod tally;
mod value;
mod wrong_usage;

use std::{ffi::OsString, time::Duration};

use crate::{
    cli::Cli,
    runtime::{Threads, runtime},
    settings::{Refused, Reloading},
    signals::Held,
};

/// How long a node that ends waits for a reader of its log.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Says why nothing is done, and gives the exit code.
fn refuse(refused: Refused, args: Vec<OsString>) -> u8 {
    match refused {
        Refused::Usage(error) => wrong_usage::report(&error, args.into_iter().skip(1)),
        Refused::Settings(failure) => {
            let code = failure.report(false);
            output::finish(None);
            code
        }
    }
}

/// Does what the command line asks for, and gives the exit code. The first of `args` is the name of
/// the program.
///
/// It is the whole of a program: it takes over SIGINT, SIGTERM and SIGHUP, and the log.
#[must_use]
pub fn run(args: Vec<OsString>) -> u8 {
    let held = Held::begin();
    let given = match settings::parse(&args) {
        Ok(given) => given,
        Err(refused) => {
            // It is told in the form of the log.
            output::set_log_in_json(settings::log_in_json(&args));
            return refuse(refused, args);
        }
    };
    let (Cli { command, logging }, reloading) = Reloading::of(given, args);
    let seldom = logging.start(command.log_level());
    let json = command.json();
    let patience = command.is_node().then_some(LAST_WORDS);
    let _held = command.is_node().then_some(held);
    // A router spreads over threads itself, when there is work for them.
    let threads = if matches!(command, cli::Command::Router(_)) { Threads::One } else { Threads::All };
    let runtime = runtime(threads);
    let ended = match &runtime {
        Ok(runtime) => runtime.block_on(async {
            match commands::run(command, reloading).await {
                Ok(()) => 0,
                // Signals are still heard here, because nobody may read what is reported.
                Err(failure) => failure.report(json),
            }
        }),
        Err(failure) => failure.clone().report(json),
    };
    if let Some(seldom) = seldom {
        seldom.tell();
    }
    patience.inspect(|patience| supervisor::finish(*patience));
    output::finish(patience);
    // A read of stdin that nobody waits for any more must not hold the process.
    if let Ok(runtime) = runtime {
        runtime.shutdown_background();
    }
    ended
}
