//! An honest caller of small calls beside the adversary.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use daffi::{BoxError, Client, Value};
use daffi_stress::{cpu_of, percentile, resident_of};
use tokio::time::sleep;

use crate::attack::Target;

/// A call of one that does nothing takes longer only if somebody stops the node.
const LONGEST: Duration = Duration::from_secs(10);

/// What an honest caller saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) time: Duration,
    pub(crate) per_second: f64,
    pub(crate) p99: Duration,
    pub(crate) worst: Duration,
    pub(crate) errors: Vec<String>,
    /// The most bytes that the node had resident, and what CPU time it took for whatever it did.
    pub(crate) peak: usize,
    pub(crate) cpu: Duration,
}

impl Seen {
    /// Seconds of the node's CPU time for each honest call: what the attack cost is in it.
    pub(crate) fn cpu_per_call(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.per_second * self.time.as_secs_f64()).max(1.0)
    }
}

/// The process of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Keeps the most bytes that it had resident.
    async fn watch(self, peak: &Cell<usize>) {
        loop {
            peak.set(peak.get().max(resident_of(self.0)));
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Calls again and again, one call at a time, for `time`.
pub(crate) async fn call(client: &Client, target: &Target, time: Duration, node: Option<Process>) -> Seen {
    let (begun, mut took, mut errors, peak) = (Instant::now(), Vec::new(), Vec::new(), Cell::new(0));
    let cpu = || node.map_or(Duration::ZERO, |node| cpu_of(node.0));
    let cpu_before = cpu();
    let calls = async {
        while begun.elapsed() < time {
            let at = Instant::now();
            let call = client.rpc().receiver(&target.receiver).timeout(LONGEST);
            // What the callback makes of no arguments is its own affair: an error of its own is an
            // answer.
            match call.call::<Value>(&target.callback, ()).await {
                Err(error) if !error.is_remote() => errors.push(error.to_string()),
                _ => {}
            }
            took.push(at.elapsed());
        }
    };
    match node {
        Some(node) => tokio::select! {
            () = calls => {}
            () = node.watch(&peak) => {}
        },
        None => calls.await,
    }
    took.sort_unstable();
    let time = begun.elapsed();
    Seen {
        time,
        per_second: took.len() as f64 / time.as_secs_f64(),
        p99: if took.is_empty() { LONGEST } else { percentile(&took, 99) },
        worst: took.last().copied().unwrap_or(LONGEST),
        errors,
        peak: peak.get(),
        cpu: cpu().saturating_sub(cpu_before),
    }
}

/// Who exposes `callback`, the caller itself left out.
pub(crate) async fn find(client: &Client, callback: &str) -> Result<String, BoxError> {
    let members = client.members();
    let found = members.iter().find(|member| member.methods.iter().any(|method| method.as_str() == callback));
    match found {
        Some(member) => Ok(member.name.to_string()),
        None => Err(format!("nobody there exposes {callback:?}; name another with --callback").into()),
    }
}
