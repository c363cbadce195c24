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

use crate::{cli::Command, failure::Failure, interrupts::Interrupts, suggestion::Explain};

/// Runs a command to its end.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let unheard = |error| Failure::Failed(format!("signals cannot be listened for: {error}"));
    // To be interrupted is how `events` ends.
    let code = matches!(command, Command::Events(_)).then_some(0);
    let interrupts = Interrupts::listen(code).map_err(unheard)?;
    match command {
        Command::Call(call) => interrupts.cut(call.run()).await,
        Command::Cast(cast) => interrupts.cut(cast.run()).await,
        Command::Nowait(nowait) => interrupts.cut(nowait.run()).await,
        Command::Stream(stream) => interrupts.cut(stream.run()).await,
        Command::Members(members) => interrupts.cut(members.run()).await,
        Command::Events(events) => match interrupts.cut(events.run()).await {
            Err(Failure::Interrupted(_)) => Ok(()),
            other => other,
        },
        Command::Ping(ping) => interrupts.cut(ping.run()).await,
        Command::Bench(bench) => interrupts.cut(bench.run()).await,
        Command::Router(router) => router.run(&interrupts).await,
        Command::Demo(demo) => demo.run(&interrupts).await,
        Command::Completions(completions) => completions.run(),
    }
}

/// Does `work` over a connection, and closes it in order whatever comes of that.
pub(crate) async fn closing<T, E: Explain>(
    client: &Client,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    // The members are known as long as the connection lasts.
    let done = work.await.map_err(|error| error.explain(client));
    client.stop().await;
    done
}
