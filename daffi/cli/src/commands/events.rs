use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use clap::Args;
use daffi::{MemberEvent, Role};
use futures::StreamExt;
use serde::Serialize;

use crate::{
    commands::no_connection_yet,
    connection::{Connection, Place},
    failure::{Failure, of_end},
    interrupts::Interrupts,
    names::shown_name,
    output,
};

/// Follow who joins and leaves a router, until Ctrl-C
///
/// A lost connection is made again, and what was missed meanwhile is told. A service tells nobody
/// who comes and goes.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Where the router is; left out: see `daffi context`
    url: Option<String>,
    /// Print each event as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Events {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let address = self.place.address(self.url.as_deref())?;
        let connecting = self.connection.caller(&address);
        let client = interrupts.cut_noting(connecting, || no_connection_yet(&address)).await?;
        if client.server_role() == Some(Role::Service) {
            return Err(Failure::Usage(format!(
                "{address} is a service, and only a router tells who joins and leaves; `daffi members {address}` lists what a service exposes"
            )));
        }
        let mut events = client.events();
        interrupts.be_content();
        tracing::info!("following {}", client.endpoint());
        while let Some(event) = interrupts.cut(async { Ok(events.next().await) }).await? {
            if self.json {
                let (event, member) = (kind(&event).0, event.member());
                output::json(&ToldEvent { time: now().to_string(), event, member })?;
            } else {
                output::print_styled(&readable(&event))?;
            }
        }
        let stopped = || Failure::NoConnection("the connection was stopped".to_owned());
        let Ok(how) = client.join().await else { return Err(stopped()) };
        Err(of_end(how, client.name(), client.last_failure().as_deref()).unwrap_or_else(stopped))
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct ToldEvent<'a> {
    time: String,
    event: &'a str,
    member: &'a str,
}

/// What happened, a sign for it and its colour.
const fn kind(event: &MemberEvent) -> (&'static str, &'static str, AnsiColor) {
    match event {
        MemberEvent::Added(_) => ("added", "+", AnsiColor::Green),
        MemberEvent::Removed(_) => ("removed", "-", AnsiColor::Red),
        MemberEvent::Evicted(_) => ("evicted", "!", AnsiColor::Yellow),
        _ => ("changed", "?", AnsiColor::White),
    }
}

fn now() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(SystemTime::now())
}

fn readable(event: &MemberEvent) -> String {
    let (kind, sign, colour) = kind(event);
    let style = Style::new().fg_color(Some(colour.into()));
    let time = now().to_string();
    // A person knows the day, and a terminal may be narrow.
    let time = if output::on_terminal() { time.split_once('T').map_or(&*time, |(_, time)| time) } else { &time };
    format!("{time} {style}{sign} {kind:<7}{style:#} {}", shown_name(event.member()))
}
