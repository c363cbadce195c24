//! An honest caller of small calls beside the adversary.

use std::time::{Duration, Instant};

use daffi::{BoxError, Client, Value};
use daffi_stress::percentile;

/// A call of one that does nothing takes longer only if somebody stops the node.
const LONGEST: Duration = Duration::from_secs(10);

/// What an honest caller saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) per_second: f64,
    pub(crate) p99: Duration,
    pub(crate) worst: Duration,
    pub(crate) errors: Vec<String>,
}

/// Calls again and again, one call at a time, for `time`.
pub(crate) async fn call(client: &Client, receiver: &str, callback: &str, time: Duration) -> Seen {
    let (begun, mut took, mut errors) = (Instant::now(), Vec::new(), Vec::new());
    while begun.elapsed() < time {
        let at = Instant::now();
        let call = client.rpc().receiver(receiver).timeout(LONGEST);
        // What the callback makes of no arguments is its own affair: an error of its own is an answer.
        match call.call::<Value>(callback, ()).await {
            Err(error) if !error.is_remote() => errors.push(error.to_string()),
            _ => {}
        }
        took.push(at.elapsed());
    }
    took.sort_unstable();
    let per_second = took.len() as f64 / begun.elapsed().as_secs_f64();
    let worst = took.last().copied().unwrap_or(LONGEST);
    Seen { per_second, p99: if took.is_empty() { LONGEST } else { percentile(&took, 99) }, worst, errors }
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
