//! `join` until a signal: the first stops in order. One that no `join` waits for ends the process.
//!
//! One thread of the process hears signals, from the first `join` on: so a second one ends the
//! process also while the runtime is blocked, or gone.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use daffi_core::Ended;
use signal_hook::{
    consts::signal::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};
use tokio::sync::watch;

/// Signals within so long of the first are the same wish: what starts programs hands Ctrl-C on that
/// the terminal gave to both, and `timeout` signals its child and then its group.
const ONE_WISH: Duration = Duration::from_millis(300);

/// By how much the number of a signal is less than the exit code by which shells tell of it.
const EXIT_CODES: i32 = 128;

pub(crate) async fn join(ended: impl Future<Output = Ended>, stop: impl Future<Output = ()>) -> io::Result<Ended> {
    let mut waiting = Waiting::begin()?;
    let mut ended = pin!(ended);
    tokio::select! {
        how = &mut ended => return Ok(how),
        () = waiting.signal() => {}
    }
    drop(waiting);
    tracing::info!("stopping; a second signal ends at once");
    stop.await;
    Ok(ended.await)
}

/// Who waits for a signal in the whole process, and which came.
#[derive(Debug)]
struct Process {
    /// Tells those who wait. `None`: nobody hears signals yet.
    tell: Option<watch::Sender<()>>,
    waiting: usize,
    /// Those who waited were told, and nobody began to wait since.
    is_stopping: bool,
    /// Until then it is the same wish.
    one_wish_until: Option<Instant>,
}

static PROCESS: Mutex<Process> =
    Mutex::new(Process { tell: None, waiting: 0, is_stopping: false, one_wish_until: None });

fn process() -> MutexGuard<'static, Process> {
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Hears signals from now on, on a thread of its own.
    fn hear(&mut self) -> io::Result<watch::Sender<()>> {
        if let Some(tell) = &self.tell {
            return Ok(tell.clone());
        }
        let (listening, listens) = mpsc::sync_channel(1);
        // The thread is there before the handlers are: without it nobody would obey a signal.
        thread::Builder::new().name("daffi-signals".to_owned()).spawn(move || {
            match Signals::new([SIGINT, SIGTERM]) {
                Ok(mut signals) => {
                    let _waits = listening.send(Ok(()));
                    for signal in signals.forever() {
                        if process().on_signal(Instant::now()) {
                            low_level::exit(EXIT_CODES + signal);
                        }
                    }
                }
                Err(error) => {
                    let _waits = listening.send(Err(error));
                }
            }
        })?;
        listens.recv().unwrap_or_else(|ended| Err(io::Error::other(ended)))?;
        Ok(self.tell.insert(watch::Sender::new(())).clone())
    }

    /// Whether the process is to end.
    fn on_signal(&mut self, now: Instant) -> bool {
        if self.one_wish_until.is_some_and(|until| now < until) {
            return false;
        }
        if self.waiting == 0 || self.is_stopping {
            return true;
        }
        self.is_stopping = true;
        self.one_wish_until = Some(now + ONE_WISH);
        if let Some(tell) = &self.tell {
            tell.send_replace(());
        }
        false
    }
}

/// Waits for a signal, which meanwhile does not end the process.
struct Waiting(watch::Receiver<()>);

impl Waiting {
    fn begin() -> io::Result<Self> {
        let mut process = process();
        let told = process.hear()?.subscribe();
        process.waiting += 1;
        process.is_stopping = false;
        Ok(Self(told))
    }

    async fn signal(&mut self) {
        // Its sender is there as long as the process.
        let _came = self.0.changed().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        process().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    fn waiting(waiting: usize) -> Process {
        Process { tell: None, waiting, is_stopping: false, one_wish_until: None }
    }

    #[test]
    fn the_second_wish_ends_the_process_whoever_still_waits() {
        let (mut process, now) = (waiting(1), Instant::now());
        assert!(!process.on_signal(now) && !process.on_signal(now + MOMENT), "one wish");
        assert!(process.on_signal(now + ONE_WISH), "though nobody came to run");
        process.waiting = 0;
        assert!(process.on_signal(now + ONE_WISH));
    }

    #[test]
    fn nobody_who_waits_is_passed_over_and_without_one_the_first_ends_it() {
        let now = Instant::now();
        assert!(waiting(0).on_signal(now));
        let mut process = waiting(1);
        assert!(!process.on_signal(now));
        // Another node was joined since.
        process.is_stopping = false;
        assert!(!process.on_signal(now + ONE_WISH));
        assert!(process.on_signal(now + 2 * ONE_WISH));
    }
}
