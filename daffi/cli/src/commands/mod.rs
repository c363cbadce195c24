//! One module per command.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod cast;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod man;
pub(crate) mod members;
pub(crate) mod nowait;
pub(crate) mod ping;
pub(crate) mod router;
pub(crate) mod stream;
pub(crate) mod top;
pub(crate) mod version;

use daffi::Client;

use crate::{cli::Command, failure::Failure, interrupts::Interrupts, settings::Reloading, suggestion::Explain};

/// Runs a command to its end. A router reads its settings by `reloading` again.
pub(crate) async fn run(command: Command, reloading: Reloading) -> Result<(), Failure> {
    let unheard = |error| Failure::Failed(format!("signals cannot be listened for: {error}"));
    let interrupts = Interrupts::listen().map_err(unheard)?;
    let ended = match command {
        Command::Call(call) => call.run(&interrupts).await,
        Command::Cast(cast) => interrupts.cut(cast.run()).await,
        Command::Nowait(nowait) => interrupts.cut(nowait.run()).await,
        Command::Stream(stream) => interrupts.cut(stream.run()).await,
        Command::Members(members) => interrupts.cut(members.run()).await,
        Command::Top(top) => interrupts.cut(top.run(&interrupts)).await,
        Command::Events(events) => interrupts.cut(events.run(&interrupts)).await,
        Command::Ping(ping) => ping.run(&interrupts).await,
        Command::Bench(bench) => bench.run(&interrupts).await,
        Command::Router(router) => router.run(&interrupts, reloading).await,
        Command::Demo(demo) => demo.run(&interrupts).await,
        Command::Config(config) => interrupts.cut(config.run()).await,
        Command::Context(context) => context.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::Version(version) => version.run(),
    };
    match ended {
        Err(Failure::Interrupted(_)) if interrupts.is_content() => Ok(()),
        other => other,
    }
}

/// Does `work` over a connection, and closes it in order whatever comes of that.
pub(crate) async fn closing<T, E: Explain>(
    client: &Client,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    // The error is explained now, because the members are known only as long as the connection
    // lasts.
    let done = work.await.map_err(|error| error.explain(client));
    client.stop().await;
    done
}
