use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use daffi::{CallError, Rpc, Value};
use hdrhistogram::Histogram;
use serde::{Serialize, de::IgnoredAny};
use tokio::task::JoinSet;

use super::closing;
use crate::{
    connection::Connection,
    failure::Failure,
    invocation::{ARGUMENTS, Invocation, Invoked},
    output,
    quantity::{Seconds, Size, brief},
};

const AFTER: &str = "\
About the measurement:
--in-flight callers share one connection, and each calls again as soon as it has its answer. The time of a call is that \
from the call to its answer. Calls during --warm-up do not count. The first error ends the run, and nothing is reported.

Examples:
  daffi bench URL add 3 4
  daffi bench URL echo -p 64KiB -f 32";

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
    /// Calls that are open at once
    #[arg(short = 'f', long, value_name = "N", default_value = "1")]
    in_flight: NonZeroUsize,
    /// Seconds to measure
    #[arg(short, long, value_name = "SECONDS", default_value = "5")]
    duration: Seconds,
    /// Seconds of calls before that
    #[arg(long, value_name = "SECONDS", default_value = "0.5")]
    warm_up: Seconds,
    /// One more argument: so many bytes
    #[arg(short, long, value_name = "SIZE")]
    payload: Option<Size>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Nanoseconds, to three digits.
type Latencies = Histogram<u64>;

fn latencies() -> Latencies {
    Histogram::new(3).expect("three digits are among those that a histogram can have")
}

impl Bench {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (in_flight, payload) = (self.in_flight.get(), self.payload);
        let mut invoked = self.invocation.read().await?;
        if let Some(Size(size)) = payload {
            invoked.args.positional.push(Value::Bytes(vec![b'x'; size].into()));
        }
        let client = self.connection.caller(&invoked.endpoint).await?;
        let rpc = self.receiver.into_iter().fold(client.rpc(), Rpc::receiver);
        let rpc = invoked.serde.into_iter().fold(rpc, Rpc::serde);
        let rpc = invoked.timeout.into_iter().fold(rpc, Rpc::timeout);
        let measuring = measure(&rpc, Arc::new(invoked), in_flight, self.warm_up.0, self.duration.0);
        let measured = closing(&client, measuring).await?;
        if measured.latencies.is_empty() {
            return Err(Failure::Failed("no call began and ended in time: raise --duration".to_owned()));
        }
        if self.json {
            return output::json(&measured.report(in_flight, payload));
        }
        Ok(output::answer(&measured.readable(in_flight, payload))?)
    }
}

struct Measured {
    latencies: Latencies,
    /// From the end of the warm-up to the last answer.
    elapsed: Duration,
}

async fn measure(
    rpc: &Rpc,
    invoked: Arc<Invoked>,
    in_flight: usize,
    warm_up: Duration,
    duration: Duration,
) -> Result<Measured, Failure> {
    let start = Instant::now() + warm_up;
    let end = start + duration;
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        callers.spawn(call_until(rpc.clone(), Arc::clone(&invoked), start, end));
    }
    let mut latencies = latencies();
    while let Some(caller) = callers.join_next().await {
        let one = caller.map_err(|error| Failure::Failed(format!("a caller broke off: {error}")))??;
        latencies.add(&one).expect("a histogram without bounds grows");
    }
    Ok(Measured { latencies, elapsed: start.elapsed() })
}

/// Calls again and again until `end`, and records the calls that began after `start`.
async fn call_until(rpc: Rpc, invoked: Arc<Invoked>, start: Instant, end: Instant) -> Result<Latencies, CallError> {
    let mut latencies = latencies();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(latencies);
        }
        let _result: IgnoredAny = rpc.call(&invoked.method, invoked.args.clone()).await?;
        if begun >= start {
            let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            latencies.record(nanos).expect("a histogram without bounds grows");
        }
    }
}

impl Measured {
    fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn readable(&self, in_flight: usize, payload: Option<Size>) -> String {
        let time = |nanos| brief(Duration::from_nanos(nanos));
        let at = |percentile| time(self.latencies.value_at_percentile(percentile));
        let rows = [
            ("calls", Some(format!("{} in {}", self.latencies.len(), brief(self.elapsed)))),
            ("rate", Some(format!("{:.0} calls/s", self.per_second()))),
            ("in flight", Some(in_flight.to_string())),
            ("payload", payload.map(|size| size.to_string())),
            ("fastest", Some(time(self.latencies.min()))),
            ("p50", Some(at(50.0))),
            ("p90", Some(at(90.0))),
            ("p99", Some(at(99.0))),
            ("p99.9", Some(at(99.9))),
            ("slowest", Some(time(self.latencies.max()))),
        ];
        let lines = rows.into_iter().filter_map(|(name, value)| Some(format!("{name:<9}  {}", value?)));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn report(&self, in_flight: usize, payload: Option<Size>) -> Report {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |percentile| micros(self.latencies.value_at_percentile(percentile));
        Report {
            calls: self.latencies.len(),
            seconds: self.elapsed.as_secs_f64(),
            calls_per_second: self.per_second(),
            in_flight,
            payload_bytes: payload.map(|size| size.0),
            latency_us: Latency {
                min: micros(self.latencies.min()),
                p50: at(50.0),
                p90: at(90.0),
                p99: at(99.0),
                p99_9: at(99.9),
                max: micros(self.latencies.max()),
            },
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    calls: u64,
    seconds: f64,
    calls_per_second: f64,
    in_flight: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<usize>,
    latency_us: Latency,
}

#[derive(Serialize)]
struct Latency {
    min: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    max: f64,
}
