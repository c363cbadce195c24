use std::{collections::BTreeMap, io::Write};

use clap::Args;
use daffi::{CallError, Cast as CastCall, Value};
use serde::{Serialize, ser::SerializeMap};

use super::{closing, prepare, until_told};
use crate::{
    connection::{Connection, Place},
    failure::Failure,
    headers::tell_dropped,
    interrupts::Interrupts,
    invocation::{ARGUMENTS, Invocation},
    names::shown_name,
    output,
    value::{self, Json},
};

const AFTER: &str = "\
About answers:
A line for each member: its name, a tab, its result. Who failed is named on stderr, and the exit code is that of the \
first failure.
With --json one object, in which each member has {\"ok\": result} or {\"error\": text}; see `daffi help call` for how \
results are written.

Examples:
  daffi cast URL greet everybody
  daffi cast URL -r w1 -r w2 greet both";

/// Call a callback on every member that exposes it
///
/// Every member gets its own request at the same time; --receiver chooses some.
#[derive(Debug, Args)]
#[command(
    override_usage = "daffi cast [OPTIONS] [URL] METHOD [ARG]...",
    after_help = "Arguments and answers: daffi help cast",
    after_long_help = format!("{ARGUMENTS}\n\n{AFTER}")
)]
pub(crate) struct Cast {
    #[command(flatten)]
    invocation: Invocation,
    /// A member to call, rather than all that expose the callback; may be repeated
    #[arg(short, long = "receiver", value_name = "NAME")]
    receivers: Vec<String>,
    /// Wait within --timeout until each --receiver exposes the callback, or somebody
    /// does, instead of failing at once
    #[arg(long)]
    wait: bool,
    /// Print all results as one line of strict JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

type Results = BTreeMap<String, Result<Value, CallError>>;

impl Cast {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let reading = self.invocation.read(&self.place);
        let (invoked, client) =
            prepare(interrupts, reading, async |address| self.connection.caller(address).await).await?;
        let cast = client.cast();
        let cast = if self.receivers.is_empty() { cast } else { cast.receivers(&self.receivers) };
        let cast = invoked.serde.into_iter().fold(cast, CastCall::serde);
        let cast = invoked.timeout.into_iter().fold(cast, CastCall::timeout);
        let cast = if self.wait { cast.wait_for_receiver() } else { cast };
        let cast = invoked.headers.iter().fold(cast, |cast, (key, value)| cast.header(key, value));
        let called = async {
            let given_up = || format!("{} was cancelled; what was answered before is not shown", invoked.method);
            let results = until_told(interrupts, &client, cast.call(&invoked.method, invoked.args), given_up).await;
            let receivers: Vec<_> = self.receivers.iter().map(String::as_str).collect();
            tell_dropped(&client, &invoked.headers, &invoked.method, &receivers);
            results
        };
        let results: Results = closing(interrupts, &client, called).await?;
        if self.json {
            output::json(&Outcomes(&results))?;
        }
        let mut failures = Vec::new();
        for (name, result) in results {
            match result {
                Ok(_) if self.json => {}
                Ok(result) => output::answer_by(|stdout| {
                    write!(stdout, "{}\t", shown_name(&name))?;
                    value::write_line(&result, stdout)
                })?,
                Err(error) => failures.push(Failure::from(error)),
            }
        }
        let mut failures = failures.into_iter();
        let first = failures.next();
        for other in failures {
            let _only_the_first = other.report(self.json);
        }
        first.map_or(Ok(()), Err)
    }
}

/// `{"w1": {"ok": 7}, "w2": {"error": ".."}}`
struct Outcomes<'a>(&'a Results);

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Ok(Json<'a>),
    Error(String),
}

impl Serialize for Outcomes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, result) in self.0 {
            let outcome = match result {
                Ok(value) => Outcome::Ok(Json(value)),
                Err(error) => Outcome::Error(error.to_string()),
            };
            map.serialize_entry(name, &outcome)?;
        }
        map.end()
    }
}
