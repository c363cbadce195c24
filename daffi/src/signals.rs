//! `join` until a signal: the first stops in order, the second ends the process.

use std::{
    future::Future,
    io,
    pin::pin,
    time::{Duration, Instant},
};

use daffi_core::Ended;
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a process ended by a second signal: 128 and SIGINT.
const INTERRUPTED: i32 = 130;
/// Signals within so long of the first are the same wish: what starts programs hands Ctrl-C on that
/// the terminal gave to both, and `timeout` signals its child and then its group.
const ONE_WISH: Duration = Duration::from_millis(300);

pub(crate) async fn join(ended: impl Future<Output = Ended>, stop: impl Future<Output = ()>) -> io::Result<Ended> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut ended = pin!(ended);
    tokio::select! {
        how = &mut ended => return Ok(how),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    let begun = Instant::now();
    tracing::info!("stopping; a second signal ends at once");
    let second = async {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if begun.elapsed() >= ONE_WISH {
                return;
            }
        }
    };
    tokio::select! {
        how = async {
            stop.await;
            ended.await
        } => Ok(how),
        () = second => std::process::exit(INTERRUPTED),
    }
}
