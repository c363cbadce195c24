//! Nodes of daffi 3.0.1 in the network.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use daffi_testing::Peer;
use serde_json::json;
use tokio::{sync::watch, time::sleep};

/// Calls that a Python caller makes at a time, and the threads they are made in.
const CALLS: usize = 40;
const THREADS: usize = 4;

/// In seconds; 3.0.1 knows only whole ones.
const TIMEOUT: u32 = 5;

/// A Python node that answers nothing for so long hangs: the peer itself gives up a little earlier.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// What became of the calls that Python nodes made.
#[derive(Debug, Default)]
pub(crate) struct PythonTally {
    begun: AtomicU64,
    answered: AtomicU64,
    raised: AtomicU64,
    wrong: AtomicU64,
    /// Made by a process that ended in the middle: 3.0.1 does not survive every loss of its server.
    lost: AtomicU64,
    restarts: AtomicU64,
}

impl PythonTally {
    fn ended(&self) -> u64 {
        [&self.answered, &self.raised, &self.wrong, &self.lost].iter().map(|counter| counter.load(Relaxed)).sum()
    }

    /// Every call ended, none with another's answer.
    pub(crate) fn is_good(&self) -> bool {
        self.begun.load(Relaxed) == self.ended() && self.wrong.load(Relaxed) == 0
    }
}

impl fmt::Display for PythonTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [begun, answered, raised, wrong, lost, restarts] =
            [&self.begun, &self.answered, &self.raised, &self.wrong, &self.lost, &self.restarts]
                .map(|n| n.load(Relaxed));
        writeln!(f, "{begun} calls of Python callers: {answered} answered, {raised} raised an exception")?;
        writeln!(f, "  calls that never ended: {}; calls that got another's answer: {wrong}", begun - self.ended())?;
        write!(f, "  {lost} lost with a caller that ended by itself; callers were started anew {restarts} times")
    }
}

/// Keeps a Python worker running. Whatever is sent kills it, after which it is started again.
pub(crate) fn keep_python_worker(endpoint: String, name: String, stop: watch::Receiver<bool>) -> watch::Sender<()> {
    let (kill, mut killed) = watch::channel(());
    tokio::spawn(async move {
        while !*stop.borrow() {
            let start = Peer::client(&endpoint).name(&name).worker().workers(2).try_start();
            // It may say nothing at all when the router goes in the middle of its start.
            let Ok(Ok(peer)) = tokio::spawn(start).await else {
                sleep(Duration::from_millis(200)).await;
                continue;
            };
            let peer = Arc::new(peer);
            loop {
                tokio::select! {
                    killing = killed.changed() => {
                        peer.kill();
                        if killing.is_err() {
                            return;
                        }
                        break;
                    }
                    () = sleep(Duration::from_millis(500)) => {
                        // It ends by itself after some minutes, and 3.0.1 does not find back to
                        // every router. One that does not even answer ends the task that asks.
                        let asked = Arc::clone(&peer);
                        let members = tokio::spawn(async move { asked.members().await });
                        if !members.await.is_ok_and(|members| members.contains_key(peer.name())) {
                            peer.kill();
                            break;
                        }
                    }
                }
            }
        }
    });
    kill
}

/// Calls from a Python node until it is over. A node that 3.0.1 cannot bring back to its router is
/// started anew.
pub(crate) async fn call_from_python(
    endpoint: String,
    name: String,
    tally: Arc<PythonTally>,
    stop: watch::Receiver<bool>,
) {
    let mut first = 0;
    while !*stop.borrow() {
        let start = Peer::client(&endpoint).name(&name).try_start();
        let Ok(Ok(peer)) = tokio::spawn(start).await else {
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        let peer = Arc::new(peer);
        while !*stop.borrow() {
            first += 1;
            let (number, caller) = (first, Arc::clone(&peer));
            tally.begun.fetch_add(CALLS as u64, Relaxed);
            let calls = tokio::spawn(async move {
                caller.call("echo", json!([number])).timeout(TIMEOUT).many(CALLS, THREADS).await
            });
            let Ok(outcomes) = calls.await else {
                if peer.exit_status().is_some() {
                    tally.lost.fetch_add(CALLS as u64, Relaxed);
                }
                break;
            };
            for outcome in &outcomes {
                let counter = match outcome {
                    Ok(answer) if *answer == number => &tally.answered,
                    Ok(_) => &tally.wrong,
                    Err(_) => &tally.raised,
                };
                counter.fetch_add(1, Relaxed);
            }
            if outcomes.iter().all(Result::is_err) {
                break;
            }
        }
        tally.restarts.fetch_add(1, Relaxed);
    }
}
