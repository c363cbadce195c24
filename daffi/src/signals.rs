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

/// Whoever waited until just now has so long to end by itself: what ended its node may have been
/// this signal, which the program hears, too.
const LAST_STEPS: Duration = Duration::from_secs(1);

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
    /// When the last of those who waited was done.
    waited_until: Option<Instant>,
}

/// What to do about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obeys {
    /// Nothing, or those who wait were told.
    Done,
    /// It is to be asked again then.
    Later(Instant),
    /// The process is to end.
    Ends,
}

static PROCESS: Mutex<Process> =
    Mutex::new(Process { tell: None, waiting: 0, is_stopping: false, one_wish_until: None, waited_until: None });

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
                        loop {
                            let obeys = process().on_signal(Instant::now());
                            match obeys {
                                Obeys::Done => break,
                                Obeys::Later(then) => thread::sleep(then.saturating_duration_since(Instant::now())),
                                Obeys::Ends => low_level::exit(EXIT_CODES + signal),
                            }
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

    fn on_signal(&mut self, now: Instant) -> Obeys {
        if self.one_wish_until.is_some_and(|until| now < until) {
            return Obeys::Done;
        }
        if self.is_stopping {
            return Obeys::Ends;
        }
        if self.waiting == 0 {
            let then = self.waited_until.map(|until| until + LAST_STEPS).filter(|then| now < *then);
            return then.map_or(Obeys::Ends, Obeys::Later);
        }
        self.is_stopping = true;
        self.one_wish_until = Some(now + ONE_WISH);
        if let Some(tell) = &self.tell {
            tell.send_replace(());
        }
        Obeys::Done
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
        let mut process = process();
        process.waiting -= 1;
        if process.waiting == 0 {
            process.waited_until = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    fn waiting(waiting: usize) -> Process {
        Process { tell: None, waiting, is_stopping: false, one_wish_until: None, waited_until: None }
    }

    #[test]
    fn the_second_wish_ends_the_process_whoever_still_waits() {
        let (mut process, now) = (waiting(1), Instant::now());
        assert_eq!([process.on_signal(now), process.on_signal(now + MOMENT)], [Obeys::Done; 2], "one wish");
        assert_eq!(process.on_signal(now + ONE_WISH), Obeys::Ends, "though nobody came to run");
        (process.waiting, process.waited_until) = (0, Some(now));
        assert_eq!(process.on_signal(now + ONE_WISH), Obeys::Ends);
    }

    /// A program that hears the signal itself has stopped its node before this thread came to run.
    #[test]
    fn who_waited_until_just_now_ends_by_itself() {
        let now = Instant::now();
        let mut process = Process { waited_until: Some(now), ..waiting(0) };
        assert_eq!(process.on_signal(now + MOMENT), Obeys::Later(now + LAST_STEPS));
        assert_eq!(process.on_signal(now + LAST_STEPS), Obeys::Ends, "it goes on with something else");
        process.waiting = 1;
        assert_eq!(process.on_signal(now + MOMENT), Obeys::Done, "it waits again, and is told");
    }

    #[test]
    fn nobody_who_waits_is_passed_over_and_without_one_the_first_ends_it() {
        let now = Instant::now();
        assert_eq!(waiting(0).on_signal(now), Obeys::Ends);
        let mut process = waiting(1);
        assert_eq!(process.on_signal(now), Obeys::Done);
        // Another node was joined since.
        process.is_stopping = false;
        assert_eq!(process.on_signal(now + ONE_WISH), Obeys::Done);
        assert_eq!(process.on_signal(now + 2 * ONE_WISH), Obeys::Ends);
    }
}
