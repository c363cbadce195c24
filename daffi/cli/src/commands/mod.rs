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

use std::time::Duration;

use daffi::{Client, ClientState, Ended, Shown};
use tokio::time::timeout;

use crate::{
    address::Address,
    cli::Command,
    failure::{Failure, unheard},
    interrupts::Interrupts,
    invocation::Invoked,
    settings::Reloading,
    suggestion::Explain,
};

/// Runs a command to its end. A router reads its settings by `reloading` again.
pub(crate) async fn run(command: Command, reloading: Reloading) -> Result<(), Failure> {
    let interrupts = Interrupts::listen(command.is_node()).map_err(|error| unheard(&error))?;
    let ended = match command {
        Command::Call(call) => call.run(&interrupts).await,
        Command::Cast(cast) => cast.run(&interrupts).await,
        Command::Nowait(nowait) => nowait.run(&interrupts).await,
        Command::Stream(stream) => stream.run(&interrupts).await,
        Command::Members(members) => members.run(&interrupts).await,
        Command::Top(top) => top.run(&interrupts).await,
        Command::Events(events) => events.run(&interrupts).await,
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
        Err(Failure::Interrupted(_) | Failure::Cancelled(..)) if interrupts.is_content() => Ok(()),
        other => other,
    }
}

/// Reads what is to be called, and connects to call it. A signal that ends either says so.
pub(crate) async fn prepare(
    interrupts: &Interrupts,
    reading: impl Future<Output = Result<Invoked, Failure>>,
    connect: impl AsyncFnOnce(&Address) -> Result<Client, Failure>,
) -> Result<(Invoked, Client), Failure> {
    let unread = || "nothing was called: the arguments were still being read".to_owned();
    let invoked = interrupts.cut_noting(reading, unread).await?;
    let unconnected = || format!("{} was not called: {}", invoked.method, no_connection_yet(&invoked.address));
    let client = interrupts.cut_noting(connect(&invoked.address), unconnected).await?;
    Ok((invoked, client))
}

/// Does `work` over a connection until a signal gives it up, which `note` tells.
pub(crate) async fn until_told<T, E: Explain>(
    interrupts: &Interrupts,
    client: &Client,
    work: impl Future<Output = Result<T, E>>,
    note: impl FnOnce() -> String,
) -> Result<T, Failure> {
    interrupts.cut_noting(async { work.await.map_err(|error| error.explain(client)) }, note).await
}

/// What is said when a signal ended the command before it was connected.
pub(crate) fn no_connection_yet(address: &Address) -> String {
    format!("there was no connection to {address} yet")
}

/// How long closing in order is tried after a signal: the process ends soon in any case.
const AFTER_SIGNAL: Duration = Duration::from_millis(300);

/// Does `work` over a connection, and closes it in order whatever comes of that, as long as no
/// signal ends that.
pub(crate) async fn closing<T, E: Explain>(
    interrupts: &Interrupts,
    client: &Client,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    // The error is explained now, because the members are known only as long as the connection
    // lasts.
    let done = work.await.map_err(|error| error.explain(client));
    if let Err(Failure::Cancelled(..) | Failure::Interrupted(_)) = done {
        // What was given up is said after this, by a process that has a second for all of it.
        let _closed = timeout(AFTER_SIGNAL, client.stop()).await;
        return done;
    }
    let stopping = async {
        client.stop().await;
        Ok(())
    };
    let unsent = || match client.stats().queued_bytes {
        0 => "the connection was still being closed: what waits for no answer may not have been sent".to_owned(),
        bytes => format!("it was not sent: {bytes} bytes were still waiting for the other end to take them"),
    };
    interrupts.cut_noting(stopping, unsent).await?;
    done
}

/// What is sent and not answered: it was sent once the connection was closed in order.
pub(crate) struct OneWay<'a> {
    pub(crate) method: &'a str,
    /// For whom, if somebody was named.
    pub(crate) receiver: Option<&'a str>,
    pub(crate) address: &'a Address,
}

impl OneWay<'_> {
    /// Does `work`, and fails unless the other end has taken all that it sends.
    pub(crate) async fn closing<T, E: Explain>(
        self,
        interrupts: &Interrupts,
        client: &Client,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let done = closing(interrupts, client, work).await?;
        match *client.state().borrow() {
            ClientState::Ended(Ended::Unsent { bytes, .. }) => Err(self.unsent(bytes)),
            _ => Ok(done),
        }
    }

    fn unsent(self, bytes: u64) -> Failure {
        let Self { method, receiver, address } = self;
        let to = receiver.map_or_else(String::new, |name| format!(" to {}", Shown::new(name)));
        Failure::TimedOut(format!(
            "{method} was not sent{to}: {bytes} bytes were left that {address} did not take in time; see with \
             `daffi ping` whether a node there stands still, and call again; --timeout TIME waits longer"
        ))
    }
}
