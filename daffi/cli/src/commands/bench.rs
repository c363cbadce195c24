//! Measures calls.

mod callers;
mod report;

use std::time::Duration;

use clap::Args;
use daffi::{Rpc, Value};
use futures::future::join_all;

use self::{
    callers::{Measured, Plan, measure},
    report::{Report, readable},
};
use super::no_connection_yet;
use crate::{
    connection::{Connection, Place},
    failure::Failure,
    interrupts::Interrupts,
    invocation::{ARGUMENTS, Invocation},
    output,
    quantity::{Count, Seconds, Size},
};

const AFTER: &str = "\
About the measurement:
--in-flight callers share a connection, and each calls again as soon as it has its answer. The time of a call is that \
from the call to its answer. With --rate calls begin at fixed times, whatever became of those before, and their time counts from \
when they were due. Calls during --warm-up do not count.
Errors are counted by their class and do not end the run; their exit code is that of the first. What nobody exposes from the \
beginning ends it. Ctrl-C ends it early, and \
what was measured until then is told.

Examples:
  daffi bench URL add 3 4
  daffi bench URL echo -p 64KiB -f 32
  daffi bench URL add 3 4 -c 8 --rate 5000
  daffi bench URL count 1000 --results 1000";

/// Measure calls: how many a second, and how long they take
#[derive(Debug, Args)]
#[command(
    override_usage = "daffi bench [OPTIONS] [URL] METHOD [ARG]...",
    after_help = "Arguments and what is measured: daffi help bench",
    after_long_help = format!("{ARGUMENTS}\n\n{AFTER}")
)]
pub(crate) struct Bench {
    #[command(flatten)]
    invocation: Invocation,
    /// The member to call
    #[arg(short, long, value_name = "NAME")]
    receiver: Option<String>,
    /// Connections to call over
    #[arg(short, long, value_name = "N", default_value = "1")]
    connections: Count,
    /// Calls that are open at once, on each connection
    #[arg(short = 'f', long, value_name = "N", default_value = "1", value_parser = in_flight)]
    in_flight: Count,
    /// Calls a second, over all connections. Default: as many as there can be
    #[arg(long, value_name = "CALLS", value_parser = rate)]
    rate: Option<f64>,
    /// Time to measure
    #[arg(short, long, value_name = "TIME", default_value = "5")]
    duration: Seconds,
    /// Time of calls before that
    #[arg(long, value_name = "TIME", default_value = "0.5")]
    warm_up: Seconds,
    /// One more argument: so many bytes, of any number that the callback takes
    #[arg(short, long, visible_alias = "body", value_name = "SIZE", value_parser = payload)]
    payload: Option<Size>,
    /// Take so many results of each call, which its callback gives one by one, and count them; what
    /// it gives beyond them is cancelled. The time of a call is that to the last of them
    #[arg(long, value_name = "N")]
    results: Option<Count>,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

/// Reads calls a second: at least one in a quarter of an hour, and at most one in a nanosecond.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("a number of calls a second from 0.001 to 1000000000 is expected".to_owned()),
    }
}

/// Reads how many calls are open at once, which are no more than the numbers that a connection has
/// for them.
fn in_flight(text: &str) -> Result<Count, String> {
    match text.parse()? {
        Count(count) if count <= u16::MAX.into() => Ok(Count(count)),
        _ => Err(format!("a connection has {} calls open at most: see --connections", u16::MAX)),
    }
}

/// Reads how many bytes an argument has, which are no more than MSGPACK can announce.
fn payload(text: &str) -> Result<Size, String> {
    match text.parse()? {
        Size(size) if u32::try_from(size).is_ok() => Ok(Size(size)),
        _ => Err(format!("an argument has {} bytes at most: `daffi stream` sends more, chunk by chunk", u32::MAX)),
    }
}

/// So many bytes, if there is memory for them.
fn bytes(size: usize) -> Result<Value, Failure> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| {
        Failure::Usage(format!("--payload {}: there is no memory for that here: choose less", Size(size)))
    })?;
    bytes.resize(size, b'x');
    Ok(Value::Bytes(bytes.into()))
}

impl Bench {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let unread = || "nothing was measured: the arguments were still being read".to_owned();
        let mut invoked = interrupts.cut_noting(self.invocation.clone().read(&self.place), unread).await?;
        if let Some(Size(size)) = self.payload {
            invoked.args.positional.push(bytes(size)?);
        }
        let connections = self.connections.0;
        let mut clients = Vec::new();
        for number in 1..=connections {
            let connection = if connections > 1 { &self.connection.with_number(number) } else { &self.connection };
            let unconnected = || format!("nothing was measured: {}", no_connection_yet(&invoked.address));
            clients.push(interrupts.cut_noting(connection.caller(&invoked.address), unconnected).await?);
        }
        let rpcs = clients.iter().map(|client| {
            let rpc = self.receiver.iter().fold(client.rpc(), |rpc, name| rpc.receiver(name));
            let rpc = invoked.serde.into_iter().fold(rpc, Rpc::serde);
            let rpc = invoked.headers.iter().fold(rpc, |rpc, (key, value)| rpc.header(key, value));
            invoked.timeout.into_iter().fold(rpc, Rpc::timeout)
        });
        let plan = Plan {
            in_flight: self.in_flight.0,
            period: self.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            warm_up: self.warm_up.0,
            duration: self.duration.0,
            results: self.results.map(|results| results.0),
        };
        let (measured, ended) = measure(rpcs.collect(), clients[0].clone(), invoked, &plan, interrupts).await;
        let told = self.tell(measured, ended);
        join_all(clients.iter().map(daffi::Client::stop)).await;
        told
    }

    /// Prints what was measured, whatever ended it.
    fn tell(&self, measured: Measured, ended: Result<(), Failure>) -> Result<(), Failure> {
        let (calls, failed) = (measured.calls(), measured.failed_count());
        if calls + failed == 0 {
            return Err(match ended {
                Err(Failure::Interrupted(signal)) if measured.elapsed.is_zero() => {
                    Failure::Cancelled(signal, "nothing was measured: it was ended in its --warm-up".to_owned())
                }
                Err(Failure::Interrupted(signal)) => {
                    Failure::Cancelled(signal, "nothing was measured: no call had ended yet".to_owned())
                }
                Err(failure) => failure,
                Ok(()) => measured
                    .early_failure
                    .unwrap_or_else(|| Failure::Failed("no call began and ended in time: raise --duration".to_owned())),
            });
        }
        let report = Report::new(
            &measured,
            self.connections.0,
            self.in_flight.0,
            self.rate,
            self.payload,
            self.results.is_some(),
        );
        if self.json {
            output::json(&report)?
        } else {
            output::answer(&readable(&report))?
        }
        ended?;
        match measured.first_failure {
            Some(first) => Err(first.preceded_by(&format!("{failed} of {} calls failed, the first: ", calls + failed))),
            None => Ok(()),
        }
    }
}
