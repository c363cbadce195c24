//! What small calls feel of large results and slow readers beside them.
//!
//! Each round measures the small calls alone and beside what disturbs them, in turn, so that a
//! machine that has other work has it for both; what is told is the median of the ratios.

use std::time::{Duration, Instant};

use bytes::Bytes;
use daffi::{CallError, Client, FormatId, Results, Router, Rpc};
use futures::stream::{self, Stream, StreamExt};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{Latencies, Outcome, Result, Runtime};

/// Bytes of the large result, and of each part that its callback gives.
const LARGE: usize = 1 << 30;
const PART: usize = 1 << 20;

/// Quick calls in a second, and readers of streams beside them.
const RATE: u64 = 1_000;
const READERS: usize = 100;

#[daffi::callback]
fn echo(payload: Bytes) -> Bytes {
    payload
}

/// A large result, as its callback makes it.
#[daffi::callback]
fn large() -> impl Stream<Item = Bytes> {
    stream::repeat(Bytes::from(vec![7; PART])).take(LARGE / PART)
}

/// A stream without end.
#[daffi::callback]
fn endless() -> impl Stream<Item = Bytes> {
    stream::repeat(Bytes::from(vec![7; 1_000]))
}

/// Who calls whom, through a Router.
struct Network {
    caller: Client,
    _worker: Client,
    router: Router,
}

impl Network {
    async fn start() -> Result<Self> {
        let router = Router::builder("crossing").bind("tcp://127.0.0.1:0").await?;
        let at = router.endpoints()[0].as_str().to_owned();
        let callbacks = daffi::callbacks![echo, large, endless];
        let worker = Client::builder("worker").callbacks(callbacks).workers(4).connect(&at).await?;
        let caller = Client::builder("caller").connect(&at).await?;
        caller.wait_for_members(&["worker"], Some(Duration::from_secs(10))).await?;
        Ok(Self { caller, _worker: worker, router })
    }

    /// Small calls at a rate, whether those before are answered or not, each timed from when it was
    /// due.
    async fn quick_calls(&self, time: Duration) -> Result<Outcome> {
        let (begun, mut latencies, mut made) = (Instant::now(), Latencies::new(), 0);
        let mut ticks = interval(Duration::from_micros(1_000_000 / RATE));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut calls = JoinSet::new();
        while begun.elapsed() < time {
            let (due, rpc) = (ticks.tick().await, self.caller.rpc().serde(FormatId::OPAQUE));
            calls.spawn(async move {
                let back: Bytes = rpc.call("echo", (Bytes::from_static(&[7; 32]),)).await?;
                debug_assert_eq!(back.len(), 32, "an echo is whole");
                Ok::<_, CallError>(due.elapsed())
            });
        }
        while let Some(took) = calls.join_next().await {
            latencies.note(took??);
            made += 1;
        }
        Ok(latencies.outcome(made, begun))
    }

    /// Begins what disturbs them, on the same connection.
    async fn disturb(&self, by: Disturbance) -> Result<Vec<JoinHandle<()>>> {
        let readers = match by {
            Disturbance::Large => 1,
            Disturbance::Readers => READERS,
        };
        let mut reading = Vec::new();
        for _ in 0..readers {
            let rpc = self.caller.rpc();
            let first = rpc.results::<Bytes>(by.callback(), ()).await?;
            reading.push(tokio::spawn(by.read(rpc, first)));
        }
        Ok(reading)
    }

    /// Ends it, and waits until nothing of it is left.
    async fn calm(&self, reading: Vec<JoinHandle<()>>) {
        reading.iter().for_each(JoinHandle::abort);
        while self.router.stats().open_calls > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What small calls have beside them.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    /// Large results, one after another.
    Large,
    /// Streams whose readers take a result in 100 ms.
    Readers,
}

impl Disturbance {
    const fn callback(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Readers => "endless",
        }
    }

    /// Reads until it is told to end.
    async fn read(self, rpc: Rpc, mut results: Results<Bytes>) {
        loop {
            while results.next().await.is_some_and(|result| result.is_ok()) {
                if matches!(self, Self::Readers) {
                    sleep(Duration::from_millis(100)).await;
                }
            }
            let Ok(next) = rpc.results(self.callback(), ()).await else { return };
            results = next;
        }
    }
}

/// Measures so many rounds, each of so long a time without and with what disturbs, and prints the
/// ratios of the p99.
///
/// # Errors
/// What makes a measurement impossible.
pub(crate) async fn measure(rounds: usize, time: Duration) -> Result<()> {
    println!("p99 of {RATE} small calls a second through a Router; {rounds} rounds of {time:?} without and with:");
    for by in [Disturbance::Large, Disturbance::Readers] {
        let network = Network::start().await?;
        let mut rows = Vec::new();
        for _ in 0..rounds {
            let alone = network.quick_calls(time).await?;
            let reading = network.disturb(by).await?;
            let beside = network.quick_calls(time).await?;
            if reading.iter().any(JoinHandle::is_finished) {
                return Err(format!("{by:?} ended before it was told to").into());
            }
            network.calm(reading).await;
            rows.push([alone, beside].map(|outcome| outcome.p99.unwrap_or(f64::NAN)));
        }
        print(by, &rows);
    }
    Ok(())
}

fn print(by: Disturbance, rows: &[[f64; 2]]) {
    let what = match by {
        Disturbance::Large => "results of 1 GiB, one after another",
        Disturbance::Readers => "100 slow readers of streams",
    };
    let median = |of: &dyn Fn(&[f64; 2]) -> f64| {
        let mut all: Vec<_> = rows.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let ratio = median(&|[alone, beside]| beside / alone);
    println!("{what}: {ratio:.2}x ({:.0} us alone, {:.0} us beside)", median(&|row| row[0]), median(&|row| row[1]));
}

/// `beside [ROUNDS [MILLIS]]`.
///
/// # Errors
/// As [`measure`].
pub(crate) fn main(args: &[String]) -> Result<()> {
    let rounds = args.first().map_or(Ok(7), |text| text.parse::<usize>())?.max(1);
    let millis = args.get(1).map_or(Ok(3_000), |text| text.parse())?;
    Runtime::Multi.build()?.block_on(measure(rounds, Duration::from_millis(millis)))
}
