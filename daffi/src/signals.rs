//! `join` until a signal: the first stops in order, the second ends the process.

use std::{future::Future, io, pin::pin};

use daffi_core::Ended;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a process ended by a second signal: 128 and SIGINT.
const INTERRUPTED: i32 = 130;

pub(crate) async fn join(ended: impl Future<Output = Ended>, stop: impl Future<Output = ()>) -> io::Result<Ended> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut ended = pin!(ended);
    tokio::select! {
        how = &mut ended => return Ok(how),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping; a second signal ends at once");
    tokio::select! {
        how = async {
            stop.await;
            ended.await
        } => Ok(how),
        _ = interrupt.recv() => std::process::exit(INTERRUPTED),
        _ = terminate.recv() => std::process::exit(INTERRUPTED),
    }
}
