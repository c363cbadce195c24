//! One module per command.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod cast;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod members;
pub(crate) mod nowait;
pub(crate) mod ping;
pub(crate) mod router;
pub(crate) mod stream;

use daffi::Client;

use crate::{cli::Command, failure::Failure};

/// Runs a command to its end.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Call(call) => call.run().await,
        Command::Cast(cast) => cast.run().await,
        Command::Nowait(nowait) => nowait.run().await,
        Command::Stream(stream) => stream.run().await,
        Command::Members(members) => members.run().await,
        Command::Events(events) => events.run().await,
        Command::Ping(ping) => ping.run().await,
        Command::Bench(bench) => bench.run().await,
        Command::Router(router) => router.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Completions(completions) => completions.run(),
    }
}

/// Does `work` over a connection, and closes it in order whatever comes of that.
pub(crate) async fn closing<T, E>(client: &Client, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let done = work.await;
    client.stop().await;
    done
}

/// Runs `work`; Ctrl-C gives it up.
pub(crate) async fn interruptible<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}
