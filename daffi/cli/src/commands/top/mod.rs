//! `daffi top`.

mod plain;
mod screen;
mod told;
mod view;

use std::time::Duration;

use clap::Args;
use daffi::{CallError, Client, Level, Role};
use serde_json::Value;
use tokio::time::sleep;

use self::view::{Choice, LONG, View};
pub(crate) use self::{
    plain::lines,
    told::{Told, ToldNode},
    view::{Sheet, lasting},
};
use crate::{
    commands::no_connection_yet,
    connection::{Connection, Place},
    failure::Failure,
    interrupts::Interrupts,
    output,
    quantity::Seconds,
};

/// The callback that a router answers by itself.
pub(crate) const STATS: &str = "daffi.stats";

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Watch a router: what is called, how fast it answers, and what waits where
///
/// It asks the router itself, over a connection of which no node is told, so no --admin is needed.
/// The router answers over loopback and Unix sockets, and elsewhere whom its policy lets call
/// daffi.stats. Keys: q or Esc ends, / filters by a part of a name, s sorts by the next column, r
/// turns the order round, arrows and pages scroll. Into a pipe, or with --once, one table is
/// printed.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Where the router is; left out: see `daffi context`
    url: Option<String>,
    /// Print one table, of the time between two looks, and end
    #[arg(long)]
    once: bool,
    /// Print one line of JSON, all that the router counted so far, and end
    #[arg(long, conflicts_with = "interval")]
    pub(crate) json: bool,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "1", value_parser = interval)]
    interval: Seconds,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

fn interval(text: &str) -> Result<Seconds, String> {
    let time: Seconds = text.parse()?;
    // It tells all the same for a quarter of a second.
    if time.0 < Duration::from_millis(300) { Err("it must be 300ms or more".to_owned()) } else { Ok(time) }
}

impl Top {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let address = self.place.address(self.url.as_deref())?;
        let connecting = self.connection.looker(&address);
        let client = interrupts.cut_noting(connecting, || no_connection_yet(&address)).await?;
        let done = self.watch(&client, interrupts).await;
        client.stop().await;
        done
    }

    async fn watch(&self, client: &Client, interrupts: &Interrupts) -> Result<(), Failure> {
        let unanswered = || "nothing was printed: the router had not told its numbers yet".to_owned();
        let first = interrupts.cut_noting(ask(client), unanswered).await?;
        if self.json {
            return output::json(&first);
        }
        let first = told::read(first)?;
        if self.once || !output::on_terminal() {
            let second = async {
                sleep(self.interval.0).await;
                ask(client).await
            };
            let too_soon =
                || format!("no table was printed: it is of {} s between two looks (--interval)", self.interval);
            let now = told::read(interrupts.cut_noting(second, too_soon).await?)?;
            let earlier = Some(&first).filter(|first| now.age - first.age >= LONG);
            let view = View::of(&first, earlier, &now, &Choice::default());
            return Ok(output::answer(&plain::text(&view))?);
        }
        interrupts.be_content();
        interrupts.cut(screen::show(client, first, self.interval.0)).await
    }
}

/// What the router counted so far.
pub(crate) async fn ask(client: &Client) -> Result<Value, Failure> {
    // Such a node answers a question that it does not know with silence.
    if client.server_level().is_some_and(|level| !level.at_least(Level::FOUR)) {
        return Err(Failure::Usage(format!(
            "a node of daffi 3.0.1 cannot tell this: `daffi members {}` lists who is there, and `daffi bench` measures a \
             callback; a router of daffi in Rust in its place tells it",
            client.endpoint()
        )));
    }
    let asked = client.rpc().timeout(PATIENCE).call(STATS, ()).await;
    asked.map_err(|error| match error {
        _ if client.server_role() == Some(Role::Service) => {
            Failure::Usage("this is a service, which tells its numbers by --admin; a router answers this".to_owned())
        }
        CallError::ReceiverNotFound { .. } => Failure::Failed(
            "this router tells no numbers, as it is older: `daffi members` lists who is there".to_owned(),
        ),
        CallError::Timeout { .. } => Failure::TimedOut(format!(
            "the router did not tell its numbers within {} s: it has too much to do, or stands still; ask again",
            PATIENCE.as_secs()
        )),
        CallError::Remote { error, .. } => Failure::Failed(format!("the router tells nothing: {}", error.message)),
        error => error.into(),
    })
}

/// Asks the router, and reads what it counted so far.
pub(crate) async fn ask_and_read(client: &Client) -> Result<Told, Failure> {
    told::read(ask(client).await?)
}
