//! Callers whose every call is counted twice: when it begins, and when it ends.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use daffi::{CallError, Client};
use futures::stream;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::PATIENCE;

/// Calls of one caller that are open at once.
const OPEN: usize = 16;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What became of all calls.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    begun: AtomicU64,
    answered: AtomicU64,
    queued: AtomicU64,
    wrong: AtomicU64,
    timeouts: AtomicU64,
    receivers_gone: AtomicU64,
    no_receiver: AtomicU64,
    disconnected: AtomicU64,
    other: AtomicU64,
}

impl Tally {
    fn ended(&self) -> u64 {
        [
            &self.answered,
            &self.queued,
            &self.wrong,
            &self.timeouts,
            &self.receivers_gone,
            &self.no_receiver,
            &self.disconnected,
            &self.other,
        ]
        .iter()
        .map(|counter| counter.load(Relaxed))
        .sum()
    }

    /// Every call ended, none with another's answer.
    pub(crate) fn is_good(&self) -> bool {
        self.begun.load(Relaxed) == self.ended() && self.wrong.load(Relaxed) == 0
    }

    fn count(&self, outcome: &Result<bool, CallError>) {
        let counter = match outcome {
            Ok(true) => &self.answered,
            Ok(false) => &self.wrong,
            Err(CallError::Timeout { .. }) => &self.timeouts,
            Err(CallError::ReceiverGone { .. }) => &self.receivers_gone,
            Err(CallError::ReceiverNotFound { .. }) => &self.no_receiver,
            Err(CallError::Disconnected(_)) => &self.disconnected,
            Err(error) => {
                eprintln!("{error}");
                &self.other
            }
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [begun, answered, queued, wrong] =
            [&self.begun, &self.answered, &self.queued, &self.wrong].map(|n| n.load(Relaxed));
        let never = begun - self.ended();
        writeln!(f, "{begun} calls of Rust callers: {answered} answered, {queued} queued that nobody answers")?;
        writeln!(f, "  calls that never ended: {never}; calls that got another's answer: {wrong}")?;
        write!(
            f,
            "  receiver gone {}, no receiver {}, disconnected {}, timeout {}, other errors {}",
            self.receivers_gone.load(Relaxed),
            self.no_receiver.load(Relaxed),
            self.disconnected.load(Relaxed),
            self.timeouts.load(Relaxed),
            self.other.load(Relaxed)
        )
    }
}

/// Makes calls until it is over, then waits for those that are open.
pub(crate) async fn make_calls(endpoint: String, name: String, tally: Arc<Tally>, stop: watch::Receiver<bool>) {
    let client = loop {
        match Client::builder(&name).connect(&endpoint).await {
            Ok(client) => break client,
            Err(_) if *stop.borrow() => return,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    };
    let mut open = JoinSet::new();
    let mut number = 0;
    while !*stop.borrow() {
        while open.len() < OPEN {
            number += 1;
            open.spawn(one_call(client.clone(), number, Arc::clone(&tally)));
        }
        if let Some(Ok(false)) = open.join_next().await {
            // There is no connection, or nobody to call.
            sleep(Duration::from_millis(10)).await;
        }
    }
    let all = async { while open.join_next().await.is_some() {} };
    // What is still open then is counted as never ended.
    let _late = tokio::time::timeout(PATIENCE, all).await;
    client.stop().await;
}

/// Makes one call. `false`: it found nobody.
async fn one_call(client: Client, number: u64, tally: Arc<Tally>) -> bool {
    tally.begun.fetch_add(1, Relaxed);
    let mine = |answer: u64| answer == number;
    let outcome = match number % 10 {
        0..5 => client.rpc().timeout(TIMEOUT).call("echo", (number,)).await.map(mine),
        5 | 6 => client.rpc().call("echo", (number,)).await.map(mine),
        7 => match client.cast().timeout(TIMEOUT).call::<u64>("echo", (number,)).await {
            Ok(answers) => Ok(answers.into_values().flatten().all(mine)),
            Err(error) => Err(error),
        },
        8 => match client.rpc_nowait().call("echo", (number,)).await {
            Ok(()) => {
                tally.queued.fetch_add(1, Relaxed);
                return true;
            }
            Err(error) => Err(error),
        },
        _ => {
            let chunks = stream::iter((0..4u64).map(|chunk| chunk.to_string()));
            let sent = client.stream().timeout(TIMEOUT).send("echo", chunks).await;
            sent.map(|count| count == 4).map_err(|error| *error.source)
        }
    };
    tally.count(&outcome);
    !matches!(outcome, Err(CallError::Disconnected(_) | CallError::ReceiverNotFound { .. }))
}
